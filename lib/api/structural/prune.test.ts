import { describe, expect, test } from 'vitest';
import { applyStructuralDefaults } from './defaulting.ts';
import { PRUNED_PATHS_MAX, pruneObject, pruneValue } from './prune.ts';
import { objectSchema, schemaOf } from './testing/schemas.ts';

const NESTED = { type: 'object', properties: { known: { type: 'string' } } };

describe('pruneObject', () => {
  test('drops what is not specified and says where', () => {
    const schema = objectSchema({
      spec: {
        type: 'object',
        properties: { list: { type: 'array', items: NESTED }, map: { type: 'object', additionalProperties: NESTED } },
      },
    });
    const object = {
      apiVersion: 'v1',
      kind: 'A',
      metadata: { anything: 1 },
      spec: { list: [{ known: 'x' }, { known: 'x', odd: 1 }], map: { a: { odd: 1 } }, odd: {} },
      odd: 1,
    };
    expect(pruneObject(schema, object)).toEqual({
      value: {
        apiVersion: 'v1',
        kind: 'A',
        metadata: { anything: 1 },
        spec: { list: [{ known: 'x' }, { known: 'x' }], map: { a: {} } },
      },
      paths: ['odd', 'spec.list[1].odd', 'spec.map.a.odd', 'spec.odd'],
    });
    expect(object.spec.list[1]).toEqual({ known: 'x', odd: 1 });
  });

  test('preserve-unknown-fields keeps what is unknown and prunes inside of what is known', () => {
    const keeps = { 'x-kubernetes-preserve-unknown-fields': true };
    const schema = objectSchema({
      a: { type: 'object', ...keeps, properties: { nested: NESTED } },
      l: { type: 'array', ...keeps, items: { type: 'object', properties: { nested: NESTED } } },
    });
    const object = { a: { x: { y: 1 }, nested: { known: 'k', odd: 1 } }, l: [{ x: 1, nested: { odd: 1 } }] };
    expect(pruneObject(schema, object)).toEqual({
      value: { a: { x: { y: 1 }, nested: { known: 'k' } }, l: [{ x: 1, nested: {} }] },
      paths: ['a.nested.odd', 'l[0].nested.odd'],
    });
  });

  test('embedded resources keep apiVersion, kind and metadata', () => {
    const schema = objectSchema({ r: { 'x-kubernetes-embedded-resource': true, ...NESTED } });
    const r = { apiVersion: 'v1', kind: 'A', metadata: { x: 1 }, odd: 1 };
    expect(pruneObject(schema, { r }).value).toEqual({ r: { apiVersion: 'v1', kind: 'A', metadata: { x: 1 } } });
  });

  test('additionalProperties: true keeps keys, not what is in them', () => {
    const schema = objectSchema({ m: { type: 'object', additionalProperties: true } });
    expect(pruneObject(schema, { m: { a: { b: 1 }, c: 2 } }).value).toEqual({ m: { a: {}, c: 2 } });
  });

  test('nothing to prune gives the same object', () => {
    const schema = objectSchema({ a: NESTED });
    const object = { a: { known: 'x' } };
    expect(pruneObject(schema, object).value).toBe(object);
  });

  test('__proto__ is a key, and paths are bounded', () => {
    const schema = objectSchema({ a: NESTED });
    const object: unknown = JSON.parse('{"__proto__": {"a": 1}, "a": {"__proto__": 1, "known": "x"}}');
    const pruned = pruneObject(schema, object);
    expect(pruned.paths).toEqual(['__proto__', 'a.__proto__']);
    expect(pruned.value).toEqual({ a: { known: 'x' } });
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, 1]));
    expect(pruneObject(schema, many).paths).toHaveLength(PRUNED_PATHS_MAX);
  });

  test('pruneValue treats the metadata fields of a non-resource as any', () => {
    expect(pruneValue(schemaOf({ ...NESTED, type: 'object' }), { kind: 'x', known: 'y' }).value).toEqual({
      known: 'y',
    });
  });
});

describe('applyStructuralDefaults', () => {
  const schema = objectSchema({
    spec: {
      type: 'object',
      default: {},
      properties: {
        size: { type: 'integer', default: 3 },
        note: { type: 'string', nullable: true, default: 'n' },
        plain: { type: 'string' },
        open: { type: 'string', nullable: true },
        list: { type: 'array', items: { type: 'object', properties: { port: { type: 'integer', default: 80 } } } },
        map: {
          type: 'object',
          additionalProperties: { type: 'object', properties: { on: { type: 'boolean', default: true } } },
        },
      },
    },
  });

  test('absent fields are filled, inside of defaults too', () => {
    expect(applyStructuralDefaults(schema, {})).toEqual({ spec: { size: 3, note: 'n' } });
    expect(applyStructuralDefaults(schema, { spec: { size: 0, list: [{}, { port: 1 }], map: { a: {} } } })).toEqual({
      spec: { size: 0, note: 'n', list: [{ port: 80 }, { port: 1 }], map: { a: { on: true } } },
    });
  });

  test('nulls: replaced by a default, kept where nullable, else dropped', () => {
    expect(applyStructuralDefaults(schema, { spec: { size: null, note: null, plain: null, open: null } })).toEqual({
      spec: { size: 3, note: null, open: null },
    });
  });

  test('a null item of a list stays for validation to refuse', () => {
    expect(applyStructuralDefaults(schema, { spec: { list: [null] } })).toEqual({
      spec: { size: 3, note: 'n', list: [null] },
    });
  });

  test('defaults are never shared, and a full object is given back as it is', () => {
    const shared = objectSchema({
      m: { type: 'object', default: { a: ['x'] }, 'x-kubernetes-preserve-unknown-fields': true },
    });
    const [first, second] = [applyStructuralDefaults(shared, {}), applyStructuralDefaults(shared, {})];
    expect(first).toEqual(second);
    expect((first as { m: object }).m).not.toBe((second as { m: object }).m);
    expect(applyStructuralDefaults(shared, first)).toBe(first);
  });
});
