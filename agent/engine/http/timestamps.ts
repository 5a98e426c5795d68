/**
 * Instants as clients send them: `1700000000` or `1700000000.123456789`, seconds since 1970 (clients turn what their users type
 * into that). Source: moby api/types/time/timestamp.go (ParseTimestamps).
 */
import { parseGoDuration } from '#lib/base';
import { badParameter } from './contract.ts';
import type { Filters } from './filters.ts';

const FORM = /^(-?\d{1,12})(?:\.(\d{1,9}))?$/;
const MICROS = 1_000_000;

/** Microseconds since 1970, cut; undefined for '' and what is absent. 400 for another text. */
export function microsOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const [, seconds, fraction = ''] = FORM.exec(text) ?? [];
  if (seconds === undefined) throw badParameter(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return Number(seconds) * MICROS + Number(fraction.padEnd(9, '0').slice(0, 6));
}

/**
 * Milliseconds since 1970 of a time as filters say it: a Go duration back from now, RFC 3339 in any of its shorter forms, Unix seconds
 * with a fraction; undefined for what is none of these. Without a zone it is UTC, as the daemon's hosts mostly are.
 * Source: moby daemon/internal/timestamp/timestamp.go.
 */
export function parseTimestamp(text: string, nowMs: number): number | undefined {
  const value = text.trim();
  if (value === '') return undefined;
  if (/^-?\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const duration = parseGoDuration(value);
  if (duration !== undefined) return nowMs - duration;
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?)?(Z|z|[+-]\d\d:\d\d)?$/.exec(value);
  if (match === null) return undefined;
  const [, day = '', hour = '00', minute = '00', second = '00', zone = 'Z'] = match;
  const ms = Date.parse(`${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`);
  return Number.isFinite(ms) ? ms : undefined;
}

/** The same, or 400. */
export function timestampOf(text: string, nowMs: number): number {
  const at = parseTimestamp(text, nowMs);
  if (at === undefined)
    throw badParameter(`invalid value for 'until' filter: failed to parse value as time or duration: "${text}"`);
  return at;
}

/** The one value that a prune takes of `until`: what was made later stays. undefined = there is none. */
export function untilOf(filters: Filters, nowMs: number, name = 'until'): number | undefined {
  const [text, ...more] = filters.get(name);
  if (more.length > 0) throw badParameter(`more than one ${name} filter specified`);
  return text === undefined ? undefined : timestampOf(text, nowMs);
}
