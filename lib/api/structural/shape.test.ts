import { describe, expect, test } from 'vitest';
import type { JSONSchemaProps } from '../gen/types/apiextensions-v1.ts';
import { pathText } from '../patch/field-set.ts';
import { compareTyped, fieldSetOf, mergeTyped } from '../patch/typed.ts';
import { shapeOfStructural } from './shape.ts';
import { objectSchema } from './testing/schemas.ts';

/** The paths that whoever applied `{a: value}` owns. */
function owned(a: JSONSchemaProps, value: unknown): string[] {
  const shape = shapeOfStructural(objectSchema({ a }));
  return fieldSetOf(shape, { a: value }).paths().map(pathText).sort();
}

const ITEM: JSONSchemaProps = {
  type: 'object',
  properties: { port: { type: 'integer' }, protocol: { type: 'string', default: 'TCP' }, note: { type: 'string' } },
};
const BY_PORT: JSONSchemaProps = {
  type: 'array',
  items: ITEM,
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['protocol', 'port'],
};

describe('shapeOfStructural', () => {
  test('structs by field, maps by key, atomic ones as a unit', () => {
    const properties = { x: { type: 'string' }, y: { type: 'string' } };
    expect(owned({ type: 'object', properties }, { x: '1', y: '2' })).toEqual(['.a.x', '.a.y']);
    expect(owned({ type: 'object', properties, 'x-kubernetes-map-type': 'atomic' }, { x: '1' })).toEqual(['.a']);
    expect(owned({ type: 'object', additionalProperties: { type: 'string' } }, { k: 'v' })).toEqual(['.a.k']);
  });

  test('lists by their type', () => {
    expect(owned({ type: 'array', items: ITEM }, [{ port: 1 }])).toEqual(['.a']);
    expect(owned({ type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' }, ['x'])).toEqual([
      '.a[="x"]',
    ]);
    expect(owned(BY_PORT, [{ port: 1, note: 'n' }])).toEqual([
      '.a[port=1,protocol="TCP"]',
      '.a[port=1,protocol="TCP"].note',
      '.a[port=1,protocol="TCP"].port',
    ]);
  });

  test('items merge by key, with the default of an absent key', () => {
    const shape = shapeOfStructural(objectSchema({ a: BY_PORT }));
    const live = {
      a: [
        { port: 1, protocol: 'TCP', note: 'live' },
        { port: 2, protocol: 'TCP' },
      ],
    };
    expect(mergeTyped(shape, live, { a: [{ port: 1, note: 'applied' }] })).toEqual({
      a: [
        { port: 1, protocol: 'TCP', note: 'applied' },
        { port: 2, protocol: 'TCP' },
      ],
    });
  });

  test('what has no schema is as JSON is: objects by key, lists whole', () => {
    const open: JSONSchemaProps = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    expect(owned(open, { b: { c: 1 }, l: [{ d: 1 }] })).toEqual(['.a.b', '.a.b.c', '.a.l']);
    expect(owned({ ...open, properties: { b: { type: 'string' } } }, { b: 'x', u: { v: 1 } })).toEqual([
      '.a.b',
      '.a.u.v',
    ]);
    expect(owned({ 'x-kubernetes-int-or-string': true }, 1)).toEqual(['.a']);
  });

  test('metadata of the object and of embedded resources is that of every object', () => {
    const shape = shapeOfStructural(
      objectSchema({
        r: { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
      }),
    );
    const object = { kind: 'A', metadata: { finalizers: ['f'] }, r: { kind: 'B', metadata: { finalizers: ['g'] } } };
    expect(fieldSetOf(shape, object).paths().map(pathText).sort()).toEqual([
      '.kind',
      '.metadata.finalizers[="f"]',
      '.r.kind',
      '.r.metadata.finalizers[="g"]',
    ]);
  });

  test('a change inside of an object without schema is seen where it is', () => {
    const shape = shapeOfStructural(
      objectSchema({ a: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }),
    );
    const changed = compareTyped(shape, { a: { b: { c: 1, d: 1 } } }, { a: { b: { c: 2, d: 1 } } });
    expect(changed.modified.paths().map(pathText)).toEqual(['.a.b.c']);
  });
});
