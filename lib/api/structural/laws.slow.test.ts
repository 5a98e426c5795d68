import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareTyped, mergeTyped } from '../patch/typed.ts';
import { equalJson, getOwn, isObject } from '../patch/value.ts';
import { applyStructuralDefaults } from './defaulting.ts';
import { pruneObject } from './prune.ts';
import { asResource, fieldSchema, type Structural } from './schema.ts';
import { shapeOfStructural } from './shape.ts';
import { arbitraryObject, arbitraryRoot } from './testing/arbitrary-schema.ts';
import { schemaOf } from './testing/schemas.ts';
import { coerceEmbedded, validateEmbedded } from './values/embedded-metadata.ts';
import { validateListTypes } from './values/list-types.ts';
import { validateChangedValue, validateValue } from './values/validate.ts';

const RUNS = { numRuns: 500 };

const arbitraryMeta = fc.record({
  apiVersion: fc.constantFrom<unknown>('v1', 1, null),
  kind: fc.constantFrom<unknown>('A', {}, null),
  metadata: fc.oneof(
    fc.jsonValue(),
    fc.record({
      name: fc.constantFrom<unknown>('n', 1, ''),
      labels: fc.jsonValue(),
      creationTimestamp: fc.constantFrom<unknown>('2024-01-01T00:00:00Z', 'soon', null, 1),
    }),
  ),
});

function isDescribed(s: Structural, value: unknown): boolean {
  if (Array.isArray(value)) return s.listType !== 'map';
  if (!isObject(value)) return true;
  return Object.keys(value).every((key) => {
    const field = fieldSchema(s, key);
    return field !== undefined && isDescribed(field, getOwn(value, key));
  });
}

describe('structural schemas: laws', () => {
  test('pruning twice is pruning once, and changes its argument never', () => {
    fc.assert(
      fc.property(arbitraryRoot, arbitraryObject, (root, object) => {
        const schema = schemaOf(root);
        const before = structuredClone(object);
        const once = pruneObject(schema, object);
        const twice = pruneObject(schema, once.value);
        expect(object).toEqual(before);
        expect(twice.value).toBe(once.value);
        expect(twice.paths).toEqual([]);
      }),
      RUNS,
    );
  });

  test('defaulting twice is defaulting once', () => {
    fc.assert(
      fc.property(arbitraryRoot, arbitraryObject, (root, object) => {
        const schema = schemaOf(root);
        const before = structuredClone(object);
        const once = applyStructuralDefaults(schema, object);
        expect(object).toEqual(before);
        expect(applyStructuralDefaults(schema, once)).toEqual(once);
      }),
      RUNS,
    );
  });

  test('a valid object stays valid when pruned and defaulted, if its schema gives the defaults of its defaults', () => {
    let valid = 0;
    fc.assert(
      fc.property(arbitraryRoot, arbitraryObject, (root, object) => {
        const schema = schemaOf(root);
        const empty = applyStructuralDefaults(schema, {});
        // Such a definition is refused: its defaults do not validate.
        fc.pre(validateValue(schema, empty, '').every((e) => e.type === 'Required'));
        const normal = applyStructuralDefaults(schema, pruneObject(schema, object).value);
        if (validateValue(schema, object, '').length > 0) return;
        // A default that is wrong where it stands, or one too many for its object, is the schema's fault.
        const wrong = validateValue(schema, normal, '').filter(
          (e) => e.type !== 'TooMany' && !isOfDefault(object, e.field),
        );
        expect(wrong).toEqual([]);
        valid++;
      }),
      RUNS,
    );
    expect(valid).toBeGreaterThan(20);
  });

  test('an unchanged object is let through, whatever is wrong with it, if its schema describes all of it', () => {
    let wrong = 0;
    fc.assert(
      fc.property(arbitraryRoot, arbitraryObject, (root, object) => {
        const schema = schemaOf(root);
        if (!isDescribed(schema, object)) return;
        if (validateValue(schema, object, '').length > 0) wrong++;
        expect(validateChangedValue(schema, { next: structuredClone(object), previous: object }, '')).toEqual([]);
      }),
      RUNS,
    );
    expect(wrong).toBeGreaterThan(20);
  });

  test('an update of a valid object is forgiven nothing', () => {
    fc.assert(
      fc.property(arbitraryRoot, arbitraryObject, arbitraryObject, (root, previous, next) => {
        const schema = schemaOf(root);
        fc.pre(validateValue(schema, previous, '').length === 0);
        expect(validateChangedValue(schema, { next, previous }, '')).toEqual(validateValue(schema, next, ''));
      }),
      RUNS,
    );
  });

  test('the shape fits apply: equal objects differ in nothing, applying twice is once, what is applied is there', () => {
    fc.assert(
      fc.property(arbitraryRoot, arbitraryObject, arbitraryObject, (root, a, b) => {
        const shape = shapeOfStructural(schemaOf(root));
        const same = compareTyped(shape, a, structuredClone(a));
        expect([same.added, same.modified, same.removed].every((set) => set.isEmpty)).toBe(true);
        // An applied null clears a field only where there is one.
        fc.pre(!JSON.stringify(b).includes('null'));
        const merged = mergeTyped(shape, a, b);
        expect(equalJson(mergeTyped(shape, merged, b), merged)).toBe(true);
        const after = compareTyped(shape, merged, b);
        expect([after.added, after.modified].every((set) => set.isEmpty)).toBe(true);
      }),
      RUNS,
    );
  });

  test('no value of any form makes a check throw', () => {
    fc.assert(
      fc.property(arbitraryRoot, fc.oneof(fc.jsonValue(), arbitraryObject, arbitraryMeta), (root, value) => {
        const schema = schemaOf(root);
        validateValue(schema, value, '');
        validateListTypes(schema, value, '');
        const resource = asResource(schema);
        for (const dropsMalformed of [true, false]) {
          const coerced = coerceEmbedded(resource, value, { path: '', dropsMalformed });
          // What has been read from storage is never refused for the type of its metadata.
          if (dropsMalformed) expect(coerced.error).toBeUndefined();
          validateEmbedded(resource, coerced.value, '');
        }
        applyStructuralDefaults(schema, pruneObject(schema, value).value);
      }),
      RUNS,
    );
  });
});

/** True below a default that was filled in: its own required fields may be missing. */
function isOfDefault(object: unknown, field: string): boolean {
  let value = object;
  for (const step of field.split(/[.[\]]+/).filter((s) => s !== '')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return true;
    value = (value as Record<string, unknown>)[step];
    if (value === null) return true;
  }
  return false;
}
