/**
 * Small reads and writes that every controller needs: conditions, owner references, ages.
 * Invariant: lastTransitionTime moves only when a condition's status changes, so that "since when" is true.
 * Source: k8s.io/apimachinery/pkg/api/meta/conditions.go, pkg/apis/meta/v1/controller_ref.go, pkg/util/duration/duration.go.
 */
import type { OwnerReference } from './gen/types/meta-v1.ts';
import { apiVersionOf, type DeepReadonly, type KindRef, type KubeObject } from './object.ts';

/** What all condition types of the API have in common. */
export interface ConditionLike {
  type: string;
  status: string;
  reason?: string | undefined;
  message?: string | undefined;
  lastTransitionTime?: string | undefined;
  observedGeneration?: number | undefined;
}

export function getCondition<C extends ConditionLike>(list: readonly C[] | undefined, type: string): C | undefined {
  return list?.find((c) => c.type === type);
}

/** True if the condition is present with status "True". */
export function isConditionTrue(list: readonly ConditionLike[] | undefined, type: string): boolean {
  return getCondition(list, type)?.status === 'True';
}

/**
 * The list with `next` in it, replacing the one of its type; `list` is left alone. lastTransitionTime is `nowText` if the
 * status changed (or the condition is new), else what it was. Gives `list` itself if nothing changed.
 */
export function setCondition<C extends ConditionLike>(
  list: readonly C[] | undefined,
  next: C,
  nowText: string,
): readonly C[] {
  const all = list ?? [];
  const index = all.findIndex((c) => c.type === next.type);
  const before = all[index];
  if (before === undefined) return [...all, { ...next, lastTransitionTime: next.lastTransitionTime ?? nowText }];
  const transition = before.status === next.status ? before.lastTransitionTime : nowText;
  const merged: C = { ...before, ...next, lastTransitionTime: transition };
  const same = (Object.keys(merged) as (keyof C)[]).every((k) => Object.is(merged[k], before[k]));
  return same ? all : all.with(index, merged);
}

/** The owner reference with controller=true, if any. */
export function controllerOf(o: DeepReadonly<KubeObject>): DeepReadonly<OwnerReference> | undefined {
  return o.metadata.ownerReferences?.find((r) => r.controller === true);
}

export function isControlledBy(o: DeepReadonly<KubeObject>, owner: DeepReadonly<KubeObject>): boolean {
  return owner.metadata.uid !== undefined && controllerOf(o)?.uid === owner.metadata.uid;
}

/** The reference that makes `owner` the controller of an object and blocks the owner's foreground deletion. */
export function newControllerRef(owner: DeepReadonly<KubeObject>, kind: KindRef): OwnerReference {
  return {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Age of a timestamp as kubectl prints it: `45s`, `5m3s`, `3h12m`, `4d2h`, `2y35d`; `<unknown>` if absent or unreadable. */
export function ageText(nowMs: number, timestamp: string | undefined): string {
  const then = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(then) ? '<unknown>' : durationText(nowMs - then);
}

/** A duration in at most two units, as kubectl's HumanDuration. A little negative (clock skew) is `0s`. */
export function durationText(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return two(days, 'd', hours % 24, 'h');
  const years = Math.floor(hours / 24 / 365);
  if (years < 2) return `${days}d`;
  if (years < 8) return two(years, 'y', days % 365, 'd');
  return `${years}y`;
}

function two(a: number, aUnit: string, b: number, bUnit: string): string {
  return b === 0 ? `${a}${aUnit}` : `${a}${aUnit}${b}${bUnit}`;
}
