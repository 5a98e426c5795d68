/** What controllers want to know of a pod. Pure. Source: kubernetes pkg/api/v1/pod/util.go, pkg/controller/controller_utils.go. */
import type { DeepReadonly, Pod } from '#lib/api';
import { getCondition, isConditionTrue } from '#lib/api';

export function isFinished(pod: DeepReadonly<Pod>): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export function isTerminating(pod: DeepReadonly<Pod>): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

/** Counts as a replica: neither finished nor going. */
export function isActive(pod: DeepReadonly<Pod>): boolean {
  return !isFinished(pod) && !isTerminating(pod);
}

export function isReady(pod: DeepReadonly<Pod>): boolean {
  return isConditionTrue(pod.status?.conditions, 'Ready');
}

/** Since when the pod is ready, in ms since the epoch; undefined when it is not. */
export function readySinceMs(pod: DeepReadonly<Pod>): number | undefined {
  const ready = getCondition(pod.status?.conditions, 'Ready');
  return ready?.status === 'True' ? msOf(ready.lastTransitionTime) : undefined;
}

/** When a ready pod has been ready for `minReadySeconds`; undefined when it is not ready. */
export function availableAtMs(pod: DeepReadonly<Pod>, minReadySeconds: number): number | undefined {
  const since = readySinceMs(pod);
  return since === undefined ? undefined : minReadySeconds === 0 ? 0 : since + minReadySeconds * 1000;
}

export function restartsOf(pod: DeepReadonly<Pod>): number {
  return (pod.status?.containerStatuses ?? []).reduce((max, s) => Math.max(max, s.restartCount), 0);
}

/** 0 when absent or unreadable. */
export function msOf(timestamp: string | undefined): number {
  const ms = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(ms) ? 0 : ms;
}
