/**
 * A Deployment whose size changes in the middle of a rollout (or while paused) spreads the change over its sets in
 * proportion to their sizes, so that the risk of the new version stays what it was. Pure.
 * Source: kubernetes pkg/controller/deployment/sync.go scale, util GetReplicaSetProportion.
 */
import {
  availableOf,
  byCreation,
  DESIRED,
  type Dep,
  isRolling,
  MAX,
  numberIn,
  type Rs,
  revisionOf,
  rollingLimits,
  type Sized,
  sizeOf,
  sum,
  wantedOf,
} from './sets.ts';

/** Whether a set still carries another wanted size than the Deployment has now. */
export function isResized(d: Dep, sets: readonly Rs[]): boolean {
  return sets.some((rs) => {
    const noted = numberIn(rs.metadata.annotations?.[DESIRED]);
    return sizeOf(rs) > 0 && noted !== undefined && noted !== wantedOf(d);
  });
}

/** The sizes of all sets after the Deployment's own size has changed. */
export function resized(d: Dep, fresh: Rs | undefined, old: readonly Rs[]): readonly Sized[] {
  const wanted = wantedOf(d);
  const all = fresh ? [fresh, ...old] : [...old];
  const active = all.filter((rs) => sizeOf(rs) > 0);
  const only = active.length > 1 ? undefined : (active[0] ?? fresh ?? latest(old));
  const keep = all.map((rs) => ({ rs, size: sizeOf(rs) }));
  if (active.length <= 1) return keep.map((s) => (s.rs === only ? { rs: s.rs, size: wanted } : s));
  if (fresh && isSaturated(d, fresh)) return keep.map((s) => (s.rs === fresh ? s : { rs: s.rs, size: 0 }));
  if (!isRolling(d)) return keep;
  const change = (wanted > 0 ? wanted + rollingLimits(d).maxSurge : 0) - sum(keep);
  if (change === 0) return keep;
  const spread = inProportion(d, active, change);
  return keep.map((s) => ({ rs: s.rs, size: spread.get(s.rs.metadata.name) ?? s.size }));
}

function inProportion(d: Dep, active: readonly Rs[], change: number): ReadonlyMap<string, number> {
  const bySize = active.toSorted((a, b) => sizeOf(b) - sizeOf(a) || (change > 0 ? byCreation(b, a) : byCreation(a, b)));
  const sizes = new Map<string, number>();
  let added = 0;
  for (const rs of bySize) {
    const share = shareOf(d, rs, change, added);
    sizes.set(rs.metadata.name, sizeOf(rs) + share);
    added += share;
  }
  const [largest] = bySize;
  if (largest) {
    const name = largest.metadata.name;
    sizes.set(name, Math.max((sizes.get(name) ?? 0) + change - added, 0));
  }
  return sizes;
}

function shareOf(d: Dep, rs: Rs, change: number, added: number): number {
  const left = change - added;
  if (left === 0) return 0;
  const fraction = fractionOf(d, rs);
  return change > 0 ? Math.min(fraction, left) : Math.max(fraction, left);
}

function fractionOf(d: Dep, rs: Rs): number {
  if (wantedOf(d) === 0) return -sizeOf(rs);
  const before = numberIn(rs.metadata.annotations?.[MAX]) ?? d.status?.replicas ?? 0;
  if (before === 0) return 0;
  return Math.round((sizeOf(rs) * (wantedOf(d) + rollingLimits(d).maxSurge)) / before) - sizeOf(rs);
}

function isSaturated(d: Dep, fresh: Rs): boolean {
  const wanted = wantedOf(d);
  const noted = numberIn(fresh.metadata.annotations?.[DESIRED]);
  return sizeOf(fresh) === wanted && noted === wanted && availableOf(fresh) === wanted;
}

function latest(sets: readonly Rs[]): Rs | undefined {
  return sets.toSorted((a, b) => revisionOf(b) - revisionOf(a) || byCreation(b, a))[0];
}
