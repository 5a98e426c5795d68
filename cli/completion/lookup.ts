/** Names from the API for the shell's completion: within a second or two, or none. */
import { type DeepReadonly, Kinds, type KubeObject } from '#lib/api';
import { readKubeconfig } from '#lib/client';
import { type AccessOptions, kubeconfigPaths, type Session, withSession } from '../client/access.ts';
import { podOf } from '../client/pods.ts';
import type { Lookup } from './candidates.ts';

const NAMES_MAX = 500;

export const apiLookup: Lookup = {
  resources: (o) =>
    quietly(o, async (s) => {
      const { all } = await s.resources();
      const listable = all.filter((r) => r.verbs.includes('list'));
      const shorts = listable.flatMap((r) => r.shortNames.map((word) => ({ word, description: r.kind })));
      const words = [...listable.map((r) => ({ word: r.resource, description: r.kind })), ...shorts];
      return [...new Map(words.map((w) => [w.word, w])).values()];
    }),
  names: (kind, o) =>
    quietly(o, async (s) => {
      const r = (await s.resources()).find(kind.split(',')[0] ?? '');
      if (r === undefined) return [];
      const q = { namespace: r.namespaced ? s.namespace : '', limit: NAMES_MAX };
      const { items } = await s.client.list(r, q, s.c);
      return (items as readonly DeepReadonly<KubeObject>[]).map((x) => x.metadata.name);
    }),
  contexts: async (o) => {
    try {
      const paths = await kubeconfigPaths(o, process.env);
      const all = await Promise.all(paths.map((p) => readKubeconfig(p)));
      return all.flatMap((k) => k.contexts.map((c) => c.name));
    } catch {
      // A kubeconfig that cannot be read has no contexts to offer.
      return [];
    }
  },
  containers: (pod, o) =>
    quietly(o, async (s) => {
      const found = pod.includes('/')
        ? await podOf(pod, s)
        : await s.client.get(Kinds.pods, { namespace: s.namespace, name: pod }, s.c);
      return [...(found.spec?.containers ?? []), ...(found.spec?.initContainers ?? [])].map((c) => c.name);
    }),
};

async function quietly<T>(o: AccessOptions, fn: (s: Session) => Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await withSession(o, fn);
  } catch {
    // No cluster, no rights, no such kind: nothing to offer.
    return [];
  }
}
