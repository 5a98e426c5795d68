/**
 * JSON as CEL values, read lazily by a declared type (k8s.io/apiserver/pkg/cel/common/values*.go): `set` lists compare without order,
 * `map` lists by key, and their `+` merges; the JSON of a dyn follows its own shape (whole numbers are int).
 */

import type { Meter } from '../regex/regex.ts';
import { isDyn, type ListType, type MapType, type ObjectType, type Type } from '../types.ts';
import { equal, STEPS_PER_ELEMENT } from './equality.ts';
import { Duration, formatDuration, formatTimestamp, parseDuration, parseTimestamp, Timestamp } from './time.ts';
import {
  ArrayList,
  ListValue,
  MapValue,
  ObjectValue,
  OpaqueValue,
  OptionalValue,
  type Result,
  TypeValue,
  Uint,
  type Value,
} from './value.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export function isJsonObject(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

/** A value that does not fit its type is read by its own shape: validation of the shape comes before CEL. */
export function fromJson(json: unknown, type: Type): Value {
  switch (type.kind) {
    case 'object':
      return isJsonObject(json) ? new JsonObject(json, type) : fromDynJson(json);
    case 'map':
      return isJsonObject(json) ? new JsonMap(json, type) : fromDynJson(json);
    case 'list':
      return Array.isArray(json) ? new JsonList(json, type) : fromDynJson(json);
    case 'wrapper':
      return json === null ? null : fromJson(json, type.of);
    case 'double':
      return typeof json === 'number' ? json : fromDynJson(json);
    case 'uint':
      return typeof json === 'number' && Number.isInteger(json) && json >= 0
        ? new Uint(BigInt(json))
        : fromDynJson(json);
    case 'timestamp':
      return (typeof json === 'string' ? timestampOf(json) : undefined) ?? fromDynJson(json);
    case 'duration':
      return (typeof json === 'string' ? parseDuration(json) : undefined) ?? fromDynJson(json);
    case 'bytes':
      return typeof json === 'string' ? new Uint8Array(Buffer.from(json, 'base64')) : fromDynJson(json);
    default:
      return fromDynJson(json);
  }
}

function timestampOf(text: string): Timestamp | undefined {
  return parseTimestamp(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text);
}

const DYN_LIST: ListType = { kind: 'list', element: { kind: 'dyn' } };
const DYN_MAP: MapType = { kind: 'map', key: { kind: 'string' }, value: { kind: 'dyn' } };

function fromDynJson(json: unknown): Value {
  if (json === null || json === undefined) return null;
  if (typeof json === 'number') return Number.isInteger(json) && Math.abs(json) < 2 ** 63 ? BigInt(json) : json;
  if (typeof json === 'string' || typeof json === 'boolean' || typeof json === 'bigint') return json;
  if (Array.isArray(json)) return new JsonList(json, DYN_LIST);
  return isJsonObject(json) ? new JsonMap(json, DYN_MAP) : null;
}

class JsonObject extends ObjectValue {
  private readonly json: Readonly<Record<string, unknown>>;
  private readonly type: ObjectType;
  private readonly read = new Map<string, Value>();
  constructor(json: Readonly<Record<string, unknown>>, type: ObjectType) {
    super();
    this.json = json;
    this.type = type;
  }
  get typeName(): string {
    return this.type.name;
  }
  get(field: string): Value | undefined {
    const known = this.read.get(field);
    if (known !== undefined) return known;
    const declared = this.type.fields.get(field);
    if (declared === undefined) return undefined;
    const name = declared.jsonName ?? field;
    const json = Object.hasOwn(this.json, name) ? this.json[name] : undefined;
    if (json === undefined || (json === null && !isDyn(declared.type) && declared.type.kind !== 'wrapper'))
      return undefined;
    const value = fromJson(json, declared.type);
    this.read.set(field, value);
    return value;
  }
  *fields(): Iterable<string> {
    for (const name of this.type.fields.keys()) if (this.get(name) !== undefined) yield name;
  }
  /** Also by what the type does not declare: unknown fields are kept where a schema says so. */
  override equals(other: ObjectValue, meter: Meter | undefined): boolean | undefined {
    if (!(other instanceof JsonObject)) return undefined;
    const names = Object.keys(this.json);
    meter?.work(names.length * STEPS_PER_ELEMENT);
    if (names.length !== Object.keys(other.json).length) return false;
    const declared = declaredFields(this.type);
    return names.every((name) => {
      const field = declared.get(name);
      if (field === undefined)
        return Object.hasOwn(other.json, name) && equalJson(this.json[name], other.json[name], meter);
      const [x, y] = [this.get(field), other.get(field)];
      return x === undefined || y === undefined ? x === y : equal(x, y, meter);
    });
  }
}

const FIELDS = new WeakMap<ObjectType, ReadonlyMap<string, string>>();

