/**
 * Revision numbers, for `kubectl rollout history` and `undo`: the current set has the highest number; a set that becomes
 * current again gets a new number and keeps the old ones in its history note. Pure.
 * Source: kubernetes pkg/controller/deployment/util SetNewReplicaSetAnnotations.
 */
import { DESIRED, type Dep, MAX, REVISION, REVISION_HISTORY, type Rs, revisionOf } from './sets.ts';

const NOT_COPIED: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.deployment.rollback.to',
  REVISION,
  REVISION_HISTORY,
  DESIRED,
  MAX,
]);

export interface RevisionNotes {
  /** Annotations for the current set. */
  readonly fresh: Readonly<Record<string, string>>;
  /** What the Deployment's own note should become; undefined when it is right. */
  readonly deployment: string | undefined;
  /** The number of a set created now. */
  readonly next: string;
}

export function revisionNotes(d: Dep, fresh: Rs | undefined, old: readonly Rs[]): RevisionNotes {
  const next = Math.max(0, ...old.map(revisionOf)) + 1;
  if (!fresh) return { fresh: {}, deployment: undefined, next: String(next) };
  const now = revisionOf(fresh);
  const revision = Math.max(now, next);
  const notes: Record<string, string> = { ...copiedAnnotations(d), [REVISION]: String(revision) };
  if (now > 0 && now < revision) {
    const before = fresh.metadata.annotations?.[REVISION_HISTORY];
    notes[REVISION_HISTORY] = before ? `${before},${now}` : String(now);
  }
  const noted = d.metadata.annotations?.[REVISION];
  return { fresh: notes, deployment: noted === String(revision) ? undefined : String(revision), next: String(next) };
}

/** The Deployment's annotations that its sets carry too (the change cause among them). */
export function copiedAnnotations(d: Dep): Record<string, string> {
  return Object.fromEntries(Object.entries(d.metadata.annotations ?? {}).filter(([k]) => !NOT_COPIED.has(k)));
}
