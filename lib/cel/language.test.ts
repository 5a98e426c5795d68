import { describe, expect, test } from 'vitest';
import { evaluated } from './testing/evaluate.ts';

function table(name: string, rows: readonly (readonly [text: string, want: unknown])[]): void {
  describe(name, () => {
    test.each(rows)('%s', (text, want) => {
      expect(evaluated(text)).toEqual(want);
    });
  });
}

table('literals (cel-spec "Values")', [
  ['0x1F', 31],
  ['-0x1F', -31],
  ['7u', 7],
  ['1.5e3', 1500],
  ['.5', 0.5],
  [`'a\\tb\\x41\\u00e9\\U0001F600\\101'`, 'a\tbAé😀A'],
  [`r'a\\tb'`, 'a\\tb'],
  ["'''two\nlines \"quoted\"'''", 'two\nlines "quoted"'],
  [`b'\\xff\\377a' == bytes('a')`, false],
  ["size(b'é')", 2],
  [`size('é😀')`, 2],
  ['-9223372036854775808', -(2 ** 63)],
  ['9223372036854775808', 'compile: invalid int literal'],
  ['18446744073709551616u', 'compile: invalid uint literal'],
  [`'\\q'`, 'compile: unable to unescape string'],
  ['[1, 2, 3,]', [1, 2, 3]],
  ["{'a': 1, 'b': 2}", { a: 1, b: 2 }],
  ['// comment\n1', 1],
]);

table('operators and precedence', [
  ['1 + 2 * 3 - 4', 3],
  ['(1 + 2) * 3', 9],
  ['10 - 3 - 2', 5],
  ['!false && true || false', true],
  ['1 < 2 == true', true],
  ['true ? 1 : false ? 2 : 3', 1],
  ['--5', 5],
  ['-(5)', -5],
  ['7 / 2', 3],
  ['-7 / 2', -3],
  ['-7 % 3', -1],
  ['7.0 / 2.0', 3.5],
  ["'a' + 'b'", 'ab'],
  ['[1] + [2, 3]', [1, 2, 3]],
  ["b'a' + b'b' == b'ab'", true],
  ['2 in [1, 2]', true],
  ["'k' in {'k': 1}", true],
  ["'x' in {'k': 1}", false],
]);

table('integers are 64 bits wide, with errors and no wrap-around', [
  ['9223372036854775807 + 1', 'error: integer overflow'],
  ['-9223372036854775808 - 1', 'error: integer overflow'],
  ['-(-9223372036854775808)', 'error: integer overflow'],
  ['5000000000 * 5000000000', 'error: integer overflow'],
  ['-9223372036854775808 / -1', 'error: integer overflow'],
  ['0u - 1u', 'error: unsigned integer overflow'],
  ['18446744073709551615u + 1u', 'error: unsigned integer overflow'],
  ['1 / 0', 'error: division by zero'],
  ['1u % 0u', 'error: modulus by zero'],
  ['1.0 / 0.0 > 1e308', true],
  ['9007199254740993 == 9007199254740992', false],
]);

table('equality and order', [
  ['dyn(1) == dyn(1.0)', true],
  ['dyn(1u) == dyn(1)', true],
  ["dyn(1) == dyn('1')", false],
  ['dyn(9007199254740993) == dyn(9007199254740992.0)', false],
  ['1 < 1.5 && 2u > 1 && 1.5 >= 1u', true],
  ["double('NaN') == double('NaN')", false],
  ["double('NaN') < 1.0", 'error: NaN values cannot be ordered'],
  ['[1, 2] == [1, 2]', true],
  ['[1, 2] == [2, 1]', false],
  ["{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", true],
  ['dyn({1: 1}) == dyn({1u: 1})', true],
  ['null == null', true],
  ["'\\uffff' < '\\U00010000'", true],
  ["b'\\x01' < b'\\x02'", true],
  ['false < true', true],
  ['1 == 1.0', "compile: found no matching overload for '_==_' applied to '(int, double)'"],
]);

