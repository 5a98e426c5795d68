/**
 * Validation of whole custom resources beyond their own metadata (validateMetadata does that): schema, scale paths, embedded
 * resources, list types, then the rules in CEL.
 * Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/{validator,strategy,status_strategy}.go.
 */
import { type FieldError, invalid } from '../../field-error.ts';
import type { CustomResourceSubresourceScale } from '../../gen/types/apiextensions-v1.ts';
import { getOwn, type JsonObject } from '../../patch/value.ts';
import { RuleBudget, type RuleValues } from '../rules/evaluate.ts';
import type { Structural } from '../schema.ts';
import { validateEmbedded } from './embedded-metadata.ts';
import { validateListTypes } from './list-types.ts';
import { validateScale, validateScaleStatus } from './scale.ts';
import { validateChangedValue, validateValue } from './validate.ts';

/**
 * Evaluates the x-kubernetes-validations of `schema` and all below it. Called once per write, with the root, when nothing else is
 * wrong in a way that rules could trip over.
 */
export type ValidateRules = (schema: Structural, values: RuleValues, path: string) => FieldError[];

export interface ResourceRules {
  readonly schema: Structural;
  readonly scale?: CustomResourceSubresourceScale | undefined;
  readonly validateRules: ValidateRules;
  /** Takes the failures that are let through, as texts for Warning headers. */
  readonly warn?: (text: string) => void;
}

/** [] = valid. */
export function validateCustomResource(r: ResourceRules, object: JsonObject): FieldError[] {
  const errors = [
    ...validateValue(r.schema, object, ''),
    ...validateScale(r.scale, object),
    ...validateEmbedded(r.schema, object, ''),
    ...validateListTypes(r.schema, object, ''),
  ];
  return withRules(r, errors, object, undefined);
}

/** As create, but what was wrong before and did not change is let through (KEP-4008). */
export function validateCustomResourceUpdate(r: ResourceRules, next: JsonObject, previous: JsonObject): FieldError[] {
  const errors = [
    ...validateChangedValue(r.schema, { next, previous }, ''),
    ...validateScale(r.scale, next),
    ...validateEmbedded(r.schema, next, ''),
    ...validateChangedListTypes(r.schema, next, previous),
  ];
  return withRules(r, errors, next, previous);
}

/** Of the status subresource: the schema of `status` alone, but list types and rules of the whole. */
export function validateCustomResourceStatus(r: ResourceRules, next: JsonObject, previous: JsonObject): FieldError[] {
  const schema = r.schema.properties.get('status');
  const values = { next: getOwn(next, 'status'), previous: getOwn(previous, 'status') };
  const errors = [
    ...(schema === undefined || values.next === undefined ? [] : validateChangedValue(schema, values, 'status')),
    ...validateScaleStatus(r.scale, next),
    ...validateEmbedded(r.schema, next, ''),
    ...validateChangedListTypes(r.schema, next, previous),
  ];
  return withRules(r, errors, next, previous);
}

/** An object whose lists had doubles before may keep them. */
function validateChangedListTypes(schema: Structural, next: JsonObject, previous: JsonObject): FieldError[] {
  return validateListTypes(schema, previous, '').length > 0 ? [] : validateListTypes(schema, next, '');
}

/** Errors after which rules could see values of another form than the schema promises them. */
const BLOCKING = new Set(['NotSupported', 'Required', 'TooLong', 'TooMany', 'TypeInvalid']);
const BLOCKED =
  'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation';

function withRules(
  r: ResourceRules,
  errors: readonly FieldError[],
  self: JsonObject,
  oldSelf: JsonObject | undefined,
): FieldError[] {
  if (!r.schema.hasRules) return [...errors];
  if (errors.some((e) => BLOCKING.has(e.type))) return [...errors, invalid('<nil>', null, BLOCKED)];
  const values: RuleValues = {
    self,
    oldSelf,
    isRoot: true,
    forgivesUnchanged: oldSelf !== undefined,
    budget: new RuleBudget(),
    warn: r.warn ?? (() => undefined),
  };
  return [...errors, ...r.validateRules(r.schema, values, '')];
}
