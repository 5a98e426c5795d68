import { describe, expect, test } from 'vitest';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';
import { errorTexts, objectSchema } from '../testing/schemas.ts';
import { validateDefaults } from './defaults.ts';

const OPTIONS = { requiresPruned: true, validateRules: () => [] };

function ofProperty(a: JSONSchemaProps): string[] {
  return errorTexts(validateDefaults(objectSchema({ a }), 's', OPTIONS)).map((text) =>
    text.replace('s.properties[a].', ''),
  );
}

describe('validateDefaults', () => {
  test('a default validates', () => {
    expect(ofProperty({ type: 'integer', default: 1 })).toEqual([]);
    expect(ofProperty({ type: 'integer', default: 'x' })).toEqual([
      'default: Invalid value: "string":  in body must be of type integer: "string"',
    ]);
    expect(ofProperty({ type: 'object', properties: { b: { type: 'string' } }, default: { b: 1 } })).toEqual([
      'default.b: Invalid value: "integer": b in body must be of type string: "integer"',
    ]);
    expect(ofProperty({ type: 'array', items: { type: 'string', default: 1 } })[0]).toMatch(/^items\.default: /);
  });

  test('a default has no unknown fields, unless it had them before', () => {
    const a: JSONSchemaProps = { type: 'object', properties: { b: { type: 'string' } }, default: { b: 'x', c: 1 } };
    expect(ofProperty(a)).toEqual(['default: Invalid value: {"b":"x","c":1}: must not have unknown fields']);
    expect(validateDefaults(objectSchema({ a }), 's', { ...OPTIONS, requiresPruned: false })).toEqual([]);
  });

  const resource = (metadata: JSONSchemaProps, more: JSONSchemaProps = {}): JSONSchemaProps => ({
    type: 'object',
    'x-kubernetes-embedded-resource': true,
    properties: { metadata: { type: 'object', ...metadata }, spec: { type: 'string' } },
    ...more,
  });

  test('a default of an embedded resource is one', () => {
    expect(ofProperty(resource({}, { default: { apiVersion: 'v1', kind: 'A', metadata: { name: 'n' } } }))).toEqual([]);
    expect(ofProperty(resource({}, { default: { kind: 1 } }))).toEqual([
      'default.kind: Invalid value: 1: must be a string',
    ]);
    expect(ofProperty(resource({}, { default: { kind: 'A' } }))).toEqual(['default.apiVersion: Required value']);
  });

  test('a default inside of its metadata makes it valid', () => {
    const labels = (value: unknown): JSONSchemaProps =>
      resource({
        properties: { labels: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, default: value } },
      });
    expect(ofProperty(labels({ a: 'b' }))).toEqual([]);
    expect(ofProperty(labels({ 'a b': 'c' }))[0]).toMatch(
      /^properties\[metadata\]\.properties\[labels\]\.default: Invalid value: \{"a b":"c"\}: must result in valid metadata: metadata\.labels: Invalid value: "a b"/,
    );
    expect(ofProperty(labels({ a: 1 }))[0]).toContain(
      'must result in valid metadata: metadata: Invalid value: {"labels":{"a":1}}: json: cannot unmarshal',
    );
  });

  test('rules are evaluated on the default, as an update of itself and as new', () => {
    const seen: unknown[] = [];
    const a: JSONSchemaProps = { type: 'integer', default: 1, 'x-kubernetes-validations': [{ rule: 'self > 1' }] };
    validateDefaults(objectSchema({ a }), 's', {
      requiresPruned: true,
      validateRules: (_schema, { self, oldSelf }, path) => {
        seen.push([self, oldSelf, path]);
        return [];
      },
    });
    expect(seen).toEqual([
      [1, 1, 's.properties[a].default'],
      [1, undefined, 's.properties[a].default'],
    ]);
  });
});
