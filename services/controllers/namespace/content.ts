/** Deletes what is in a namespace, of every namespaced kind there is, and says what remains. */
import type { DeepReadonly, KindInfo, KubeObject } from '#lib/api';
import { allKinds, keyOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf } from '#lib/base';
import type { Client } from '#lib/client';
import { forEachLimited } from '#lib/controller';
import type { Remains } from './plan.ts';

const KINDS_WIDTH = 8;
const OBJECTS_WIDTH = 32;

/** Several groups or versions that are stored as one are named once. */
export function namespacedKinds(custom: readonly KindInfo[] = []): readonly KindInfo[] {
  const seen = new Set<string>();
  return [...allKinds(), ...custom].filter((k) => {
    const id = `${k.group === 'events.k8s.io' ? '' : k.group}/${k.resource}`;
    if (!k.namespaced || !k.verbs.includes('list') || !k.verbs.includes('delete') || seen.has(id)) return false;
    seen.add(id);
    return true;
  });
}

export interface Pass {
  readonly remains: readonly Remains[];
  readonly failures: readonly string[];
}

/** Pods first: nothing that they may need goes before they are gone. */
export async function deleteContent(
  client: Client,
  namespace: string,
  custom: readonly KindInfo[],
  c: Ctx,
): Promise<Pass> {
  const kinds = namespacedKinds(custom);
  const isPods = (k: KindInfo): boolean => k.group === '' && k.resource === 'pods';
  const pods = await deleteKinds(client, namespace, kinds.filter(isPods), c);
  if (pods.failures.length > 0 || pods.remains.some((r) => r.count > 0)) return pods;
  return deleteKinds(
    client,
    namespace,
    kinds.filter((k) => !isPods(k)),
    c,
  );
}

async function deleteKinds(client: Client, namespace: string, kinds: readonly KindInfo[], c: Ctx): Promise<Pass> {
  const remains: Remains[] = [];
  const failures: string[] = [];
  await forEachLimited(kinds, KINDS_WIDTH, async (kind) => {
    try {
      remains.push(await deleteKind(client, namespace, kind, c));
    } catch (e) {
      if (c.signal.aborted) throw e;
      failures.push(`${nameOf(kind)}: ${messageOf(e)}`);
    }
  });
  return { remains, failures };
}

async function deleteKind(client: Client, namespace: string, kind: KindInfo, c: Ctx): Promise<Remains> {
  const { items } = await client.list(kind, { namespace }, c);
  const fresh = items.filter((o) => o.metadata.deletionTimestamp === undefined);
  await forEachLimited(fresh, OBJECTS_WIDTH, async (o) => {
    try {
      const preconditions = { uid: o.metadata.uid };
      await client.delete(kind, keyOf(o), { propagationPolicy: 'Background', preconditions }, c);
    } catch (e) {
      if (!isKind(e, 'NotFound') && !isKind(e, 'Conflict')) throw e;
    }
  });
  const left = items.length === 0 ? items : (await client.list(kind, { namespace }, c)).items;
  return { resource: nameOf(kind), count: left.length, finalizers: finalizersOf(left) };
}

function finalizersOf(items: readonly DeepReadonly<KubeObject>[]): ReadonlyMap<string, number> {
  const count = new Map<string, number>();
  for (const o of items) for (const f of o.metadata.finalizers ?? []) count.set(f, (count.get(f) ?? 0) + 1);
  return count;
}

function nameOf(kind: KindInfo): string {
  return kind.group === '' ? kind.resource : `${kind.resource}.${kind.group}`;
}
