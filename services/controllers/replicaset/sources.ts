/** Which ReplicaSets a change of a pod concerns; tells the expectations what has been seen on the way. */
import type { DeepReadonly, Pod, ReplicaSet } from '#lib/api';
import { controllerOf, keyText, matcherOf } from '#lib/api';
import type { Expectations, Informer } from '#lib/controller';

export function setsConcernedBy(
  previous: DeepReadonly<Pod> | undefined,
  next: DeepReadonly<Pod> | undefined,
  sets: Informer<ReplicaSet>,
  expectations: Expectations,
): readonly string[] {
  const keys = new Set<string>();
  for (const pod of [previous, next]) {
    const owner = pod && controllerOf(pod);
    if (owner?.kind === 'ReplicaSet') keys.add(keyText({ namespace: pod?.metadata.namespace ?? '', name: owner.name }));
  }
  const pod = next ?? previous;
  if (!pod) return [];
  const uid = pod.metadata.uid ?? '';
  const isGone = next === undefined || next.metadata.deletionTimestamp !== undefined;
  for (const key of keys) {
    if (isGone) expectations.sawGone(key, uid);
    else expectations.sawPresent(key, uid);
  }
  // A pod without a controller may be wanted by any set whose selector matches it.
  if (next && !controllerOf(next) && !isGone)
    for (const set of sets.list(next.metadata.namespace))
      if (matcherOf(set.spec.selector).matches(next.metadata.labels))
        keys.add(keyText({ namespace: set.metadata.namespace ?? '', name: set.metadata.name }));
  return [...keys];
}