table('failures that && || and ?: absorb', [
  ['false && 1 / 0 > 1', false],
  ['1 / 0 > 1 && false', false],
  ['true || 1 / 0 > 1', true],
  ['1 / 0 > 1 || true', true],
  ['1 / 0 > 1 || false', 'error: division by zero'],
  ['true && 1 / 0 > 1', 'error: division by zero'],
  ['true ? 1 : 1 / 0', 1],
  ['false ? 1 : 1 / 0', 'error: division by zero'],
  ['1 / 0 > 1 ? 1 : 2', 'error: division by zero'],
  ['dyn(1) && true', 'error: no such overload'],
  ['dyn(1) && false', false],
  ['[0, 1].exists(x, 1 / x == 1)', true],
  ['[0, 1].all(x, 1 / x == 2)', false],
  ['[0, 1].all(x, 1 / x == 1)', 'error: division by zero'],
  ['[0, 1].exists_one(x, 1 / x == 1)', 'error: division by zero'],
]);

table('fields, keys and indices', [
  ["{'a': {'b': 1}}.a.b", 1],
  ["{'a': 1}['a']", 1],
  ["{'a': 1}.b", 'error: no such key: b'],
  ["{'a': 1}['b']", 'error: no such key: b'],
  ['{1: 2}[dyn(1.0)]', 2],
  ['{1: 2}[dyn(1u)]', 2],
  ['[1, 2][1]', 2],
  ['[1, 2][dyn(1u)]', 2],
  ['[1, 2][2]', 'error: index out of bounds: 2'],
  ['[1, 2][-1]', 'error: index out of bounds: -1'],
  ["[1][dyn('a')]", "error: unsupported index type 'string' in list"],
  ["has({'a': 1}.a)", true],
  ["has({'a': 1}.b)", false],
  ['has(dyn(1).b)', 'error: no such overload'],
  ["{'a': 1, 'a': 2}", 'error: Failed with repeated key a'],
  ["{'a-b': 1}.`a-b`", 1],
]);

table('macros', [
  ['[1, 2, 3].all(x, x > 0)', true],
  ["{'a': 1}.all(k, k == 'a')", true],
  ['[].all(x, false)', true],
  ['[].exists(x, true)', false],
  ['[1, 2, 2].exists_one(x, x == 2)', false],
  ['[1, 2].existsOne(x, x == 2)', true],
  ['[1, 2, 3].map(x, x > 1, x * 10)', [20, 30]],
  ['[1, 2, 3].filter(x, x % 2 == 1)', [1, 3]],
  ['[[1, 2], [3]].map(l, l.map(x, x + size(l)))', [[3, 4], [4]]],
  [
    '[1, 2].map(x, [3, 4].map(x, x))',
    [
      [3, 4],
      [3, 4],
    ],
  ],
  ["{'b': 1, 'a': 2}.map(k, k).size()", 2],
  ['[5, 6].all(i, v, v == i + 5)', true],
  ["{'a': 'b'}.exists(k, v, k < v)", true],
  ['[1, 1, 2].exists_one(i, v, i == 1 && v == 1)', true],
  ['[10, 20].transformList(i, v, i + v)', [10, 21]],
  ['[10, 20].transformList(i, v, i > 0, v)', [20]],
  ["{'a': 1}.transformMap(k, v, v + 1)", { a: 2 }],
  ["{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v)", { b: 2 }],
  ["{'a': 'b'}.transformMapEntry(k, v, {v: k})", { b: 'a' }],
  ["['x', 'x'].transformMapEntry(i, v, {v: i})", 'error: insert failed: key x already exists'],
  ['[1].map(x, x) + [2]', [1, 2]],
  [
    'optional.of([1].map(x, x)).optMap(v, [v + [2], v + [3]]).value()',
    [
      [1, 2],
      [1, 3],
    ],
  ],
  ['[1].map(1, 1)', 'compile: argument must be a simple name'],
  ['has(a)', 'compile: invalid argument to has() macro'],
  ['[1].all(i, i, true)', 'compile: duplicate variable name: i'],
]);

