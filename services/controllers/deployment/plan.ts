/**
 * What a Deployment should do now: adopt and release ReplicaSets, create the one of its template, change sizes, note
 * revisions, drop old history; and its status. Pure.
 *
 * Every step reads the sizes as they are before the plan, and the limits hold in whatever order, and however far, the
 * actions are carried out. Source: kubernetes pkg/controller/deployment/{deployment_controller,sync,rolling,recreate}.go.
 */
import type { DeepReadonly, DeploymentStatus, Pod, PodTemplateSpec } from '#lib/api';
import { matcherOf } from '#lib/api';
import type { Instant } from '../instant.ts';
import { isFinished } from '../pod-state.ts';
import { isResized, resized } from './proportional.ts';
import { copiedAnnotations, revisionNotes } from './revisions.ts';
import { newSetSize, oldSetSizes } from './rolling.ts';
import {
  byCreation,
  DESIRED,
  type Dep,
  isRolling,
  MAX,
  REVISION,
  type Rs,
  revisionOf,
  rollingLimits,
  type Sized,
  sizeOf,
  sum,
  wantedOf,
} from './sets.ts';
import { isComplete, statusOf } from './status.ts';
import { HASH_LABEL, isSameTemplate, templateHash } from './template.ts';

export interface Observed {
  readonly deployment: Dep;
  /** ReplicaSets whose controller this Deployment is. */
  readonly owned: readonly Rs[];
  /** ReplicaSets of the namespace without a controller. */
  readonly orphans: readonly Rs[];
  /** Pods of a ReplicaSet, in any state. */
  podsOf(rs: Rs): readonly DeepReadonly<Pod>[];
}

export interface NewSet {
  readonly name: string;
  readonly hash: string;
  readonly replicas: number;
  readonly template: DeepReadonly<PodTemplateSpec>;
  readonly annotations: Readonly<Record<string, string>>;
}

export type Action =
  | { readonly type: 'adopt'; readonly rs: Rs }
  | { readonly type: 'release'; readonly rs: Rs }
  | { readonly type: 'create'; readonly set: NewSet }
  /** Size and annotations of one set in one write; `replicas` equal to its spec = only the annotations change. */
  | {
      readonly type: 'change';
      readonly rs: Rs;
      readonly replicas: number;
      readonly annotations: Readonly<Record<string, string>>;
      readonly minReadySeconds: number;
    }
  /** Puts the revision of the current set on the Deployment. */
  | { readonly type: 'note-revision'; readonly revision: string }
  | { readonly type: 'delete'; readonly rs: Rs };

export interface Plan {
  readonly actions: readonly Action[];
  readonly status: DeploymentStatus;
  readonly wakeAtMs?: number | undefined;
  /** The selector matches everything: nothing is done, and the user is told. */
  readonly selectsAll?: boolean;
}

export function plan(seen: Observed, now: Instant): Plan {
  const d = seen.deployment;
  const matches = matcherOf(d.spec.selector);
  if (matches.isEmpty)
    return {
      actions: [],
      status: { ...copyStatus(d), observedGeneration: d.metadata.generation },
      selectsAll: true,
    };
  const isGoing = d.metadata.deletionTimestamp !== undefined;
  const ownership: Action[] = [];
  if (!isGoing) {
    for (const rs of seen.owned) if (!matches.matches(rs.metadata.labels)) ownership.push({ type: 'release', rs });
    for (const rs of seen.orphans)
      if (matches.matches(rs.metadata.labels) && !isGone(rs)) ownership.push({ type: 'adopt', rs });
  }
  const sets = seen.owned.filter((rs) => matches.matches(rs.metadata.labels)).toSorted(byCreation);
  const fresh = sets.find((rs) => isSameTemplate(rs.spec.template, d.spec.template));
  const old = sets.filter((rs) => rs !== fresh);
  if (isGoing) return { actions: [], ...statusOf(d, { fresh, old, creates: undefined, isRollout: false }, now) };
  // The new owner of an adopted set plans with it when the informer shows it as owned.
  if (ownership.length > 0)
    return { actions: ownership, ...statusOf(d, { fresh, old, creates: undefined, isRollout: false }, now) };
  if (d.spec.paused === true || isResized(d, sets)) return planSize(d, fresh, old, now);
  return planRollout(seen, fresh, old, now);
}

/** Paused, or resized: sizes only, no new version. */
function planSize(d: Dep, fresh: Rs | undefined, old: readonly Rs[], now: Instant): Plan {
  const revisions = revisionNotes(d, fresh, old);
  const actions = changesOf(d, fresh, resized(d, fresh, old), revisions.fresh);
  if (revisions.deployment !== undefined) actions.push({ type: 'note-revision', revision: revisions.deployment });
  if (d.spec.paused === true) actions.push(...history(d, old));
  return { actions, ...statusOf(d, { fresh, old, creates: undefined, isRollout: false }, now) };
}

