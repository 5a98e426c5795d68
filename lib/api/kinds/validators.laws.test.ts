/** No object of the right types makes defaults, strategies or validators throw: that would be a 500. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyDefaults } from '../defaults.ts';
import type { KubeObject } from '../object.ts';
import { allKinds } from '../registry.ts';
import { decodeObject } from '../schema.ts';
import { prepareCreate, prepareUpdate } from '../strategy.ts';
import { arbitraryObject } from '../testing/arbitrary.ts';
import { validateCreate, validateUpdate } from '../validation.ts';

const RUNS = 12;

test.each(allKinds().map((k) => [`${k.resource}.${k.group}/${k.version}`, k] as const))('%s', (_name, kind) => {
  const made = (value: object): KubeObject => {
    const { object } = decodeObject(kind, { ...value, apiVersion: undefined, kind: undefined });
    object.metadata = { ...object.metadata, name: 'x', uid: 'u' };
    applyDefaults(kind, object);
    return object;
  };
  const check = (one: object, two: object): void => {
    const previous = made(one);
    prepareCreate(kind, previous);
    expect(Array.isArray(validateCreate(kind, previous))).toBe(true);
    for (const subresource of [undefined, 'status', ...kind.subresources.map((s) => s.name)]) {
      const next = made(two);
      prepareUpdate(kind, next, previous, subresource);
      expect(Array.isArray(validateUpdate(kind, next, previous, subresource))).toBe(true);
    }
  };
  check({}, {});
  fc.assert(fc.property(arbitraryObject(kind.schema), arbitraryObject(kind.schema), check), { numRuns: RUNS });
});

test('names that every JavaScript object knows are names like others', () => {
  const errorsOf = (resource: string, value: object): string[] => {
    const kind = allKinds().find((k) => k.resource === resource);
    if (kind === undefined) throw new Error(`no ${resource}`);
    const { object } = decodeObject(kind, { metadata: { name: 'constructor' }, ...value });
    if (kind.namespaced) object.metadata.namespace = 'default';
    applyDefaults(kind, object);
    prepareCreate(kind, object);
    return validateCreate(kind, object).map((e) => `${e.field}: ${e.detail}`);
  };
  for (const type of ['__proto__', 'constructor', 'toString']) expect(errorsOf('secrets', { type })).toEqual([]);
  expect(errorsOf('resourcequotas', { spec: { scopes: ['constructor'] } })).toEqual(['spec.scopes: unsupported scope']);
  const rules = [
    {
      subjects: [{ kind: 'Group', group: { name: 'g' } }],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
    },
  ];
  expect(errorsOf('flowschemas', { spec: { priorityLevelConfiguration: { name: 'p' }, rules } })).toEqual([]);
  const amount = { 'a.io/constructor': '1', constructor: '1' };
  expect(errorsOf('limitranges', { spec: { limits: [{ type: 'Container', max: amount }] } })[0]).toMatch(
    /^spec\.limits\[0\]\.max\[constructor\]: must be a standard resource type/,
  );
});
