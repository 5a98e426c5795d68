/**
 * Times as filters say them: a Go duration back from now, RFC 3339 in any of its shorter forms, Unix seconds with a fraction.
 * Source: moby daemon/internal/timestamp/timestamp.go. Pure.
 */
import { parseGoDuration } from '#lib/base';

/** Milliseconds; undefined for what is none of these. Without a zone it is UTC, as the daemon's hosts mostly are. */
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
