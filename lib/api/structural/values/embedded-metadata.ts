/**
 * apiVersion, kind and metadata of embedded resources (and of a root): their types, what ObjectMeta does not know is dropped,
 * and the rules that every object's metadata keeps.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta/{algorithm,coerce,validation}.go.
 */
import { isKind } from '#lib/base';
import { type FieldError, invalid, required } from '../../field-error.ts';
import type { ObjectMeta } from '../../gen/types/meta-v1.ts';
import { getOwn, isObject, type JsonObject, setOwn } from '../../patch/value.ts';
import { decodeType } from '../../schema.ts';
import { validateMetadata } from '../../validation/metadata.ts';
import { dns1035Label, pathSegmentName } from '../../validation/names.ts';
import { mapList } from '../prune.ts';
import { child, fieldSchema, type Structural } from '../schema.ts';

export interface Coerced {
  readonly value: unknown;
  /** Paths of fields that ObjectMeta does not have. */
  readonly unknown: readonly string[];
  /** The first field of the wrong type. */
  readonly error?: FieldError;
}

/** Pure. On read from storage malformed metadata is dropped instead (`dropsMalformed`). */
export function coerceEmbedded(
  schema: Structural,
  value: unknown,
  o: { readonly path: string; readonly dropsMalformed: boolean },
): Coerced {
  const c: Coercion = { dropsMalformed: o.dropsMalformed, unknown: [], error: undefined };
  const coerced = coerce(schema, value, o.path, c);
  return { value: coerced, unknown: c.unknown.sort(), ...(c.error === undefined ? {} : { error: c.error }) };
}

interface Coercion {
  readonly dropsMalformed: boolean;
  readonly unknown: string[];
  error: FieldError | undefined;
}

function coerce(s: Structural | undefined, value: unknown, path: string, c: Coercion): unknown {
  if (s === undefined) return value;
  if (Array.isArray(value)) return mapList(value, (item, i) => coerce(s.items, item, `${path}[${i}]`, c));
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  let isChanged = false;
  for (const key of Object.keys(value)) {
    const given = getOwn(value, key);
    const isAdditional = !s.properties.has(key);
    const at = isAdditional && s.additionalProperties !== undefined ? `${path}[${key}]` : child(path, key);
    const own = s.isEmbeddedResource ? coerceMeta(key, given, at, c) : given;
    const next = coerce(fieldSchema(s, key), own, at, c);
    if (next !== given) isChanged = true;
    if (next !== undefined) setOwn(result, key, next);
  }
  return isChanged ? result : value;
}

/** undefined: dropped. */
function coerceMeta(key: string, value: unknown, path: string, c: Coercion): unknown {
  if (key === 'apiVersion' || key === 'kind') {
    if (typeof value === 'string') return value;
    if (c.dropsMalformed) return undefined;
    c.error ??= invalid(path, value, 'must be a string');
    return value;
  }
  if (key !== 'metadata') return value;
  const decoded = decodeMeta(value);
  if ('meta' in decoded) {
    c.unknown.push(...decoded.unknown.map((name) => child(path, name)));
    return decoded.meta;
  }
  if (c.dropsMalformed) return isObject(value) ? withoutMalformed(value) : value;
  c.error ??= invalid(path, value, decoded.message);
  return value;
}

type DecodedMeta = { readonly meta: JsonObject; readonly unknown: readonly string[] } | { readonly message: string };

function decodeMeta(value: unknown): DecodedMeta {
  try {
    const { object, unknown } = decodeType('meta/v1.ObjectMeta', value);
    const { creationTimestamp, ...meta } = object as JsonObject;
    if (creationTimestamp !== null && creationTimestamp !== undefined) meta['creationTimestamp'] = creationTimestamp;
    return { meta, unknown: unknown.map((text) => /^unknown field "(.*)"$/s.exec(text)?.[1] ?? text) };
  } catch (e) {
    if (!isKind(e, 'BadRequest')) throw e;
    return { message: e.message.replace(/^.*?cannot be handled as a ObjectMeta: /, '') };
  }
}

function withoutMalformed(metadata: JsonObject): JsonObject {
  const kept: JsonObject = {};
  for (const key of Object.keys(metadata)) {
    const decoded = decodeMeta({ [key]: getOwn(metadata, key) });
    if ('meta' in decoded && Object.hasOwn(decoded.meta, key)) setOwn(kept, key, decoded.meta[key]);
  }
  return kept;
}

/** Rules of embedded resources; a root counts as one when `schema` says so (asResource). */
export function validateEmbedded(schema: Structural, value: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  walk(schema, value, path, errors);
  return errors;
}

function walk(s: Structural | undefined, value: unknown, path: string, errors: FieldError[]): void {
  if (s === undefined) return;
  if (Array.isArray(value)) for (const [i, item] of value.entries()) walk(s.items, item, `${path}[${i}]`, errors);
  if (!isObject(value)) return;
  if (s.isEmbeddedResource) errors.push(...validateResource(value, path));
  for (const key of Object.keys(value)) {
    const at = s.properties.has(key) ? child(path, key) : `${path}[${key}]`;
    walk(fieldSchema(s, key), getOwn(value, key), at, errors);
  }
}

function validateResource(value: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['apiVersion', 'kind'] as const) {
    const at = child(path, name);
    const given = getOwn(value, name);
    if (given === undefined) errors.push(required(at));
    else if (typeof given !== 'string') errors.push(invalid(at, given, 'must be a string'));
    else if (given === '') errors.push(invalid(at, given, 'must not be empty'));
    else errors.push(...(name === 'kind' ? validateKind(given, at) : validateApiVersion(given, at)));
  }
  if (Object.hasOwn(value, 'metadata')) errors.push(...validateMeta(value['metadata'], child(path, 'metadata')));
  return errors;
}

function validateApiVersion(given: string, at: string): FieldError[] {
  return given.split('/').length > 2 ? [invalid(at, given, `unexpected GroupVersion string: ${given}`)] : [];
}

function validateKind(given: string, at: string): FieldError[] {
  const messages = dns1035Label(given.toLowerCase());
  if (messages.length === 0) return [];
  return [invalid(at, given, `may have mixed case, but should otherwise match: ${messages.join(',')}`)];
}

function validateMeta(value: unknown, path: string): FieldError[] {
  const decoded = decodeMeta(value);
  if ('message' in decoded) return [invalid(path, value, decoded.message)];
  // The decoder has given an ObjectMeta; a name is not required here.
  const given = decoded.meta as unknown as ObjectMeta;
  const meta = given.name ? given : { ...given, name: 'fakename' };
  const errors = validateMetadata(meta, {
    namespaced: Boolean(meta.namespace),
    name: pathSegmentName,
    allowsPlainFinalizers: true,
  });
  return errors.map((e) => ({ ...e, field: path + e.field.slice('metadata'.length) }));
}
