/** Operators of the standard library (cel-spec "List of Standard Definitions"; cel-go common/stdlib/standard.go). */
import { type Overload, overload } from '../env.ts';
import { index, NO_OVERLOAD, optionalIndex } from '../eval/access.ts';
import { compare, equal } from '../values/equality.ts';
import { Duration, makeDuration, makeTimestamp } from '../values/time.ts';
import { CelError, type MapValue, type Result, Uint, type Value } from '../values/value.ts';
import { any, bytes, type Decode, double, duration, fn1, fn2, int, list, map, str, timestamp, uint } from './define.ts';

const INT64_MIN = -(1n << 63n);
const INT64_MAX = (1n << 63n) - 1n;
const UINT64_MAX = (1n << 64n) - 1n;

export const INT_OVERFLOW = new CelError('integer overflow');
export const UINT_OVERFLOW = new CelError('unsigned integer overflow');
const DIVIDE_BY_ZERO = new CelError('division by zero');
const MODULUS_BY_ZERO = new CelError('modulus by zero');
const DURATION_OVERFLOW = new CelError('duration overflow');
const TIMESTAMP_OVERFLOW = new CelError('timestamp overflow');

export function makeInt(n: bigint): Result {
  return n < INT64_MIN || n > INT64_MAX ? INT_OVERFLOW : n;
}
export function makeUint(n: bigint): Result {
  return n < 0n || n > UINT64_MAX ? UINT_OVERFLOW : new Uint(n);
}
const durationOr = (n: bigint): Result => makeDuration(n) ?? DURATION_OVERFLOW;
const timestampOr = (n: bigint): Result => makeTimestamp(n) ?? TIMESTAMP_OVERFLOW;

const pair = <T>(d: Decode<T>): readonly [Decode<T>, Decode<T>] => [d, d];

/** `+` of two values of one kind; the sum of a list goes through it too. */
export function add(a: Value, b: Value): Result {
  if (typeof a === 'bigint' && typeof b === 'bigint') return makeInt(a + b);
  if (a instanceof Uint && b instanceof Uint) return makeUint(a.value + b.value);
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a instanceof Duration && b instanceof Duration) return durationOr(a.nanos + b.nanos);
  return NO_OVERLOAD;
}

const ADD: readonly Overload[] = [
  fn2('add_int64', 'int, int -> int', pair(int), (a, b) => makeInt(a + b)),
  fn2('add_uint64', 'uint, uint -> uint', pair(uint), (a, b) => makeUint(a + b)),
  fn2('add_double', 'double, double -> double', pair(double), (a, b) => a + b),
  fn2('add_string', 'string, string -> string', pair(str), (a, b) => a + b),
  fn2('add_bytes', 'bytes, bytes -> bytes', pair(bytes), (a, b) => new Uint8Array(Buffer.concat([a, b]))),
  fn2('add_list', 'list(A), list(A) -> list(A)', pair(list), (a, b, meter) => {
    return a.concat(b, meter);
  }),
  fn2('add_duration_duration', 'duration, duration -> duration', pair(duration), (a, b) =>
    durationOr(a.nanos + b.nanos),
  ),
  fn2('add_duration_timestamp', 'duration, timestamp -> timestamp', [duration, timestamp], (a, b) =>
    timestampOr(a.nanos + b.nanos),
  ),
  fn2('add_timestamp_duration', 'timestamp, duration -> timestamp', [timestamp, duration], (a, b) =>
    timestampOr(a.nanos + b.nanos),
  ),
];

const SUBTRACT: readonly Overload[] = [
  fn2('subtract_int64', 'int, int -> int', pair(int), (a, b) => makeInt(a - b)),
  fn2('subtract_uint64', 'uint, uint -> uint', pair(uint), (a, b) => makeUint(a - b)),
  fn2('subtract_double', 'double, double -> double', pair(double), (a, b) => a - b),
  fn2('subtract_duration_duration', 'duration, duration -> duration', pair(duration), (a, b) =>
    durationOr(a.nanos - b.nanos),
  ),
  fn2('subtract_timestamp_duration', 'timestamp, duration -> timestamp', [timestamp, duration], (a, b) =>
    timestampOr(a.nanos - b.nanos),
  ),
  fn2('subtract_timestamp_timestamp', 'timestamp, timestamp -> duration', pair(timestamp), (a, b) =>
    durationOr(a.nanos - b.nanos),
  ),
];

const MULTIPLY: readonly Overload[] = [
  fn2('multiply_int64', 'int, int -> int', pair(int), (a, b) => makeInt(a * b)),
  fn2('multiply_uint64', 'uint, uint -> uint', pair(uint), (a, b) => makeUint(a * b)),
  fn2('multiply_double', 'double, double -> double', pair(double), (a, b) => a * b),
];

