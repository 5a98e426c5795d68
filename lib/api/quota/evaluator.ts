/**
 * What the objects of one kind count for in quotas: pure, shared by admission (which charges) and the controller (which
 * counts again). Source: k8s.io/apiserver/pkg/quota/v1/interfaces.go, generic/evaluator.go.
 */
import type { ResourceQuota, ScopedResourceSelectorRequirement } from '../gen/types/core-v1.ts';
import type { DeepReadonly, KubeObject } from '../object.ts';
import { quantityOf } from '../quantity.ts';
import type { KindInfo } from '../registry.ts';
import type { Amounts } from '../resource-amounts.ts';

export type QuotaObject = DeepReadonly<KubeObject>;
export type ScopeRequirement = DeepReadonly<ScopedResourceSelectorRequirement>;

export interface QuotaChange {
  readonly operation: 'CREATE' | 'UPDATE';
  readonly subresource: string;
  readonly object: QuotaObject;
  readonly previous: QuotaObject | undefined;
}

export interface QuotaEvaluator {
  /** Whether this name of `hard` is about this kind. */
  counts(resource: string): boolean;
  /** Whether admission has to ask about this change. */
  handles(change: QuotaChange): boolean;
  usage(object: QuotaObject, nowMs: number): Amounts;
  matchesScope(requirement: ScopeRequirement, object: QuotaObject): boolean;
  /** What an object must say when these are limited, and does not; undefined = nothing is missing. */
  missing(limited: readonly string[], object: QuotaObject): string | undefined;
  /** Whether the change may free something, so that the quota is worth counting again. */
  mayFree(previous: QuotaObject, next: QuotaObject, nowMs: number): boolean;
}

export const ONE = quantityOf(1n);

/** `count/pods`, `count/deployments.apps`. */
export function countName(kind: Pick<KindInfo, 'group' | 'resource'>): string {
  return `count/${kind.resource}${kind.group === '' ? '' : `.${kind.group}`}`;
}

/** Scopes and the scope selector as one list, all of which an object must match. */
export function scopesOf(quota: DeepReadonly<ResourceQuota>): readonly ScopeRequirement[] {
  const named = (quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' }));
  return [...named, ...(quota.spec?.scopeSelector?.matchExpressions ?? [])];
}

export function isInScope(evaluator: QuotaEvaluator, quota: DeepReadonly<ResourceQuota>, object: QuotaObject): boolean {
  return scopesOf(quota).every((s) => evaluator.matchesScope(s, object));
}

/** A requirement on a value that may be absent, as a label selector has it. */
export function matchesValue(requirement: ScopeRequirement, value: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    default:
      return false;
  }
}
