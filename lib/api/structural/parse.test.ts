import { describe, expect, test } from 'vitest';
import type { JSONSchemaProps } from '../gen/types/apiextensions-v1.ts';
import { parseStructural, SCHEMA_DEPTH_MAX } from './parse.ts';
import { errorTexts, schemaOf } from './testing/schemas.ts';

function errorsOf(props: JSONSchemaProps): string[] {
  return errorTexts(parseStructural(props, 's').errors ?? []);
}

/** The errors of a schema whose property `a` is this. */
function ofProperty(a: JSONSchemaProps): string[] {
  return errorsOf({ type: 'object', properties: { a } });
}

const METADATA =
  's.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified';

describe('parseStructural: what is no structural schema', () => {
  test('unsupported keywords are the only error', () => {
    const unsupported: readonly (readonly [JSONSchemaProps, string])[] = [
      [{ id: 'x' }, 'id'],
      [{ $schema: 'x' }, 'schema'],
      [{ $ref: 'x' }, '$ref'],
      [{ patternProperties: { a: {} } }, 'patternProperties'],
      [{ dependencies: { a: ['b'] } }, 'dependencies'],
      [{ additionalItems: true }, 'additionalItems'],
      [{ definitions: { a: {} } }, 'definitions'],
    ];
    for (const [a, name] of unsupported)
      expect(ofProperty(a)).toEqual([`s: Invalid value: "": OpenAPIV3Schema '${name}' is not supported`]);
    expect(ofProperty({ items: [{}] })).toEqual([
      `s: Invalid value: "": OpenAPIV3Schema 'items' must be a schema, but is an array`,
    ]);
    expect(ofProperty({ 'x-kubernetes-preserve-unknown-fields': false })).toEqual([
      `s: Invalid value: "": internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined`,
    ]);
  });

  test('types', () => {
    expect(errorsOf({})).toEqual(['s.type: Required value: must not be empty at the root']);
    expect(errorsOf({ type: 'array', items: { type: 'string' } })).toEqual([
      's.type: Invalid value: "array": must be object at the root',
    ]);
    expect(ofProperty({})).toEqual([
      's.properties[a].type: Required value: must not be empty for specified object fields',
    ]);
    expect(ofProperty({ type: 'array', items: {} })).toEqual([
      's.properties[a].items.type: Required value: must not be empty for specified array items',
    ]);
    expect(ofProperty({ type: 'array' })).toEqual(['s.properties[a].items: Required value: must be specified']);
    expect(ofProperty({ 'x-kubernetes-int-or-string': true })).toEqual([]);
    expect(ofProperty({ 'x-kubernetes-preserve-unknown-fields': true })).toEqual([]);
  });

  test('the root has no additionalProperties, and its metadata only name and generateName', () => {
    expect(errorsOf({ type: 'object', additionalProperties: { type: 'string' } })).toEqual([
      's.additionalProperties: Forbidden: must not be used at the root',
    ]);
    const withMetadata = (metadata: JSONSchemaProps): string[] =>
      errorsOf({ type: 'object', properties: { metadata } });
    expect(withMetadata({ type: 'object' })).toEqual([]);
    expect(withMetadata({ type: 'object', properties: { name: { type: 'string', maxLength: 5 } } })).toEqual([]);
    expect(withMetadata({ type: 'object', properties: { labels: { type: 'object' } } })).toEqual([METADATA]);
    expect(withMetadata({ type: 'object', description: 'x' })).toEqual([METADATA]);
    expect(withMetadata({ type: 'string' })).toEqual([
      's.properties[metadata].type: Invalid value: "string": must be object',
    ]);
    expect(errorsOf({ type: 'object', properties: { kind: { type: 'integer' } } })).toEqual([
      's.properties[kind].type: Invalid value: "integer": must be string',
    ]);
  });

  test('embedded resources', () => {
    const embedded = (more: JSONSchemaProps): string[] =>
      ofProperty({ 'x-kubernetes-embedded-resource': true, ...more });
    expect(embedded({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true })).toEqual([]);
    expect(embedded({ type: 'object' })).toEqual([
      's.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
    ]);
    expect(embedded({ 'x-kubernetes-preserve-unknown-fields': true })).toEqual([
      's.properties[a].type: Required value: must be object if x-kubernetes-embedded-resource is true',
    ]);
    expect(embedded({ type: 'string', properties: { b: { type: 'string' } } })).toEqual([
      's.properties[a].type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true',
    ]);
    const closed: JSONSchemaProps = { 'x-kubernetes-preserve-unknown-fields': true, additionalProperties: true };
    expect(embedded({ type: 'object', ...closed })).toEqual([
      's.properties[a].additionalProperties: Forbidden: must not be used if x-kubernetes-embedded-resource is set',
    ]);
  });

  test('int-or-string fits with no other extension, and may be spelled out in two ways', () => {
    const both: JSONSchemaProps = { 'x-kubernetes-int-or-string': true, 'x-kubernetes-preserve-unknown-fields': true };
    expect(ofProperty(both)).toEqual([
      's.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true',
    ]);
    const pair: JSONSchemaProps[] = [{ type: 'integer' }, { type: 'string' }];
    expect(ofProperty({ 'x-kubernetes-int-or-string': true, anyOf: pair })).toEqual([]);
    expect(ofProperty({ 'x-kubernetes-int-or-string': true, allOf: [{ anyOf: pair }, { maxLength: 3 }] })).toEqual([]);
    const second = ofProperty({ 'x-kubernetes-int-or-string': true, allOf: [{ maxLength: 3 }, { anyOf: pair }] });
    expect(second).toEqual([
      's.properties[a].allOf[1].anyOf[0].type: Forbidden: must be empty to be structural',
      's.properties[a].allOf[1].anyOf[1].type: Forbidden: must be empty to be structural',
    ]);
  });

  test('junctors say nothing about structure', () => {
    const inner: JSONSchemaProps = {
      type: 'string',
      default: 'x',
      title: 't',
      description: 'd',
      nullable: true,
      additionalProperties: { type: 'string' },
      'x-kubernetes-int-or-string': true,
      'x-kubernetes-list-type': 'set',
      'x-kubernetes-list-map-keys': ['k'],
      'x-kubernetes-map-type': 'atomic',
      'x-kubernetes-validations': [{ rule: 'true' }],
    };
    const where = 's.properties[a].not';
    const expected = [
      ['additionalProperties', 'undefined'],
      ['default', 'undefined'],
      ['description', 'empty'],
      ['nullable', 'false'],
      ['title', 'empty'],
      ['type', 'empty'],
      ['x-kubernetes-int-or-string', 'false'],
      ['x-kubernetes-list-map-keys', 'empty'],
      ['x-kubernetes-list-type', 'undefined'],
      ['x-kubernetes-map-type', 'undefined'],
      ['x-kubernetes-validations', 'empty'],
    ].map(([name, wanted]) => `${where}.${name}: Forbidden: must be ${wanted} to be structural`);
    expect(ofProperty({ type: 'string', not: inner })).toEqual(expected);
  });

  test('what a junctor of the root names is also specified outside', () => {
    expect(errorsOf({ type: 'object', anyOf: [{ properties: { b: { items: { minimum: 1 } } } }] })).toEqual([
      's.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]',
    ]);
    const l: JSONSchemaProps = { type: 'object' };
    expect(errorsOf({ type: 'object', properties: { l }, allOf: [{ properties: { l: { items: {} } } }] })).toEqual([
      's.properties[l].items: Required value: because it is defined in s.allOf[0].properties[l].items',
    ]);
    const metadata: JSONSchemaProps = { type: 'object' };
    expect(errorsOf({ type: 'object', properties: { metadata }, not: { properties: { metadata: {} } } })).toEqual([
      's.not.properties[metadata]: Forbidden: must not be specified in a nested context',
    ]);
  });

  test('patterns compile, wherever they are', () => {
    const text = "must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`";
    expect(ofProperty({ type: 'string', pattern: '(' })).toEqual([
      `s.properties[a].pattern: Invalid value: "(": ${text}`,
    ]);
    expect(ofProperty({ type: 'string', anyOf: [{ pattern: '(' }] })).toEqual([
      `s.properties[a].anyOf[0].pattern: Invalid value: "(": ${text}`,
    ]);
  });

  test('a schema nested without end is refused, not followed', () => {
    let deep: JSONSchemaProps = { type: 'string' };
    for (let i = 0; i < 50_000; i++) deep = { type: 'array', items: deep };
    expect(ofProperty(deep)).toEqual([
      `s: Invalid value: "": must not be nested more than ${SCHEMA_DEPTH_MAX} levels deep`,
    ]);
  });

  test('hasRules is true of every node above a rule', () => {
    const schema = schemaOf({
      type: 'object',
      properties: {
        a: {
          type: 'array',
          items: {
            type: 'object',
            additionalProperties: { type: 'string', 'x-kubernetes-validations': [{ rule: 'true' }] },
          },
        },
        b: { type: 'string' },
      },
    });
    expect([
      schema.hasRules,
      schema.properties.get('a')?.items?.hasRules,
      schema.properties.get('b')?.hasRules,
    ]).toEqual([true, true, false]);
  });
});
