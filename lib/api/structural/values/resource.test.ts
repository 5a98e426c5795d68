import { describe, expect, test } from 'vitest';
import type { FieldError } from '../../field-error.ts';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';
import { asResource } from '../schema.ts';
import { errorTexts, objectSchema } from '../testing/schemas.ts';
import { coerceEmbedded, validateEmbedded } from './embedded-metadata.ts';
import { validateListTypes } from './list-types.ts';
import {
  type ResourceRules,
  validateCustomResource,
  validateCustomResourceStatus,
  validateCustomResourceUpdate,
} from './resource.ts';
import { nestedValue } from './scale.ts';

const SET: JSONSchemaProps = { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' };
const MAP: JSONSchemaProps = {
  type: 'array',
  items: { type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer' } } },
  'x-kubernetes-list-type': 'map',
};

describe('validateListTypes', () => {
  const errors = (l: JSONSchemaProps, value: unknown): string[] =>
    errorTexts(validateListTypes(objectSchema({ l }), { l: value }, ''));

  test('sets: the second appearance is the duplicate, once', () => {
    expect(errors(SET, ['a', 'b'])).toEqual([]);
    expect(errors(SET, ['a', 'b', 'a', 'a'])).toEqual(['l[2]: Duplicate value: "a"']);
    const compound = {
      ...SET,
      items: { type: 'object', 'x-kubernetes-map-type': 'atomic', 'x-kubernetes-preserve-unknown-fields': true },
    };
    expect(
      errors(compound, [
        { x: 1, y: 2 },
        { y: 2, x: 1 },
      ]),
    ).toEqual(['l[1]: Duplicate value: {"y":2,"x":1}']);
  });

  test('maps: by one key or several, absent is a value', () => {
    const one = { ...MAP, 'x-kubernetes-list-map-keys': ['a'] };
    expect(
      errors(one, [
        { a: 'x', b: 1 },
        { a: 'x', b: 2 },
      ]),
    ).toEqual(['l[1]: Duplicate value: {"a":"x"}']);
    expect(errors(one, [{ b: 1 }, { b: 2 }])).toEqual(['l[1]: Duplicate value: {}']);
    const two = { ...MAP, 'x-kubernetes-list-map-keys': ['a', 'b'] };
    expect(
      errors(two, [
        { a: 'x', b: 1 },
        { a: 'x', b: 2 },
      ]),
    ).toEqual([]);
    expect(
      errors(two, [
        { a: 'x', b: 1 },
        { a: 'x', b: 1 },
      ]),
    ).toEqual(['l[1]: Duplicate value: {"a":"x","b":1}']);
    expect(errors(one, [{ a: 'x' }, 1])).toEqual([
      'l[1]: Invalid value: 1: must be an object for an array of list-type map',
    ]);
  });

  test('lists inside of maps and items', () => {
    const inner = { type: 'object', additionalProperties: { type: 'array', items: SET } };
    expect(errors(inner, { k: [['a'], ['b', 'b']] })).toEqual(['l[k][1][1]: Duplicate value: "b"']);
  });
});

describe('embedded resources', () => {
  const embedded = objectSchema({
    r: { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
  });

  test('apiVersion and kind are there and are what they should be; metadata keeps the rules of all', () => {
    const errors = (r: unknown): string[] => errorTexts(validateEmbedded(embedded, { r }, ''));
    expect(errors({ apiVersion: 'v1', kind: 'Pod' })).toEqual([]);
    expect(errors({})).toEqual(['r.apiVersion: Required value', 'r.kind: Required value']);
    expect(errors({ apiVersion: '', kind: 1 })).toEqual([
      'r.apiVersion: Invalid value: "": must not be empty',
      'r.kind: Invalid value: 1: must be a string',
    ]);
    expect(errors({ apiVersion: 'a/b/c', kind: 'A' })).toEqual([
      'r.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    ]);
    expect(errors({ apiVersion: 'v1', kind: 'A_B' })[0]).toContain(
      'r.kind: Invalid value: "A_B": may have mixed case, but should otherwise match: a DNS-1035 label',
    );
    expect(errors({ apiVersion: 'v1', kind: 'A', metadata: { labels: { 'a b': 'x' } } })[0]).toContain(
      'r.metadata.labels: Invalid value: "a b": name part must consist of',
    );
    expect(errors({ apiVersion: 'v1', kind: 'A', metadata: { name: 'a/b' } })).toEqual([
      'r.metadata.name: Invalid value: "a/b": may not contain \'/\'',
    ]);
  });

  test('coercion drops what ObjectMeta does not have and refuses wrong types', () => {
    const given = {
      r: { apiVersion: 'v1', kind: 'A', metadata: { name: 'n', odd: 1 }, spec: { metadata: { odd: 1 } } },
    };
    const o = { path: '', dropsMalformed: false };
    expect(coerceEmbedded(embedded, given, o)).toEqual({
      value: { r: { ...given.r, metadata: { name: 'n' } } },
      unknown: ['r.metadata.odd'],
    });
    expect(errorTexts([coerceEmbedded(embedded, { r: { kind: 1 } }, o).error].filter((e) => e !== undefined))).toEqual([
      'r.kind: Invalid value: 1: must be a string',
    ]);
    const wrong = coerceEmbedded(embedded, { r: { metadata: { labels: 1 } } }, o).error;
    expect(wrong?.field).toBe('r.metadata');
    expect(wrong?.detail).toContain('json: cannot unmarshal number into Go struct field ObjectMeta.labels');
  });

  test('on read from storage the malformed is dropped', () => {
    const given = { metadata: { name: 'n', labels: 1 }, kind: 1 };
    const coerced = coerceEmbedded(asResource(objectSchema({})), given, { path: '', dropsMalformed: true });
    expect(coerced).toEqual({ value: { metadata: { name: 'n' } }, unknown: [] });
  });
});

describe('validateCustomResource', () => {
  const failing: FieldError = { type: 'Invalid', field: 'spec', value: 1, detail: 'rule' };
  const calls: unknown[] = [];
  const rules = (more: Partial<ResourceRules> = {}): ResourceRules => ({
    schema: objectSchema({
      spec: {
        type: 'object',
        properties: { size: { type: 'integer', maximum: 5 }, l: SET },
        'x-kubernetes-validations': [{ rule: 'self.size < 5' }],
      },
      status: { type: 'object', properties: { size: { type: 'integer' } } },
    }),
    validateRules: (_schema, { self, oldSelf }) => {
      calls.push([self, oldSelf]);
      return [failing];
    },
    ...more,
  });

  test('rules see the whole object, and the old one on update', () => {
    calls.length = 0;
    const [a, b] = [{ spec: { size: 1 } }, { spec: { size: 2 } }];
    expect(validateCustomResource(rules(), a)).toEqual([failing]);
    expect(validateCustomResourceUpdate(rules(), b, a)).toEqual([failing]);
    expect(calls).toEqual([
      [a, undefined],
      [b, a],
    ]);
  });

  test('rules are not asked about values of the wrong form, but of wrong values', () => {
    expect(errorTexts(validateCustomResource(rules(), { spec: { size: 'x' } })).at(-1)).toBe(
      '<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
    );
    expect(validateCustomResource(rules(), { spec: { size: 7 } }).at(-1)).toEqual(failing);
    const none = { ...rules(), schema: objectSchema({ a: { type: 'string' } }) };
    expect(errorTexts(validateCustomResource(none, { a: 1 }))).toHaveLength(1);
  });

  test('an object that had doubles in its sets may keep them', () => {
    const none = { ...rules(), schema: objectSchema({ l: SET }) };
    expect(validateCustomResourceUpdate(none, { l: ['a', 'a', 'b'] }, { l: ['a', 'a'] })).toEqual([]);
    expect(validateCustomResourceUpdate(none, { l: ['a', 'a'] }, { l: ['a'] })).toHaveLength(1);
  });

  test('status is validated alone, with its own path in front', () => {
    const none = {
      ...rules(),
      schema: objectSchema({
        spec: { type: 'string' },
        status: { type: 'object', properties: { size: { type: 'integer' } } },
      }),
    };
    expect(errorTexts(validateCustomResourceStatus(none, { spec: 1, status: { size: 'x' } }, {}))).toEqual([
      'status.size: Invalid value: "string": size in body must be of type integer: "string"',
    ]);
  });

  test('scale paths', () => {
    const scale = { specReplicasPath: '.spec.n', statusReplicasPath: '.status.n', labelSelectorPath: '.status.sel' };
    const errors = (object: Record<string, unknown>): string[] =>
      errorTexts(validateCustomResource({ ...rules(), schema: objectSchema({}), scale }, object));
    expect(errors({ spec: { n: 3 }, status: { n: 0, sel: 'a=b' } })).toEqual([]);
    expect(errors({})).toEqual([]);
    expect(errors({ spec: { n: -1 }, status: { n: 2 ** 31 } })).toEqual([
      '.spec.n: Invalid value: -1: should be a non-negative integer',
      '.status.n: Invalid value: 2147483648: should be less than or equal to 2147483647',
    ]);
    expect(errors({ spec: 'x', status: { sel: 1, n: 'y' } })).toEqual([
      '.spec.n: Invalid value: 0: .spec.n accessor error: x is of the type string, expected map[string]interface {}',
      '.status.n: Invalid value: 0: .status.n accessor error: y is of the type string, expected int64',
      '.status.sel: Invalid value: "": .status.sel accessor error: 1 is of the type int64, expected string',
    ]);
    expect(nestedValue({ a: { b: 1 } }, '.a.b')).toEqual({ value: 1 });
  });
});
