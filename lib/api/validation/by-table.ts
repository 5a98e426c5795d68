/**
 * Validation that the field table alone can give, for kinds without a hand-written validator: required fields present,
 * enumerations kept, and the validators of common parts (pod templates, label selectors) wherever those are nested.
 * `metadata` and `status` are left out: the first has its own rules, the second is written by controllers.
 */
import { type FieldError, notSupported, required } from '../field-error.ts';
import type { LabelSelector } from '../gen/types/meta-v1.ts';
import { type FieldInfo, type TypeName, typeOf } from '../type-table.ts';
import type { JsonObject } from '../visit.ts';
import { validateLabelSelector } from './metadata.ts';

export type PartValidator = (value: unknown, path: string) => FieldError[];

/** Parts whose own validator replaces the walk into them. */
export function validateByTable(
  type: TypeName,
  object: JsonObject,
  parts: Readonly<Record<TypeName, PartValidator>>,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const f of typeOf(type).fields)
    if (!['metadata', 'status', 'apiVersion', 'kind'].includes(f.name)) walkField(f, object, '', parts, errors);
  return errors;
}

export const COMMON_PARTS: Readonly<Record<TypeName, PartValidator>> = {
  'meta/v1.LabelSelector': (v, path) => validateLabelSelector(v as LabelSelector, path),
};

function walkField(
  f: FieldInfo,
  owner: JsonObject,
  path: string,
  parts: Readonly<Record<TypeName, PartValidator>>,
  errors: FieldError[],
): void {
  const at = path === '' ? f.name : `${path}.${f.name}`;
  const value = owner[f.name];
  if (isMissing(f, value)) {
    errors.push(required(at));
    return;
  }
  if (value === undefined || value === null) return;
  walk(f.type, value, at, parts, errors);
}

/** A +required marker, or a string that Go always writes and nothing calls optional: a name, a key, a type. */
function isMissing(f: FieldInfo, value: unknown): boolean {
  const isEmpty = value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
  if (!isEmpty) return false;
  if (f.required) return f.type.k !== 'bool' && f.type.k !== 'int32' && f.type.k !== 'int64';
  return f.type.k === 'string' && !f.optional && !f.omitempty && !f.pointer;
}

function walk(
  t: FieldInfo['type'],
  value: unknown,
  path: string,
  parts: Readonly<Record<TypeName, PartValidator>>,
  errors: FieldError[],
): void {
  switch (t.k) {
    case 'string':
      if (t.enum !== undefined && value !== '' && !t.enum.includes(value as string))
        errors.push(notSupported(path, value, [...t.enum].sort()));
      return;
    case 'list':
      for (const [i, item] of (value as unknown[]).entries()) walk(t.of, item, `${path}[${i}]`, parts, errors);
      return;
    case 'map':
      for (const [key, item] of Object.entries(value as object)) walk(t.of, item, `${path}[${key}]`, parts, errors);
      return;
    case 'struct': {
      const part = parts[t.name];
      if (part !== undefined) errors.push(...part(value, path));
      else for (const f of typeOf(t.name).fields) walkField(f, value as JsonObject, path, parts, errors);
      return;
    }
    default:
      return;
  }
}
