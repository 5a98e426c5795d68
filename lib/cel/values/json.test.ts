import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { kubernetesEnv } from '../kubernetes-env.ts';
import { evaluated, outcomeOf } from '../testing/evaluate.ts';
import {
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  type ListType,
  listOf,
  mapOf,
  objectType,
  STRING,
  TIMESTAMP,
  type Type,
  wrapperOf,
} from '../types.ts';
import { fromJson, toJson } from './json.ts';
import { CelError, MapValue, ObjectValue, type Result, Unknown } from './value.ts';

const element = objectType('Element', { key: STRING, value: INT });
const self = objectType('Self', {
  count: INT,
  ratio: DOUBLE,
  when: TIMESTAMP,
  wait: DURATION,
  data: BYTES,
  day: TIMESTAMP,
  maybe: wrapperOf(STRING),
  port: DYN,
  free: DYN,
  tags: { kind: 'list', element: STRING, listType: 'set' },
  elements: { kind: 'list', element, listType: 'map', mapKeys: ['key'] },
  labels: mapOf(STRING, STRING),
  __namespace__: { type: STRING, jsonName: 'namespace' },
});
const env = kubernetesEnv().extend({ variables: { self, other: self } });
const run = (text: string, json: unknown, other: unknown = json) =>
  evaluated(text, { self: fromJson(json, self), other: fromJson(other, self) }, env);

describe('JSON by its declared type', () => {
  test.each([
    ['self.count + 1', { count: 2 }, 3],
    ['self.ratio / 2.0', { ratio: 3 }, 1.5],
    ["self.when > timestamp('2020-01-01T00:00:00Z')", { when: '2021-01-01T00:00:00Z' }, true],
    ['self.day.getMonth()', { day: '2021-02-03' }, 1],
    ["self.wait == duration('90s')", { wait: '1m30s' }, true],
    ["self.data == b'hi'", { data: 'aGk=' }, true],
    ['self.maybe == null', { maybe: null }, true],
    ["type(self.port) == int ? 'int' : 'string'", { port: 80 }, 'int'],
    ["type(self.port) == int ? 'int' : 'string'", { port: 'http' }, 'string'],
    ['self.free.a[1].b', { free: { a: [1, { b: 2.5 }] } }, 2.5],
    ['has(self.count)', {}, false],
    ['has(self.count)', { count: null }, false],
    ['self.count', {}, 'error: no such key: count'],
    ['self.__namespace__', { namespace: 'x' }, 'x'],
    ["'a' in self.labels && !('b' in self.labels)", { labels: { a: '1' } }, true],
    ["'constructor' in self.labels || has(self.labels.toString)", { labels: {} }, false],
    ["self.labels.transformList(k, v, k + '=' + v)", { labels: { a: '1' } }, ['a=1']],
  ])('%s of %j', (text, json, want) => {
    expect(run(text, json)).toEqual(want);
  });

  test('`__proto__` is a key like any other', () => {
    const json: unknown = JSON.parse('{"labels": {"__proto__": "x"}}');
    expect(run("self.labels['__proto__']", json)).toBe('x');
  });
});

