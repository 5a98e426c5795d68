/**
 * Asks for every verb of a kind that is stored, by https, with good objects, and sees the effect of each by other verbs: what was
 * created is got and listed and watched, what was deleted is gone.
 */
import type { DeepReadonly, KubeObject } from '#lib/api';
import { isKind } from '#lib/base';
import { resourcePath, withQuery } from '#lib/client';
import { type Asker, type Calls, type Outcomes, outcomesOf, requireHeld, retriedOnConflict } from './outcome.ts';
import { keyOf, NAMESPACE, type Resource } from './resource.ts';

const WATCH_MS = 5_000;
const GONE_MS = 5_000;
/** Of the object that a watch and a removal of a collection are tried with; the other has none, and stays. */
const LABEL = { probed: 'collection' };
const SELECTOR = 'probed=collection';

export interface Stored {
  /** Not the removals: what else is asked of the objects comes between. */
  readonly verbs: Outcomes;
  removals(): Promise<Outcomes>;
}

export async function probeStored(r: Resource, object: (n: number) => KubeObject, a: Asker): Promise<Stored> {
  const first = object(1);
  const second = object(2);
  const labelled = { ...second, metadata: { ...second.metadata, labels: LABEL } };
  const calls = lasting(r, first, labelled, a);
  const removals = removing(r, first, labelled, a);
  const removed = r.verbs.filter((verb) => verb in removals);
  const kept = r.verbs.filter((verb) => !removed.includes(verb));
  return {
    verbs: await outcomesOf(kept, calls),
    removals: () => outcomesOf(removed, removals),
  };
}

function lasting(r: Resource, first: KubeObject, labelled: KubeObject, { client, c }: Asker): Calls {
  const { kind } = r;
  const key = keyOf(kind, first);
  const namespace = kind.namespaced ? NAMESPACE : '';
  return {
    create: async () => {
      const made = await client.create(kind, first, c);
      requireHeld(made, { kind: kind.kind, metadata: { name: key.name } });
      if (made.metadata.uid === undefined) throw new Error('what was created has no uid');
    },
    get: async () => {
      const found = await client.get(kind, key, c);
      requireHeld(found, { kind: kind.kind, metadata: { name: key.name } });
      requireHeld(found, specOf(first));
    },
    list: async () =>
      requireHeld((await client.list(kind, { namespace }, c)).items, [{ metadata: { name: key.name } }]),
    watch: async () => {
      const { resourceVersion } = await client.list(kind, { namespace }, c);
      const signal = AbortSignal.any([c.signal, AbortSignal.timeout(WATCH_MS)]);
      const query = { namespace, resourceVersion, labelSelector: SELECTOR };
      const events = client.watch(kind, query, { ...c, signal })[Symbol.asyncIterator]();
      const seen = events.next();
      // It may fail while the object is made; what awaits it below is told.
      seen.catch(() => undefined);
      try {
        await client.create(kind, labelled, c);
        requireHeld(await seen, { value: { type: 'ADDED', object: { metadata: { name: labelled.metadata.name } } } });
      } finally {
        await events.return?.();
      }
    },
    update: async () => {
      await retriedOnConflict(async () => {
        const now = await client.get(kind, key, c);
        await client.update(kind, annotated(now, 'update'), c);
      });
      requireHeld(await client.get(kind, key, c), { metadata: { annotations: { mark: 'update' } } });
    },
    patch: async () => {
      const body = { metadata: { annotations: { mark: 'patch' } } };
      await client.patch(kind, key, { type: 'merge', body }, c);
      requireHeld(await client.get(kind, key, c), body);
    },
  };
}

function annotated(o: DeepReadonly<KubeObject>, mark: string): DeepReadonly<KubeObject> {
  return { ...o, metadata: { ...o.metadata, annotations: { ...o.metadata.annotations, mark } } };
}

function specOf(o: KubeObject): object {
  const { spec } = o as { spec?: object };
  return spec === undefined ? {} : { spec };
}

function removing(r: Resource, first: KubeObject, labelled: KubeObject, a: Asker): Calls {
  const { client, c } = a;
  const { kind } = r;
  return {
    deletecollection: async () => {
      await client.create(kind, labelled, c).catch((e: unknown) => {
        if (!isKind(e, 'AlreadyExists')) throw e;
      });
      const collection = resourcePath(kind, { namespace: kind.namespaced ? NAMESPACE : '' });
      const path = withQuery(collection, { labelSelector: SELECTOR });
      await client.json(
        { method: 'DELETE', path, body: JSON.stringify({ kind: 'DeleteOptions', apiVersion: 'v1', ...AT_ONCE }) },
        c,
      );
      await requireGone(r, labelled, a);
      await client.get(kind, keyOf(kind, first), c);
    },
    delete: async () => {
      await client.delete(kind, keyOf(kind, first), AT_ONCE, c);
      await requireGone(r, first, a);
    },
  };
}

/** Jobs and replication controllers would else be held for a garbage collector that is not here. */
const AT_ONCE = { gracePeriodSeconds: 0, propagationPolicy: 'Background' } as const;

/** Of what is only marked, because finalizers hold it, they are taken away, as the controllers do that are not here. */
async function requireGone(r: Resource, object: KubeObject, { client, c }: Asker): Promise<void> {
  const key = keyOf(r.kind, object);
  const deadline = c.clock.monotonic() + GONE_MS;
  try {
    for (;;) {
      const { metadata } = await client.get(r.kind, key, c);
      if (metadata.deletionTimestamp === undefined) throw new Error(`${metadata.name} is not deleted`);
      if (metadata.finalizers?.every((f) => HELD_BY_CONTROLLERS.has(f)) === true)
        await client.patch(r.kind, key, { type: 'merge', body: { metadata: { finalizers: null } } }, c);
      else if (c.clock.monotonic() > deadline) throw new Error(`${metadata.name} is marked, but does not go`);
      await c.clock.sleep(5, c.signal);
    }
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
  }
}

const HELD_BY_CONTROLLERS = new Set(
  ['pv-protection', 'pvc-protection', 'vac-protection'].map((name) => `kubernetes.io/${name}`),
);
