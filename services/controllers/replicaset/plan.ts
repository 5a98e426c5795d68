/**
 * What a ReplicaSet should do now, and its status. Pure.
 *
 * Invariants: only active pods (neither finished nor going) count; a pod is deleted only when there are more than wanted;
 * with a ReplicaSet that is going nothing is created, deleted, adopted or released: the garbage collector does the rest.
 * Source: kubernetes pkg/controller/replicaset/{replica_set,replica_set_utils}.go.
 */
import type { DeepReadonly, Pod, ReplicaSet, ReplicaSetStatus } from '#lib/api';
import { getCondition, matcherOf, setCondition } from '#lib/api';
import type { Instant } from '../instant.ts';
import { availableAtMs, isActive, isFinished, isReady, isTerminating } from '../pod-state.ts';
import { inDeletionOrder } from './rank.ts';

export interface Observed {
  readonly set: DeepReadonly<ReplicaSet>;
  /** Pods whose controller this ReplicaSet is, in any state. */
  readonly owned: readonly DeepReadonly<Pod>[];
  /** Pods of the namespace without a controller. */
  readonly orphans: readonly DeepReadonly<Pod>[];
  /** Active pods of the sets of the same owner, by node: for the order of deletion. */
  readonly relatedOnNode: ReadonlyMap<string, number>;
}

export type Action =
  | { readonly type: 'adopt'; readonly pod: DeepReadonly<Pod> }
  | { readonly type: 'release'; readonly pod: DeepReadonly<Pod> }
  | { readonly type: 'create'; readonly count: number }
  | { readonly type: 'delete'; readonly pods: readonly DeepReadonly<Pod>[] };

export interface Plan {
  readonly actions: readonly Action[];
  /** As it is before the actions; what they change comes back as events. */
  readonly status: ReplicaSetStatus;
  /** ms since the epoch: when a ready pod becomes available without any event. */
  readonly wakeAtMs?: number | undefined;
}

export interface Failure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

export function plan(seen: Observed, now: Instant): Plan {
  const { set } = seen;
  const matches = matcherOf(set.spec.selector);
  const kept = seen.owned.filter((p) => matches.matches(p.metadata.labels));
  const isGoing = set.metadata.deletionTimestamp !== undefined;
  const actions: Action[] = [];
  const adopted: DeepReadonly<Pod>[] = [];
  if (!isGoing) {
    for (const pod of seen.owned)
      if (!matches.matches(pod.metadata.labels) && !isTerminating(pod)) actions.push({ type: 'release', pod });
    for (const pod of seen.orphans)
      if (isActive(pod) && matches.matches(pod.metadata.labels)) {
        actions.push({ type: 'adopt', pod });
        adopted.push(pod);
      }
  }
  const active = [...kept.filter(isActive), ...adopted];
  const wanted = set.spec.replicas ?? 1;
  if (!isGoing && active.length < wanted) actions.push({ type: 'create', count: wanted - active.length });
  if (!isGoing && active.length > wanted) {
    const pods = inDeletionOrder(active, seen.relatedOnNode, now.ms).slice(0, active.length - wanted);
    actions.push({ type: 'delete', pods });
  }
  return { actions, status: statusOf(set, kept, active, now), wakeAtMs: nextAvailable(set, active, now) };
}

function statusOf(
  set: DeepReadonly<ReplicaSet>,
  owned: readonly DeepReadonly<Pod>[],
  active: readonly DeepReadonly<Pod>[],
  now: Instant,
): ReplicaSetStatus {
  const labels = Object.entries(set.spec.template?.metadata?.labels ?? {});
  const minReadySeconds = set.spec.minReadySeconds ?? 0;
  const conditions = set.status?.conditions?.map((c) => ({ ...c }));
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((p) => labels.every(([k, v]) => p.metadata.labels?.[k] === v)).length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas: active.filter((p) => (availableAtMs(p, minReadySeconds) ?? Number.POSITIVE_INFINITY) <= now.ms)
      .length,
    terminatingReplicas: owned.filter((p) => isTerminating(p) && !isFinished(p)).length,
    observedGeneration: set.metadata.generation,
    ...(conditions === undefined ? {} : { conditions }),
  };
}

function nextAvailable(
  set: DeepReadonly<ReplicaSet>,
  active: readonly DeepReadonly<Pod>[],
  now: Instant,
): number | undefined {
  let soonest: number | undefined;
  for (const pod of active) {
    const at = availableAtMs(pod, set.spec.minReadySeconds ?? 0);
    if (at !== undefined && at > now.ms && (soonest === undefined || at < soonest)) soonest = at;
  }
  return soonest;
}

/** The status with condition ReplicaFailure set by what happened to the actions, or taken away. */
export function withFailure(status: ReplicaSetStatus, failure: Failure | undefined, now: Instant): ReplicaSetStatus {
  if (failure) {
    const before = getCondition(status.conditions, 'ReplicaFailure');
    // The first message stays while the reason does: it would otherwise be written anew for every retry.
    if (before?.status === 'True' && before.reason === failure.reason) return status;
    const condition = { type: 'ReplicaFailure', status: 'True', reason: failure.reason, message: failure.message };
    return { ...status, conditions: [...setCondition(status.conditions, condition, now.text)] };
  }
  const rest = (status.conditions ?? []).filter((c) => c.type !== 'ReplicaFailure');
  const { conditions: _, ...plain } = status;
  return rest.length === 0 ? plain : { ...plain, conditions: rest };
}