/** BigInt division truncates towards zero and `%` has the dividend's sign, as in Go. */
const DIVIDE: readonly Overload[] = [
  fn2('divide_int64', 'int, int -> int', pair(int), (a, b) => (b === 0n ? DIVIDE_BY_ZERO : makeInt(a / b))),
  fn2('divide_uint64', 'uint, uint -> uint', pair(uint), (a, b) => (b === 0n ? DIVIDE_BY_ZERO : makeUint(a / b))),
  fn2('divide_double', 'double, double -> double', pair(double), (a, b) => a / b),
];

const MODULO: readonly Overload[] = [
  fn2('modulo_int64', 'int, int -> int', pair(int), (a, b) =>
    b === 0n ? MODULUS_BY_ZERO : a === INT64_MIN && b === -1n ? INT_OVERFLOW : a % b,
  ),
  fn2('modulo_uint64', 'uint, uint -> uint', pair(uint), (a, b) => (b === 0n ? MODULUS_BY_ZERO : new Uint(a % b))),
];

const NEGATE: readonly Overload[] = [
  fn1('negate_int64', 'int -> int', int, (a) => makeInt(-a)),
  fn1('negate_double', 'double -> double', double, (a) => -a),
];

const ORDERED = ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'timestamp', 'duration'] as const;
const OVERLOAD_NAMES: Readonly<Record<string, string>> = { int: 'int64', uint: 'uint64' };
const NUMERIC = ['int', 'uint', 'double'] as const;

function ordering(name: string, holds: (order: number) => boolean): readonly Overload[] {
  const f = (a: Value, b: Value): Result => {
    const order = compare(a, b);
    return order === undefined ? new CelError('NaN values cannot be ordered') : holds(order);
  };
  const idOf = (t: string) => OVERLOAD_NAMES[t] ?? t;
  const same = ORDERED.map((t) => fn2(`${name}_${idOf(t)}`, `${t}, ${t} -> bool`, pair(any), f));
  const crossed = NUMERIC.flatMap((a) =>
    NUMERIC.filter((b) => a !== b).map((b) => fn2(`${name}_${idOf(a)}_${idOf(b)}`, `${a}, ${b} -> bool`, pair(any), f)),
  );
  return [...same, ...crossed];
}

/** The planner evaluates these itself, since they need not evaluate every operand. */
const neverCalled = (): Result => NO_OVERLOAD;

export const OPERATORS: Readonly<Record<string, readonly Overload[]>> = {
  '_+_': ADD,
  '_-_': SUBTRACT,
  '_*_': MULTIPLY,
  '_/_': DIVIDE,
  '_%_': MODULO,
  '-_': NEGATE,
  '!_': [fn1('logical_not', 'bool -> bool', any, (a) => a === false)],
  '_==_': [fn2('equals', 'A, A -> bool', pair(any), equal)],
  '_!=_': [fn2('not_equals', 'A, A -> bool', pair(any), (a, b, meter) => !equal(a, b, meter))],
  '_<_': ordering('less', (o) => o < 0),
  '_<=_': ordering('less_equals', (o) => o <= 0),
  '_>_': ordering('greater', (o) => o > 0),
  '_>=_': ordering('greater_equals', (o) => o >= 0),
  '_&&_': [overload('logical_and', 'bool, bool -> bool', neverCalled)],
  '_||_': [overload('logical_or', 'bool, bool -> bool', neverCalled)],
  '_?_:_': [overload('conditional', 'bool, A, A -> A', neverCalled)],
  '@not_strictly_false': [overload('not_strictly_false', 'bool -> bool', neverCalled)],
  '_[_]': [
    fn2('index_list', 'list(A), int -> A', pair(any), index),
    fn2('index_map', 'map(A, B), A -> B', pair(any), index),
    fn2('optional_list_index_int', 'optional(list(A)), int -> optional(A)', pair(any), index),
    fn2('optional_map_index_value', 'optional(map(A, B)), A -> optional(B)', pair(any), index),
  ],
  '_[?_]': [
    fn2('list_optindex_optional_int', 'list(A), int -> optional(A)', pair(any), optionalIndex),
    fn2('optional_list_optindex_optional_int', 'optional(list(A)), int -> optional(A)', pair(any), optionalIndex),
    fn2('map_optindex_optional_value', 'map(A, B), A -> optional(B)', pair(any), optionalIndex),
    fn2('optional_map_optindex_optional_value', 'optional(map(A, B)), A -> optional(B)', pair(any), optionalIndex),
  ],
  '@in': [
    fn2('in_list', 'A, list(A) -> bool', [any, list], (a, l, meter) => {
      for (const item of l) if (equal(item, a, meter)) return true;
      return false;
    }),
    fn2('in_map', 'A, map(A, B) -> bool', [any, map], (a, m: MapValue) => m.find(a) !== undefined),
  ],
};