table('conversions', [
  ["int('12') + int(3.9) + int(4u)", 19],
  ["int('x')", `error: type conversion error from 'string' to 'int': cannot parse "x"`],
  ['int(1e19)', 'error: integer overflow'],
  ['uint(-1)', 'error: unsigned integer overflow'],
  ['double(3) + double("0.5")', 3.5],
  ['string(1) + string(2u) + string(1.5) + string(true)', '121.5true'],
  ['string(1e6) + " " + string(123456.0) + " " + string(0.00001)', '1e+06 123456 1e-05'],
  ["string(b'\\xff')", 'error: invalid UTF-8 in bytes, cannot convert to string'],
  ["bool('true')", true],
  ['type(1) == int && type([1]) == list && type(type(1)) == type', true],
  ["type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp", true],
  ['type(null) == null_type', true],
]);

table('times', [
  ["string(timestamp('2023-05-06T07:08:09.120+02:00'))", '2023-05-06T05:08:09.12Z'],
  ["timestamp('2023-05-06T07:08:09Z') + duration('36h') > timestamp('2023-05-07T00:00:00Z')", true],
  ["string(timestamp('2023-05-06T00:00:01Z') - timestamp('2023-05-06T00:00:00Z'))", '1s'],
  ["timestamp('9999-12-31T23:59:59Z') + duration('1s')", 'error: timestamp overflow'],
  ["timestamp('2023-02-30T00:00:00Z')", 'compile: invalid timestamp argument'],
  ["duration('1x')", 'compile: invalid duration argument'],
  ["string(duration('1h1m1.5s'))", '3661.5s'],
  ["duration('-90m').getHours()", -1],
  ["duration('1.5s').getMilliseconds()", 500],
  ["timestamp('2023-12-31T23:30:00Z').getDayOfYear()", 364],
  ["timestamp('2023-12-31T23:30:00Z').getFullYear('+01:00')", 2024],
  ["timestamp('2023-07-01T00:00:00Z').getHours('Europe/Berlin')", 2],
  ["timestamp('2023-07-01T00:00:00Z').getHours('Nowhere/Land')", 'error: unknown time zone Nowhere/Land'],
  ["timestamp('2023-07-02T00:00:00Z').getDayOfWeek()", 0],
  ["timestamp('2023-07-02T00:00:00Z').getDayOfMonth()", 1],
  ["timestamp('2023-07-02T00:00:00Z').getDate()", 2],
  ["int(timestamp('1970-01-01T00:01:00Z'))", 60],
]);

table('optionals', [
  ['optional.of(1).value()', 1],
  ['optional.none().hasValue()', false],
  ['optional.none().value()', 'error: optional.none() dereference'],
  ["optional.ofNonZeroValue('').orValue('x')", 'x'],
  ['optional.none().or(optional.of(2)).value()', 2],
  ['optional.of(1).orValue(1 / 0)', 1],
  ["{'a': {'b': 1}}.?a.?b.value()", 1],
  ["{'a': {'b': 1}}.?c.?b.hasValue()", false],
  ["{'a': 1}[?'b'].orValue(5)", 5],
  ['[1, 2][?5].hasValue()', false],
  ["has({'a': {'b': 1}}.?a.b)", true],
  ['[?optional.none(), ?optional.of(2)]', [2]],
  ["{?'a': optional.none(), ?'b': optional.of(1)}", { b: 1 }],
  ['optional.of(2).optMap(x, x * x).value()', 4],
  ['optional.none().optMap(x, x + 1).hasValue()', false],
  ['optional.of(2).optFlatMap(x, optional.none()).hasValue()', false],
  ['optional.of(1) == optional.of(1)', true],
]);
