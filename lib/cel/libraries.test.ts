import { describe, expect, test } from 'vitest';
import { AUTHORIZER_TYPE, type AuthorizationCheck, AuthorizerValue, kubernetesEnv } from './index.ts';
import { evaluated } from './testing/evaluate.ts';

function table(name: string, rows: readonly (readonly [text: string, want: unknown])[]): void {
  describe(name, () => {
    test.each(rows)('%s', (text, want) => {
      expect(evaluated(text)).toEqual(want);
    });
  });
}

table('strings (cel-go ext.Strings)', [
  ["'tacocat'.charAt(3)", 'o'],
  ["'tacocat'.charAt(7)", ''],
  ["'tacocat'.charAt(8)", 'error: index out of range: 8'],
  ["'a😀b'.charAt(1)", '😀'],
  ["'a😀b😀'.indexOf('b')", 2],
  ["'hello mellow'.indexOf('ello', 2)", 7],
  ["'hello'.indexOf('x')", -1],
  ["'hello'.indexOf('', 3)", 3],
  ["'hello'.indexOf('l', -1)", 'error: index out of range: -1'],
  ["'hello mellow'.lastIndexOf('ello')", 7],
  ["'hello mellow'.lastIndexOf('ello', 6)", 1],
  ["'TacoCÆt'.lowerAscii()", 'tacocÆt'],
  ["'tacocæt'.upperAscii()", 'TACOCæT'],
  ["'hello hello'.replace('he', 'we')", 'wello wello'],
  ["'hello hello'.replace('he', 'we', 1)", 'wello hello'],
  ["'hello'.replace('l', '$&')", 'he$&$&o'],
  ["'ab'.replace('', '-')", '-a-b-'],
  ["'ab'.replace('', '-', 2)", '-a-b'],
  ["'a b c'.split(' ')", ['a', 'b', 'c']],
  ["'a b c'.split(' ', 2)", ['a', 'b c']],
  ["'a b c'.split(' ', 0)", []],
  ["'a😀'.split('')", ['a', '😀']],
  ["'tacocat'.substring(4)", 'cat'],
  ["'tacocat'.substring(0, 4)", 'taco'],
  ["'tacocat'.substring(5, 2)", 'error: invalid substring range. start: 5, end: 2'],
  ["'  \\u00a0trim\\n '.trim()", 'trim'],
  ["['a', 'b'].join('-') + [].join()", 'a-b'],
  ["strings.quote('a\"b\\n')", '"a\\"b\\n"'],
  [
    "'%s is %d, %.2f of %x, %b and %o; %e%%'.format(['a', 2, 1.005, 255, true, 8, 1052.03])",
    'a is 2, 1.00 of ff, 1 and 10; 1.052030\u202f×\u202f10⁰³%',
  ],
  [
    "'%s'.format([[1, 'a', 2.5, null, timestamp('2023-02-03T23:31:20Z')]])",
    '[1, "a", 2.500000, null, timestamp("2023-02-03T23:31:20Z")]',
  ],
  ["'%s'.format([{'b': duration('2h'), 'a': b'x'}])", '{"a":b"x", "b":duration("7200s")}'],
  [
    "'%d'.format(['a'])",
    'error: error during formatting: decimal clause can only be used on integers, was given string',
  ],
  ["'%s %s'.format([1])", 'error: index 1 out of range'],
  ["'%q'.format([1])", 'error: could not parse formatting clause: unrecognized formatting clause "q"'],
  ["'%'.format([1])", 'error: unexpected end of string'],
]);

