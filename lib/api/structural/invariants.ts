/**
 * The rules of form that a structural schema keeps: types where they are needed, no structure inside junctors, metadata only
 * restricted by name and generateName, extensions that fit each other.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go.
 */
import { errorBody, type FieldError, forbidden, invalid, required } from '../field-error.ts';
import type { JSONSchemaProps } from '../gen/types/apiextensions-v1.ts';
import { Errors } from '../validation/field-path.ts';
import type { Patterns } from './pattern.ts';
import { child, type Structural } from './schema.ts';

type Level = 'root' | 'item' | 'field';

interface Walk {
  readonly errors: Errors;
  readonly patterns: Patterns;
}

/** In no order; see sortedErrors. `patterns`: those that the schema was made with. */
export function validateInvariants(s: Structural, path: string, patterns: Patterns): FieldError[] {
  const w: Walk = { errors: new Errors(), patterns };
  structural(s, 'root', path, w);
  return w.errors.list;
}

/** Sorted as Kubernetes sorts them: by their texts. */
export function sortedErrors(errors: readonly FieldError[]): FieldError[] {
  const text = (e: FieldError): string => `${e.field}: ${errorBody(e)}`;
  return errors.toSorted((a, b) => (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0));
}

function structural(s: Structural, level: Level, path: string, w: Walk): void {
  const at = (name: string): string => child(path, name);
  if (s.type === 'array' && s.items === undefined) w.errors.add(required(at('items'), 'must be specified'));
  if (s.items !== undefined) structural(s.items, 'item', at('items'), w);
  for (const [name, property] of s.properties) structural(property, 'field', at(`properties[${name}]`), w);
  if (s.additionalProperties !== undefined) {
    w.errors.forbid(at('additionalProperties'), level === 'root', 'must not be used at the root');
    if (typeof s.additionalProperties === 'object')
      structural(s.additionalProperties, 'field', at('additionalProperties'), w);
  }
  validateExtensions(s, path, w.errors);
  junctors(s, path, w, { anyOf: isIntOrStringPair(s.anyOf), firstAnyOf: isIntOrStringPair(s.allOf[0]?.anyOf ?? []) });
  validateType(s, level, path, w.errors);
  validateMeta(s, level, path, w.errors);
  const isBareEmbedded = s.isEmbeddedResource && !s.preservesUnknownFields && s.properties.size === 0;
  if (isBareEmbedded)
    w.errors.add(
      required(
        at('properties'),
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
      ),
    );
}

function validateExtensions(s: Structural, path: string, errors: Errors): void {
  if (!s.isIntOrString) return;
  const detail = 'must be false if x-kubernetes-int-or-string is true';
  for (const name of ['x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource'] as const)
    if (s.source[name] === true) errors.add(invalid(child(path, name), true, detail));
}

const MISSING_TYPE: Readonly<Record<Level, string>> = {
  root: 'must not be empty at the root',
  item: 'must not be empty for specified array items',
  field: 'must not be empty for specified object fields',
};

function validateType(s: Structural, level: Level, path: string, errors: Errors): void {
  const at = child(path, 'type');
  if (s.isEmbeddedResource && s.type !== 'object') {
    const detail = 'must be object if x-kubernetes-embedded-resource is true';
    errors.add(s.type === '' ? required(at, detail) : invalid(at, s.type, detail));
  } else if (s.type === '' && !s.isIntOrString && !s.preservesUnknownFields)
    errors.add(required(at, MISSING_TYPE[level]));
  errors.forbid(
    child(path, 'additionalProperties'),
    s.isEmbeddedResource && s.additionalProperties !== undefined,
    'must not be used if x-kubernetes-embedded-resource is set',
  );
  if (level === 'root' && s.type !== '' && s.type !== 'object')
    errors.add(invalid(at, s.type, 'must be object at the root'));
}

function validateMeta(s: Structural, level: Level, path: string, errors: Errors): void {
  const isResource = level === 'root' || s.isEmbeddedResource;
  if (!isResource) return;
  for (const name of ['kind', 'apiVersion']) {
    const type = s.properties.get(name)?.type;
    if (type !== undefined && type !== 'string')
      errors.add(invalid(child(path, `properties[${name}].type`), type, 'must be string'));
  }
  const metadata = s.properties.get('metadata');
  if (metadata === undefined) return;
  const at = child(path, 'properties[metadata]');
  if (metadata.type !== 'object') errors.add(invalid(child(at, 'type'), metadata.type, 'must be object'));
  errors.forbid(
    at,
    level === 'root' && !restrictsNamesOnly(metadata.source),
    'must not specify anything other than name and generateName, but metadata is implicitly specified',
  );
}

