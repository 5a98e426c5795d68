/** Objects from caches are shared and deep-readonly; whoever wants to change one takes a copy. */
import type { DeepReadonly } from '#lib/api';

/** A deep copy of plain JSON data. */
export function mutableCopy<T>(value: DeepReadonly<T>): T;
export function mutableCopy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((v: unknown) => mutableCopy(v));
  if (typeof value !== 'object' || value === null) return value;
  const out: Record<string, unknown> = {};
  for (const [k, v] of Object.entries(value)) out[k] = mutableCopy(v);
  return out;
}

/** Whether two plain JSON values are equal; a key that is absent equals one that is undefined, key order is nothing. */
export function isEqualJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((v, i) => isEqualJson(v, b[i]));
  }
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const k of Object.keys(x)) if (!isEqualJson(x[k], y[k])) return false;
  for (const k of Object.keys(y)) if (x[k] === undefined && y[k] !== undefined) return false;
  return true;
}