table('lists and sets', [
  ['[1, 2, 2].isSorted() && ![2, 1].isSorted() && [].isSorted()', true],
  ['[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0', true],
  ["[duration('1m'), duration('30s')].sum() == duration('90s')", true],
  ['[9223372036854775807, 1].sum()', 'error: integer overflow'],
  ["['b', 'a'].min() + ['b', 'a'].max()", 'ab'],
  ['[1].filter(x, false).min()', 'error: min called on empty list'],
  ['[1, 2, 1].indexOf(1) * 10 + [1, 2, 1].lastIndexOf(1)', 2],
  ["['a'].indexOf('b')", -1],
  ['[1, 2, 3, 4].slice(1, 3)', [2, 3]],
  ['[1].slice(0, 2)', 'error: cannot slice(0, 2), list is length 1'],
  ['[[1], [2, 3]].flatten()', [1, 2, 3]],
  ['[dyn(1), dyn([dyn(2), dyn([3])])].flatten(2)', [1, 2, 3]],
  ['[1, 2, 1].distinct()', [1, 2]],
  ['[3, 1, 2].sort().reverse()', [3, 2, 1]],
  ["['bb', 'a'].sortBy(s, size(s))", ['a', 'bb']],
  ['lists.range(3)', [0, 1, 2]],
  ['sets.contains([1, 2], [2]) && !sets.contains([1], [2])', true],
  ['sets.equivalent([1, 2, 2], [2, 1])', true],
  ['sets.intersects([1], [2, 1]) && !sets.intersects([], [1])', true],
  ['sets.contains([[1], [2]], [[2]])', true],
]);

table('regular expressions', [
  ["'abc 123'.find('[0-9]+')", '123'],
  ["'abc'.find('[0-9]+')", ''],
  ["'123 abc 456'.findAll('[0-9]+')", ['123', '456']],
  ["'123 abc 456'.findAll('[0-9]+', 1)", ['123']],
  ["'baaab'.findAll('a*')", ['', 'aaa', '']],
  ["'abc'.find('(')", 'error: Illegal regex: error parsing regexp: missing closing ): `(`'],
  ["'foobar'.matches('o{2}b')", true],
  ["matches('foobar', '^oo')", false],
]);

table('addresses', [
  ["string(ip('2001:DB8::0:1'))", '2001:db8::1'],
  ["ip('1.2.3.4').family() + ip('::').family()", 10],
  ["ip.isCanonical('2001:db8::0')", false],
  ["isIP('1.2.3.256') || isIP('01.2.3.4') || isIP('fe80::1%eth0') || isIP('::ffff:1.2.3.4')", false],
  ["ip('127.1.2.3').isLoopback() && ip('::1').isLoopback() && ip('0.0.0.0').isUnspecified()", true],
  ["ip('169.254.1.1').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()", true],
  ["ip('224.0.0.5').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()", true],
  ["ip('8.8.8.8').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()", true],
  ["ip('::ffff:1.2.3.4')", 'error: IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'],
  ["string(cidr('192.168.1.9/20').masked())", '192.168.0.0/20'],
  ["cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))", true],
  ["cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR('10.0.0.0/8')", true],
  ["cidr('::/0').containsIP('::1') && !cidr('::/0').containsIP('1.1.1.1')", true],
  ["cidr('10.0.0.0/24').prefixLength()", 24],
  ["isCIDR('10.0.0.0/33') || isCIDR('10.0.0.0') || isCIDR('10.0.0.0/08')", false],
  ["cidr('10.0.0.1/8').ip() == ip('10.0.0.1')", true],
]);

table('URLs', [
  ["url('https://user@example.com:80/a%20b?x=1&y=2&x=3#f').getHost()", 'example.com:80'],
  ["url('https://example.com:80/').getPort()", '80'],
  ["url('https://[::1]:8080/').getHostname()", '::1'],
  ["url('https://[::1]/').getPort()", ''],
  ["url('https://e.com/a b/é').getEscapedPath()", '/a%20b/%C3%A9'],
  ["url('https://e.com/?k=a&k=b+c').getQuery()", { k: ['a', 'b c'] }],
  ["url('/path').getScheme()", ''],
  ["isURL('https://example.com') && isURL('/abs') && !isURL('rel/ative') && !isURL('../x') && !isURL('')", true],
  ["isURL('http://a:b/') || isURL('http://[::1/') || isURL('http://e.com/%zz') || isURL(':x')", false],
]);

