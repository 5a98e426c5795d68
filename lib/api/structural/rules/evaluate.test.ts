import { describe, expect, test } from 'vitest';
import type { JSONSchemaProps, ValidationRule } from '../../gen/types/apiextensions-v1.ts';
import type { JsonObject } from '../../patch/value.ts';
import { errorTexts, objectSchema } from '../testing/schemas.ts';
import { validateCustomResource, validateCustomResourceUpdate } from '../values/resource.ts';
import { ruleTools } from './rules.ts';

const { validateRules } = ruleTools();
const INT: JSONSchemaProps = { type: 'integer' };
const TEXT: JSONSchemaProps = { type: 'string' };

function ruled(schema: JSONSchemaProps, ...rules: readonly (string | ValidationRule)[]): JSONSchemaProps {
  const list = rules.map((rule) => (typeof rule === 'string' ? { rule } : rule));
  return { ...schema, 'x-kubernetes-validations': list };
}

interface Answer {
  readonly errors: string[];
  readonly warnings: string[];
}

function answer(properties: Record<string, JSONSchemaProps>, next: JsonObject, previous?: JsonObject): Answer {
  const warnings: string[] = [];
  const r = { schema: objectSchema(properties), validateRules, warn: (text: string) => warnings.push(text) };
  const errors =
    previous === undefined ? validateCustomResource(r, next) : validateCustomResourceUpdate(r, next, previous);
  return { errors: errorTexts(errors), warnings };
}

function errors(properties: Record<string, JSONSchemaProps>, next: JsonObject, previous?: JsonObject): string[] {
  return answer(properties, next, previous).errors;
}

const object = (properties: Record<string, JSONSchemaProps>, more: JSONSchemaProps = {}): JSONSchemaProps => ({
  type: 'object',
  properties,
  ...more,
});
const mapList = (item: JSONSchemaProps): JSONSchemaProps => ({
  type: 'array',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
  items: item,
});

describe('what a failed rule says', () => {
  const spec = (rule: Partial<ValidationRule>) =>
    ruled(object({ a: INT, b: INT }), { rule: 'self.a <= self.b', ...rule });
  const of = (rule: Partial<ValidationRule>) => errors({ spec: spec(rule) }, { spec: { a: 2, b: 1 } });

  test.each<[Partial<ValidationRule>, string]>([
    [{}, 'spec: Invalid value: failed rule: self.a <= self.b'],
    [{ message: ' a first ' }, 'spec: Invalid value: a first'],
    [{ messageExpression: '"a is " + string(self.a)', message: 'm' }, 'spec: Invalid value: a is 2'],
    [{ messageExpression: '"two\\nlines"', message: 'm' }, 'spec: Invalid value: m'],
    [{ messageExpression: '"  "', message: 'm' }, 'spec: Invalid value: m'],
    [{ messageExpression: 'string(1 / (self.a - 2))', message: 'm' }, 'spec: Invalid value: m'],
    [{ fieldPath: '.a' }, 'spec.a: Invalid value: failed rule: self.a <= self.b'],
    [{ reason: 'FieldValueForbidden', fieldPath: "['b']" }, 'spec.b: Forbidden: failed rule: self.a <= self.b'],
    [{ reason: 'FieldValueRequired' }, 'spec: Required value: failed rule: self.a <= self.b'],
    [{ reason: 'FieldValueDuplicate' }, 'spec: Duplicate value'],
  ])('%j', (rule, text) => {
    expect(of(rule)).toEqual([text]);
  });

  test('scalars are shown, the root has no path, items and keys have theirs', () => {
    expect(errors({ a: ruled(INT, 'self > 1') }, { a: 1 })).toEqual(['a: Invalid value: 1: failed rule: self > 1']);
    const labels = { type: 'object', additionalProperties: ruled(TEXT, "self != 'x'") };
    expect(errors({ spec: object({ labels }) }, { spec: { labels: { k: 'x' } } })).toEqual([
      'spec.labels[k]: Invalid value: "x": failed rule: self != \'x\'',
    ]);
    const list = { type: 'array', items: ruled(INT, 'self > 1') };
    expect(errors({ list }, { list: [2, 1] })).toEqual(['list[1]: Invalid value: 1: failed rule: self > 1']);
    const schema = objectSchema({}, ruled({}, "self.metadata.name.startsWith('a')", "self.kind == 'A'"));
    const found = validateCustomResource({ schema, validateRules }, { kind: 'A', metadata: { name: 'b' } });
    expect(errorTexts(found)).toEqual(["<nil>: Invalid value: failed rule: self.metadata.name.startsWith('a')"]);
  });

  test('errors of an evaluation', () => {
    expect(errors({ spec: ruled(object({ a: INT }), 'self.a > 0') }, { spec: {} })).toEqual([
      'spec: Invalid value: "object": no such key: a evaluating rule: self.a > 0',
    ]);
    const port: JSONSchemaProps = { 'x-kubernetes-int-or-string': true };
    expect(errors({ port: ruled(port, 'self > 0') }, { port: 'x' })).toEqual([
      'port: Invalid value: "": \'no such overload\': call arguments did not match a supported operator, function or macro signature for rule: self > 0',
    ]);
  });

  test('null is not validated by its own rules, and is an absent field to those around', () => {
    const a = ruled({ ...INT, nullable: true }, 'self > 1');
    expect(errors({ spec: ruled(object({ a }), '!has(self.a)') }, { spec: { a: null } })).toEqual([]);
  });
});

