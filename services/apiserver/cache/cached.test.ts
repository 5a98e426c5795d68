import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KubeObject } from '#lib/api';
import { isKind } from '#lib/base';
import type { Revision } from '#lib/store';
import { type Cached, cachedOf, decodeStored, encodeStored, jsonParts, listItems } from './cached.ts';

test('cached: what is stored damaged is told by its key, and nothing of it is in the error, since it may be a Secret', () => {
  const bytes = Buffer.from('hunter2 {"kind":"Secret"}');
  let failure: unknown;
  try {
    decodeStored('/registry/core/secrets/default/a', bytes, 1n as Revision);
  } catch (e) {
    failure = e;
  }
  if (!isKind(failure, 'Internal')) throw new Error('it was decoded');
  expect(failure.message).toContain('/registry/core/secrets/default/a');
  expect(`${failure.message} ${failure.stack} ${String(failure.cause)}`).not.toContain('hunter2');
});

describe('bytes of objects', () => {
  const word = fc.string({ unit: 'binary', maxLength: 12 });
  const stored = fc
    .record({
      kind: word,
      apiVersion: word,
      name: word,
      data: fc.dictionary(word, word),
      revision: fc.bigInt(1n, 2n ** 64n - 1n),
    })
    .map(({ kind, apiVersion, name, data, revision }): Cached => {
      const object = { kind, apiVersion, metadata: { name, namespace: 'a' }, data } as KubeObject;
      return cachedOf(
        `/registry/core/things/a/${encodeURIComponent(name)}`,
        object,
        encodeStored(object),
        revision as Revision,
      );
    });

  test('an object alone, and items of a list with and without what they are, say what the objects say', () => {
    fc.assert(
      fc.property(fc.array(stored, { maxLength: 6 }), (all) => {
        for (const cached of all) {
          const [head, tail] = jsonParts(cached);
          expect(JSON.parse(`${head}${tail}`)).toEqual(plain(cached.object));
        }
        const objects = all.map((cached) => plain(cached.object));
        expect(parsed(listItems(all, { withType: true }))).toEqual(objects);
        const untyped = objects.map(({ kind: _k, apiVersion: _v, ...rest }) => rest);
        expect(parsed(listItems(all, { withType: false }))).toEqual(untyped);
      }),
    );
  });

  function parsed(items: Buffer): unknown {
    return JSON.parse(`[${items}]`);
  }

  /** Without what JSON leaves out, and with prototypes as JSON.parse gives them. */
  function plain(object: unknown): Record<string, unknown> {
    const text = JSON.stringify(object);
    return JSON.parse(text) as Record<string, unknown>;
  }
});
