/**
 * Which pods go first when there are too many: unassigned, Pending before Unknown before Running, not ready, lower
 * deletion cost, more siblings on the same node, ready for a shorter time (in powers of two, so that it is not always the
 * newest), more restarts, newer. Pure. Source: kubernetes pkg/controller/controller_utils.go ActivePodsWithRanks.
 */
import type { DeepReadonly, Pod } from '#lib/api';
import { isReady, msOf, readySinceMs, restartsOf } from '../pod-state.ts';

const PHASE_RANK: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };
const COST = 'controller.kubernetes.io/pod-deletion-cost';

/** Negative: `a` goes before `b`. `related` = how many siblings run on the pod's node. */
export function compareForDeletion(
  a: DeepReadonly<Pod>,
  b: DeepReadonly<Pod>,
  related: (pod: DeepReadonly<Pod>) => number,
  nowMs: number,
): number {
  const keys: readonly ((p: DeepReadonly<Pod>) => number)[] = [
    (p) => (p.spec.nodeName ? 1 : 0),
    (p) => PHASE_RANK[p.status?.phase ?? 'Pending'] ?? 0,
    (p) => (isReady(p) ? 1 : 0),
    deletionCost,
    (p) => -related(p),
    (p) => bucket(readySinceMs(p), nowMs),
    (p) => -restartsOf(p),
    (p) => -msOf(p.metadata.creationTimestamp),
  ];
  for (const key of keys) {
    const difference = key(a) - key(b);
    if (difference !== 0) return difference;
  }
  return (a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1;
}

export function inDeletionOrder(
  pods: readonly DeepReadonly<Pod>[],
  relatedOnNode: ReadonlyMap<string, number>,
  nowMs: number,
): readonly DeepReadonly<Pod>[] {
  const related = (p: DeepReadonly<Pod>): number => relatedOnNode.get(p.spec.nodeName ?? '') ?? 0;
  return pods.toSorted((a, b) => compareForDeletion(a, b, related, nowMs));
}

function deletionCost(p: DeepReadonly<Pod>): number {
  const text = p.metadata.annotations?.[COST];
  return text !== undefined && /^-?\d{1,10}$/.test(text) ? Number(text) : 0;
}

/** Ready for longer = a higher bucket = goes later. */
function bucket(sinceMs: number | undefined, nowMs: number): number {
  if (sinceMs === undefined) return 0;
  const seconds = Math.max((nowMs - sinceMs) / 1000, 0);
  return seconds < 1 ? 0 : Math.floor(Math.log2(seconds)) + 1;
}
