/** Functions and conversions of the standard library (cel-go common/stdlib/standard.go, common/types). */
import { type Library, library, type Overload } from '../env.ts';
import { type Meter, RegexCache } from '../regex/regex.ts';
import { codePoints } from '../values/text.ts';
import {
  type CalendarFields,
  calendarFields,
  floorDiv,
  formatDuration,
  formatTimestamp,
  makeTimestamp,
  NANOS_PER_SECOND,
  parseDuration,
  parseTimestamp,
} from '../values/time.ts';
import { typeNameOf } from '../values/type-name.ts';
import { CelError, type Result, TypeValue, Uint } from '../values/value.ts';
import {
  any,
  bool,
  bytes,
  type Decode,
  double,
  duration,
  fn1,
  fn2,
  int,
  list,
  map,
  str,
  timestamp,
  uint,
} from './define.ts';
import { INT_OVERFLOW, makeInt, makeUint, OPERATORS, UINT_OVERFLOW } from './operators.ts';

/** Counting characters has the price 1 whatever the length; the meter counts the length. */
export const CHARACTERS_PER_STEP = 8;
const CACHED_PATTERNS = 200;
const patterns = new RegexCache(CACHED_PATTERNS);

/** A compiled pattern, or the error that an expression sees. */
export function regexOf(pattern: string, meter: Meter): ReturnType<RegexCache['get']> {
  return patterns.get(pattern, meter);
}

function matches(text: string, pattern: string, meter: Meter): Result {
  const regex = regexOf(pattern, meter);
  return 'message' in regex ? new CelError(regex.message) : regex.test(text, meter);
}

function both<A>(
  name: string,
  type: string,
  decode: Decode<A>,
  f: (a: A, meter: Meter) => Result,
): readonly Overload[] {
  const id = type.split('(', 1)[0] ?? type;
  return [fn1(`${name}_${id}`, `${type} -> int`, decode, f), fn1(`${id}_${name}`, `${type}.() -> int`, decode, f)];
}

const SIZE: readonly Overload[] = [
  ...both('size', 'string', str, (s, meter) => {
    meter.work(s.length / CHARACTERS_PER_STEP);
    return BigInt(codePoints(s));
  }),
  ...both('size', 'bytes', bytes, (b) => BigInt(b.length)),
  ...both('size', 'list(A)', list, (l) => BigInt(l.length)),
  ...both('size', 'map(A, B)', map, (m) => BigInt(m.size)),
];

