/** Asks a server for every verb of a kind, with a good object, and says which it takes. */
import type { KindInfo, KubeObject } from '#lib/api';
import { type Ctx, toStatusError } from '#lib/base';
import type { Client } from '#lib/client';
import { NAMES, VALID } from '../../lib/api/testing/valid-objects.ts';

export type Outcome = 'works' | { readonly refused: string };

const WATCH_MS = 5_000;

/** In the order in which each finds what the ones before it left. */
export async function probeVerbs(client: Client, kind: KindInfo, c: Ctx): Promise<ReadonlyMap<string, Outcome>> {
  const value = VALID[kind.schema];
  if (value === undefined) throw new Error(`no valid object of ${kind.schema}`);
  const name = NAMES[kind.schema]?.(9) ?? 'probe';
  const namespace = kind.namespaced ? 'default' : '';
  const key = { namespace, name };
  const metadata = { name, labels: { probe: 'yes' }, ...(kind.namespaced ? { namespace } : {}) };
  const object = { metadata, ...structuredClone(value) } as KubeObject;
  const marked = (mark: string): object => ({ metadata: { annotations: { mark } } });
  const calls: Readonly<Record<string, () => Promise<void>>> = {
    create: async () => void (await client.create(kind, object, c)),
    get: async () => same((await client.get(kind, key, c)).metadata.name, name),
    list: async () => {
      const { items } = await client.list(kind, { namespace, labelSelector: 'probe=yes' }, c);
      same(items.map((o) => o.metadata.name).join(), name);
    },
    watch: () => seen(client, kind, key, c),
    update: async () => {
      const { resourceVersion: _, ...found } = (await client.get(kind, key, c)).metadata;
      const next = { ...(await client.get(kind, key, c)), metadata: { ...found, annotations: { mark: 'update' } } };
      same((await client.update(kind, next, c)).metadata.annotations?.['mark'], 'update');
    },
    patch: async () => {
      const patched = await client.patch(kind, key, { type: 'merge', body: marked('patch') }, c);
      same(patched.metadata.annotations?.['mark'], 'patch');
    },
    delete: async () => void (await client.delete(kind, key, { gracePeriodSeconds: 0 }, c)),
  };
  const out = new Map<string, Outcome>();
  for (const [verb, call] of Object.entries(calls)) if (kind.verbs.includes(verb)) out.set(verb, await outcome(call));
  return out;
}

async function outcome(call: () => Promise<void>): Promise<Outcome> {
  try {
    await call();
    return 'works';
  } catch (e) {
    return { refused: toStatusError(e).kind };
  }
}

async function seen(client: Client, kind: KindInfo, key: { namespace: string; name: string }, c: Ctx): Promise<void> {
  const signal = AbortSignal.any([c.signal, AbortSignal.timeout(WATCH_MS)]);
  const fieldSelector = `metadata.name=${key.name}`;
  for await (const e of client.watch(kind, { namespace: key.namespace, fieldSelector }, { ...c, signal }))
    if (e.type !== 'BOOKMARK') return same(e.object.metadata.name, key.name);
  throw new Error('the watch ended without the object');
}

function same(found: string | undefined, expected: string): void {
  if (found !== expected) throw new Error(`${found} is not ${expected}`);
}
