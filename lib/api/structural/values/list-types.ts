/**
 * Uniqueness in lists: the items of x-kubernetes-list-type=set, the keys of the items of =map.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype/validation.go.
 */
import { duplicate, type FieldError, invalid } from '../../field-error.ts';
import { canonicalText, getOwn, isObject, type JsonObject, setOwn } from '../../patch/value.ts';
import { child, type Structural } from '../schema.ts';

/** Duplicate at the second appearance of each item, once. */
export function validateListTypes(schema: Structural, value: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  walk(schema, value, path, errors);
  return errors;
}

function walk(s: Structural, value: unknown, path: string, errors: FieldError[]): void {
  if (Array.isArray(value)) {
    if (s.listType === 'set') unique(value, (item) => item, path, errors);
    if (s.listType === 'map') validateKeys(s, value, path, errors);
    const { items } = s;
    if (items !== undefined) for (const [i, item] of value.entries()) walk(items, item, `${path}[${i}]`, errors);
    return;
  }
  if (!isObject(value)) return;
  for (const key of Object.keys(value)) {
    const property = s.properties.get(key);
    if (property !== undefined) walk(property, getOwn(value, key), child(path, key), errors);
    if (typeof s.additionalProperties === 'object')
      walk(s.additionalProperties, getOwn(value, key), `${path}[${key}]`, errors);
  }
}

function validateKeys(s: Structural, list: readonly unknown[], path: string, errors: FieldError[]): void {
  const odd = list.findIndex((item) => item !== null && !isObject(item));
  if (odd >= 0) errors.push(invalid(`${path}[${odd}]`, list[odd], 'must be an object for an array of list-type map'));
  else unique(list, (item) => keysOf(s, item), path, errors);
}

/** The key fields that the item has: absent is a value of its own. */
function keysOf(s: Structural, item: unknown): JsonObject {
  const keys: JsonObject = {};
  if (isObject(item))
    for (const name of s.listMapKeys) if (Object.hasOwn(item, name)) setOwn(keys, name, getOwn(item, name));
  return keys;
}

function unique(list: readonly unknown[], of: (item: unknown) => unknown, path: string, errors: FieldError[]): void {
  const times = new Map<string, number>();
  for (const [i, item] of list.entries()) {
    const part = of(item);
    const text = canonicalText(part);
    const count = (times.get(text) ?? 0) + 1;
    times.set(text, count);
    if (count === 2) errors.push(duplicate(`${path}[${i}]`, part));
  }
}
