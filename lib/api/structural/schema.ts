/**
 * A structural schema: the OpenAPI v3 schema of a custom resource in the restricted form that makes pruning and defaulting
 * well-defined. Every value has its type outside of allOf, anyOf, oneOf and not; those only narrow values.
 *
 * The junctors' schemas have the same type as the others, but say nothing about structure (invariants.ts checks it).
 * Source: KEP-1979 (structural schemas); k8s.io/apiextensions-apiserver/pkg/apiserver/schema/structural.go.
 */
import type { Regex } from '#lib/cel';
import type { JSONSchemaProps, ValidationRule } from '../gen/types/apiextensions-v1.ts';

export interface Structural {
  /** As it was written, decoded: for OpenAPI documents, and for what only they show (descriptions, titles, examples). */
  readonly source: JSONSchemaProps;
  /** '' when absent: int-or-string and preserve-unknown-fields need none. */
  readonly type: string;
  readonly nullable: boolean;
  /** undefined: no default. */
  readonly default: unknown;

  readonly preservesUnknownFields: boolean;
  readonly isEmbeddedResource: boolean;
  readonly isIntOrString: boolean;
  readonly listType: string | undefined;
  readonly listMapKeys: readonly string[];
  readonly mapType: string | undefined;
  /** x-kubernetes-validations of this node. */
  readonly rules: readonly ValidationRule[];
  /** This node or one below it has rules. */
  readonly hasRules: boolean;

  readonly items: Structural | undefined;
  readonly properties: ReadonlyMap<string, Structural>;
  readonly additionalProperties: Structural | boolean | undefined;

  readonly limits: Limits;
  readonly required: readonly string[];
  readonly enum: readonly unknown[];
  readonly format: string;
  readonly pattern: { readonly text: string; readonly regex: Regex } | undefined;
  readonly allOf: readonly Structural[];
  readonly anyOf: readonly Structural[];
  readonly oneOf: readonly Structural[];
  readonly not: Structural | undefined;
}

/** Bounds, each absent when undefined; lengths in characters (code points). */
export interface Limits {
  readonly maximum: number | undefined;
  readonly exclusiveMaximum: boolean;
  readonly minimum: number | undefined;
  readonly exclusiveMinimum: boolean;
  readonly multipleOf: number | undefined;
  readonly maxLength: number | undefined;
  readonly minLength: number | undefined;
  readonly maxItems: number | undefined;
  readonly minItems: number | undefined;
  readonly maxProperties: number | undefined;
  readonly minProperties: number | undefined;
}

/** The fields of every object, that no schema needs to name. */
export const META_FIELDS: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);

/** The schema of values of `key` in an object: its property, else additionalProperties, else undefined (unknown). */
export function fieldSchema(schema: Structural, key: string): Structural | undefined {
  const property = schema.properties.get(key);
  if (property !== undefined) return property;
  return typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
}

/** A resource's root is an embedded resource without saying so. */
export function asResource(schema: Structural): Structural {
  return schema.isEmbeddedResource ? schema : { ...schema, isEmbeddedResource: true };
}

/** `a.b`, and `b` below nothing. */
export function child(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
