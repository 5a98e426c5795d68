/**
 * Typed reading of Docker's JSON: absent and null are the same, a wrong type is a 400. A table names each field of a type once
 * and the compiler sees to it that none is forgotten; keys that no table has are left out. Pure.
 */
import type { JsonObject } from '#lib/oci';
import { badParameter } from './contract.ts';

export type Read<T> = (value: unknown, what: string) => T;
export type Fields<T> = { readonly [K in keyof T]-?: Read<Exclude<T[K], undefined>> };

/** More entries of one list or map than anybody means. */
const ENTRIES_MAX = 10_000;

function wrong(what: string, wanted: string): Error {
  return badParameter(`invalid JSON: ${what} must be ${wanted}`);
}

export const text: Read<string> = (v, what) => {
  if (typeof v !== 'string') throw wrong(what, 'a string');
  if (v.includes('\0')) throw wrong(what, 'a string without NUL');
  return v;
};

export const bool: Read<boolean> = (v, what) => {
  if (typeof v !== 'boolean') throw wrong(what, 'true or false');
  return v;
};

export const int: Read<number> = (v, what) => {
  if (typeof v !== 'number' || !Number.isSafeInteger(v)) throw wrong(what, 'a whole number');
  return v;
};

export function list<T>(read: Read<T>): Read<readonly T[]> {
  return (v, what) => {
    if (!Array.isArray(v) || v.length > ENTRIES_MAX) throw wrong(what, 'a list');
    return v.map((x, i) => read(x, `${what}[${i}]`));
  };
}

/** A text alone is a list of one (moby api/types/strslice). */
export const command: Read<readonly string[]> = (v, what) => (typeof v === 'string' ? [text(v, what)] : texts(v, what));

export const texts: Read<readonly string[]> = list(text);

export function object(v: unknown, what: string): JsonObject {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw wrong(what, 'an object');
  return v as JsonObject;
}

export function map<T>(read: Read<T>): Read<Readonly<Record<string, T>>> {
  return (v, what) => {
    const entries = Object.entries(object(v, what));
    if (entries.length > ENTRIES_MAX) throw wrong(what, 'smaller');
    return Object.fromEntries(entries.map(([k, x]) => [text(k, what), read(x, `${what}.${k}`)]));
  };
}

export const textMap: Read<Readonly<Record<string, string>>> = map(text);

/** `{"80/tcp": {}}`: a set. */
export const set: Read<Readonly<Record<string, object>>> = map(() => ({}));

export function oneOf<T extends string>(...all: readonly T[]): Read<T> {
  return (v, what) => {
    const found = all.find((x) => x === v);
    if (found === undefined) throw wrong(what, `one of ${all.filter((x) => x !== '').join(', ')}`);
    return found;
  };
}

/** Also where the field is null on purpose. */
export function orNull<T>(read: Read<T>): Read<T | null> {
  return (v, what) => (v === null ? null : read(v, what));
}

/** The field `key` of `o`; undefined = absent or null. */
export function field<T>(o: JsonObject, key: string, read: Read<T>): T | undefined {
  const value = o[key];
  return value === undefined || value === null ? undefined : read(value, key);
}

/** Those that are there. */
export function struct<T>(fields: Fields<T>): (v: unknown, what: string) => Partial<T> {
  return (v, what) => {
    const from = object(v, what);
    const out: Partial<T> = {};
    for (const key in fields) {
      const value = from[key];
      if (value !== undefined && value !== null) out[key] = fields[key](value, what === '' ? key : `${what}.${key}`);
    }
    return out;
  };
}

/** All of `needed` are there, or get what stands for absent. */
export function whole<T>(fields: Fields<T>, absent: T): Read<T> {
  const read = struct(fields);
  return (v, what) => ({ ...absent, ...read(v, what) });
}
