/**
 * A pod's Ready condition while its node is silent, and after. Pure.
 *
 * A silent node's pods are not ready: nobody vouches for them. When the node is heard again its own last word counts again:
 * ContainersReady and the readiness gates, which nobody touched meanwhile; what changed meanwhile it reports itself.
 */
import type { DeepReadonly, Pod, PodCondition } from '#lib/api';
import { getCondition, isConditionTrue } from '#lib/api';
import type { Instant } from '../instant.ts';

const REASON = 'NodeNotReady';

/** The conditions with Ready=False; undefined when the pod is not ready anyway. */
export function unready(pod: DeepReadonly<Pod>, now: Instant): readonly DeepReadonly<PodCondition>[] | undefined {
  if (!isConditionTrue(pod.status?.conditions, 'Ready')) return undefined;
  return withReady(pod, { status: 'False', reason: REASON, lastTransitionTime: now.text });
}

/** The conditions with Ready=True again; undefined when Ready was not ours, or the node's last word was not that. */
export function restored(pod: DeepReadonly<Pod>, now: Instant): readonly DeepReadonly<PodCondition>[] | undefined {
  const conditions = pod.status?.conditions;
  const ready = getCondition(conditions, 'Ready');
  if (ready?.status !== 'False' || ready.reason !== REASON || pod.metadata.deletionTimestamp !== undefined)
    return undefined;
  const gates = (pod.spec.readinessGates ?? []).map((g) => g.conditionType);
  if (!['ContainersReady', ...gates].every((type) => isConditionTrue(conditions, type))) return undefined;
  return withReady(pod, { status: 'True', reason: undefined, lastTransitionTime: now.text });
}

function withReady(pod: DeepReadonly<Pod>, ready: Omit<PodCondition, 'type'>): readonly DeepReadonly<PodCondition>[] {
  return (pod.status?.conditions ?? []).map((c) => {
    if (c.type !== 'Ready') return c;
    const { reason: _, message: __, ...rest } = c;
    const { reason, ...next } = ready;
    return { ...rest, ...next, ...(reason === undefined ? {} : { reason }) };
  });
}
