import { describe, expect, test } from 'vitest';
import { createCa } from '#lib/pki';
import { changedAtStartOnly, DEFAULT_CONFIGURATION, parseServerConfiguration } from './server-configuration.ts';

const HEAD = 'apiVersion: config.berth.dev/v1\nkind: ServerConfiguration\n';
const OWN = 'https://kubernetes.default.svc.cluster.local';

async function mistakes(text: string): Promise<string[]> {
  try {
    await parseServerConfiguration(HEAD + text, { disallowedIssuers: [OWN] });
    return [];
  } catch (e) {
    const prefix = 'the server configuration is not valid: ';
    expect(e).toMatchObject({ kind: 'BadRequest', message: expect.stringContaining(prefix) });
    return (e as Error).message.slice(prefix.length).split('; ');
  }
}

const jwt = (issuer: object, rest: object = {}): string =>
  JSON.stringify({
    jwt: [
      {
        issuer: { url: 'https://id.example', audiences: ['kube'], ...issuer },
        claimMappings: { username: { claim: 'sub', prefix: '' } },
        ...rest,
      },
    ],
  });

/** JSON is YAML; the head is two of its fields. */
const mistakesOf = async (issuer: object, rest: object = {}): Promise<string[]> => {
  const { jwt: list } = JSON.parse(jwt(issuer, rest)) as { jwt: unknown };
  return await mistakes(`jwt: ${JSON.stringify(list)}`);
};

