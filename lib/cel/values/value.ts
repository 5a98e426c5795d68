/**
 * Run-time values of CEL (cel-spec, langdef.md "Values"). Numbers: `bigint` is int, `Uint` is uint, `number` is double. Lists, maps and
 * objects are abstract, so that a host's JSON is read lazily and a structural schema may bring its own equality.
 */
import type { Meter } from '../regex/regex.ts';
import type { Duration, Timestamp } from './time.ts';

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | Uint
  | Timestamp
  | Duration
  | ListValue
  | MapValue
  | ObjectValue
  | OptionalValue
  | TypeValue
  | OpaqueValue;

/** What an expression gives: errors and unknowns are values here, since `&&`, `||` and `?:` may absorb them. */
export type Result = Value | CelError | Unknown;

export class Uint {
  readonly value: bigint;
  constructor(value: bigint) {
    this.value = value;
  }
}

export class CelError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** An input that the host does not know (yet); wins over errors, loses against an absorbing `&&` or `||`. */
export class Unknown {
  readonly names: readonly string[];
  constructor(names: readonly string[]) {
    this.names = names;
  }
}

export class TypeValue {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

export class OptionalValue {
  readonly value: Value | undefined;
  constructor(value: Value | undefined) {
    this.value = value;
  }
}

export const NONE = new OptionalValue(undefined);

/** Values of library types (quantities, addresses, ...). */
export abstract class OpaqueValue {
  abstract readonly typeName: string;
  abstract equals(other: OpaqueValue): boolean;
}

export abstract class ObjectValue {
  abstract readonly typeName: string;
  /** Undefined when the field is not set (and has no default); a failure when a host computes it and cannot. */
  abstract get(field: string): Result | undefined;
  abstract fields(): Iterable<string>;

  /** Undefined when objects of this kind are equal as their fields are. */
  equals(_other: ObjectValue, _meter: Meter | undefined): boolean | undefined {
    return undefined;
  }

  /** A field that is there and no failure. */
  value(field: string): Value | undefined {
    const v = this.get(field);
    return v === undefined || isFailure(v) ? undefined : v;
  }
}

export abstract class ListValue {
  abstract readonly length: number;
  /** `index` in `[0, length)`. */
  abstract at(index: number): Value;

  *[Symbol.iterator](): Iterator<Value> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }

  /** O(1): a rule may concatenate a large list once per element of another one. */
  concat(other: ListValue, _meter: Meter): ListValue {
    if (this.length === 0) return other;
    if (other.length === 0) return this;
    return new ConcatList(this, other);
  }

  /** Undefined when this list has no equality of its own. */
  equals(_other: ListValue, _meter: Meter | undefined): boolean | undefined {
    return undefined;
  }
}

export class ArrayList extends ListValue {
  protected readonly items: Value[];
  constructor(items: Value[]) {
    super();
    this.items = items;
  }
  get length(): number {
    return this.items.length;
  }
  at(index: number): Value {
    return this.items[index] ?? null;
  }
  override [Symbol.iterator](): Iterator<Value> {
    return this.items[Symbol.iterator]();
  }
}

/** The accumulator of `map` and `filter`: no expression can name it, so appending in place is not seen. */
export class AccumulatorList extends ArrayList {
  override concat(other: ListValue): ListValue {
    for (const v of other) this.items.push(v);
    return this;
  }
  /** The same list, from now on an ordinary one. */
  finished(): ListValue {
    return new ArrayList(this.items);
  }
}

class ConcatList extends ListValue {
  readonly length: number;
  private readonly left: ListValue;
  private readonly right: ListValue;
  constructor(left: ListValue, right: ListValue) {
    super();
    this.left = left;
    this.right = right;
    this.length = left.length + right.length;
  }
  at(index: number): Value {
    return index < this.left.length ? this.left.at(index) : this.right.at(index - this.left.length);
  }
  override *[Symbol.iterator](): Iterator<Value> {
    yield* this.left;
    yield* this.right;
  }
}

export abstract class MapValue {
  abstract readonly size: number;
  abstract find(key: Value): Value | undefined;
  abstract keys(): Iterable<Value>;
}

/** Keys compare as `==` does: 1, 1u and 1.0 are one key. */
export class CelMap extends MapValue {
  private readonly byKey = new Map<string, readonly [Value, Value]>();
  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    super();
    for (const [k, v] of entries) this.insert(k, v);
  }
  get size(): number {
    return this.byKey.size;
  }
  find(key: Value): Value | undefined {
    const k = canonicalKey(key);
    return k === undefined ? undefined : this.byKey.get(k)?.[1];
  }
  *keys(): Iterable<Value> {
    for (const [k] of this.byKey.values()) yield k;
  }
  /** False when the key is there already or cannot be a key. Only for the maker of the map. */
  insert(key: Value, value: Value): boolean {
    const k = canonicalKey(key);
    if (k === undefined || this.byKey.has(k)) return false;
    this.byKey.set(k, [key, value]);
    return true;
  }
}

/** The accumulator of the `transformMap` family. */
export class AccumulatorMap extends CelMap {}

function canonicalKey(v: Value): string | undefined {
  if (typeof v === 'string') return `s${v}`;
  if (typeof v === 'bigint') return `n${v}`;
  if (typeof v === 'boolean') return v ? 't' : 'f';
  if (v instanceof Uint) return `n${v.value}`;
  if (typeof v === 'number') return Number.isInteger(v) ? `n${BigInt(v)}` : `d${v}`;
  return undefined;
}

export function isMapKey(v: Value): boolean {
  return typeof v === 'string' || typeof v === 'bigint' || typeof v === 'boolean' || v instanceof Uint;
}

export function isFailure(v: Result): v is CelError | Unknown {
  return v instanceof CelError || v instanceof Unknown;
}

export function mergeUnknown(a: Unknown, b: Unknown): Unknown {
  return new Unknown([...new Set([...a.names, ...b.names])]);
}