function restrictsNamesOnly(metadata: JSONSchemaProps): boolean {
  const { type: _type, default: _default, properties, ...rest } = metadata;
  const isRestSet = Object.values(rest).some((v) => v !== undefined && v !== false && v !== '');
  return !isRestSet && Object.keys(properties ?? {}).every((name) => name === 'name' || name === 'generateName');
}

/** Lists left out: the two ways to write int-or-string by hand may name types in a junctor. */
interface Skips {
  readonly anyOf: boolean;
  /** The anyOf of the first of allOf. */
  readonly firstAnyOf: boolean;
}

const NO_SKIPS: Skips = { anyOf: false, firstAnyOf: false };

/** What the junctors of one node say, and its pattern. */
function junctors(s: Structural, path: string, w: Walk, skips: Skips): void {
  const at = (name: string): string => child(path, name);
  if (!skips.anyOf) for (const [i, inner] of s.anyOf.entries()) nested(inner, at(`anyOf[${i}]`), w, NO_SKIPS);
  for (const [i, inner] of s.allOf.entries())
    nested(inner, at(`allOf[${i}]`), w, { anyOf: i === 0 && skips.firstAnyOf, firstAnyOf: false });
  for (const [i, inner] of s.oneOf.entries()) nested(inner, at(`oneOf[${i}]`), w, NO_SKIPS);
  if (s.not !== undefined) nested(s.not, at('not'), w, NO_SKIPS);
  validatePattern(s, path, w);
}

function validatePattern(s: Structural, path: string, w: Walk): void {
  const text = s.source.pattern ?? '';
  const compiled = text === '' ? undefined : w.patterns.compile(text);
  if (compiled !== undefined && 'message' in compiled)
    w.errors.add(
      invalid(child(path, 'pattern'), text, `must be a valid regular expression, but isn't: ${compiled.message}`),
    );
}

/** `anyOf: [{type: integer}, {type: string}]`, exactly. */
export function isIntOrStringPair(anyOf: readonly Structural[]): boolean {
  const types = anyOf.map((s) => (Object.keys(s.source).length === 1 ? s.type : ''));
  return types.length === 2 && types[0] === 'integer' && types[1] === 'string';
}

/** A schema inside a junctor: value validation only. */
function nested(s: Structural, path: string, w: Walk, skips: Skips): void {
  const at = (name: string): string => child(path, name);
  junctors(s, path, w, skips);
  if (s.items !== undefined) nested(s.items, at('items'), w, NO_SKIPS);
  for (const [name, property] of s.properties) nested(property, at(`properties[${name}]`), w, NO_SKIPS);
  for (const e of forbiddenInside(s)) w.errors.add(forbidden(at(e.name), e.detail));
}

function forbiddenInside(s: Structural): { name: string; detail: string }[] {
  const checks: readonly (readonly [name: string, isSet: boolean, wanted: string])[] = [
    ['type', s.type !== '', 'empty'],
    ['additionalProperties', isConstraint(s.additionalProperties), 'undefined'],
    ['default', s.default !== undefined, 'undefined'],
    ['title', Boolean(s.source.title), 'empty'],
    ['description', Boolean(s.source.description), 'empty'],
    ['nullable', s.nullable, 'false'],
    ['x-kubernetes-preserve-unknown-fields', s.preservesUnknownFields, 'false'],
    ['x-kubernetes-embedded-resource', s.isEmbeddedResource, 'false'],
    ['x-kubernetes-int-or-string', s.isIntOrString, 'false'],
    ['x-kubernetes-list-map-keys', s.listMapKeys.length > 0, 'empty'],
    ['x-kubernetes-list-type', s.listType !== undefined, 'undefined'],
    ['x-kubernetes-map-type', s.mapType !== undefined, 'undefined'],
    ['x-kubernetes-validations', s.rules.length > 0, 'empty'],
  ];
  const found = checks
    .filter(([, isSet]) => isSet)
    .map(([name, , wanted]) => ({ name, detail: `must be ${wanted} to be structural` }));
  if (s.properties.has('metadata'))
    found.push({ name: 'properties[metadata]', detail: 'must not be specified in a nested context' });
  return found;
}

/** `additionalProperties: false` in a junctor only narrows; true and a schema are refused. */
function isConstraint(additional: Structural['additionalProperties']): boolean {
  return additional === true || typeof additional === 'object';
}