describe('transition rules', () => {
  const spec = ruled(object({ a: INT }), 'self.a >= oldSelf.a');

  test('they apply to updates only', () => {
    expect(errors({ spec }, { spec: { a: 1 } })).toEqual([]);
    expect(errors({ spec }, { spec: { a: 1 } }, { spec: { a: 2 } })).toEqual([
      'spec: Invalid value: failed rule: self.a >= oldSelf.a',
    ]);
    expect(errors({ spec }, { spec: { a: 1 } }, {})).toEqual([]);
    expect(errors({ spec }, { spec: { a: 1 } }, { spec: null })).toEqual([]);
  });

  test('with optionalOldSelf also where nothing was before', () => {
    const rule = { rule: "oldSelf.hasValue() || self == 'new'", optionalOldSelf: true };
    expect(errors({ a: ruled(TEXT, rule) }, { a: 'x' })).toHaveLength(1);
    expect(errors({ a: ruled(TEXT, rule) }, { a: 'new' })).toEqual([]);
    expect(errors({ a: ruled(TEXT, rule) }, { a: 'x' }, { a: 'new' })).toEqual([]);
  });

  test('items of map lists and keys of maps have counterparts', () => {
    const list = mapList(ruled(object({ name: TEXT, size: INT }, { required: ['name'] }), 'self.size >= oldSelf.size'));
    const old = {
      list: [
        { name: 'a', size: 1 },
        { name: 'b', size: 5 },
      ],
    };
    const next = {
      list: [
        { name: 'b', size: 4 },
        { name: 'c', size: 0 },
        { name: 'a', size: 1 },
      ],
    };
    expect(errors({ list }, next, old)).toEqual(['list[0]: Invalid value: failed rule: self.size >= oldSelf.size']);
    const labels = { type: 'object', additionalProperties: ruled(TEXT, 'self == oldSelf') };
    expect(errors({ labels }, { labels: { a: 'y', b: 'z' } }, { labels: { a: 'x' } })).toHaveLength(1);
  });

  test('a rule that asks for immutability sees what no schema describes', () => {
    const blob = ruled({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true }, 'self == oldSelf');
    expect(errors({ blob }, { blob: { x: 1 } }, { blob: { x: 2 } })).toHaveLength(1);
    expect(errors({ blob }, { blob: { x: 1, y: { z: [1] } } }, { blob: { y: { z: [1] }, x: 1 } })).toEqual([]);
    const around = ruled(object({ a: INT }, { 'x-kubernetes-preserve-unknown-fields': true }), 'self == oldSelf');
    expect(errors({ around }, { around: { a: 1, x: [1] } }, { around: { a: 1, x: [2] } })).toHaveLength(1);
    expect(errors({ around }, { around: { a: 1, x: 1 } }, { around: { a: 1 } })).toHaveLength(1);
    const nested = ruled(object({ any: { 'x-kubernetes-preserve-unknown-fields': true } }), 'self == oldSelf');
    expect(errors({ nested }, { nested: { any: 1 } }, { nested: { any: 2 } })).toHaveLength(1);
  });
});

describe('ratcheting (KEP-4008)', () => {
  const a = ruled(INT, 'self > 1');

  test('what fails but did not change is a warning', () => {
    const spec = object({ a, b: INT });
    expect(answer({ spec }, { spec: { a: 1, b: 2 } }, { spec: { a: 1, b: 1 } })).toEqual({
      errors: [],
      warnings: ['spec.a: Invalid value: 1: failed rule: self > 1'],
    });
    expect(errors({ spec }, { spec: { a: 0, b: 2 } }, { spec: { a: 1, b: 2 } })).toHaveLength(1);
  });

  test('a transition rule is never forgiven, nor a part that is new', () => {
    const frozen = ruled(INT, 'self > oldSelf');
    expect(errors({ frozen }, { frozen: 1 }, { frozen: 1 })).toHaveLength(1);
    expect(errors({ spec: object({ a }) }, { spec: { a: 1 } }, { spec: {} })).toHaveLength(1);
  });

  test('items of atomic lists are forgiven only if the whole list is the same, of map lists each', () => {
    const list = { type: 'array', items: a };
    expect(errors({ list }, { list: [1] }, { list: [1] })).toEqual([]);
    expect(errors({ list }, { list: [1, 3] }, { list: [1, 2] })).toHaveLength(1);
    const byName = mapList(object({ name: TEXT, a }, { required: ['name'] }));
    const old = { byName: [{ name: 'x', a: 1 }] };
    expect(
      errors(
        { byName },
        {
          byName: [
            { name: 'y', a: 2 },
            { name: 'x', a: 1 },
          ],
        },
        old,
      ),
    ).toEqual([]);
    expect(errors({ byName }, { byName: [{ name: 'y', a: 1 }] }, old)).toHaveLength(1);
  });
});

describe('limits', () => {
  const list = (rule: string): JSONSchemaProps => ruled({ type: 'array', items: INT }, rule);
  const numbers = (n: number): number[] => [...new Array(n).keys()];

  test('one evaluation', () => {
    const found = errors({ l: list('self.all(x, self.all(y, x != y + 10000))') }, { l: numbers(2000) });
    expect(found).toEqual([
      'l: Invalid value: "array": \'operation cancelled: actual cost limit exceeded\': no further validation rules will be run due to call cost exceeds limit for rule: self.all(x, self.all(y, x != y + 10000))',
    ]);
  });

  test('all evaluations of one object together', () => {
    const lists = { type: 'array', items: list('self.all(x, self.all(y, x != y + 10000))') };
    const found = errors({ lists }, { lists: new Array(100).fill(numbers(300)) });
    expect(found.at(-1)).toContain('validation failed due to running out of cost budget');
    expect(found).toHaveLength(1);
    // The whole budget of an object: seconds of one processor, and more when others use it.
  }, 120_000);

  test('a large list of failures is cut', () => {
    const found = errors({ l: { type: 'array', items: ruled(INT, 'self < 0') } }, { l: numbers(20_000) });
    expect(found).toHaveLength(1000);
  });
});
