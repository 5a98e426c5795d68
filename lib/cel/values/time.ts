/**
 * Timestamps and durations with the ranges of google.protobuf.Timestamp (years 1 to 9999) and Go's time.Duration (int64 nanoseconds),
 * RFC 3339 text, Go's duration text, and calendar fields in a zone (an IANA name or an offset `+02:00`).
 */
import { parseDurationNanos } from '#lib/base';
import type { Meter } from '../regex/regex.ts';

export const NANOS_PER_SECOND = 1_000_000_000n;
const MIN_SECONDS = -62135596800n;
const MAX_SECONDS = 253402300799n;
const INT64_MIN = -(1n << 63n);
const INT64_MAX = (1n << 63n) - 1n;

export class Timestamp {
  /** Since 1970-01-01T00:00:00Z. */
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

export class Duration {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

/** Undefined when out of range. */
export function makeTimestamp(nanos: bigint): Timestamp | undefined {
  const seconds = floorDiv(nanos, NANOS_PER_SECOND);
  return seconds < MIN_SECONDS || seconds > MAX_SECONDS ? undefined : new Timestamp(nanos);
}

export function makeDuration(nanos: bigint): Duration | undefined {
  return nanos < INT64_MIN || nanos > INT64_MAX ? undefined : new Duration(nanos);
}

export function floorDiv(a: bigint, b: bigint): bigint {
  const q = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? q - 1n : q;
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,20}))?([Zz]|[+-]\d\d:\d\d)$/;

export function parseTimestamp(text: string): Timestamp | undefined {
  const m = RFC3339.exec(text);
  if (m === null) return undefined;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', fraction = '', zone = ''] = m;
  const n = [month, day, hour, minute, second].map(Number);
  const [mo = 0, d = 0, h = 0, mi = 0, s = 0] = n;
  if (mo < 1 || mo > 12 || d < 1 || d > daysIn(Number(year), mo) || h > 23 || mi > 59 || s > 59) return undefined;
  const offset = offsetSeconds(zone);
  if (offset === undefined) return undefined;
  const seconds = BigInt(utcSeconds(Number(year), mo, d, h, mi, s) - offset);
  return makeTimestamp(seconds * NANOS_PER_SECOND + BigInt(fraction.padEnd(9, '0').slice(0, 9)));
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Date.UTC takes the years 0 to 99 for 1900 to 1999. */
function utcSeconds(year: number, month: number, day: number, h: number, m: number, s: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(h, m, s, 0);
  return date.getTime() / 1000;
}

function offsetSeconds(zone: string): number | undefined {
  if (zone === 'Z' || zone === 'z') return 0;
  const m = /^([+-]?)(\d\d):(\d\d)$/.exec(zone);
  if (m === null) return undefined;
  const [hours, minutes] = [Number(m[2]), Number(m[3])];
  if (hours > 23 || minutes > 59) return undefined;
  return (m[1] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

export function formatTimestamp(t: Timestamp): string {
  const seconds = floorDiv(t.nanos, NANOS_PER_SECOND);
  const nanos = t.nanos - seconds * NANOS_PER_SECOND;
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${date}${fractionText(nanos)}Z`;
}

function fractionText(nanos: bigint): string {
  return nanos === 0n ? '' : `.${nanos.toString().padStart(9, '0').replace(/0+$/, '')}`;
}

/** Go's time.ParseDuration; undefined when the text is no duration or does not fit. */
export function parseDuration(text: string): Duration | undefined {
  const nanos = parseDurationNanos(text);
  return nanos === undefined ? undefined : makeDuration(nanos);
}

/** `string(duration)` of cel-go: decimal seconds, `3600s`, `1.5s`. */
export function formatDuration(d: Duration): string {
  const abs = d.nanos < 0n ? -d.nanos : d.nanos;
  return `${d.nanos < 0n ? '-' : ''}${abs / NANOS_PER_SECOND}${fractionText(abs % NANOS_PER_SECOND)}s`;
}

export interface CalendarFields {
  readonly year: number;
  /** 0 = January. */
  readonly month: number;
  /** 1..31 */
  readonly day: number;
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: number;
  readonly milliseconds: number;
  /** 0 = Sunday. */
  readonly weekday: number;
  /** 0 = the first of January. */
  readonly dayOfYear: number;
}

/** Undefined when the zone is not known. */
export function calendarFields(t: Timestamp, zone: string, meter: Meter): CalendarFields | undefined {
  const seconds = Number(floorDiv(t.nanos, NANOS_PER_SECOND));
  const offset = zoneOffset(seconds, zone, meter);
  if (offset === undefined) return undefined;
  const local = new Date((seconds + offset) * 1000);
  const year = local.getUTCFullYear();
  const start = utcSeconds(year, 1, 1, 0, 0, 0);
  return {
    year,
    month: local.getUTCMonth(),
    day: local.getUTCDate(),
    hours: local.getUTCHours(),
    minutes: local.getUTCMinutes(),
    seconds: local.getUTCSeconds(),
    milliseconds: Number((t.nanos - floorDiv(t.nanos, NANOS_PER_SECOND) * NANOS_PER_SECOND) / 1_000_000n),
    weekday: local.getUTCDay(),
    dayOfYear: Math.floor((seconds + offset - start) / 86400),
  };
}

function zoneOffset(seconds: number, zone: string, meter: Meter): number | undefined {
  if (zone === '' || zone === 'UTC' || zone === 'Z') return 0;
  if (/^[+-]?\d\d:\d\d$/.test(zone)) return offsetSeconds(zone);
  if (!/^[A-Za-z][\w+/-]{0,63}$/.test(zone)) return undefined;
  const clock = clockOf(zone, meter);
  if (clock === undefined) return undefined;
  meter.work(CLOCK_STEPS);
  const parts = clock.formatToParts(new Date(seconds * 1000));
  const get = (type: string) => Number(parts.find((p) => p.type === type)?.value ?? 0);
  return utcSeconds(get('year'), get('month'), get('day'), get('hour'), get('minute'), get('second')) - seconds;
}

/** Clocks by zone, the oldest forgotten first: making one takes as long as hundreds of readings. */
const CLOCKS = new Map<string, Intl.DateTimeFormat | undefined>();
const CLOCKS_MAX = 50;
const CLOCK_STEPS = 200;
const CLOCK_MAKING_STEPS = 20_000;

function clockOf(zone: string, meter: Meter): Intl.DateTimeFormat | undefined {
  if (CLOCKS.has(zone)) return CLOCKS.get(zone);
  meter.work(CLOCK_MAKING_STEPS);
  const oldest = CLOCKS.size < CLOCKS_MAX ? undefined : CLOCKS.keys().next().value;
  if (oldest !== undefined) CLOCKS.delete(oldest);
  const made = makeClock(zone);
  CLOCKS.set(zone, made);
  return made;
}

function makeClock(timeZone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    return undefined; // Intl throws a RangeError for a zone that it does not know.
  }
}
