import { describe, expect, test } from 'vitest';
import type { JSONSchemaProps, ValidationRule } from '../../gen/types/apiextensions-v1.ts';
import { errorTexts } from '../testing/schemas.ts';
import { validateKeywords } from './keywords.ts';

/** The errors of the property `a`, without the path to it. */
function ofProperty(a: JSONSchemaProps): string[] {
  const errors = errorTexts(validateKeywords({ type: 'object', properties: { a } }, 's'));
  return errors.map((text) => text.replace('s.properties[a].', ''));
}

describe('validateKeywords: what Kubernetes does not support', () => {
  const table: readonly (readonly [JSONSchemaProps, string])[] = [
    [
      { type: 'file' },
      'type: Unsupported value: "file": supported values: "array", "boolean", "integer", "number", "object", "string"',
    ],
    [{ id: 'x' }, 'id: Forbidden: id is not supported'],
    [{ additionalItems: true }, 'additionalItems: Forbidden: additionalItems is not supported'],
    [{ patternProperties: { x: {} } }, 'patternProperties: Forbidden: patternProperties is not supported'],
    [{ definitions: { x: {} } }, 'definitions: Forbidden: definitions is not supported'],
    [{ dependencies: {} }, 'dependencies: Forbidden: dependencies is not supported'],
    [{ $ref: '#' }, '$ref: Forbidden: $ref is not supported'],
    [{ items: [{}] }, 'items: Forbidden: items must be a schema object and not an array'],
    [
      { uniqueItems: true },
      'uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
    ],
    [
      { properties: { x: {} }, additionalProperties: { type: 'string' } },
      'additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive',
    ],
    [
      { 'x-kubernetes-preserve-unknown-fields': false },
      'x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined',
    ],
    [
      { 'x-kubernetes-map-type': 'atomic' },
      'type: Required value: must be object if x-kubernetes-map-type is specified',
    ],
    [
      { type: 'string', 'x-kubernetes-map-type': 'atomic' },
      'type: Invalid value: "string": must be object if x-kubernetes-map-type is specified',
    ],
    [
      { type: 'object', 'x-kubernetes-map-type': 'x' },
      'x-kubernetes-map-type: Unsupported value: "x": supported values: "atomic", "granular"',
    ],
  ];
  test.each(table)('%j', (schema, text) => {
    expect(ofProperty(schema)).toEqual([text]);
  });

  test('null is no type, and is said to be none', () => {
    expect(ofProperty({ type: 'null' })[1]).toBe(
      'type: Forbidden: type cannot be set to null, use nullable as an alternative',
    );
  });

  test('wherever they are', () => {
    const bad: JSONSchemaProps = { uniqueItems: true };
    const fields = validateKeywords(
      {
        items: bad,
        additionalProperties: bad,
        not: bad,
        allOf: [bad],
        anyOf: [bad],
        oneOf: [bad],
        properties: { p: bad },
      },
      's',
    ).map((e) => e.field);
    expect(fields.filter((f) => f.endsWith('uniqueItems')).sort()).toEqual(
      ['additionalProperties', 'allOf[0]', 'anyOf[0]', 'items', 'not', 'oneOf[0]', 'properties[p]'].map(
        (at) => `s.${at}.uniqueItems`,
      ),
    );
  });

  test('no defaults in the metadata of the root, nor in its maps anywhere; no resources inside of metadata', () => {
    const metadata: JSONSchemaProps = {
      type: 'object',
      properties: {
        name: { type: 'string', default: 'x' },
        labels: { additionalProperties: { type: 'string', default: 'x' } },
      },
    };
    expect(errorTexts(validateKeywords({ properties: { metadata } }, 's'))).toEqual([
      's.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata',
      's.properties[metadata].properties[labels].additionalProperties.default: Forbidden: must not be set inside additionalProperties applying to object metadata',
    ]);
    expect(ofProperty({ 'x-kubernetes-embedded-resource': true, properties: { metadata } })).toEqual([
      'properties[metadata].properties[labels].additionalProperties.default: Forbidden: must not be set inside additionalProperties applying to object metadata',
    ]);
    const inner: JSONSchemaProps = { properties: { x: { 'x-kubernetes-embedded-resource': true } } };
    expect(errorTexts(validateKeywords({ properties: { metadata: inner } }, 's'))).toEqual([
      's.properties[metadata].properties[x].x-kubernetes-embedded-resource: Forbidden: must not be used inside of resource meta',
    ]);
  });
});

