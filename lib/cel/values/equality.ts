/**
 * `==` and the order of CEL (cel-spec "Equality", "Ordering"): values of different kinds differ, numbers compare across int, uint and
 * double as mathematics does, NaN equals nothing.
 */
import type { Meter } from '../regex/regex.ts';
import { Duration, Timestamp } from './time.ts';
import {
  CelMap,
  ListValue,
  MapValue,
  ObjectValue,
  OpaqueValue,
  OptionalValue,
  TypeValue,
  Uint,
  type Value,
} from './value.ts';

export function equal(a: Value, b: Value, meter?: Meter): boolean {
  if (typeof a === 'string' || typeof a === 'boolean' || a === null) return a === b;
  const x = numeric(a);
  if (x !== undefined) {
    const y = numeric(b);
    return y !== undefined && !(x < y) && !(x > y) && !Number.isNaN(x) && !Number.isNaN(y);
  }
  if (a instanceof ListValue) return b instanceof ListValue && equalLists(a, b, meter);
  if (a instanceof MapValue) return b instanceof MapValue && equalMaps(a, b, meter);
  if (a instanceof ObjectValue) return b instanceof ObjectValue && equalObjects(a, b, meter);
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos;
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos;
  if (a instanceof Uint8Array) return b instanceof Uint8Array && compareBytes(a, b) === 0;
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof OptionalValue) return b instanceof OptionalValue && equalOptionals(a, b, meter);
  return a instanceof OpaqueValue && b instanceof OpaqueValue && a.typeName === b.typeName && a.equals(b);
}

/** The three numeric kinds as something that JavaScript compares exactly. */
export function numeric(v: Value): bigint | number | undefined {
  if (typeof v === 'bigint' || typeof v === 'number') return v;
  return v instanceof Uint ? v.value : undefined;
}

/** Reading an element of a host's JSON takes as long as so many steps. */
export const STEPS_PER_ELEMENT = 20;

/** The price of a comparison counts the outermost elements only; the meter counts the others. */
function equalLists(a: ListValue, b: ListValue, meter: Meter | undefined): boolean {
  if (a.length !== b.length) return false;
  meter?.work(a.length * STEPS_PER_ELEMENT);
  const own = a.equals(b, meter) ?? b.equals(a, meter);
  if (own !== undefined) return own;
  const other = b[Symbol.iterator]();
  for (const item of a) {
    const next = other.next();
    if (next.done === true || !equal(item, next.value, meter)) return false;
  }
  return true;
}

function equalMaps(a: MapValue, b: MapValue, meter: Meter | undefined): boolean {
  if (a.size !== b.size) return false;
  meter?.work(a.size * STEPS_PER_ELEMENT);
  for (const key of a.keys()) {
    const [x, y] = [a.find(key), b.find(key)];
    if (x === undefined || y === undefined || !equal(x, y, meter)) return false;
  }
  return true;
}

function equalObjects(a: ObjectValue, b: ObjectValue, meter: Meter | undefined): boolean {
  if (a === b) return true;
  if (a.typeName !== b.typeName) return false;
  const own = a.equals(b, meter);
  if (own !== undefined) return own;
  const names = [...a.fields()];
  if (names.length !== [...b.fields()].length) return false;
  meter?.work(names.length * STEPS_PER_ELEMENT);
  return names.every((n) => {
    const [x, y] = [a.value(n), b.value(n)];
    return x !== undefined && y !== undefined && equal(x, y, meter);
  });
}

function equalOptionals(a: OptionalValue, b: OptionalValue, meter: Meter | undefined): boolean {
  if (a.value === undefined || b.value === undefined) return a.value === b.value;
  return equal(a.value, b.value, meter);
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** UTF-16 order is not the order of code points where surrogates meet U+E000 and above. */
export function compareStrings(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    const [sx, sy] = [x >= 0xd800 && x < 0xe000, y >= 0xd800 && y < 0xe000];
    if (sx !== sy) return sx ? 1 : -1;
    return x < y ? -1 : 1;
  }
  return Math.sign(a.length - b.length);
}

/** Undefined when the two have no order (different kinds, NaN). */
export function compare(a: Value, b: Value): number | undefined {
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : x <= y ? 0 : undefined;
  if (typeof a === 'string' && typeof b === 'string') return compareStrings(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return compareBytes(a, b);
  if (a instanceof Timestamp && b instanceof Timestamp) return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  if (a instanceof Duration && b instanceof Duration) return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  return undefined;
}

/** Finds equal values fast where they may be map keys, and else by comparing with all. */
export class ValueSet {
  private readonly keyed = new CelMap();
  private readonly others: Value[] = [];
  constructor(values: Iterable<Value>) {
    for (const v of values) if (!this.keyed.insert(v, v) && this.keyed.find(v) === undefined) this.others.push(v);
  }
  has(v: Value): boolean {
    return this.keyed.find(v) !== undefined || this.others.some((o) => equal(o, v));
  }
}