describe('list types (apiserver/pkg/cel/common/values*.go)', () => {
  const elements = (...pairs: readonly (readonly [string, number])[]) => ({
    elements: pairs.map(([key, value]) => ({ key, value })),
  });

  test('a set compares without order, and adds what is new', () => {
    expect(run('self.tags == other.tags', { tags: ['a', 'b'] }, { tags: ['b', 'a'] })).toBe(true);
    expect(run('self.tags == other.tags', { tags: ['a', 'b'] }, { tags: ['b', 'c'] })).toBe(false);
    expect(run('self.tags + other.tags', { tags: ['a', 'b'] }, { tags: ['b', 'c'] })).toEqual(['a', 'b', 'c']);
  });

  test('a map compares by key, and an element of the same key takes its place', () => {
    expect(run('self.elements == other.elements', elements(['a', 1], ['b', 2]), elements(['b', 2], ['a', 1]))).toBe(
      true,
    );
    expect(run('self.elements == other.elements', elements(['a', 1]), elements(['a', 2]))).toBe(false);
    expect(run('self.elements + other.elements', elements(['a', 1], ['b', 2]), elements(['c', 3], ['a', 9]))).toEqual([
      { key: 'a', value: 9 },
      { key: 'b', value: 2 },
      { key: 'c', value: 3 },
    ]);
  });

  test('an atomic list keeps its order', () => {
    const atomic: ListType = listOf(INT);
    const lists = kubernetesEnv().extend({ variables: { a: atomic, b: atomic } });
    const values = { a: fromJson([1, 2], atomic), b: fromJson([2, 1], atomic) };
    expect(evaluated('a == b', values, lists)).toBe(false);
    expect(evaluated('a + b', values, lists)).toEqual([1, 2, 2, 1]);
  });
});

test('JSON: what is read as dyn and written again is the same', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (json) => {
      expect(JSON.stringify(toJson(fromJson(json, DYN)))).toBe(JSON.stringify(json));
    }),
  );
});

test('a host object may compute its fields, and fail', () => {
  class Lazy extends ObjectValue {
    readonly typeName = 'Variables';
    get(field: string): Result | undefined {
      return field === 'bad' ? new CelError('composited variable fails') : field === 'good' ? 1n : undefined;
    }
    fields(): string[] {
      return ['good', 'bad'];
    }
  }
  const type: Type = objectType('Variables', { good: INT, bad: INT });
  const lazy = kubernetesEnv().extend({ variables: { variables: type } });
  const bindings = { variables: new Lazy() };
  expect(evaluated('variables.good + 1', bindings, lazy)).toBe(2);
  expect(evaluated('variables.bad + 1', bindings, lazy)).toBe('error: composited variable fails');
  expect(evaluated('variables.bad == 1 || true', bindings, lazy)).toBe(true);
});

test('unknown inputs: absorbed like errors, and told apart from them', () => {
  const two = kubernetesEnv().extend({ variables: { x: DYN, y: DYN } });
  const bindings = { x: new Unknown(['x']), y: new Unknown(['y']) };
  expect(outcomeOf('x || true', bindings, two)).toMatchObject({ value: true });
  expect(outcomeOf('x && y', bindings, two)).toMatchObject({ error: { kind: 'Unknown', message: 'unknown: x, y' } });
  expect(outcomeOf('1 / 0 > 1 || x', bindings, two)).toMatchObject({ error: { kind: 'Unknown' } });
  expect(outcomeOf('x + 1 > 0 ? 1 : 2', bindings, two)).toMatchObject({ error: { kind: 'Unknown' } });
});

test('struct literals make objects of the declared type', () => {
  const patch = objectType('JSONPatch', { op: STRING, path: STRING, value: DYN });
  const patches = kubernetesEnv().extend({ objectTypes: [patch] });
  const text = "JSONPatch{op: 'add', path: '/a', value: {'b': [1]}, }";
  expect(evaluated(text, {}, patches)).toEqual({ op: 'add', path: '/a', value: { b: [1] } });
  expect(evaluated(`${text}.op + (has(${text}.op) ? '!' : '')`, {}, patches)).toBe('add!');
  expect(evaluated('JSONPatch{?op: optional.none()} == JSONPatch{}', {}, patches)).toBe(true);
});

test('deep inputs give an error and no crash', () => {
  let deep: unknown = 1;
  for (let i = 0; i < 200_000; i++) deep = [deep];
  const value = fromJson(deep, DYN);
  const x = kubernetesEnv().extend({ variables: { x: DYN } });
  expect(outcomeOf("'%s'.format([x])", { x: value }, x)).toMatchObject({
    error: { kind: 'Evaluation', message: 'value nests too deeply' },
  });
  expect(value instanceof MapValue).toBe(false);
});
