import type { KindRef, KubeObject } from '../object.ts';

export interface ApplyOptions {
  readonly manager: string;
  readonly force: boolean;
  /** metav1.Time text of now. */
  readonly nowText: string;
  readonly subresource?: string | undefined;
}

export interface TrackOptions {
  readonly manager: string;
  readonly nowText: string;
  readonly subresource?: string | undefined;
}

/** Server-side apply: the object to store. Throws Conflict with one cause per field owned by another manager. */
export function applyServerSide(
  kind: KindRef,
  live: KubeObject | undefined,
  applied: KubeObject,
  o: ApplyOptions,
): KubeObject {
  throw new Error(`not yet ${kind.kind} ${String(live)} ${applied.kind} ${o.manager}`);
}

/** managedFields of a write that is not an apply: changes next.metadata.managedFields. */
export function trackUpdate(_kind: KindRef, previous: KubeObject | undefined, next: KubeObject, _o: TrackOptions): void {
  const { managedFields } = previous?.metadata ?? {};
  if (managedFields !== undefined) next.metadata.managedFields = managedFields;
  else delete next.metadata.managedFields;
}
