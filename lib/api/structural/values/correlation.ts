/**
 * Which part of the old object a part of the new one is: fields by name, items of a map list by their keys; items of other
 * lists have no counterpart.
 * Source: k8s.io/apiserver/pkg/cel/common/equality.go; KEP-4008.
 */
import { canonicalText, equalJson, getOwn, isObject } from '../../patch/value.ts';
import { fieldSchema, type Structural } from '../schema.ts';

export interface Correlated {
  readonly value: unknown;
}

export function correlatedField(old: Correlated | undefined, key: string): Correlated | undefined {
  if (old === undefined || !isObject(old.value) || !Object.hasOwn(old.value, key)) return undefined;
  return { value: getOwn(old.value, key) };
}

/** Finds the counterparts of a list's items; undefined when items have none. */
export function correlatedItems(s: Structural, old: unknown): ((item: unknown) => Correlated | undefined) | undefined {
  if (!Array.isArray(old) || s.listType !== 'map') return undefined;
  const byKey = new Map<string, Correlated>();
  for (const item of old) {
    const key = keyText(s, item);
    if (key !== undefined && !byKey.has(key)) byKey.set(key, { value: item });
  }
  return (item) => {
    const key = keyText(s, item);
    return key === undefined ? undefined : byKey.get(key);
  };
}

/** undefined: the item lacks a key. */
function keyText(s: Structural, item: unknown): string | undefined {
  if (!isObject(item)) return undefined;
  const keys = s.listMapKeys.map((key) => getOwn(item, key));
  return keys.some((key) => key === undefined) ? undefined : canonicalText(keys);
}

/** Equal, where the order of a map list's items does not matter. Objects with fields that no schema describes never are. */
export function isUnchanged(s: Structural, next: unknown, old: unknown): boolean {
  if (Array.isArray(next) && Array.isArray(old)) {
    const find = correlatedItems(s, old);
    const { items } = s;
    if (find === undefined || items === undefined) return equalJson(next, old);
    return next.length === old.length && next.every((item) => isSame(items, item, find(item)));
  }
  if (isObject(next) && isObject(old)) {
    const keys = Object.keys(next);
    if (keys.length !== Object.keys(old).length) return false;
    return keys.every((key) => {
      const field = fieldSchema(s, key);
      return field !== undefined && isSame(field, getOwn(next, key), correlatedField({ value: old }, key));
    });
  }
  return equalJson(next, old);
}

function isSame(s: Structural, next: unknown, old: Correlated | undefined): boolean {
  return old !== undefined && isUnchanged(s, next, old.value);
}
