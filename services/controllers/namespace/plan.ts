/**
 * How a namespace that is being deleted goes: its pods first, then everything else, then its finalizer. Pure.
 * Source: kubernetes pkg/controller/namespace/deletion/{namespaced_resources_deleter,status_condition_utils}.go.
 */
import type { DeepReadonly, Namespace, NamespaceCondition } from '#lib/api';
import { setCondition } from '#lib/api';
import type { Instant } from '../instant.ts';

export const FINALIZER = 'kubernetes';

/** What is left of one kind after the last pass. */
export interface Remains {
  /** `pods`, `deployments.apps`. */
  readonly resource: string;
  readonly count: number;
  /** Finalizer -> number of objects that have it. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export interface Observed {
  readonly namespace: DeepReadonly<Namespace>;
  readonly remains: readonly Remains[];
  /** What could not be listed or deleted, in words. */
  readonly failures: readonly string[];
}

export interface Plan {
  readonly conditions: readonly NamespaceCondition[];
  readonly hasChanged: boolean;
  /** Nothing is left: the finalizer goes. */
  readonly mayFinalize: boolean;
}

export function plan(seen: Observed, now: Instant): Plan {
  const left = seen.remains.filter((r) => r.count > 0);
  const before: readonly NamespaceCondition[] = (seen.namespace.status?.conditions ?? []).map((c) => ({ ...c }));
  let conditions = before;
  for (const c of [...fixed(), failure(seen, left), content(left), finalizers(left)])
    conditions = setCondition(conditions, c, now.text);
  return {
    conditions,
    hasChanged: conditions !== before,
    mayFinalize: left.length === 0 && seen.failures.length === 0,
  };
}

function fixed(): NamespaceCondition[] {
  return [
    condition(
      'NamespaceDeletionDiscoveryFailure',
      false,
      'ResourcesDiscovered',
      'All resources successfully discovered',
    ),
    condition(
      'NamespaceDeletionGroupVersionParsingFailure',
      false,
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ),
  ];
}

function failure(seen: Observed, left: readonly Remains[]): NamespaceCondition {
  const type = 'NamespaceDeletionContentFailure';
  if (seen.failures.length === 0)
    return condition(type, false, 'ContentDeleted', 'All content successfully deleted, may be waiting on finalization');
  const count = left.reduce((n, r) => n + r.count, 0);
  const text = `Failed to delete all resource types, ${count} remaining: ${seen.failures.toSorted().join(', ')}`;
  return condition(type, true, 'ContentDeletionFailed', text);
}

function content(left: readonly Remains[]): NamespaceCondition {
  const type = 'NamespaceContentRemaining';
  if (left.length === 0) return condition(type, false, 'ContentRemoved', 'All content successfully removed');
  const parts = left.map((r) => `${r.resource} has ${r.count} resource instances`).toSorted();
  return condition(type, true, 'SomeResourcesRemain', `Some resources are remaining: ${parts.join(', ')}`);
}

function finalizers(left: readonly Remains[]): NamespaceCondition {
  const type = 'NamespaceFinalizersRemaining';
  const all = new Map<string, number>();
  for (const r of left) for (const [f, n] of r.finalizers) all.set(f, (all.get(f) ?? 0) + n);
  if (all.size === 0)
    return condition(type, false, 'ContentHasNoFinalizers', 'All content-preserving finalizers finished');
  const parts = [...all].map(([f, n]) => `${f} in ${n} resource instances`).toSorted();
  const text = `Some content in the namespace has finalizers remaining: ${parts.join(', ')}`;
  return condition(type, true, 'SomeFinalizersRemain', text);
}

function condition(type: string, status: boolean, reason: string, message: string): NamespaceCondition {
  return { type, status: status ? 'True' : 'False', reason, message };
}
