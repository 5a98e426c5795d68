/** Optional values (cel-go cel/library.go OptionalTypes) and what the two-variable macros call. */
import { type Library, library, overload } from '../env.ts';
import { describeKey, NO_OVERLOAD } from '../eval/access.ts';
import { equal } from '../values/equality.ts';
import { Duration, Timestamp } from '../values/time.ts';
import {
  AccumulatorMap,
  ArrayList,
  CelError,
  CelMap,
  ListValue,
  MapValue,
  NONE,
  ObjectValue,
  OptionalValue,
  type Result,
  Uint,
  type Value,
} from '../values/value.ts';
import { any, fn0, fn1, fn2, fn3, list, map, optional } from './define.ts';

function isZero(v: Value): boolean {
  if (v instanceof ListValue) return v.length === 0;
  if (v instanceof MapValue) return v.size === 0;
  if (v instanceof Uint8Array) return v.length === 0;
  if (v instanceof Uint) return v.value === 0n;
  if (v instanceof Duration) return v.nanos === 0n;
  if (v instanceof Timestamp) return equal(v, new Timestamp(-62135596800n * 1_000_000_000n));
  if (v instanceof OptionalValue) return v.value === undefined;
  if (v instanceof ObjectValue) return [...v.fields()].length === 0;
  return v === null || v === false || v === '' || v === 0n || v === 0;
}

export const OPTIONAL: Library = library(
  'optional',
  {
    'optional.of': [fn1('optional_of', 'A -> optional(A)', any, (v) => new OptionalValue(v))],
    'optional.ofNonZeroValue': [
      fn1('optional_ofNonZeroValue', 'A -> optional(A)', any, (v) => (isZero(v) ? NONE : new OptionalValue(v))),
    ],
    'optional.none': [fn0('optional_none', ' -> optional(A)', () => NONE)],
    value: [
      fn1('optional_value', 'optional(A).() -> A', optional, (o) =>
        o.value === undefined ? new CelError('optional.none() dereference') : o.value,
      ),
    ],
    hasValue: [fn1('optional_hasValue', 'optional(A).() -> bool', optional, (o) => o.value !== undefined)],
    // The planner evaluates these two itself: their argument is evaluated only when it is needed.
    or: [overload('optional_or_optional', 'optional(A).(optional(A)) -> optional(A)', () => NO_OVERLOAD)],
    orValue: [overload('optional_orValue_value', 'optional(A).(A) -> A', () => NO_OVERLOAD)],
    'optional.unwrap': [fn1('optional_unwrap', 'list(optional(A)) -> list(A)', list, unwrap)],
    unwrapOpt: [fn1('optional_unwrapOpt', 'list(optional(A)).() -> list(A)', list, unwrap)],
  },
  { optional_type: { kind: 'opaque', name: 'optional_type', params: [{ kind: 'dyn' }] } },
);

function unwrap(l: ListValue): Result {
  const items: Value[] = [];
  for (const o of l) if (o instanceof OptionalValue && o.value !== undefined) items.push(o.value);
  return new ArrayList(items);
}

export const TWO_VARIABLES: Library = library('cel.lib.ext.comprev2', {
  'cel.@mapInsert': [
    fn3('@mapInsert_map_key_value', 'map(A, B), A, B -> map(A, B)', [map, any, any], (m, k, v) => insert(m, [[k, v]])),
    fn2('@mapInsert_map_map', 'map(A, B), map(A, B) -> map(A, B)', [map, map], (m, more) =>
      insert(
        m,
        [...more.keys()].map((k) => [k, more.find(k) ?? null] as const),
      ),
    ),
  ],
});

function insert(m: MapValue, entries: readonly (readonly [Value, Value])[]): Result {
  const target =
    m instanceof AccumulatorMap ? m : new CelMap([...m.keys()].map((k) => [k, m.find(k) ?? null] as const));
  for (const [k, v] of entries)
    if (!target.insert(k, v)) return new CelError(`insert failed: key ${describeKey(k)} already exists`);
  return target;
}
