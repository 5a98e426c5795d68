/**
 * What the schema of a CustomResourceDefinition may say, keyword by keyword: what OpenAPI v3 has and Kubernetes does not, and
 * which x-kubernetes-* go together.
 * Source: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go
 * ValidateCustomResourceDefinitionOpenAPISchema.
 */
import { type FieldError, forbidden, notSupported } from '../../field-error.ts';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';
import { Errors } from '../../validation/field-path.ts';
import { SCHEMA_DEPTH_MAX, schemaIn } from '../parse.ts';
import { child, META_FIELDS } from '../schema.ts';
import { typeNeeded, validateListKeywords } from './list-keywords.ts';
import { validateRuleKeywords } from './rule-keywords.ts';

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string'];

/** All errors below `path`, the place of the version's openAPIV3Schema. */
export function validateKeywords(schema: JSONSchemaProps, path: string): FieldError[] {
  const errors = new Errors();
  walk(schema, path, { errors, isRoot: true, isInMeta: false, defaultsForbidden: undefined, depth: 0 });
  return errors.list;
}

interface Walk {
  readonly errors: Errors;
  readonly isRoot: boolean;
  /** Inside the apiVersion, kind or metadata of a resource. */
  readonly isInMeta: boolean;
  /** Why defaults are not allowed here; undefined: they are. */
  readonly defaultsForbidden: string | undefined;
  readonly depth: number;
}

function walk(s: JSONSchemaProps, path: string, w: Walk): void {
  // Deeper, parseStructural has refused it.
  if (w.depth > SCHEMA_DEPTH_MAX) return;
  validateNode(s, path, w);
  const inner: Walk = { ...w, isRoot: false, depth: w.depth + 1 };
  walkAdditional(s, path, inner);
  for (const [name, property] of Object.entries(s.properties ?? {}))
    walk(property, child(path, `properties[${name}]`), ofProperty(s, name, w));
  if (s.not !== undefined) walk(s.not, child(path, 'not'), inner);
  const lists = { allOf: s.allOf, oneOf: s.oneOf, anyOf: s.anyOf };
  for (const [keyword, list] of Object.entries(lists))
    for (const [i, each] of (list ?? []).entries()) walk(each, child(path, `${keyword}[${i}]`), inner);
  for (const [name, each] of Object.entries(s.definitions ?? {}))
    walk(each, child(path, `definitions[${name}]`), inner);
  const items = schemaIn(s.items);
  if (items !== undefined) walk(items, child(path, 'items'), inner);
  validateExtensions(s, path, w.errors);
  w.errors.add(...validateListKeywords(s, path), ...validateRuleKeywords(s, path));
}

function ofProperty(s: JSONSchemaProps, name: string, w: Walk): Walk {
  const inner: Walk = { ...w, isRoot: false, depth: w.depth + 1 };
  const isMeta = META_FIELDS.has(name) && (w.isRoot || s['x-kubernetes-embedded-resource'] === true);
  if (!isMeta) return inner;
  return { ...inner, isInMeta: true, ...(w.isRoot ? { defaultsForbidden: `in top-level ${name}` } : {}) };
}

function walkAdditional(s: JSONSchemaProps, path: string, inner: Walk): void {
  const { additionalProperties: additional } = s;
  if (additional === undefined) return;
  const at = child(path, 'additionalProperties');
  const hasProperties = Object.keys(s.properties ?? {}).length > 0;
  if (hasProperties && additional !== true)
    inner.errors.add(forbidden(at, 'additionalProperties and properties are mutual exclusive'));
  const schema = schemaIn(additional);
  if (schema === undefined) return;
  // Without the value it is not clear what of such a default would be pruned.
  const reason = inner.isInMeta ? 'inside additionalProperties applying to object metadata' : inner.defaultsForbidden;
  walk(schema, at, { ...inner, defaultsForbidden: reason });
}

function validateNode(s: JSONSchemaProps, path: string, w: Walk): void {
  const { errors } = w;
  const at = (name: string): string => child(path, name);
  const size = (value: object | undefined): number => Object.keys(value ?? {}).length;
  if (s.type && !TYPES.includes(s.type)) errors.add(notSupported(at('type'), s.type, TYPES));
  if (s.default !== undefined && s.default !== null && w.defaultsForbidden !== undefined)
    errors.add(forbidden(at('default'), `must not be set ${w.defaultsForbidden}`));
  const unsupported: readonly (readonly [name: string, isSet: boolean])[] = [
    ['id', Boolean(s.id)],
    ['additionalItems', s.additionalItems !== undefined],
    ['patternProperties', size(s.patternProperties) > 0],
    ['definitions', size(s.definitions) > 0],
    ['dependencies', s.dependencies !== undefined],
    ['$ref', s.$ref !== undefined],
  ];
  for (const [name, isSet] of unsupported) errors.forbid(at(name), isSet, `${name} is not supported`);
  errors.forbid(at('type'), s.type === 'null', 'type cannot be set to null, use nullable as an alternative');
  errors.forbid(
    at('items'),
    Array.isArray(s.items) && s.items.length > 0,
    'items must be a schema object and not an array',
  );
  errors.forbid(
    at('x-kubernetes-embedded-resource'),
    w.isInMeta && s['x-kubernetes-embedded-resource'] === true,
    'must not be used inside of resource meta',
  );
  errors.forbid(
    at('uniqueItems'),
    s.uniqueItems === true,
    'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
  );
}

function validateExtensions(s: JSONSchemaProps, path: string, errors: Errors): void {
  const at = (name: string): string => child(path, name);
  if (s['x-kubernetes-preserve-unknown-fields'] === false)
    errors.add({
      type: 'Invalid',
      field: at('x-kubernetes-preserve-unknown-fields'),
      value: false,
      detail: 'must be true or undefined',
    });
  const mapType = s['x-kubernetes-map-type'];
  if (mapType === undefined) return;
  if (s.type !== 'object') errors.add(typeNeeded(s, path, 'must be object if x-kubernetes-map-type is specified'));
  if (mapType !== 'atomic' && mapType !== 'granular')
    errors.add(notSupported(at('x-kubernetes-map-type'), mapType, ['atomic', 'granular']));
}
