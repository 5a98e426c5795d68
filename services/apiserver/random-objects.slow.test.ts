/** Objects of the right types, good and bad, at every verb of every stored kind through the whole server: refused or stored, never a 500. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allKinds, type KindInfo, type KubeObject } from '#lib/api';
import { toStatusError } from '#lib/base';
import { arbitraryObject } from '../../lib/api/testing/arbitrary.ts';
import { testContext as c, startTestServer, type TestServer } from './testing/server.ts';

const RUNS = 8;
const PATCHES = ['merge', 'strategic', 'apply'] as const;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** The object, or undefined for a refusal; a fault of the server is thrown on. */
async function answerOf<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (e) {
    const known = toStatusError(e);
    const isTold = known.message.startsWith('resourceVersion should not be set');
    if (known.kind !== 'Internal' || isTold) return undefined;
    throw e;
  }
}

function subresourcesOf(kind: KindInfo): (string | undefined)[] {
  return [undefined, ...kind.subresources.filter((s) => s.verbs.includes('update')).map((s) => s.name)];
}

describe('random objects at every verb', () => {
  const kinds = allKinds().filter((k) => k.verbs.includes('create'));
  test.each(kinds.map((k) => [`${k.resource}.${k.group}/${k.version}`, k] as const))('%s', async (_name, kind) => {
    let count = 0;
    const named = (value: object): KubeObject => {
      const { metadata, ...rest } = value as KubeObject;
      const namespace = kind.namespaced ? { namespace: 'default' } : {};
      return { ...rest, metadata: { ...metadata, name: `r${count}`, ...namespace } } as KubeObject;
    };
    const run = async (one: object, two: object): Promise<void> => {
      count++;
      await answerOf(() => server.client.create(kind, named(one), c));
      const seed = named(one);
      delete seed.metadata.resourceVersion;
      delete seed.metadata.ownerReferences;
      delete seed.metadata.managedFields;
      await answerOf(() => server.client.create(kind, seed, c));
      const key = { namespace: kind.namespaced ? 'default' : '', name: `r${count}` };
      for (const subresource of subresourcesOf(kind)) {
        const o = subresource === undefined ? {} : { subresource };
        const next = named(two);
        delete next.metadata.resourceVersion;
        delete next.metadata.uid;
        await answerOf(() => server.client.update(kind, next as never, c, o));
        for (const type of PATCHES)
          await answerOf(() =>
            server.client.patch(kind, key, { type, body: named(two) }, c, { ...o, fieldManager: 'x', force: true }),
          );
      }
      await answerOf(() => server.client.delete(kind, key, {}, c));
    };
    await run({}, {});
    await fc.assert(fc.asyncProperty(arbitraryObject(kind.schema), arbitraryObject(kind.schema), run), {
      numRuns: RUNS,
    });
    expect(count).toBeGreaterThan(0);
  });
});