table('quantities and versions', [
  ["quantity('1.5Gi').asInteger()", 1610612736],
  ["quantity('50m').isInteger() || isQuantity('1Q') || isQuantity('') || isQuantity('1e')", false],
  ["quantity('50m').asInteger()", 'error: cannot convert value to integer'],
  ["quantity('50m').asApproximateFloat()", 0.05],
  ["quantity('1k').add(quantity('24')).compareTo(quantity('1Ki'))", 0],
  ["quantity('1').sub(2).sign()", -1],
  ["sign(quantity('1'))", 1],
  ["quantity('200M').isGreaterThan(quantity('100Mi')) && quantity('1k') == quantity('1000')", true],
  ["isQuantity('1e1000000000')", false],
  ["semver('1.2.3').minor()", 2],
  [
    "semver('1.2.3-rc.2').isLessThan(semver('1.2.3')) && semver('1.2.3-rc.10').isGreaterThan(semver('1.2.3-rc.9'))",
    true,
  ],
  ["semver('1.0.0-alpha').compareTo(semver('1.0.0-alpha.1'))", -1],
  ["isSemver('v1.0') || isSemver('01.2.3') || isSemver('1.2')", false],
  ["isSemver('v1.0', true) && semver('v01.2', true) == semver('1.2.0')", true],
]);

table('formats', [
  ["format.dns1123Label().validate('my-name').hasValue()", false],
  ["format.dns1123Label().validate('My').value()[0].startsWith('a lowercase RFC 1123 label')", true],
  ["format.dns1123LabelPrefix().validate('my-').hasValue()", false],
  ["format.dns1123Subdomain().validate('a..b').hasValue()", true],
  ["format.qualifiedName().validate('example.com/Name').hasValue()", false],
  ["format.qualifiedName().validate('/Name').value()", ['prefix part must be non-empty']],
  ["format.labelValue().validate('').hasValue()", false],
  ["format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()", false],
  ["format.date().validate('2023-02-30').value()", ['invalid date']],
  ["format.byte().validate('YWI=').hasValue() || format.datetime().validate('2023-01-01T00:00:00Z').hasValue()", false],
  ["format.named('dns1035Label').value() == format.dns1035Label()", true],
  ["format.named('nope').hasValue()", false],
]);

describe('authorizer (apiserver/pkg/cel/library/authz.go)', () => {
  const asked: AuthorizationCheck[] = [];
  const authorizer = new AuthorizerValue({
    check(check) {
      asked.push(check);
      return { allowed: check.verb === 'get', reason: 'because', error: check.verb === 'fail' ? 'broken' : '' };
    },
  });
  const env = kubernetesEnv().extend({ variables: { authorizer: AUTHORIZER_TYPE } });
  const run = (text: string) => evaluated(text, { authorizer }, env);

  test('a check names what it is about', () => {
    const text =
      "authorizer.serviceAccount('ns', 'sa').group('apps').resource('deployments').subresource('status')" +
      ".namespace('n').name('x').labelSelector('a=b').check('get').allowed()";
    expect(run(text)).toBe(true);
    expect(asked.pop()).toEqual({
      kind: 'resource',
      subject: { kind: 'serviceAccount', namespace: 'ns', name: 'sa' },
      verb: 'get',
      group: 'apps',
      resource: 'deployments',
      subresource: 'status',
      namespace: 'n',
      name: 'x',
      fieldSelector: '',
      labelSelector: 'a=b',
    });
  });

  test('paths, reasons and errors', () => {
    expect(run("authorizer.path('/healthz').check('post').reason()")).toBe('because');
    expect(asked.pop()).toEqual({ kind: 'path', subject: { kind: 'requester' }, verb: 'post', path: '/healthz' });
    expect(
      run("authorizer.path('/x').check('fail').errored() && authorizer.path('/x').check('fail').error() == 'broken'"),
    ).toBe(true);
    expect(run("authorizer.path(' ').check('get').allowed()")).toBe('error: path must not be empty');
    expect(run("authorizer.serviceAccount('ns', 'Bad_').path('/').check('get').allowed()")).toBe(
      'error: Invalid service account name',
    );
  });

  test('two checks fit into the budget of one call, three do not', () => {
    const check = "authorizer.path('/x').check('get').allowed()";
    expect(run(`${check} && ${check}`)).toBe(true);
    expect(run(`${check} && ${check} && ${check}`)).toBe('error: operation cancelled: actual cost limit exceeded');
  });
});
