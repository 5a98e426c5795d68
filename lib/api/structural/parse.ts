/**
 * From the OpenAPI v3 schema of a CustomResourceDefinition to its structural form, or what keeps it from having one.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/convert.go.
 */
import { Regex } from '#lib/cel';
import { type FieldError, invalid } from '../field-error.ts';
import type { JSONSchemaProps } from '../gen/types/apiextensions-v1.ts';
import { isObject } from '../patch/value.ts';
import { validateCompleteness } from './completeness.ts';
import { sortedErrors, validateInvariants } from './invariants.ts';
import { Patterns } from './pattern.ts';
import type { Limits, Structural } from './schema.ts';

/** Deeper schemas are refused, so that no walk through one overflows the stack. */
export const SCHEMA_DEPTH_MAX = 200;

export type ParsedSchema =
  | { readonly schema: Structural; readonly errors?: undefined }
  | { readonly schema?: undefined; readonly errors: readonly FieldError[]; readonly isUnsupported: boolean };

/**
 * The structural schema, with all patterns compiled, or the errors with paths below `path`. `isUnsupported`: a keyword that
 * no structural schema may have (the only error then); else the schema has its form but breaks a rule.
 */
export function parseStructural(props: JSONSchemaProps, path: string): ParsedSchema {
  const patterns = new Patterns();
  let schema: Structural;
  try {
    schema = convert(props, patterns, 0);
  } catch (e) {
    if (!(e instanceof UnsupportedSchema)) throw e;
    return { errors: [invalid(path, '', e.message)], isUnsupported: true };
  }
  const errors = [...validateInvariants(schema, path, patterns), ...validateCompleteness(schema, path)];
  return errors.length > 0 ? { errors: sortedErrors(errors), isUnsupported: false } : { schema };
}

/** The form alone, without patterns and whether or not the rules are kept; undefined: an unsupported keyword. */
export function structuralForm(props: JSONSchemaProps): Structural | undefined {
  try {
    return convert(props, undefined, 0);
  } catch (e) {
    if (!(e instanceof UnsupportedSchema)) throw e;
    return undefined;
  }
}

/** A JSONSchemaProps where only some unions allow one. The decoder of the field table has checked it. */
export function schemaIn(value: unknown): JSONSchemaProps | undefined {
  return isObject(value) ? (value as JSONSchemaProps) : undefined;
}

class UnsupportedSchema extends Error {}

/** `patterns` undefined: they are left out. */
function convert(s: JSONSchemaProps, patterns: Patterns | undefined, depth: number): Structural {
  if (depth > SCHEMA_DEPTH_MAX)
    throw new UnsupportedSchema(`must not be nested more than ${SCHEMA_DEPTH_MAX} levels deep`);
  refuseUnsupported(s);
  const inner = (value: unknown): Structural | undefined => {
    const props = schemaIn(value);
    return props && convert(props, patterns, depth + 1);
  };
  const list = (values: readonly JSONSchemaProps[] | undefined): Structural[] =>
    (values ?? []).map((v) => convert(v, patterns, depth + 1));
  const rules = s['x-kubernetes-validations'] ?? [];
  const parts = {
    items: inner(s.items),
    properties: new Map(Object.entries(s.properties ?? {}).map(([k, v]) => [k, convert(v, patterns, depth + 1)])),
    additionalProperties:
      typeof s.additionalProperties === 'boolean' ? s.additionalProperties : inner(s.additionalProperties),
  };
  return {
    source: s,
    type: s.type ?? '',
    nullable: s.nullable === true,
    default: s.default === null ? undefined : s.default,
    preservesUnknownFields: s['x-kubernetes-preserve-unknown-fields'] === true,
    isEmbeddedResource: s['x-kubernetes-embedded-resource'] === true,
    isIntOrString: s['x-kubernetes-int-or-string'] === true,
    listType: s['x-kubernetes-list-type'],
    listMapKeys: s['x-kubernetes-list-map-keys'] ?? [],
    mapType: s['x-kubernetes-map-type'],
    rules,
    hasRules: rules.length > 0 || hasInnerRules(parts),
    ...parts,
    limits: limitsOf(s),
    required: s.required ?? [],
    enum: s.enum ?? [],
    format: s.format ?? '',
    pattern: patternOf(s.pattern, patterns),
    allOf: list(s.allOf),
    anyOf: list(s.anyOf),
    oneOf: list(s.oneOf),
    not: inner(s.not),
  };
}

function hasInnerRules(s: Pick<Structural, 'items' | 'properties' | 'additionalProperties'>): boolean {
  if (s.items?.hasRules === true) return true;
  if (typeof s.additionalProperties === 'object' && s.additionalProperties.hasRules) return true;
  for (const property of s.properties.values()) if (property.hasRules) return true;
  return false;
}

function patternOf(text: string | undefined, patterns: Patterns | undefined): Structural['pattern'] {
  if (text === undefined || text === '') return undefined;
  const regex = patterns?.compile(text);
  return regex instanceof Regex ? { text, regex } : undefined;
}

function limitsOf(s: JSONSchemaProps): Limits {
  return {
    maximum: s.maximum,
    exclusiveMaximum: s.exclusiveMaximum === true,
    minimum: s.minimum,
    exclusiveMinimum: s.exclusiveMinimum === true,
    multipleOf: s.multipleOf,
    maxLength: s.maxLength,
    minLength: s.minLength,
    maxItems: s.maxItems,
    minItems: s.minItems,
    maxProperties: s.maxProperties,
    minProperties: s.minProperties,
  };
}

function refuseUnsupported(s: JSONSchemaProps): void {
  const size = (value: object | undefined): number => Object.keys(value ?? {}).length;
  const unsupported: readonly (readonly [name: string, isSet: boolean])[] = [
    ['id', Boolean(s.id)],
    ['schema', Boolean(s.$schema)],
    ['$ref', Boolean(s.$ref)],
    ['patternProperties', size(s.patternProperties) > 0],
    ['dependencies', size(s.dependencies) > 0],
    ['additionalItems', s.additionalItems !== undefined],
    ['definitions', size(s.definitions) > 0],
  ];
  for (const [name, isSet] of unsupported)
    if (isSet) throw new UnsupportedSchema(`OpenAPIV3Schema '${name}' is not supported`);
  if (Array.isArray(s.items)) throw new UnsupportedSchema("OpenAPIV3Schema 'items' must be a schema, but is an array");
  if (s['x-kubernetes-preserve-unknown-fields'] === false)
    throw new UnsupportedSchema("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined");
}
