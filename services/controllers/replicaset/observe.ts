/** What the caches show of one ReplicaSet. */
import type { DeepReadonly, ObjectKey, Pod, ReplicaSet } from '#lib/api';
import { controllerOf } from '#lib/api';
import type { Informer } from '#lib/controller';
import { BY_CONTROLLER, orphansOf } from '../indexes.ts';
import { isActive } from '../pod-state.ts';
import type { Observed } from './plan.ts';

export interface Caches {
  readonly sets: Informer<ReplicaSet>;
  readonly pods: Informer<Pod>;
}

export function observe(key: ObjectKey, caches: Caches): Observed | undefined {
  const set = caches.sets.get(key);
  if (!set) return undefined;
  return {
    set,
    owned: caches.pods.byIndex(BY_CONTROLLER, set.metadata.uid ?? ''),
    orphans: caches.pods.byIndex(BY_CONTROLLER, orphansOf(key.namespace)),
    relatedOnNode: relatedOnNode(set, caches),
  };
}

function relatedOnNode(set: DeepReadonly<ReplicaSet>, caches: Caches): ReadonlyMap<string, number> {
  const owner = controllerOf(set)?.uid;
  const siblings = owner === undefined ? [set] : caches.sets.byIndex(BY_CONTROLLER, owner);
  const count = new Map<string, number>();
  for (const sibling of siblings)
    for (const pod of caches.pods.byIndex(BY_CONTROLLER, sibling.metadata.uid ?? ''))
      if (isActive(pod) && pod.spec.nodeName) count.set(pod.spec.nodeName, (count.get(pod.spec.nodeName) ?? 0) + 1);
  return count;
}
