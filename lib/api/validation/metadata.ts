/**
 * Validation of metadata, labels and selectors, common to all kinds.
 * Source: k8s.io/apimachinery/pkg/api/validation/objectmeta.go, pkg/apis/meta/v1/validation/validation.go.
 */
import { duplicate, type FieldError, forbidden, invalid, required, tooLong } from '../field-error.ts';
import type { LabelSelector, ObjectMeta, OwnerReference } from '../gen/types/meta-v1.ts';
import { Errors, eachItem } from './field-path.ts';
import { type Check, dns1123Label, labelValue, qualifiedName } from './names.ts';

const ANNOTATIONS_BYTES_MAX = 256 * 1024;
const STANDARD_FINALIZERS = ['kubernetes', 'orphan', 'foregroundDeletion'];

export interface FinalizerRule {
  /** Names without a slash beside the standard ones, as apimachinery's own rule has it (kinds of extensions, custom ones). */
  readonly allowsPlainFinalizers?: boolean;
}

export function validateMetadata(
  meta: ObjectMeta,
  o: { readonly namespaced: boolean; readonly name: Check } & FinalizerRule,
): FieldError[] {
  const errors = new Errors();
  if (meta.generateName) errors.check('metadata.generateName', meta.generateName, prefixOf(o.name));
  if (!meta.name) errors.add(required('metadata.name', 'name or generateName is required'));
  else errors.check('metadata.name', meta.name, o.name);
  if (o.namespaced) {
    if (!meta.namespace) errors.add(required('metadata.namespace'));
    else errors.check('metadata.namespace', meta.namespace, dns1123Label);
  } else errors.forbid('metadata.namespace', Boolean(meta.namespace), 'not allowed on this type');
  errors.notNegative('metadata.generation', meta.generation);
  errors.add(...validateLabels(meta.labels, 'metadata.labels'));
  errors.add(...validateAnnotations(meta.annotations, 'metadata.annotations'));
  errors.add(...validateOwners(meta.ownerReferences));
  errors.add(...validateFinalizers(meta.finalizers, 'metadata.finalizers', o));
  return errors.list;
}

/** A prefix may end in a hyphen: the random suffix follows. */
function prefixOf(name: Check): Check {
  return (value) => name(value.endsWith('-') ? `${value.slice(0, -1)}a` : value);
}

export function validateMetadataUpdate(next: ObjectMeta, previous: ObjectMeta, o: FinalizerRule = {}): FieldError[] {
  const errors = new Errors();
  if (next.deletionTimestamp !== undefined) {
    const added = (next.finalizers ?? []).filter((f) => !(previous.finalizers ?? []).includes(f)).sort();
    if (added.length > 0)
      errors.add(
        forbidden(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(', ')}}`,
        ),
      );
  }
  if ((next.generation ?? 0) < (previous.generation ?? 0))
    errors.add(invalid('metadata.generation', next.generation ?? 0, 'must not be decremented'));
  for (const name of ['name', 'namespace', 'uid', 'creationTimestamp'] as const)
    errors.immutable(`metadata.${name}`, next[name], previous[name]);
  for (const name of ['deletionTimestamp', 'deletionGracePeriodSeconds'] as const)
    errors.immutable(`metadata.${name}`, next[name], previous[name]);
  errors.add(...validateLabels(next.labels, 'metadata.labels'));
  errors.add(...validateAnnotations(next.annotations, 'metadata.annotations'));
  errors.add(...validateOwners(next.ownerReferences));
  errors.add(...validateFinalizers(next.finalizers, 'metadata.finalizers', o));
  return errors.list;
}

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const errors = new Errors();
  for (const [key, value] of Object.entries(labels ?? {})) {
    errors.check(path, key, qualifiedName);
    errors.check(path, value, labelValue);
  }
  return errors.list;
}

export function validateAnnotations(map: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const errors = new Errors();
  let bytes = 0;
  for (const [key, value] of Object.entries(map ?? {})) {
    for (const message of qualifiedName(key.toLowerCase())) errors.add(invalid(path, key, message));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > ANNOTATIONS_BYTES_MAX) errors.add(tooLong(path, ANNOTATIONS_BYTES_MAX));
  return errors.list;
}

function validateOwners(owners: readonly OwnerReference[] | undefined): FieldError[] {
  const errors = new Errors();
  let controller: OwnerReference | undefined;
  // Kubernetes 1.36 leaves the index out.
  const path = 'metadata.ownerReferences';
  for (const owner of owners ?? []) {
    if (!owner.apiVersion) errors.add(invalid(`${path}.apiVersion`, owner.apiVersion, 'version must not be empty'));
    for (const name of ['kind', 'name', 'uid'] as const)
      if (!owner[name]) errors.add(invalid(`${path}.${name}`, owner[name], 'must not be empty'));
    if (owner.kind === 'Event' && owner.apiVersion === 'v1')
      errors.add(invalid(path, owner, '/v1, Kind=Event is disallowed from being an owner'));
    if (owner.controller !== true) continue;
    if (controller !== undefined)
      errors.add(
        invalid(
          'metadata.ownerReferences',
          owners,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller.kind}/${controller.name} and ${owner.kind}/${owner.name}`,
        ),
      );
    else controller = owner;
  }
  return errors.list;
}

export function validateFinalizers(
  finalizers: readonly string[] | undefined,
  path: string,
  o: FinalizerRule = {},
): FieldError[] {
  const errors = new Errors();
  for (const name of finalizers ?? []) errors.check(path, name, qualifiedName);
  if (finalizers?.includes('orphan') && finalizers.includes('foregroundDeletion'))
    errors.add(invalid(path, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'));
  if (o.allowsPlainFinalizers === true) return errors.list;
  for (const [i, name] of (finalizers ?? []).entries())
    if (!name.includes('/') && !STANDARD_FINALIZERS.includes(name))
      errors.add(invalid(`${path}[${i}]`, name, 'name is neither a standard finalizer name nor is it fully qualified'));
  return errors.list;
}

const SELECTOR_OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

export function validateLabelSelector(selector: LabelSelector | undefined, path: string): FieldError[] {
  const errors = new Errors();
  if (selector === undefined) return [];
  errors.add(...validateLabels(selector.matchLabels, `${path}.matchLabels`));
  eachItem(selector.matchExpressions, `${path}.matchExpressions`, (e, at) => {
    const values = e.values ?? [];
    if (e.operator === 'In' || e.operator === 'NotIn') {
      if (values.length === 0)
        errors.add(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (e.operator === 'Exists' || e.operator === 'DoesNotExist')
      errors.forbid(
        `${at}.values`,
        values.length > 0,
        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
      );
    if (!SELECTOR_OPERATORS.includes(e.operator))
      errors.add(invalid(`${at}.operator`, e.operator, 'not a valid selector operator'));
    errors.check(`${at}.key`, e.key, qualifiedName);
    for (const [i, value] of values.entries()) errors.check(`${at}.values[${i}]`, value, labelValue);
  });
  return errors.list;
}

/** Duplicate for every name met before. */
export function validateUnique(
  names: readonly (string | undefined)[],
  pathOf: (index: number) => string,
): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [i, name] of names.entries()) {
    if (name === undefined || name === '') continue;
    if (seen.has(name)) errors.push(duplicate(pathOf(i), name));
    seen.add(name);
  }
  return errors;
}