/** The names of a type's fields by their names in JSON. */
function declaredFields(type: ObjectType): ReadonlyMap<string, string> {
  const known = FIELDS.get(type);
  if (known !== undefined) return known;
  const made = new Map<string, string>();
  for (const [name, field] of type.fields) made.set(field.jsonName ?? name, name);
  FIELDS.set(type, made);
  return made;
}

function equalJson(a: unknown, b: unknown, meter: Meter | undefined): boolean {
  meter?.work(STEPS_PER_ELEMENT);
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, i) => equalJson(item, b[i], meter));
  if (!isJsonObject(a) || !isJsonObject(b)) return a === b;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equalJson(a[name], b[name], meter))
  );
}

class JsonMap extends MapValue {
  private readonly json: Readonly<Record<string, unknown>>;
  private readonly type: MapType;
  private names: readonly string[] | undefined;
  constructor(json: Readonly<Record<string, unknown>>, type: MapType) {
    super();
    this.json = json;
    this.type = type;
  }
  private entries(): readonly string[] {
    this.names ??= Object.keys(this.json);
    return this.names;
  }
  get size(): number {
    return this.entries().length;
  }
  find(key: Value): Value | undefined {
    if (typeof key !== 'string' || !Object.hasOwn(this.json, key)) return undefined;
    const json = this.json[key];
    return json === undefined ? undefined : fromJson(json, this.type.value);
  }
  keys(): Iterable<Value> {
    return this.entries();
  }
}

class JsonList extends ListValue {
  private readonly json: readonly unknown[];
  private readonly type: ListType;
  constructor(json: readonly unknown[], type: ListType) {
    super();
    this.json = json;
    this.type = type;
  }
  get length(): number {
    return this.json.length;
  }
  at(index: number): Value {
    return fromJson(this.json[index], this.type.element);
  }
  override equals(other: ListValue, meter: Meter | undefined): boolean | undefined {
    if (this.type.listType === undefined) return undefined;
    if (this.length !== other.length) return false;
    const mine = this.byKey(this, meter);
    for (const item of other) {
      const same = mine.get(this.keyOf(item, meter));
      if (same === undefined || !equal(same, item, meter)) return false;
    }
    return true;
  }
  /** `set`: what is new is appended; `map`: an element with the key of an old one takes its place. */
  override concat(other: ListValue, meter: Meter): ListValue {
    if (this.type.listType === undefined) return super.concat(other, meter);
    const merged = this.byKey(this, meter);
    for (const item of other) {
      const key = this.keyOf(item, meter);
      if (this.type.listType === 'map' || !merged.has(key)) merged.set(key, item);
    }
    return new ArrayList([...merged.values()]);
  }
  private byKey(items: Iterable<Value>, meter: Meter | undefined): Map<string, Value> {
    const out = new Map<string, Value>();
    for (const item of items) out.set(this.keyOf(item, meter), item);
    return out;
  }
  private keyOf(item: Value, meter: Meter | undefined): string {
    const text = JSON.stringify(this.type.listType === 'set' ? toJson(item) : this.keysOf(item));
    meter?.work(STEPS_PER_ELEMENT + text.length);
    return text;
  }
  private keysOf(item: Value): Json[] {
    return (this.type.mapKeys ?? []).map((k) => {
      const v = item instanceof ObjectValue ? item.value(k) : item instanceof MapValue ? item.find(k) : undefined;
      return v === undefined ? null : toJson(v);
    });
  }
}

/** A literal of an object type (`Object{spec: ...}`). */
export class LiteralObject extends ObjectValue {
  readonly typeName: string;
  private readonly values: ReadonlyMap<string, Value>;
  constructor(typeName: string, values: ReadonlyMap<string, Value>) {
    super();
    this.typeName = typeName;
    this.values = values;
  }
  get(field: string): Result | undefined {
    return this.values.get(field);
  }
  fields(): Iterable<string> {
    return this.values.keys();
  }
}

/** The JSON of a value, for what CEL hands back to the host. Optionals that are empty and failures are left out. */
export function toJson(v: Value): Json {
  if (v === null || typeof v === 'string' || typeof v === 'boolean' || typeof v === 'number') return v;
  if (typeof v === 'bigint') return Number(v);
  if (v instanceof Uint) return Number(v.value);
  if (v instanceof Uint8Array) return Buffer.from(v).toString('base64');
  if (v instanceof Timestamp) return formatTimestamp(v);
  if (v instanceof Duration) return formatDuration(v);
  if (v instanceof ListValue) return [...v].map(toJson);
  if (v instanceof OptionalValue) return v.value === undefined ? null : toJson(v.value);
  if (v instanceof TypeValue) return v.name;
  if (v instanceof OpaqueValue) return String(v);
  const entries: [string, Json][] = [];
  if (v instanceof MapValue) for (const k of v.keys()) entries.push([keyText(k), toJson(v.find(k) ?? null)]);
  else
    for (const f of v.fields()) {
      const value = v.value(f);
      if (value !== undefined) entries.push([f, toJson(value)]);
    }
  return Object.fromEntries(entries);
}

function keyText(k: Value): string {
  return k instanceof Uint ? String(k.value) : String(k);
}