function planRollout(seen: Observed, fresh: Rs | undefined, old: readonly Rs[], now: Instant): Plan {
  const d = seen.deployment;
  const oldNow = old.map((rs) => ({ rs, size: sizeOf(rs) }));
  const freshNow = fresh && { rs: fresh, size: sizeOf(fresh) };
  const revisions = revisionNotes(d, fresh, old);
  const mayGrow = isRolling(d) || (sum(oldNow) === 0 && !isRunning(seen, old));
  const size = mayGrow ? newSetSize(d, freshNow?.size ?? 0, sum(oldNow) + (freshNow?.size ?? 0)) : freshNow?.size;
  const oldNext = isRolling(d) ? oldSetSizes(d, freshNow, oldNow) : oldNow.map(({ rs }) => ({ rs, size: 0 }));
  const actions: Action[] = [];
  let creates: string | undefined;
  if (!fresh && mayGrow) {
    const set = newSet(d, size ?? 0, old);
    creates = set.name;
    actions.push({ type: 'create', set });
  }
  const next = fresh ? [{ rs: fresh, size: size ?? sizeOf(fresh) }, ...oldNext] : oldNext;
  actions.push(...changesOf(d, fresh, next, revisions.fresh));
  const revision = creates === undefined ? revisions.deployment : revisions.next;
  if (revision !== undefined) actions.push({ type: 'note-revision', revision });
  const { status, wakeAtMs } = statusOf(d, { fresh, old, creates, isRollout: true }, now);
  if (isComplete(d, status)) actions.push(...history(d, old));
  return { actions, status, wakeAtMs };
}

function changesOf(
  d: Dep,
  fresh: Rs | undefined,
  sizes: readonly Sized[],
  freshNotes: Readonly<Record<string, string>>,
): Action[] {
  const actions: Action[] = [];
  for (const { rs, size } of sizes) {
    if (isGone(rs)) continue;
    const isFresh = rs === fresh;
    const notes: Record<string, string> = isFresh ? { ...freshNotes } : {};
    if (size > 0 || isFresh) Object.assign(notes, sizeNotes(d));
    const minReadySeconds = isFresh ? (d.spec.minReadySeconds ?? 0) : (rs.spec.minReadySeconds ?? 0);
    const hasChanged =
      size !== sizeOf(rs) ||
      minReadySeconds !== (rs.spec.minReadySeconds ?? 0) ||
      Object.entries(notes).some(([k, v]) => rs.metadata.annotations?.[k] !== v);
    if (hasChanged) actions.push({ type: 'change', rs, replicas: size, annotations: notes, minReadySeconds });
  }
  // Down before up would dip: with maxUnavailable 0 the order is what keeps the promise if we stop in between.
  return actions.toSorted((a, b) => growth(b) - growth(a));
}

function growth(a: Action): number {
  return a.type === 'change' ? Math.sign(a.replicas - sizeOf(a.rs)) : 0;
}

function newSet(d: Dep, replicas: number, old: readonly Rs[]): NewSet {
  const hash = templateHash(d.spec.template, d.status?.collisionCount);
  const template = d.spec.template;
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
  return {
    name: `${d.metadata.name}-${hash}`,
    hash,
    replicas,
    template: {
      ...template,
      metadata: template.metadata ? { ...template.metadata, labels } : { name: '', labels },
    },
    annotations: {
      ...copiedAnnotations(d),
      ...sizeNotes(d),
      [REVISION]: String(Math.max(0, ...old.map(revisionOf)) + 1),
    },
  };
}

function sizeNotes(d: Dep): Record<string, string> {
  const wanted = wantedOf(d);
  return { [DESIRED]: String(wanted), [MAX]: String(wanted + rollingLimits(d).maxSurge) };
}

/**
 * Recreate waits until nothing of an old version can run any more: going pods included, and those that a set may have made
 * before it heard of its new size, which the cache need not show yet.
 */
function isRunning(seen: Observed, old: readonly Rs[]): boolean {
  return old.some((rs) => !isSeen(rs) || (rs.status?.replicas ?? 0) > 0 || seen.podsOf(rs).some((p) => !isFinished(p)));
}

/** Old sets beyond the history limit that hold nothing. */
function history(d: Dep, old: readonly Rs[]): Action[] {
  const limit = d.spec.revisionHistoryLimit ?? 10;
  const kept = old.filter((rs) => !isGone(rs));
  return kept
    .toSorted((a, b) => revisionOf(a) - revisionOf(b) || byCreation(a, b))
    .slice(0, Math.max(kept.length - limit, 0))
    .filter((rs) => sizeOf(rs) === 0 && (rs.status?.replicas ?? 0) === 0 && isSeen(rs))
    .map((rs) => ({ type: 'delete', rs }));
}

function isSeen(rs: Rs): boolean {
  return (rs.metadata.generation ?? 0) <= (rs.status?.observedGeneration ?? 0);
}

function isGone(rs: Rs): boolean {
  return rs.metadata.deletionTimestamp !== undefined;
}

function copyStatus(d: Dep): DeploymentStatus {
  const { conditions, ...rest } = d.status ?? {};
  return { ...rest, ...(conditions ? { conditions: conditions.map((c) => ({ ...c })) } : {}) };
}
