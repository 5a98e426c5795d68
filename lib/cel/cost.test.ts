import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BOOL,
  DYN,
  fixedSize,
  fromJson,
  INT,
  kubernetesEnv,
  listOf,
  mapOf,
  objectType,
  type SizeEstimator,
  STRING,
  UNBOUNDED,
} from './index.ts';
import { outcomeOf, programOf } from './testing/evaluate.ts';

const self = objectType('Self', { names: listOf(STRING), text: STRING, number: INT, labels: mapOf(STRING, STRING) });
const env = kubernetesEnv().extend({ variables: { self } });
const MAXIMA: Readonly<Record<string, number>> = {
  'self.names': 10,
  'self.names.@items': 20,
  'self.text': 100,
  'self.labels': 5,
  'self.labels.@keys': 7,
  'self.labels.@values': 8,
};
const sizes: SizeEstimator = (path) => {
  const max = MAXIMA[path.join('.')];
  return max === undefined ? undefined : { min: 0, max };
};
const estimated = (text: string) => programOf(text, env).estimatedCost(sizes);

describe('static estimates (cel-go checker/cost.go, apiserver/pkg/cel/library/cost.go)', () => {
  test.each([
    ['1 + 1', 1, 1],
    ['self.number', 2, 2],
    ['has(self.number)', 1, 1],
    ['self.number == 1 && self.number == 2', 3, 6],
    ['true ? self.number : 1', 0, 2],
    ['[1, 2]', 10, 10],
    ["{'a': 1}", 30, 30],
    ["self.text == 'abc'", 3, 3],
    ['self.text + self.text', 4, 24],
    ["self.text.startsWith('abcdefghijk')", 4, 4],
    ["self.text.contains('abcdefghijk')", 2, 22],
    ["self.text.matches('abcdefgh')", 4, 24],
    ['self.names.all(n, true)', 3, 33],
    ["self.names.map(n, n + '!').size() > 0", 15, 175],
    ["self.names.exists(n, n.startsWith('ab'))", 3, 63],
    ["'x' in self.names", 2, 12],
    ["self.labels.all(k, k == 'a')", 3, 28],
    ['self.text.lowerAscii().upperAscii()', 2, 22],
    ['self.names.isSorted()', 2, 32],
    ["url('https://example.com').getHost()", 3, 3],
    ["self.text.split(',').size()", 3, 23],
    ["self.names.join(',').size()", 3, 24],
    ["quantity(self.text) == quantity('1')", 4, 14],
    ["sets.contains(self.names, ['a'])", 13, 23],
    ['self.names.sort()', 13, 223],
  ])('%s', (text, min, max) => {
    const range = estimated(text);
    expect(range.max).toBe(max);
    expect(range.min).toBeLessThanOrEqual(min);
  });

  test.each([
    ['text.all(x, true)', 302],
    ['nested.all(x, x.all(y, true))', 1752],
    ['byKey.all(k, byKey[k].size() > 3)', 82],
    ['[1, 2, 3].all(x, true)', 20],
    ["[text, text].exists(l, l.exists(v, v.startsWith('hi')))", 1225],
    ['[1, 2, 3, 4, 5].map(x, x).map(x, x) + [1]', 173],
    ['(flag ? text : text).all(y, true)', 303],
  ])('loops: %s', (text, max) => {
    const loops = kubernetesEnv().extend({
      variables: {
        text: listOf(STRING),
        nested: listOf(listOf(INT)),
        byKey: mapOf(STRING, listOf(INT)),
        flag: BOOL,
      },
    });
    const maxima: Readonly<Record<string, number>> = { text: 100, nested: 50, 'nested.@items': 10, byKey: 10 };
    const range = programOf(text, loops).estimatedCost((path) => {
      const bound = maxima[path.join('.')];
      return bound === undefined ? undefined : { min: 0, max: bound };
    });
    expect(range.max).toBe(max);
  });

  test('what has no known size is unbounded, and loops in loops multiply', () => {
    expect(programOf('self.names.all(n, true)', env).estimatedCost().max).toBe(UNBOUNDED);
    const one = estimated("self.names.all(a, a == 'x')").max;
    const two = estimated("self.names.all(a, self.names.all(b, a == 'x'))").max;
    expect(two).toBeGreaterThan(8 * one);
  });
});

