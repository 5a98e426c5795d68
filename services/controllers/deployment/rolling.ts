/**
 * How a rolling update changes the sizes of the ReplicaSets. Pure.
 *
 * Invariants, from any state (tested as properties): the sum of sizes never rises above wanted + maxSurge; what is taken
 * from old sets leaves at least wanted - maxUnavailable available pods, as far as there were that many.
 * Source: kubernetes pkg/controller/deployment/rolling.go, util NewRSNewReplicas.
 */
import { availableOf, byCreation, type Dep, isRolling, rollingLimits, type Sized, sum, wantedOf } from './sets.ts';

/** The size of the new set; `current` counts all sets, the new one included. */
export function newSetSize(d: Dep, size: number, current: number): number {
  const wanted = wantedOf(d);
  if (size >= wanted || !isRolling(d)) return wanted;
  const room = wanted + rollingLimits(d).maxSurge - current;
  return size + Math.max(Math.min(room, wanted - size), 0);
}

/** The sizes of the old sets; `fresh` is the new set as it is now, if there is one. */
export function oldSetSizes(d: Dep, fresh: Sized | undefined, old: readonly Sized[]): readonly Sized[] {
  const minAvailable = wantedOf(d) - rollingLimits(d).maxUnavailable;
  const freshUnavailable = fresh ? Math.max(fresh.size - availableOf(fresh.rs), 0) : 0;
  const room = sum(old) + (fresh?.size ?? 0) - minAvailable - freshUnavailable;
  if (room <= 0) return old;
  const cleaned = withoutUnhealthy(old, room);
  const available = [...cleaned, ...(fresh ? [fresh] : [])].reduce(
    (n, s) => n + Math.min(availableOf(s.rs), s.size),
    0,
  );
  return shrink(cleaned, available - minAvailable);
}

/** First those that serve nobody: pods that are not available cost nothing. */
function withoutUnhealthy(old: readonly Sized[], room: number): readonly Sized[] {
  let left = room;
  return old.toSorted(inOrder).map((s) => {
    const taken = Math.min(left, Math.max(s.size - availableOf(s.rs), 0));
    left -= taken;
    return { rs: s.rs, size: s.size - taken };
  });
}

function shrink(old: readonly Sized[], by: number): readonly Sized[] {
  let left = Math.max(by, 0);
  return old.toSorted(inOrder).map((s) => {
    const taken = Math.min(left, s.size);
    left -= taken;
    return { rs: s.rs, size: s.size - taken };
  });
}

function inOrder(a: Sized, b: Sized): number {
  return byCreation(a.rs, b.rs);
}