function badText(kind: string, text: string): CelError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}...` : text;
  return new CelError(`type conversion error from 'string' to '${kind}': cannot parse ${JSON.stringify(shown)}`);
}

function toInt(n: number): Result {
  return Number.isFinite(n) && n > -(2 ** 63) && n < 2 ** 63 ? BigInt(Math.trunc(n)) : INT_OVERFLOW;
}

const INT: readonly Overload[] = [
  fn1('int64_to_int64', 'int -> int', int, (n) => n),
  fn1('uint64_to_int64', 'uint -> int', uint, makeInt),
  fn1('double_to_int64', 'double -> int', double, toInt),
  fn1('string_to_int64', 'string -> int', str, (s) =>
    /^[+-]?\d{1,30}$/.test(s) ? makeInt(BigInt(s.replace(/^\+/, ''))) : badText('int', s),
  ),
  fn1('timestamp_to_int64', 'timestamp -> int', timestamp, (t) => floorDiv(t.nanos, NANOS_PER_SECOND)),
  fn1('duration_to_int64', 'duration -> int', duration, (d) => d.nanos),
];

const UINT: readonly Overload[] = [
  fn1('uint64_to_uint64', 'uint -> uint', uint, (n) => new Uint(n)),
  fn1('int64_to_uint64', 'int -> uint', int, makeUint),
  fn1('double_to_uint64', 'double -> uint', double, (n) =>
    Number.isFinite(n) && n >= 0 && n < 2 ** 64 ? new Uint(BigInt(Math.trunc(n))) : UINT_OVERFLOW,
  ),
  fn1('string_to_uint64', 'string -> uint', str, (s) =>
    /^\d{1,30}$/.test(s) ? makeUint(BigInt(s)) : badText('uint', s),
  ),
];

const FLOAT = /^[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf|infinity|nan)$/i;

export function parseFloatText(s: string): number | undefined {
  if (s.length > 400 || !FLOAT.test(s)) return undefined;
  if (/nan$/i.test(s)) return Number.NaN;
  if (/inf/i.test(s)) return s.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const n = Number(s);
  return Number.isFinite(n) ? n : undefined;
}

const DOUBLE: readonly Overload[] = [
  fn1('double_to_double', 'double -> double', double, (n) => n),
  fn1('int64_to_double', 'int -> double', int, Number),
  fn1('uint64_to_double', 'uint -> double', uint, Number),
  fn1('string_to_double', 'string -> double', str, (s) => parseFloatText(s) ?? badText('double', s)),
];

/** Go's strconv.FormatFloat(n, 'g', -1, 64): an exponent below -4 or above 5 is written. */
export function doubleText(n: number): string {
  if (Number.isNaN(n)) return 'NaN';
  if (!Number.isFinite(n)) return n > 0 ? '+Inf' : '-Inf';
  if (Object.is(n, -0)) return '-0';
  const [mantissa = '', exponent = '0'] = n.toExponential().split('e');
  const power = Number(exponent);
  if (power >= -4 && power < 6) return String(n);
  return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

const STRING: readonly Overload[] = [
  fn1('string_to_string', 'string -> string', str, (s) => s),
  fn1('bool_to_string', 'bool -> string', bool, String),
  fn1('int64_to_string', 'int -> string', int, String),
  fn1('uint64_to_string', 'uint -> string', uint, String),
  fn1('double_to_string', 'double -> string', double, doubleText),
  fn1('timestamp_to_string', 'timestamp -> string', timestamp, formatTimestamp),
  fn1('duration_to_string', 'duration -> string', duration, formatDuration),
  fn1('bytes_to_string', 'bytes -> string', bytes, (b) => {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(b);
    } catch {
      return new CelError('invalid UTF-8 in bytes, cannot convert to string'); // What TextDecoder throws is just that.
    }
  }),
];

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

const CONVERSIONS: Readonly<Record<string, readonly Overload[]>> = {
  int: INT,
  uint: UINT,
  double: DOUBLE,
  string: STRING,
  bool: [
    fn1('bool_to_bool', 'bool -> bool', bool, (b) => b),
    fn1('string_to_bool', 'string -> bool', str, (s) =>
      TRUE.has(s) ? true : FALSE.has(s) ? false : badText('bool', s),
    ),
  ],
  bytes: [
    fn1('bytes_to_bytes', 'bytes -> bytes', bytes, (b) => b),
    fn1('string_to_bytes', 'string -> bytes', str, (s) => new TextEncoder().encode(s)),
  ],
  timestamp: [
    fn1('timestamp_to_timestamp', 'timestamp -> timestamp', timestamp, (t) => t),
    fn1('string_to_timestamp', 'string -> timestamp', str, (s) => parseTimestamp(s) ?? badText('timestamp', s)),
    fn1(
      'int64_to_timestamp',
      'int -> timestamp',
      int,
      (n) => makeTimestamp(n * NANOS_PER_SECOND) ?? new CelError('timestamp overflow'),
    ),
  ],
  duration: [
    fn1('duration_to_duration', 'duration -> duration', duration, (d) => d),
    fn1('string_to_duration', 'string -> duration', str, (s) => parseDuration(s) ?? badText('duration', s)),
  ],
  dyn: [fn1('to_dyn', 'A -> dyn', any, (v) => v)],
  type: [fn1('type', 'A -> type(A)', any, (v) => new TypeValue(typeNameOf(v)))],
};

const CALENDAR: readonly (readonly [name: string, id: string, get: (f: CalendarFields) => number])[] = [
  ['getFullYear', 'year', (f) => f.year],
  ['getMonth', 'month', (f) => f.month],
  ['getDayOfYear', 'day_of_year', (f) => f.dayOfYear],
  ['getDayOfMonth', 'day_of_month', (f) => f.day - 1],
  ['getDate', 'day_of_month_1_based', (f) => f.day],
  ['getDayOfWeek', 'day_of_week', (f) => f.weekday],
  ['getHours', 'hours', (f) => f.hours],
  ['getMinutes', 'minutes', (f) => f.minutes],
  ['getSeconds', 'seconds', (f) => f.seconds],
  ['getMilliseconds', 'milliseconds', (f) => f.milliseconds],
];

/** Whole hours, minutes, seconds of a duration; of milliseconds those beside the seconds. */
const DURATION_PARTS: Readonly<Record<string, (nanos: bigint) => bigint>> = {
  getHours: (n) => n / (3600n * NANOS_PER_SECOND),
  getMinutes: (n) => n / (60n * NANOS_PER_SECOND),
  getSeconds: (n) => n / NANOS_PER_SECOND,
  getMilliseconds: (n) => (n % NANOS_PER_SECOND) / 1_000_000n,
};

function calendar(): Record<string, readonly Overload[]> {
  const out: Record<string, readonly Overload[]> = {};
  for (const [name, id, get] of CALENDAR) {
    const inZone = (fields: CalendarFields | undefined, zone: string): Result =>
      fields === undefined ? new CelError(`unknown time zone ${zone}`) : BigInt(get(fields));
    const part = DURATION_PARTS[name];
    out[name] = [
      fn1(`timestamp_to_${id}`, 'timestamp.() -> int', timestamp, (t) => inZone(calendarFields(t, 'UTC'), 'UTC')),
      fn2(`timestamp_to_${id}_with_tz`, 'timestamp.(string) -> int', [timestamp, str], (t, zone) =>
        inZone(calendarFields(t, zone), zone),
      ),
      ...(part === undefined ? [] : [fn1(`duration_to_${id}`, 'duration.() -> int', duration, (d) => part(d.nanos))]),
    ];
  }
  return out;
}

export const STANDARD: Library = library('standard', {
  ...OPERATORS,
  ...CONVERSIONS,
  ...calendar(),
  size: SIZE,
  contains: [fn2('contains_string', 'string.(string) -> bool', [str, str], (s, sub) => s.includes(sub))],
  startsWith: [fn2('starts_with_string', 'string.(string) -> bool', [str, str], (s, p) => s.startsWith(p))],
  endsWith: [fn2('ends_with_string', 'string.(string) -> bool', [str, str], (s, p) => s.endsWith(p))],
  matches: [
    fn2('matches', 'string, string -> bool', [str, str], matches),
    fn2('matches_string', 'string.(string) -> bool', [str, str], matches),
  ],
});