describe('run-time costs (cel-go interpreter/runtimecost.go)', () => {
  test.each([
    ['1', 0],
    ['1 + 1', 1],
    ['[1, 2, 3]', 0],
    ['[1, 1 + 1]', 11],
    ["'a' in ['a', 'b']", 1],
    ["'abcdefghijk' + 'b'", 2],
    ["'abcdefghijk'.contains('bcdefghijk')", 2],
    ["'abcdefghijk'.matches('bcdefghijk')", 6],
    ['[1, 2].all(x, x > 0)', 11],
    ['[3, 1].sort()', 19],
    ['lists.range(5)', 16],
    ['optional.of(1).orValue(2)', 2],
    ["{'a': [1, 0]}.all(k, {'a': [1, 0]}[k].size() > 3)", 67],
  ])('%s', (text, cost) => {
    expect(outcomeOf(text).cost).toBe(cost);
  });

  test('an evaluation stays within the estimate for the sizes of its input', () => {
    const rules = [
      'self.names.all(n, n.size() < 5)',
      "self.names.exists(n, n.contains('a')) || self.text.matches('^a*$')",
      "self.names.map(n, n + self.text).join(',').size() > 3",
      'self.labels.all(k, self.labels[k] != self.text && k in self.names)',
      'self.names.filter(a, self.names.exists_one(b, a == b)).size() == self.names.size()',
      'self.labels.transformList(k, v, k + v).sort().isSorted()',
      "self.names.all(n, n.replace('a', 'bb').split('b').size() < 9)",
      'sets.equivalent(self.names, self.names)',
      "self.text.find('b+') == '' ? self.number > 1 : self.text.lowerAscii() < 'b'",
    ].map((text) => programOf(text, env));
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 7 });
    const input = fc.record({
      names: fc.array(word, { maxLength: 10 }),
      text: fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 100 }),
      number: fc.integer(),
      labels: fc.dictionary(word, word, { maxKeys: 5 }),
    });
    fc.assert(
      fc.property(input, fc.constantFrom(...rules), (json, program) => {
        const outcome = program.evaluate({ self: fromJson(json, self) });
        expect('value' in outcome).toBe(true);
        expect(outcome.cost).toBeLessThanOrEqual(program.estimatedCost(sizes).max);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('budgets', () => {
  const big = {
    x: fromJson(
      Array.from({ length: 2000 }, (_, i) => i),
      DYN,
    ),
  };
  const withX = kubernetesEnv().extend({ variables: { x: DYN } });

  test('the budget ends loops in loops, and nothing absorbs that', () => {
    const outcome = outcomeOf('x.all(a, x.all(b, a + b >= 0)) || true', big, withX);
    expect(outcome).toMatchObject({
      error: { kind: 'CostExceeded', message: 'operation cancelled: actual cost limit exceeded' },
    });
    expect(outcome.cost).toBeLessThan(1_000_100);
  });

  test('the host may interrupt a loop', () => {
    let asked = 0;
    const outcome = programOf('x.all(a, true)', withX).evaluate(big, { interrupted: () => ++asked === 3 });
    expect(outcome).toMatchObject({ error: { kind: 'Interrupted' } });
    expect(asked).toBe(3);
  });

  test('a short pattern with a huge program is stopped by its steps', () => {
    const outcome = programOf("x.matches('((a{0,90}){0,90})b')", withX).evaluate({ x: 'a'.repeat(200_000) });
    expect(outcome).toMatchObject({ error: { kind: 'CostExceeded' } });
  });

  test('concatenating a large list in a loop copies nothing', () => {
    const outcome = outcomeOf('x.map(a, (x + [a])[0]).size()', big, withX);
    expect(outcome).toMatchObject({ value: 2000n });
  });

  test('the cost of a budget given is the budget kept', () => {
    expect(programOf('1 + 1 + 1', withX).evaluate({}, { costBudget: 2 })).toMatchObject({ value: 3n });
    expect(programOf('1 + 1 + 1', withX).evaluate({}, { costBudget: 1 })).toMatchObject({
      error: { kind: 'CostExceeded' },
    });
    expect(fixedSize(3)).toEqual({ min: 3, max: 3 });
  });
});