describe('server configuration', () => {
  test('all settings, and none', async () => {
    const ca = (await createCa('id')).certPem;
    const text = `
defaultTolerationSeconds: 0
maxRequestsInFlight: 50
shutdownDelaySeconds: 5
jwt:
- issuer:
    url: https://id.example
    discoveryURL: https://id.example/discovery
    audiences: [kube, other]
    audienceMatchPolicy: MatchAny
    certificateAuthority: ${JSON.stringify(ca)}
  claimValidationRules:
  - {claim: hd, requiredValue: example.com}
  - {expression: 'claims.email_verified', message: not verified}
  claimMappings:
    username: {expression: claims.email}
    groups: {claim: groups, prefix: 'id:'}
    uid: {claim: sub}
    extra:
    - {key: example.com/tenant, valueExpression: claims.tenant}
  userValidationRules:
  - {expression: "!user.username.startsWith('system:')", message: reserved}
`;
    // A rule must be a bool, and a claim may be anything.
    expect(await mistakes(text)).toEqual([
      'jwt[0].claimValidationRules[1].expression: Invalid value: "claims.email_verified": must evaluate to bool',
      expect.stringContaining('jwt[0].claimMappings.username.expression: Invalid value: "claims.email"'),
    ]);
    const sound = text.replace("'claims.email_verified'", "'claims.email_verified == true'");
    const read = await parseServerConfiguration(HEAD + sound, { disallowedIssuers: [OWN] });
    expect(read).toMatchObject({ defaultTolerationSeconds: 0, maxRequestsInFlight: 50, shutdownDelaySeconds: 5 });
    expect(read.jwt).toMatchObject([
      {
        issuer: { url: 'https://id.example', audiences: ['kube', 'other'], certificateAuthority: ca },
        claimMappings: { groups: { claim: 'groups', prefix: 'id:' }, uid: { claim: 'sub' } },
      },
    ]);
    expect(await parseServerConfiguration(HEAD, { disallowedIssuers: [] })).toEqual(DEFAULT_CONFIGURATION);
  });

  test('every mistake at once, by its field', async () => {
    const text = `
defaultTolerationSeconds: -1
maxRequestsInFlight: many
shutdownDelaySeconds: 11
nodeMonitor: 5
jwt:
- issuer: {url: 'http://id.example?x=1#y', audiences: [], caFile: x}
  claimMappings: {username: {claim: sub}, groups: [a]}
- 5
`;
    expect(await mistakes(text)).toEqual([
      'unknown field "nodeMonitor"',
      'unknown field "jwt[0].issuer.caFile"',
      'jwt[0].claimMappings.groups: Invalid value: must be an object',
      'jwt[1]: Invalid value: must be an object',
      'jwt[0].issuer.url: Invalid value: "http://id.example?x=1#y": URL scheme must be https',
      'jwt[0].issuer.url: Invalid value: "http://id.example?x=1#y": URL must not contain a query',
      'jwt[0].issuer.url: Invalid value: "http://id.example?x=1#y": URL must not contain a fragment',
      'jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required',
      'jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing',
      'jwt[1].issuer.url: Required value',
      'jwt[1].issuer.audiences: Required value: at least one jwt[1].issuer.audiences is required',
      'jwt[1].claimMappings.username: Required value: claim or expression is required',
      'defaultTolerationSeconds: Invalid value: -1: must be between 0 and 2147483647, inclusive',
      'maxRequestsInFlight: Invalid value: must be an integer',
      'shutdownDelaySeconds: Invalid value: 11: must be between 0 and 10, inclusive',
    ]);
  });

  test.each<[object, object, string]>([
    [{ url: OWN }, {}, `issuer.url: Invalid value: "${OWN}": URL must not overlap with disallowed issuers: [${OWN}]`],
    [{ url: 'https://u:p@id.example' }, {}, 'URL must not contain a username or password'],
    [{ discoveryURL: 'https://id.example/' }, {}, 'issuer.discoveryURL: Invalid value: "https://id.example/"'],
    [{ audiences: ['a', 'a'], audienceMatchPolicy: 'MatchAny' }, {}, 'issuer.audiences[1]: Duplicate value: "a"'],
    [{ audiences: ['a', 'b'] }, {}, 'audienceMatchPolicy must be MatchAny for multiple audiences'],
    [{ audiences: [''] }, {}, 'issuer.audiences[0]: Required value'],
    [{ certificateAuthority: '/etc/ca.pem' }, {}, 'issuer.certificateAuthority: Invalid value: "<omitted>": data does'],
    [
      { certificateAuthority: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' },
      {},
      'issuer.certificateAuthority: Invalid value: "<omitted>": ',
    ],
    [{}, { claimValidationRules: [{}] }, 'claimValidationRules[0]: Required value: claim or expression is required'],
    [{}, { claimValidationRules: [{ claim: 'a', expression: 'true' }] }, "claim and expression can't both be set"],
    [{}, { claimValidationRules: [{ claim: 'a' }, { claim: 'a' }] }, 'claimValidationRules[1].claim: Duplicate value'],
    [{}, { claimValidationRules: [{ claim: 'a', message: 'x' }] }, 'message: Invalid value: "x": may not be specified'],
    [{}, { userValidationRules: [{ expression: 'user.name' }] }, 'undefined field'],
    [{}, { userValidationRules: [{}] }, 'userValidationRules[0].expression: Required value'],
    [{}, { claimMappings: { username: { expression: 'claims.', prefix: 'x' } } }, 'compilation failed: ERROR'],
    [{}, { claimMappings: { username: { expression: 'user' } } }, 'undeclared reference'],
    [
      {},
      { claimMappings: { username: { expression: 'claims.?email.value()' } } },
      'claims.email_verified must be used',
    ],
  ])('refused: issuer %j, %j', async (issuer, rest, why) => {
    expect((await mistakesOf(issuer, rest)).join('\n')).toContain(why);
  });

  test.each([
    ['k8s.io/x', 'k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use'],
    ['a.kubernetes.io/x', 'reserved for Kubernetes use'],
    ['tenant', 'must be a domain-prefixed path'],
    ['example.com/Tenant', 'must be lowercase'],
  ])('extra key %s', async (key, why) => {
    const username = { claim: 'sub', prefix: '' };
    const claimMappings = { username, extra: [{ key, valueExpression: "'x'" }] };
    expect((await mistakesOf({}, { claimMappings })).join('\n')).toContain(why);
  });

  test('one issuer twice, and too many', async () => {
    const { jwt: one } = JSON.parse(jwt({})) as { jwt: object[] };
    expect(await mistakes(`jwt: ${JSON.stringify([...one, ...one])}`)).toEqual([
      'jwt[1].issuer.url: Duplicate value: "https://id.example"',
    ]);
    const many = Array.from({ length: 65 }, () => one[0]);
    expect(await mistakes(`jwt: ${JSON.stringify(many)}`)).toEqual(['jwt: Too many: 65: must have at most 64 items']);
  });

  test('no such file at all', async () => {
    const read = (text: string) => parseServerConfiguration(text, { disallowedIssuers: [] });
    await expect(read('')).rejects.toThrow('must be an object');
    await expect(read('kind: Policy')).rejects.toThrow('must be config.berth.dev/v1 ServerConfiguration');
    await expect(read('a: [')).rejects.toThrow('not YAML');
    await expect(read(`${HEAD}---\n${HEAD}`)).rejects.toThrow('must be one document');
    await expect(read(HEAD + ' '.repeat(1 << 20))).rejects.toThrow('must be no more than');
  });

  test('what only a start takes up is named', () => {
    const next = { ...DEFAULT_CONFIGURATION, maxRequestsInFlight: 5, defaultTolerationSeconds: 9 };
    expect(changedAtStartOnly(DEFAULT_CONFIGURATION, next)).toEqual(['maxRequestsInFlight']);
  });
});
