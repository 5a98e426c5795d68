/** What a review may ask. Pure. Source: kubernetes pkg/apis/authorization/validation/validation.go. */

import type { KindRef } from '#lib/api';
import { type DeepReadonly, type FieldError, invalidError, type KubeObject, type ResourceAttributes } from '#lib/api';

export interface ReviewSpec {
  readonly resourceAttributes?: DeepReadonly<ResourceAttributes> | undefined;
  readonly nonResourceAttributes?:
    | { readonly path?: string | undefined; readonly verb?: string | undefined }
    | undefined;
  readonly user?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly uid?: string | undefined;
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** Throws Invalid. `self` = about the caller: no user is named. */
export function checkReview(kind: KindRef, review: KubeObject, spec: ReviewSpec, o: { self: boolean }): void {
  const errors = [...checkSpec(spec, o.self), ...checkMetadata(kind, review)];
  if (kind.namespaced) errors.push(...checkLocal(review, spec));
  if (errors.length > 0) throw invalidError(kind, '', errors);
}

function checkSpec(spec: ReviewSpec, isSelf: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  if (resource !== undefined && path !== undefined)
    errors.push(
      invalid('spec.nonResourceAttributes', path, 'cannot be specified in combination with resourceAttributes'),
    );
  if (resource === undefined && path === undefined)
    errors.push(
      invalid(
        'spec.resourceAttributes',
        null,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    );
  if (!isSelf && !spec.user && (spec.groups ?? []).length === 0)
    errors.push(invalid('spec.user', spec.user ?? '', 'at least one of user or group must be specified'));
  errors.push(...checkSelector(resource?.fieldSelector, 'spec.resourceAttributes.fieldSelector'));
  errors.push(...checkSelector(resource?.labelSelector, 'spec.resourceAttributes.labelSelector'));
  return errors;
}

interface SelectorAttributes {
  readonly rawSelector?: string | undefined;
  readonly requirements?:
    | readonly { readonly key?: string; readonly operator?: string; readonly values?: readonly string[] | undefined }[]
    | undefined;
}

/** Operators of later versions are let through: whoever authorizes takes no notice of what it does not know. */
function checkSelector(selector: SelectorAttributes | undefined, at: string): FieldError[] {
  if (selector === undefined) return [];
  const errors: FieldError[] = [];
  const { rawSelector: raw = '', requirements = [] } = selector;
  if (raw !== '' && requirements.length > 0)
    errors.push(invalid(`${at}.rawSelector`, raw, 'may not specified at the same time as requirements'));
  if (raw === '' && requirements.length === 0) {
    const detail = `when ${at} is specified, requirements or rawSelector is required`;
    errors.push({ type: 'Required', field: `${at}.requirements`, detail });
  }
  for (const [i, r] of requirements.entries()) {
    const where = `${at}.requirements[${i}]`;
    if (!r.key) errors.push({ type: 'Required', field: `${where}.key`, detail: 'must be specified' });
    const hasValues = (r.values ?? []).length > 0;
    if ((r.operator === 'In' || r.operator === 'NotIn') && !hasValues) {
      const detail = "must be specified when `operator` is 'In' or 'NotIn'";
      errors.push({ type: 'Required', field: `${where}.values`, detail });
    }
    if ((r.operator === 'Exists' || r.operator === 'DoesNotExist') && hasValues) {
      const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
      errors.push({ type: 'Forbidden', field: `${where}.values`, detail });
    }
  }
  return errors;
}

function checkMetadata(kind: KindRef, review: KubeObject): FieldError[] {
  const { managedFields: _, namespace: _ns, ...rest } = review.metadata;
  const isEmpty = Object.values(rest).every((v) => v === undefined || v === null || v === '' || isEmptyObject(v));
  if (isEmpty) return [];
  return [
    invalid('metadata', review.metadata, kind.namespaced ? 'must be empty except for namespace' : 'must be empty'),
  ];
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function checkLocal(review: KubeObject, spec: ReviewSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  if (resource !== undefined && (resource.namespace ?? '') !== review.metadata.namespace)
    errors.push(
      invalid('spec.resourceAttributes.namespace', resource.namespace ?? '', 'must match metadata.namespace'),
    );
  if (path !== undefined)
    errors.push(invalid('spec.nonResourceAttributes', path, 'disallowed on this kind of request'));
  return errors;
}

function invalid(field: string, value: unknown, detail: string): FieldError {
  return { type: 'Invalid', field, value, detail };
}
