/**
 * Which part of the old object a part of the new one is: fields by name, items of a map list by their keys, items of a list
 * without type by index; items of sets and atomic lists have no counterpart.
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
export function correlatedItems(
  s: Structural,
  old: unknown,
): ((item: unknown, index: number) => Correlated | undefined) | undefined {
  if (!Array.isArray(old)) return undefined;
  switch (s.listType) {
    case 'map': {
      const byKey = new Map<string, Correlated>();
      for (const item of old) {
        const key = keyText(s, item);
        if (key !== undefined && !byKey.has(key)) byKey.set(key, { value: item });
      }
      return (item) => byKey.get(keyText(s, item) ?? '');
    }
    case undefined:
      return (_item, index) => (index < old.length && old[index] !== null ? { value: old[index] } : undefined);
    default:
      return undefined;
  }
}

function keyText(s: Structural, item: unknown): string | undefined {
  return isObject(item) ? canonicalText(s.listMapKeys.map((key) => getOwn(item, key) ?? null)) : undefined;
}

/** Equal, where the order of a map list's items does not matter. */
export function isUnchanged(s: Structural | undefined, next: unknown, old: unknown): boolean {
  if (s === undefined) return equalJson(next, old);
  if (Array.isArray(next) && Array.isArray(old)) {
    if (next.length !== old.length) return false;
    const find = s.listType === 'map' ? correlatedItems(s, old) : undefined;
    return next.every((item, i) => {
      const counterpart = find === undefined ? { value: old[i] } : find(item, i);
      return counterpart !== undefined && isUnchanged(s.items, item, counterpart.value);
    });
  }
  if (isObject(next) && isObject(old)) {
    const keys = Object.keys(next);
    if (keys.length !== Object.keys(old).length) return false;
    return keys.every(
      (key) => Object.hasOwn(old, key) && isUnchanged(fieldSchema(s, key), getOwn(next, key), getOwn(old, key)),
    );
  }
  return equalJson(next, old);
}
