/**
 * The status of a Deployment: counts, and the conditions that `kubectl rollout status` waits for. Pure.
 * Source: kubernetes pkg/controller/deployment/{sync,progress}.go, util/deployment_util.go.
 */
import type { DeepReadonly, DeploymentStatus } from '#lib/api';
import { getCondition, setCondition } from '#lib/api';
import type { Instant } from '../instant.ts';
import { msOf } from '../pod-state.ts';
import { availableOf, type Dep, type Rs, rollingLimits, sizeOf, wantedOf } from './sets.ts';

type Condition = NonNullable<DeploymentStatus['conditions']>[number];

/** Longer than any rollout: the API's way of saying "no deadline". */
const NO_DEADLINE_SECONDS = 2 ** 31 - 1;

export interface Progress {
  readonly fresh: Rs | undefined;
  readonly old: readonly Rs[];
  /** Set when this plan creates the new set, under this name. */
  readonly creates: string | undefined;
  /** Set when creating it has failed. */
  readonly createFailed?: string | undefined;
  /** Whether the whole of the rollout was looked at, not only the size (paused, resized). */
  readonly isRollout: boolean;
}

export interface StatusPlan {
  readonly status: DeploymentStatus;
  /** ms since the epoch: when the progress deadline passes. */
  readonly wakeAtMs?: number | undefined;
}

export function statusOf(d: Dep, p: Progress, now: Instant): StatusPlan {
  const counts = countsOf(d, p);
  let list = copyOf(d.status?.conditions);
  list = put(list, availability(d, counts), now);
  list = replicaFailure(list, p, now);
  list = announced(d, list, p, now);
  if (p.isRollout && hasDeadline(d)) list = progressed(d, list, counts, p, now);
  const status: DeploymentStatus = {
    ...counts,
    ...(d.status?.collisionCount === undefined ? {} : { collisionCount: d.status.collisionCount }),
    conditions: [...list],
  };
  return { status, wakeAtMs: p.isRollout ? deadlineMs(d, list) : undefined };
}

/** The rollout has ended well: everything is of the new version and available. */
export function isComplete(d: Dep, s: DeepReadonly<DeploymentStatus>): boolean {
  const wanted = wantedOf(d);
  return (
    (s.updatedReplicas ?? 0) === wanted &&
    (s.replicas ?? 0) === wanted &&
    (s.availableReplicas ?? 0) === wanted &&
    (s.observedGeneration ?? 0) >= (d.metadata.generation ?? 0)
  );
}

