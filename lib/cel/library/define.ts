/** Typed rows of the libraries' tables. Dispatch has checked the arguments before a decoder sees them. */
import { AssertionError } from '#lib/base';
import { type Overload, overload } from '../env.ts';
import type { Meter } from '../regex/regex.ts';
import { Duration, Timestamp } from '../values/time.ts';
import { ListValue, MapValue, OptionalValue, type Result, Uint, type Value } from '../values/value.ts';

export type Decode<T> = (v: Value | undefined) => T;

function wrong(v: unknown): never {
  throw new AssertionError(`argument of an overload has another type: ${typeof v}`);
}

export const any: Decode<Value> = (v) => v ?? null;
export const str: Decode<string> = (v) => (typeof v === 'string' ? v : wrong(v));
export const int: Decode<bigint> = (v) => (typeof v === 'bigint' ? v : wrong(v));
export const uint: Decode<bigint> = (v) => (v instanceof Uint ? v.value : wrong(v));
export const double: Decode<number> = (v) => (typeof v === 'number' ? v : wrong(v));
export const bool: Decode<boolean> = (v) => (typeof v === 'boolean' ? v : wrong(v));
export const bytes: Decode<Uint8Array> = (v) => (v instanceof Uint8Array ? v : wrong(v));
export const list: Decode<ListValue> = (v) => (v instanceof ListValue ? v : wrong(v));
export const map: Decode<MapValue> = (v) => (v instanceof MapValue ? v : wrong(v));
export const optional: Decode<OptionalValue> = (v) => (v instanceof OptionalValue ? v : wrong(v));
export const timestamp: Decode<Timestamp> = (v) => (v instanceof Timestamp ? v : wrong(v));
export const duration: Decode<Duration> = (v) => (v instanceof Duration ? v : wrong(v));
export function instance<T>(type: abstract new (...args: never[]) => T): Decode<T> {
  return (v) => (v instanceof type ? v : wrong(v));
}

export function fn0(id: string, signature: string, f: () => Result): Overload {
  return overload(id, signature, f);
}
export function fn1<A>(id: string, signature: string, a: Decode<A>, f: (a: A, meter: Meter) => Result): Overload {
  return overload(id, signature, (args, meter) => f(a(args[0]), meter));
}
export function fn2<A, B>(
  id: string,
  signature: string,
  decoders: readonly [Decode<A>, Decode<B>],
  f: (a: A, b: B, meter: Meter) => Result,
): Overload {
  const [a, b] = decoders;
  return overload(id, signature, (args, meter) => f(a(args[0]), b(args[1]), meter));
}
export function fn3<A, B, C>(
  id: string,
  signature: string,
  decoders: readonly [Decode<A>, Decode<B>, Decode<C>],
  f: (a: A, b: B, c: C, meter: Meter) => Result,
): Overload {
  const [a, b, c] = decoders;
  return overload(id, signature, (args, meter) => f(a(args[0]), b(args[1]), c(args[2]), meter));
}
