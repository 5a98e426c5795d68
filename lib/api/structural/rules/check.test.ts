import { describe, expect, test } from 'vitest';
import type { CustomResourceDefinition, JSONSchemaProps, ValidationRule } from '../../gen/types/apiextensions-v1.ts';
import { validateDefinition, validateDefinitionUpdate } from '../definition/definition.ts';
import { applyDefinitionDefaults } from '../definition/definition-defaults.ts';
import { errorTexts } from '../testing/schemas.ts';
import { ruleTools } from './rules.ts';

const TOOLS = ruleTools();
const PATH = 'spec.versions[0].schema.openAPIV3Schema.properties[spec].';

function definition(spec: JSONSchemaProps): CustomResourceDefinition {
  return applyDefinitionDefaults({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', kind: 'Widget' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
        },
      ],
    },
  });
}

function errorsOf(spec: JSONSchemaProps): string[] {
  return errorTexts(validateDefinition(definition(spec), TOOLS)).map((text) => text.replace(PATH, ''));
}

function ruled(schema: JSONSchemaProps, ...rules: readonly (string | ValidationRule)[]): JSONSchemaProps {
  return { ...schema, 'x-kubernetes-validations': rules.map((r) => (typeof r === 'string' ? { rule: r } : r)) };
}

const INT: JSONSchemaProps = { type: 'integer' };
const TEXT: JSONSchemaProps = { type: 'string' };
const of = (properties: Record<string, JSONSchemaProps>): JSONSchemaProps => ({ type: 'object', properties });

describe('rules of definitions', () => {
  test('types follow the schema, names are escaped', () => {
    const properties: Record<string, JSONSchemaProps> = {
      a: INT,
      'x-y': TEXT,
      namespace: TEXT,
      at: { type: 'string', format: 'date-time' },
      wait: { type: 'string', format: 'duration' },
      any: { 'x-kubernetes-int-or-string': true },
      bytes: { type: 'string', format: 'byte' },
      ratio: { type: 'number' },
      inner: { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
    };
    const rules = [
      "self.a > 1 && self.x__dash__y == 'a' && self.__namespace__ != ''",
      "self.at > timestamp('2020-01-01T00:00:00Z') && self.wait < duration('1h')",
      "self.any == 1 || self.any == 'x'",
      "self.bytes != b'a' && self.ratio < 1.5",
      "self.inner.metadata.name == self.inner.kind && self.inner.apiVersion == 'v1'",
    ];
    expect(errorsOf(ruled(of(properties), ...rules))).toEqual([]);
  });

  test.each<[string, string]>([
    ['self.b > 1', "compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 1\n | ....^"],
    ['self.a', 'cel expression must evaluate to a bool'],
    ['self.a ==', 'compilation failed: ERROR: <input>:1:10: Syntax error'],
    ['self.hidden == 1', "undefined field 'hidden'"],
    ['self.a == "x"', "found no matching overload for '_==_'"],
    ['object.a == 1', "undeclared reference to 'object'"],
  ])('%s does not compile', (rule, text) => {
    const hidden = { 'x-kubernetes-preserve-unknown-fields': true };
    const found = errorsOf(ruled(of({ a: INT, hidden }), rule));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^x-kubernetes-validations\[0\]\.rule: Invalid value: \{"rule":/);
    expect(found[0]).toContain(text);
  });

  test('messageExpression and optionalOldSelf', () => {
    const a = of({ a: INT });
    expect(errorsOf(ruled(a, { rule: 'self.a > 1', messageExpression: 'self.a' }))[0]).toContain(
      'x-kubernetes-validations[0].messageExpression: Invalid value: {"rule":"self.a > 1","messageExpression":"self.a"}: messageExpression must evaluate to a string',
    );
    expect(errorsOf(ruled(a, { rule: 'self.a > 1', messageExpression: 'self.' }))[0]).toContain(
      'messageExpression compilation failed: ERROR: <input>',
    );
    expect(errorsOf(ruled(a, { rule: 'self.a > 1', optionalOldSelf: true }))).toEqual([
      'x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule',
    ]);
    expect(errorsOf(ruled(a, { rule: 'oldSelf.?a.orValue(0) < self.a', optionalOldSelf: true }))).toEqual([]);
  });

  test('oldSelf needs a counterpart', () => {
    const list = (more: JSONSchemaProps): JSONSchemaProps =>
      of({ l: { type: 'array', maxItems: 10, items: ruled(of({ k: TEXT }), 'self.k == oldSelf.k'), ...more } });
    const atomic = errorsOf(list({}));
    expect(atomic[0]).toContain(
      'oldSelf cannot be used on the uncorrelatable portion of the schema within spec.versions[0]',
    );
    const keys = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] };
    const keyed = list(keys);
    expect(errorsOf(keyed).filter((text) => text.includes('oldSelf'))).toEqual([]);
  });

  test('defaults obey the rules, as new values and as old ones', () => {
    const spec = of({ a: ruled({ ...INT, default: 1 }, 'self > 1'), b: ruled({ ...INT, default: 3 }, 'self > 1') });
    expect(errorsOf(spec)).toEqual(['properties[a].default: Invalid value: 1: failed rule: self > 1']);
  });
});

describe('cost limits of definitions', () => {
  const nested = ruled({ type: 'array', items: TEXT }, 'self.all(x, self.all(y, x == y))');

  test('a rule that may cost too much, until its inputs are bounded', () => {
    const found = errorsOf(of({ l: nested }));
    expect(found[0]).toBe(
      'properties[l].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)',
    );
    expect(found.at(-1)).toContain('x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema');
    const bounded = { ...nested, maxItems: 50, items: { ...TEXT, maxLength: 20 } };
    expect(errorsOf(of({ l: bounded }))).toEqual([]);
  });

  test('a cheap rule in an unbounded list', () => {
    const item = ruled(of({ a: TEXT }), "self.a.contains('x')");
    expect(errorsOf(of({ l: { type: 'array', items: item } }))[0]).toContain('estimated rule cost exceeds budget');
    const bounded = ruled(of({ a: { ...TEXT, maxLength: 10 } }), "self.a.contains('x')");
    expect(errorsOf(of({ l: { type: 'array', maxItems: 100, items: bounded } }))).toEqual([]);
  });

  test('a stored schema keeps what it costs', () => {
    const stored = definition(of({ a: { type: 'array', items: ruled(TEXT, 'self.matches("x{3}")') } }));
    expect(errorTexts(validateDefinition(stored, TOOLS))[0]).toContain('estimated rule cost exceeds');
    const found = errorTexts(validateDefinitionUpdate(structuredClone(stored), stored, TOOLS));
    expect(found.filter((text) => text.includes('.rule: Forbidden: estimated'))).toEqual([]);
  });
});