function countsOf(d: Dep, p: Progress): DeploymentStatus {
  const all = p.fresh ? [p.fresh, ...p.old] : p.old;
  const total = (of: (rs: Rs) => number | undefined): number => all.reduce((n, rs) => n + (of(rs) ?? 0), 0);
  const available = total(availableOf);
  return {
    observedGeneration: d.metadata.generation,
    replicas: total((rs) => rs.status?.replicas),
    updatedReplicas: p.fresh?.status?.replicas ?? 0,
    readyReplicas: total((rs) => rs.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(total(sizeOf) - available, 0),
    terminatingReplicas: total((rs) => rs.status?.terminatingReplicas),
  };
}

function availability(d: Dep, s: DeploymentStatus): Condition {
  return (s.availableReplicas ?? 0) >= wantedOf(d) - rollingLimits(d).maxUnavailable
    ? condition('Available', 'True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.')
    : condition('Available', 'False', 'MinimumReplicasUnavailable', 'Deployment does not have minimum availability.');
}

function replicaFailure(list: readonly Condition[], p: Progress, now: Instant): readonly Condition[] {
  const own = p.fresh && getCondition(p.fresh.status?.conditions, 'ReplicaFailure');
  const failure = own ?? p.old.map((rs) => getCondition(rs.status?.conditions, 'ReplicaFailure')).find((c) => c);
  if (failure)
    return put(list, condition('ReplicaFailure', failure.status, failure.reason ?? '', failure.message ?? ''), now);
  return list.filter((c) => c.type !== 'ReplicaFailure');
}

/** What the new set's coming, and pausing and resuming, do to condition Progressing. */
function announced(d: Dep, list: readonly Condition[], p: Progress, now: Instant): readonly Condition[] {
  if (!hasDeadline(d)) return list.filter((c) => c.type !== 'Progressing');
  const before = getCondition(list, 'Progressing');
  if (p.createFailed !== undefined)
    return put(list, condition('Progressing', 'False', 'ReplicaSetCreateError', p.createFailed), now);
  if (p.creates !== undefined)
    return put(list, progressing('NewReplicaSetCreated', `Created new replica set "${p.creates}"`), now);
  const isPaused = d.spec.paused === true;
  const wasPaused = before?.reason === 'DeploymentPaused';
  if (before?.reason !== 'ProgressDeadlineExceeded' && isPaused !== wasPaused)
    return isPaused
      ? put(list, condition('Progressing', 'Unknown', 'DeploymentPaused', 'Deployment is paused'), now)
      : put(list, condition('Progressing', 'Unknown', 'DeploymentResumed', 'Deployment is resumed'), now);
  if (!before && p.fresh)
    return put(list, progressing('FoundNewReplicaSet', `Found new replica set "${p.fresh.metadata.name}"`), now);
  return list;
}

function progressed(
  d: Dep,
  list: readonly Condition[],
  s: DeploymentStatus,
  p: Progress,
  now: Instant,
): readonly Condition[] {
  const before = getCondition(list, 'Progressing');
  const isSettled = s.replicas === s.updatedReplicas && before?.reason === 'NewReplicaSetAvailable';
  if (isSettled || p.creates !== undefined || p.createFailed !== undefined) return list;
  const what = p.fresh ? `ReplicaSet "${p.fresh.metadata.name}"` : `Deployment "${d.metadata.name}"`;
  if (isComplete(d, s))
    return put(list, progressing('NewReplicaSetAvailable', `${what} has successfully progressed.`), now);
  if (hasMoved(d.status ?? {}, s)) {
    const next = progressing('ReplicaSetUpdated', `${what} is progressing.`);
    // lastUpdateTime is the progress deadline's beginning: it moves although the text stays.
    return setCondition(list, { ...next, lastUpdateTime: now.text }, now.text);
  }
  const until = deadlineMs(d, list);
  if (until !== undefined && until <= now.ms)
    return put(
      list,
      condition('Progressing', 'False', 'ProgressDeadlineExceeded', `${what} has timed out progressing.`),
      now,
    );
  return list;
}

function hasMoved(before: DeepReadonly<DeploymentStatus>, s: DeploymentStatus): boolean {
  const oldOnes = (x: DeepReadonly<DeploymentStatus>): number => (x.replicas ?? 0) - (x.updatedReplicas ?? 0);
  return (
    (s.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    oldOnes(s) < oldOnes(before) ||
    (s.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (s.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function hasDeadline(d: Dep): boolean {
  return (d.spec.progressDeadlineSeconds ?? NO_DEADLINE_SECONDS) !== NO_DEADLINE_SECONDS;
}

/** When the rollout counts as stuck; undefined when it is over, stuck already, paused, or has no deadline. */
function deadlineMs(d: Dep, list: readonly Condition[]): number | undefined {
  const c = getCondition(list, 'Progressing');
  if (!hasDeadline(d) || d.spec.paused === true || c === undefined) return undefined;
  if (c.reason === 'NewReplicaSetAvailable' || c.reason === 'ProgressDeadlineExceeded') return undefined;
  return msOf(c.lastUpdateTime) + (d.spec.progressDeadlineSeconds ?? 0) * 1000;
}

function progressing(reason: string, message: string): Condition {
  return condition('Progressing', 'True', reason, message);
}

function condition(type: string, status: string, reason: string, message: string): Condition {
  return { type, status, reason, message };
}

/** lastUpdateTime moves only when status or reason change, as for Kubernetes. */
function put(list: readonly Condition[], next: Condition, now: Instant): readonly Condition[] {
  const before = getCondition(list, next.type);
  if (before && before.status === next.status && before.reason === next.reason) return list;
  return setCondition(list, { ...next, lastUpdateTime: now.text }, now.text);
}

function copyOf(list: DeepReadonly<readonly Condition[]> | undefined): readonly Condition[] {
  return (list ?? []).map((c) => ({ ...c }));
}
