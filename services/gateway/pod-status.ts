/**
 * What becomes of a pod's stored status when its node reports one. Pure. The node owns the status but for the conditions
 * that others set (DisruptionTarget, readiness gates, ...), and a pod that has ended never starts again.
 * Source: kubernetes pkg/kubelet/status/status_manager.go, mergePodStatus.
 */
import type { DeepReadonly, PodCondition, PodStatus } from '#lib/api';
import { isEqualJson } from '#lib/controller';

const NODE_CONDITIONS: ReadonlySet<string> = new Set([
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
  'PodReadyToStartContainers',
  'PodResizePending',
  'PodResizeInProgress',
]);

/** undefined = the report must not be stored. */
export function mergePodStatus(
  stored: DeepReadonly<PodStatus> | undefined,
  reported: PodStatus,
): DeepReadonly<PodStatus> | undefined {
  const hasEnded = stored?.phase === 'Succeeded' || stored?.phase === 'Failed';
  if (hasEnded && reported.phase !== stored.phase) return undefined;
  const own = new Set((reported.conditions ?? []).map((c) => c.type));
  const kept = (stored?.conditions ?? []).filter((c) => !own.has(c.type) && keeps(c));
  const conditions = [...(reported.conditions ?? []), ...kept];
  return {
    ...(stored?.qosClass === undefined ? {} : { qosClass: stored.qosClass }),
    ...reported,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

/** PodScheduled is the scheduler's until the node takes it over. */
function keeps(c: DeepReadonly<PodCondition>): boolean {
  return c.type === 'PodScheduled' || !NODE_CONDITIONS.has(c.type);
}

/** Whether storing would change anything but the order of keys. */
export function sameStatus(a: DeepReadonly<PodStatus> | undefined, b: DeepReadonly<PodStatus>): boolean {
  return isEqualJson(a ?? {}, b);
}
