/**
 * Validation of whole objects: metadata by the rules common to all kinds, the rest by the kind's validator
 * (kinds/*-validation.ts) or by the field table. Objects are decoded, defaulted and prepared before.
 */
import type { FieldError } from './field-error.ts';
import { PARTS, VALIDATORS } from './kinds/validators.ts';
import type { KindRef, KubeObject } from './object.ts';
import { type KindInfo, kindInfo } from './registry.ts';
import type { DefinitionTools } from './structural/definition/definition.ts';
import { validateByTable } from './validation/by-table.ts';
import { type FinalizerRule, validateMetadata, validateMetadataUpdate } from './validation/metadata.ts';
import { dns1123Subdomain } from './validation/names.ts';
import type { JsonObject } from './visit.ts';

export interface ValidationOptions {
  /** Inclusive range of service node ports; absent: any port. */
  readonly nodePortRange?: { readonly first: number; readonly last: number };
  /** A new check for each object; absent: CEL expressions are only looked at for being there. */
  readonly expressions?: () => ExpressionCheck;
  /** What CustomResourceDefinitions are checked with; absent: no rule of theirs is looked at. */
  readonly definitions?: DefinitionTools;
}

/** One CEL expression of a policy or a webhook, where it stands. */
export interface ExpressionUse {
  readonly kind:
    | 'matchCondition'
    | 'variable'
    | 'validation'
    | 'message'
    | 'auditAnnotation'
    | 'applyConfiguration'
    | 'jsonPatch'
    | 'deviceSelector';
  readonly expression: string;
  /** Of a variable: expressions checked after it know it as `variables.<name>`. */
  readonly name?: string;
  readonly hasParams: boolean;
  readonly hasAuthorizer: boolean;
  /** It was in the object before this update: rules and functions newer than it do not refuse it. */
  readonly isStored: boolean;
}

/** What is wrong with it; [] = it compiles. Called in the order of the object's fields. */
export type ExpressionCheck = (use: ExpressionUse) => readonly string[];

/** [] = valid. `object.metadata` already has its final name and namespace. */
export function validateCreate(kind: KindRef, object: KubeObject, options: ValidationOptions = {}): FieldError[] {
  const info = kindInfo(kind);
  if (info.custom !== undefined) {
    const metadata = { namespaced: info.namespaced, name: dns1123Subdomain, allowsPlainFinalizers: true };
    return [...validateMetadata(object.metadata, metadata), ...info.custom.validateCreate(object)];
  }
  const rules = VALIDATORS[info.schema];
  const name = rules?.name ?? dns1123Subdomain;
  const body = [...validateBody(info, object, options), ...(rules?.create?.(object) ?? [])];
  // Reviews and bindings are requests: they are not stored and need no name.
  if (!info.verbs.includes('get')) return body;
  return [...validateMetadata(object.metadata, { namespaced: info.namespaced, name, ...finalizerRule(info) }), ...body];
}

/** `subresource` as in prepareUpdate, which has run before. [] = valid. */
export function validateUpdate(
  kind: KindRef,
  next: KubeObject,
  previous: KubeObject,
  subresource?: string,
  options: ValidationOptions = {},
): FieldError[] {
  const info = kindInfo(kind);
  const rules = VALIDATORS[info.schema];
  const errors = validateMetadataUpdate(next.metadata, previous.metadata, finalizerRule(info));
  if (info.custom !== undefined) return [...errors, ...info.custom.validateUpdate(next, previous, subresource)];
  if (subresource !== undefined) return [...errors, ...(rules?.subresources?.[subresource]?.(next, previous) ?? [])];
  return [...errors, ...validateBody(info, next, options, previous), ...(rules?.update?.(next, previous) ?? [])];
}

const EXTENSIONS = new Set(['apiextensions.k8s.io', 'apiregistration.k8s.io']);

function finalizerRule(info: KindInfo): FinalizerRule {
  return { allowsPlainFinalizers: info.custom !== undefined || EXTENSIONS.has(info.group) };
}

function validateBody(
  info: KindInfo,
  object: KubeObject,
  options: ValidationOptions,
  previous?: KubeObject,
): FieldError[] {
  const validate = VALIDATORS[info.schema]?.object;
  if (validate !== undefined) return validate(object, options, previous);
  return validateByTable(info.schema, object as unknown as JsonObject, PARTS);
}
