/**
 * Typed reading of untrusted JSON documents (manifests, indexes, configs). Every function names the field in its message and
 * throws Invalid; absent and null optional fields are the same, as image-spec allows.
 */
import { StatusError } from '#lib/base';

export type JsonObject = Readonly<Record<string, unknown>>;

/** Parses UTF-8 JSON whose top is an object. `what` opens the message. */
export function parseJsonObject(bytes: Uint8Array, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (e) {
    throw new StatusError('Invalid', `${what} is not JSON`, { cause: e });
  }
  return asObject(value, what);
}

export function asObject(value: unknown, what: string): JsonObject {
  if (!isObject(value)) throw new StatusError('Invalid', `${what} is not a JSON object`);
  return value;
}

export function asArray(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new StatusError('Invalid', `${what} is not an array`);
  return value;
}

export function asString(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new StatusError('Invalid', `${what} is not a string`);
  return value;
}

/** A size: an integer in [0, 2^53). */
export function asSize(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new StatusError('Invalid', `${what} is not a size in bytes`);
  return value;
}

export function optional<T>(value: unknown, read: (v: unknown, what: string) => T, what: string): T | undefined {
  return value === undefined || value === null ? undefined : read(value, what);
}

export function asStrings(value: unknown, what: string): readonly string[] {
  return asArray(value, what).map((v, i) => asString(v, `${what}[${i}]`));
}

export function asStringMap(value: unknown, what: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(asObject(value, what)).map(([k, v]) => [k, asString(v, `${what}.${k}`)]));
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
