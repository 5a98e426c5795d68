/**
 * Whether, and when, a pod must leave its node for the node's NoExecute taints. Pure.
 * Source: kubernetes pkg/controller/tainteviction, component-helpers corev1 GetMatchingTolerations.
 */
import type { DeepReadonly, Node, Pod, Taint, Toleration } from '#lib/api';
import { msOf } from '../pod-state.ts';

export type Plan = { readonly type: 'stay' } | { readonly type: 'leave'; readonly atMs: number };

const STAY: Plan = { type: 'stay' };

/** A taint, and since when pods have to leave for it; ms since the epoch. */
export interface Marked {
  readonly taint: DeepReadonly<Taint>;
  readonly sinceMs: number;
}

/** `taints` = those NoExecute taints that count now. Never sooner than a pod tolerates. */
export function plan(pod: DeepReadonly<Pod>, taints: readonly Marked[]): Plan {
  if (taints.length === 0 || pod.metadata.deletionTimestamp !== undefined) return STAY;
  const tolerations = pod.spec.tolerations ?? [];
  const arrivedMs = arrivalMs(pod);
  let leaveMs: number | undefined;
  for (const { taint, sinceMs } of taints) {
    const matching = tolerations.filter((t) => tolerates(t, taint));
    // Not tolerated at all: at once. Tolerated for ever by one and for a time by another: the shorter counts.
    const atMs = matching.length === 0 ? sinceMs : soonest(matching, Math.max(sinceMs, arrivedMs));
    if (atMs !== undefined && (leaveMs === undefined || atMs < leaveMs)) leaveMs = atMs;
  }
  return leaveMs === undefined ? STAY : { type: 'leave', atMs: leaveMs };
}

export function noExecuteTaints(node: DeepReadonly<Node>): readonly DeepReadonly<Taint>[] {
  return (node.spec?.taints ?? []).filter((t) => t.effect === 'NoExecute');
}

function soonest(matching: readonly DeepReadonly<Toleration>[], fromMs: number): number | undefined {
  const seconds = matching.flatMap((t) =>
    t.tolerationSeconds === undefined ? [] : [Math.max(t.tolerationSeconds, 0)],
  );
  return seconds.length === 0 ? undefined : fromMs + Math.min(...seconds) * 1000;
}

/** Timestamps of the API are cut to the second: what they name was at the latest then. */
export function latestMsOf(timestamp: string | undefined): number {
  return timestamp === undefined ? 0 : msOf(timestamp) + 999;
}

/** When the pod came to the node, at the latest. */
function arrivalMs(pod: DeepReadonly<Pod>): number {
  const scheduled = pod.status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'True');
  return latestMsOf(scheduled?.lastTransitionTime ?? pod.metadata.creationTimestamp);
}

function tolerates(t: DeepReadonly<Toleration>, taint: DeepReadonly<Taint>): boolean {
  if (t.effect && t.effect !== 'NoExecute') return false;
  const operator = t.operator || 'Equal';
  if (t.key && t.key !== taint.key) return false;
  if (!t.key && operator !== 'Exists') return false;
  return operator === 'Exists' || (t.value ?? '') === (taint.value ?? '');
}