describe('validateKeywords: list types', () => {
  const item: JSONSchemaProps = {
    type: 'object',
    required: ['k'],
    properties: { k: { type: 'string' }, o: { type: 'object' }, n: { type: 'string', nullable: true } },
  };
  const list = (more: JSONSchemaProps): string[] => ofProperty({ type: 'array', items: item, ...more });
  const keys = (...names: string[]): JSONSchemaProps => ({
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': names,
  });

  test('the type and its keys', () => {
    expect(list(keys('k'))).toEqual([]);
    expect(list({ 'x-kubernetes-list-type': 'x' })).toEqual([
      'x-kubernetes-list-type: Unsupported value: "x": supported values: "atomic", "set", "map"',
    ]);
    expect(ofProperty({ 'x-kubernetes-list-type': 'atomic' })).toEqual([
      'type: Required value: must be array if x-kubernetes-list-type is specified',
    ]);
    expect(list({ 'x-kubernetes-list-map-keys': ['k'] })).toEqual([
      'x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty',
    ]);
    expect(list({ 'x-kubernetes-list-map-keys': ['k'], 'x-kubernetes-list-type': 'atomic' })).toEqual([
      'x-kubernetes-list-type: Invalid value: "atomic": must be map if x-kubernetes-list-map-keys is non-empty',
    ]);
    expect(list({ 'x-kubernetes-list-type': 'map' })).toEqual([
      'x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map',
    ]);
    expect(ofProperty({ type: 'array', ...keys('k') })).toEqual([
      'items: Required value: must have a schema if x-kubernetes-list-type is map',
    ]);
    expect(list({ ...keys('k'), items: { type: 'string' } })).toEqual([
      `items.type: Invalid value: "string": must be object if parent array's x-kubernetes-list-type is map`,
    ]);
  });

  test('keys are scalar properties, once, there and never null', () => {
    expect(list(keys('x'))).toEqual([
      'x-kubernetes-list-map-keys: Invalid value: ["x"]: entries must all be names of item properties',
    ]);
    expect(list(keys('constructor'))).toHaveLength(1);
    expect(list(keys('k', 'k'))).toEqual([
      'x-kubernetes-list-map-keys: Invalid value: ["k","k"]: must not contain duplicate entries',
    ]);
    expect(list(keys('o'))).toEqual([
      `items.properties[o].type: Invalid value: "object": must be a scalar type if parent array's x-kubernetes-list-type is map`,
      'items.properties[o].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
    ]);
    expect(list(keys('n'))[1]).toBe(
      'items.properties[n].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable',
    );
    expect(list({ ...keys('k'), items: { ...item, nullable: true } })).toEqual([
      'items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map',
    ]);
  });

  test('items of a set are compared whole', () => {
    const set = (items: JSONSchemaProps): string[] => list({ 'x-kubernetes-list-type': 'set', items });
    expect(set({ type: 'string' })).toEqual([]);
    expect(set({ type: 'object', 'x-kubernetes-map-type': 'atomic' })).toEqual([]);
    expect(set({ type: 'object' })).toEqual([
      'items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set',
    ]);
    expect(set({ type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' })).toEqual([
      'items.x-kubernetes-list-type: Invalid value: "set": must be atomic as item of a list with x-kubernetes-list-type=set',
    ]);
  });
});

describe('validateKeywords: rules', () => {
  const rule = (r: ValidationRule): string[] =>
    ofProperty({ type: 'object', properties: { x: { type: 'string' } }, 'x-kubernetes-validations': [r] }).map((text) =>
      text.replace('x-kubernetes-validations[0].', ''),
    );
  const table: readonly (readonly [ValidationRule, readonly string[]])[] = [
    [{ rule: 'self.x == "a"', message: 'm', fieldPath: '.x', reason: 'FieldValueForbidden' }, []],
    [{ rule: ' ' }, ['rule: Required value: rule is not specified']],
    [{ rule: 'true', message: ' ' }, ['message: Invalid value: " ": must be non-empty if specified']],
    [{ rule: 'true', message: 'a\nb' }, ['message: Invalid value: "a\\nb": must not contain line breaks']],
    [{ rule: 'a\n&& b' }, ['message: Required value: message must be specified if rule contains line breaks']],
    [
      { rule: 'true', messageExpression: ' ' },
      ['messageExpression: Required value: messageExpression must be non-empty if specified'],
    ],
    [
      { rule: 'true', reason: 'Because' },
      [
        'reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
      ],
    ],
    [{ rule: 'true', fieldPath: '.y' }, ['fieldPath: Invalid value: ".y": must be a valid path']],
    [{ rule: 'true', fieldPath: "['x']" }, []],
    [{ rule: 'true', fieldPath: 'x' }, ['fieldPath: Invalid value: "x": must be a valid path']],
    [
      { rule: 'true', fieldPath: '\n' },
      [
        'fieldPath: Invalid value: "\\n": must be non-empty if specified',
        'fieldPath: Invalid value: "\\n": must not contain line breaks',
        'fieldPath: Invalid value: "\\n": must be a valid path',
      ],
    ],
  ];
  test.each(table)('%j', (r, texts) => {
    expect(rule(r)).toEqual(texts);
  });

  test('a path in a schema with other errors is not judged', () => {
    const broken: JSONSchemaProps = { id: 'x', 'x-kubernetes-validations': [{ rule: 'true', fieldPath: '.y' }] };
    expect(ofProperty(broken)).toEqual(['id: Forbidden: id is not supported']);
  });
});
