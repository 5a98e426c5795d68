import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { KeySpace, prefixEnd } from './etcd-keys.ts';
import { objectKey, parseObjectKey, resourcePrefix } from './keys.ts';
import { decodeValue, encodeValue } from './value-header.ts';

test('objectKey: versions share a key, cluster scope has a dash, and parse gives it back', () => {
  expect(objectKey(Kinds.pods, { namespace: 'a', name: 'b' })).toBe('/registry/core/pods/a/b');
  expect(objectKey(Kinds.nodes, { namespace: '', name: 'n' })).toBe('/registry/core/nodes/-/n');
  expect(parseObjectKey('/registry/apps/deployments/a/b')).toEqual({
    group: 'apps',
    resource: 'deployments',
    namespace: 'a',
    name: 'b',
  });
  expect(parseObjectKey('/registry/core/nodes/-/n')).toMatchObject({ group: '', namespace: '' });
  for (const bad of ['/registry/core/pods/a', '/berth/leader/x', '/registry/core/pods/a/b/c', '/registry//pods/a/b'])
    expect(parseObjectKey(bad)).toBeUndefined();
  expect(resourcePrefix(Kinds.pods)).toBe('/registry/core/pods/');
  expect(resourcePrefix(Kinds.pods, 'a')).toBe('/registry/core/pods/a/');
});

test('prefixEnd: a key is in [prefix, end) exactly when it starts with the prefix', () => {
  const bytes = fc.uint8Array({ maxLength: 4 });
  fc.assert(
    fc.property(bytes, bytes, (prefix, key) => {
      const end = prefixEnd(Buffer.from(prefix));
      const open = end.equals(Buffer.from('\0'));
      const inside = Buffer.compare(prefix, key) <= 0 && (open || Buffer.compare(key, end) < 0);
      expect(inside).toBe(Buffer.from(key).subarray(0, prefix.length).equals(Buffer.from(prefix)));
    }),
  );
});

test('KeySpace: ranges begin behind `after` and keep to their prefix', () => {
  const keys = new KeySpace('/p');
  expect(keys.range('/a/', '/a/x').key.toString()).toBe('/p/a/x\0');
  expect(keys.range('/a/', '/0').key.toString()).toBe('/p/a/');
  expect(keys.range('/a/').rangeEnd.toString()).toBe('/p/a0');
  expect(keys.text(Buffer.from('/p/a/x'))).toBe('/a/x');
  expect(new KeySpace('').range('').key.toString()).toBe('\0');
});

test('value header: index and bytes come back; another format or unknown flags are refused', () => {
  const stored = encodeValue(Buffer.from('x'), 5, false);
  expect(decodeValue('/k', stored)).toEqual({ index: 5, sealed: false, body: Buffer.from('x') });
  expect(() => decodeValue('/k', Buffer.from([2, 0, 0, 120]))).toThrow(/format 2/);
  expect(() => decodeValue('/k', Buffer.from([1, 8, 0, 120]))).toThrow(/flags/);
  expect(() => decodeValue('/k', Buffer.alloc(0))).toThrow(/format none/);
});
