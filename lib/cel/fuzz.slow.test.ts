/** Laws over random programs: nothing throws, nothing hangs, and what the checker accepts does not fail for its types. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BOOL, compile, DYN, fromJson, INT, kubernetesEnv, listOf, mapOf, objectType, STRING } from './index.ts';
import { outcomeOf } from './testing/evaluate.ts';

const self = objectType('Self', { n: INT, s: STRING, l: listOf(INT), m: mapOf(STRING, INT), b: BOOL, d: DYN });
const env = kubernetesEnv().extend({ variables: { self } });

const TOKENS = [
  ...'( ) [ ] { } . , : ? + - * / % ! < > == != <= >= && || in'.split(' '),
  ..."self self.n self.s self.l self.m self.b self.d x y 1 2u 0.5 true false null 'a' \"b\" r'\\d' b'c'".split(' '),
  ...'.all(x, .exists(x, .map(x, .filter(x, .size() has( size( .matches( .format([ .?n [?0] optional.of( .orValue('.split(
    ' ',
  ),
  ...'.sortBy(x, .transformMap(x,y, string( int( timestamp( duration( ip( quantity( .split( .join( .replace( @ ` # \\'.split(
    ' ',
  ),
];

describe('random text', () => {
  test('compiles or is refused with positions inside the text; evaluates without a throw', () => {
    const input = { self: fromJson({ n: 1, s: 'abc', l: [1, 2], m: { a: 1 }, b: true, d: { x: [1] } }, self) };
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...TOKENS), { maxLength: 14 }), (tokens) => {
        const text = tokens.join(' ');
        const compiled = compile(text, env);
        if ('errors' in compiled) {
          expect(compiled.errors.text).toMatch(/^ERROR: <input>:\d+:\d+: /);
          for (const i of compiled.errors.issues) expect(i.offset).toBeLessThanOrEqual(text.length);
          return;
        }
        compiled.program.estimatedCost();
        expect(compiled.program.evaluate(input).cost).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 200 },
    );
  });

  test('any characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        compile(text, env);
      }),
      { numRuns: 300 },
    );
  });
});

describe('random programs without dyn', () => {
  interface Grammar {
    int: string;
    bool: string;
    string: string;
    list: string;
  }
  const two = (tie: fc.LetrecTypedTie<Grammar>, a: keyof Grammar, b: keyof Grammar) => fc.tuple(tie(a), tie(b));
  const grammar = fc.letrec<Grammar>((tie) => ({
    int: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('self.n', '0', '3', '-7', '9223372036854775807'),
      fc
        .tuple(two(tie, 'int', 'int'), fc.constantFrom('+', '-', '*', '/', '%'))
        .map(([[a, b], op]) => `(${a} ${op} ${b})`),
      fc.tuple(tie('bool'), tie('int'), tie('int')).map(([c, a, b]) => `(${c} ? ${a} : ${b})`),
      tie('list').map((l) => `${l}.size()`),
      tie('list').map((l) => `${l}.sum()`),
      tie('string').map((s) => `size(${s})`),
    ),
    bool: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('self.b', 'true', 'has(self.m.a)'),
      fc
        .tuple(two(tie, 'int', 'int'), fc.constantFrom('<', '<=', '==', '!='))
        .map(([[a, b], op]) => `(${a} ${op} ${b})`),
      fc.tuple(two(tie, 'bool', 'bool'), fc.constantFrom('&&', '||')).map(([[a, b], op]) => `(${a} ${op} ${b})`),
      tie('bool').map((b) => `!${b}`),
      fc.tuple(tie('list'), tie('bool')).map(([l, b]) => `${l}.all(x, x > 0 || ${b})`),
      two(tie, 'string', 'string').map(([a, b]) => `${a}.contains(${b})`),
    ),
    string: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('self.s', "'é'", "''"),
      two(tie, 'string', 'string').map(([a, b]) => `(${a} + ${b})`),
      tie('int').map((n) => `string(${n})`),
      fc.tuple(tie('string'), tie('int')).map(([s, n]) => `${s}.substring(${n})`),
    ),
    list: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('self.l', '[1, 2]', 'self.l.filter(x, x > 1)'),
      two(tie, 'list', 'list').map(([a, b]) => `(${a} + ${b})`),
      fc.tuple(tie('list'), tie('int')).map(([l, n]) => `${l}.map(x, x + ${n})`),
    ),
  }));
  const input = { self: fromJson({ n: 5, s: 'a😀', l: [1, 2, 3], m: { a: 1 }, b: false }, self) };

  test('pass the checker, never lack an overload, and cost no more than estimated', () => {
    const MAXIMA: Readonly<Record<string, number>> = { 'self.l': 3, 'self.s': 2, 'self.m': 1 };
    fc.assert(
      fc.property(grammar.bool, (text) => {
        const compiled = compile(text, env, { resultType: BOOL });
        if ('errors' in compiled) throw new Error(compiled.errors.text);
        const outcome = compiled.program.evaluate(input);
        if ('error' in outcome) expect(outcome.error.message).toMatch(/overflow|by zero|index out of range/);
        const estimate = compiled.program.estimatedCost((path) => {
          const max = MAXIMA[path.join('.')];
          return max === undefined ? undefined : { min: 0, max };
        });
        expect(outcome.cost).toBeLessThanOrEqual(estimate.max);
      }),
      { numRuns: 200 },
    );
  });

  test('the same program gives the same value twice', () => {
    fc.assert(
      fc.property(grammar.list, (text) => {
        expect(outcomeOf(`${text} == ${text}`, input, env)).toEqual(outcomeOf(`${text} == ${text}`, input, env));
        const outcome = outcomeOf(`${text} == ${text}`, input, env);
        if ('value' in outcome) expect(outcome.value).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe('hostile programs end by their budget in bounded time', () => {
  const x = kubernetesEnv().extend({ variables: { x: listOf(INT), s: STRING, t: STRING, d: DYN, e: DYN } });
  const rows = Array.from({ length: 20_000 }, (_, i) => i);
  const nested = () =>
    fromJson(
      Array.from({ length: 200 }, (_, i) => ({ a: [i, { b: 'c' }] })),
      DYN,
    );
  const bindings = {
    x: fromJson(rows, listOf(INT)),
    s: 'a'.repeat(1_000_000),
    t: 'b'.repeat(1_000_000),
    d: nested(),
    e: nested(),
  };

  test.each([
    'x.all(a, s.size() + t.size() > 0)',
    'x.all(a, x.all(b, d == e))',
    "x.all(a, s.matches('(a?){' + string(100 + a) + '}a{100}$'))",
    "x.all(a, '%s'.format([x]).size() > 0)",
    "x.all(a, s.charAt(a) == 'a')",
    'x.map(a, s + t).join(s).size() > 0',
    'x.map(a, x.map(b, x + x)).flatten().size() > 0',
    'x.all(a, lists.range(100000).size() > 0)',
    'x.distinct().size() > 0',
    "s.replace('', t).size() > 0",
    "s.findAll('a*b|a').size() > 0",
    'x.all(a, optional.of(d) == optional.of(e))',
    "x.all(a, '%s'.format([d]) != '')",
    "x.all(a, x.all(b, timestamp('2020-01-01T00:00:00Z').getHours('America/New_York') >= 0))",
    "x.all(a, isURL('http://a' + s.replace('a', '%41')))",
    'x.all(a, strings.quote(s) != t)',
  ])('%s', (text) => {
    const compiled = compile(text, x);
    if ('errors' in compiled) throw new Error(compiled.errors.text);
    const outcome = compiled.program.evaluate(bindings);
    expect('error' in outcome && outcome.error.message).toMatch(/cost limit exceeded|would give more than/);
  });
});

describe('long programs compile in a time in proportion to their length', () => {
  const env = kubernetesEnv().extend({ variables: { a: DYN, l: listOf(INT) } });
  const doubled = (times: number, of: string): string => (times === 0 ? of : doubled(times - 1, `(${of} == ${of})`));

  test.each([
    ['operators', new Array(6000).fill('a == 1').join(' && ')],
    ['literals', `[${new Array(20_000).fill('1').join(',')}].size() > 0`],
    ['memberships', new Array(3000).fill('a in [1, 2, 3]').join(' || ')],
    ['comparisons of comparisons', doubled(10, 'l')],
  ])('%s', (_name, text) => {
    expect(compile(text, env)).toHaveProperty('program');
  });
});
