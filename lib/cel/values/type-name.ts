/** What `type(x)` names, and whether a value may stand for a declared parameter type at run time. */
import type { Type } from '../types.ts';
import { Duration, Timestamp } from './time.ts';
import { ListValue, MapValue, ObjectValue, OpaqueValue, OptionalValue, TypeValue, Uint, type Value } from './value.ts';

export function typeNameOf(v: Value): string {
  if (v === null) return 'null_type';
  if (typeof v === 'boolean') return 'bool';
  if (typeof v === 'bigint') return 'int';
  if (typeof v === 'number') return 'double';
  if (typeof v === 'string') return 'string';
  if (v instanceof Uint) return 'uint';
  if (v instanceof Uint8Array) return 'bytes';
  if (v instanceof Timestamp) return 'google.protobuf.Timestamp';
  if (v instanceof Duration) return 'google.protobuf.Duration';
  if (v instanceof ListValue) return 'list';
  if (v instanceof MapValue) return 'map';
  if (v instanceof OptionalValue) return 'optional_type';
  if (v instanceof TypeValue) return 'type';
  return v.typeName;
}

export type Matcher = (v: Value) => boolean;

const always: Matcher = () => true;

const SCALAR_MATCHERS: ReadonlyMap<string, Matcher> = new Map<string, Matcher>([
  ['null', (v) => v === null],
  ['bool', (v) => typeof v === 'boolean'],
  ['int', (v) => typeof v === 'bigint'],
  ['uint', (v) => v instanceof Uint],
  ['double', (v) => typeof v === 'number'],
  ['string', (v) => typeof v === 'string'],
  ['bytes', (v) => v instanceof Uint8Array],
  ['timestamp', (v) => v instanceof Timestamp],
  ['duration', (v) => v instanceof Duration],
]);

/** Elements are looked at only as far as the first one: it is enough to choose between overloads. */
export function matcher(t: Type): Matcher {
  switch (t.kind) {
    case 'list': {
      const element = matcher(t.element);
      if (element === always) return (v) => v instanceof ListValue;
      return (v) => v instanceof ListValue && (v.length === 0 || element(v.at(0)));
    }
    case 'map':
      return (v) => v instanceof MapValue;
    case 'object':
      return (v) => v instanceof ObjectValue && v.typeName === t.name;
    case 'opaque':
      if (t.name === 'optional_type') return (v) => v instanceof OptionalValue;
      return (v) => v instanceof OpaqueValue && v.typeName === t.name;
    case 'type':
      return (v) => v instanceof TypeValue;
    case 'wrapper': {
      const inner = matcher(t.of);
      return (v) => v === null || inner(v);
    }
    default:
      return SCALAR_MATCHERS.get(t.kind) ?? always;
  }
}
