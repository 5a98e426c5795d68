/** `'...'.format([...])` (cel-go ext/formatting.go), with the locale en as Kubernetes' environment has it. */
import { describeKey } from '../eval/access.ts';
import type { Meter } from '../regex/regex.ts';
import { Duration, formatDuration, formatTimestamp, Timestamp } from '../values/time.ts';
import { typeNameOf } from '../values/type-name.ts';
import { CelError, ListValue, MapValue, type Result, TypeValue, Uint, type Value } from '../values/value.ts';
import { doubleText } from './standard.ts';

const STEPS_PER_CHARACTER = 8;
const PRECISION_DEFAULT = 6;
const PRECISION_MAX = 100;
const RESULT_LENGTH_MAX = 16 * 1024 * 1024;

class FormatError extends Error {}

/** The price is by the length of the format; the meter counts what is written. */
export function formatText(format: string, args: ListValue, meter: Meter): Result {
  try {
    const text = interpolate(format, args);
    meter.work(text.length * STEPS_PER_CHARACTER);
    return text;
  } catch (e) {
    if (e instanceof FormatError) return new CelError(e.message);
    throw e;
  }
}

function interpolate(format: string, args: ListValue): string {
  let out = '';
  let used = 0;
  for (let i = 0; i < format.length; ) {
    const percent = format.indexOf('%', i);
    out += format.slice(i, percent < 0 ? format.length : percent);
    if (percent < 0) break;
    if (format[percent + 1] === '%') {
      out += '%';
      i = percent + 2;
      continue;
    }
    if (used >= args.length) throw new FormatError(`index ${used} out of range`);
    const m = /^(?:\.(\d*))?([\s\S]?)/.exec(format.slice(percent + 1, percent + 20));
    out += clause(m?.[2] ?? '', m?.[1], args.at(used));
    if (out.length > RESULT_LENGTH_MAX)
      throw new FormatError(`format would give more than ${RESULT_LENGTH_MAX} characters`);
    used++;
    i = percent + 1 + (m?.[0].length ?? 1);
  }
  return out;
}

function clause(letter: string, precisionText: string | undefined, v: Value): string {
  if (letter === '') throw new FormatError('unexpected end of string');
  const precision = precisionText === undefined || precisionText === '' ? PRECISION_DEFAULT : Number(precisionText);
  if (precision > PRECISION_MAX)
    throw new FormatError(`error while parsing precision: maximum precision is ${PRECISION_MAX}`);
  switch (letter) {
    case 's':
      return shown(v);
    case 'd':
      return decimal(v);
    case 'f':
      return special(floatOf(v, 'fixed-point')) ?? grouped(floatOf(v, 'fixed-point').toFixed(precision));
    case 'e':
      return special(floatOf(v, 'scientific')) ?? scientific(floatOf(v, 'scientific'), precision);
    case 'b':
      if (typeof v === 'boolean') return v ? '1' : '0';
      return inBase(v, 2, 'only integers and bools can be formatted as binary');
    case 'o':
      return inBase(v, 8, 'octal clause can only be used on integers');
    case 'x':
      return hex(v);
    case 'X':
      return hex(v).toUpperCase();
    default:
      throw new FormatError(`could not parse formatting clause: unrecognized formatting clause "${letter}"`);
  }
}

function mismatch(rule: string, v: Value): FormatError {
  return new FormatError(`error during formatting: ${rule}, was given ${typeNameOf(v)}`);
}

function decimal(v: Value): string {
  if (typeof v === 'bigint') return String(v);
  if (v instanceof Uint) return String(v.value);
  throw mismatch('decimal clause can only be used on integers', v);
}

function floatOf(v: Value, name: string): number {
  if (typeof v === 'number') return v;
  if (v === 'NaN') return Number.NaN;
  if (v === 'Infinity') return Number.POSITIVE_INFINITY;
  if (v === '-Infinity') return Number.NEGATIVE_INFINITY;
  throw mismatch(`${name} clause can only be used on doubles`, v);
}

function special(n: number): string | undefined {
  if (Number.isNaN(n)) return 'NaN';
  return Number.isFinite(n) ? undefined : n > 0 ? '∞' : '-∞';
}

function grouped(text: string): string {
  const [whole = '', fraction] = text.split('.');
  if (whole.includes('e')) return text;
  const digits = whole.replace(/\B(?=(?:\d{3})+$)/g, ',');
  return fraction === undefined ? digits : `${digits}.${fraction}`;
}

const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** `1.052033 × 10⁰³`, with narrow no-break spaces. */
function scientific(n: number, precision: number): string {
  const [mantissa = '', exponent = '0'] = n.toExponential(precision).split('e');
  const power = Number(exponent);
  const digits = String(Math.abs(power)).padStart(2, '0');
  const raised = [...digits].map((d) => SUPERSCRIPTS[Number(d)] ?? '').join('');
  return `${mantissa}\u202f×\u202f10${power < 0 ? '⁻' : ''}${raised}`;
}

function inBase(v: Value, base: number, rule: string): string {
  if (typeof v === 'bigint') return v.toString(base);
  if (v instanceof Uint) return v.value.toString(base);
  throw mismatch(rule, v);
}

function hex(v: Value): string {
  if (typeof v === 'string') return Buffer.from(v, 'utf8').toString('hex');
  if (v instanceof Uint8Array) return Buffer.from(v).toString('hex');
  return inBase(v, 16, 'only integers, byte buffers, and strings can be formatted as hex');
}

/** A value standing alone: strings and times without quotes. */
function shown(v: Value): string {
  if (typeof v === 'string') return v;
  if (typeof v === 'number') return doubleText(v);
  if (v instanceof Timestamp) return formatTimestamp(v);
  if (v instanceof Duration) return formatDuration(v);
  if (v instanceof Uint8Array) return Buffer.from(v).toString('utf8');
  return nested(v);
}

/** A value inside a list or map: as CEL would write it. */
function nested(v: Value): string {
  if (v === null || typeof v === 'boolean' || typeof v === 'bigint') return String(v);
  if (typeof v === 'string') return JSON.stringify(v);
  if (typeof v === 'number') return Number.isFinite(v) ? v.toFixed(PRECISION_DEFAULT) : JSON.stringify(doubleText(v));
  if (v instanceof Uint) return String(v.value);
  if (v instanceof Uint8Array) return `b${JSON.stringify(Buffer.from(v).toString('utf8'))}`;
  if (v instanceof Timestamp) return `timestamp("${formatTimestamp(v)}")`;
  if (v instanceof Duration) return `duration("${formatDuration(v)}")`;
  if (v instanceof TypeValue) return v.name;
  if (v instanceof ListValue) return `[${[...v].map(nested).join(', ')}]`;
  if (v instanceof MapValue) return mapText(v);
  throw mismatch(
    'string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
    v,
  );
}

function mapText(m: MapValue): string {
  const pairs = [...m.keys()].map((k) => {
    const key = typeof k === 'string' ? JSON.stringify(k) : describeKey(k);
    return [key, nested(m.find(k) ?? null)] as const;
  });
  pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  return `{${pairs.map(([k, v]) => `${k}:${v}`).join(', ')}}`;
}
