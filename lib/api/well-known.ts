/**
 * The types with a JSON form of their own (times, quantities, int-or-string, raw JSON): JSON in, canonical JSON out.
 * Source: k8s.io/apimachinery pkg/apis/meta/v1/{time,micro_time,duration}.go, pkg/util/intstr, pkg/api/resource.
 */
import { parseDurationNanos } from '#lib/base';
import { formatQuantity, quantityError, tryParseQuantity } from './quantity.ts';

/** A value of the right JSON type that says something wrong, in Go's words. */
export class FormatError extends Error {}

const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:[.,](\d+))?([Zz]|[+-]\d\d:\d\d)$/;
const CANONICAL_QUANTITY = /^(?:0|[1-9]\d{0,2}(?:m|k|M|G|Ki|Mi|Gi|Ti)?)$/;

/** RFC 3339 in, UTC and whole seconds out. */
export function canonicalTime(text: string): string {
  const m = RFC3339.exec(text);
  const date = m === null ? Number.NaN : Date.parse(`${m[1]}T${m[2]}${m[4]?.toUpperCase()}`);
  if (m === null || Number.isNaN(date)) throw timeError(text, '2006-01-02T15:04:05Z07:00');
  const utc = `${new Date(date).toISOString().slice(0, 19)}Z`;
  // Date.parse rolls February 30 over; Go refuses it.
  if (/[Zz]/.test(m[4] ?? '') && !utc.startsWith(m[1] ?? ''))
    throw new FormatError(`parsing time "${text}": day out of range`);
  return utc;
}

/** RFC 3339 with exactly six fraction digits in, the same in UTC out. */
export function canonicalMicroTime(text: string): string {
  const m = RFC3339.exec(text);
  if (m?.[3]?.length !== 6) throw timeError(text, '2006-01-02T15:04:05.000000Z07:00');
  return `${canonicalTime(text).slice(0, 19)}.${m[3]}Z`;
}

function timeError(text: string, layout: string): FormatError {
  const shown = JSON.stringify(text);
  return new FormatError(`parsing time ${shown} as ${JSON.stringify(layout)}: cannot parse ${shown} as "2006"`);
}

export function canonicalQuantity(text: string): string {
  // Nearly all quantities are short and canonical already; a binary suffix below 1024 units (`1000Ki`) is canonical too.
  if (CANONICAL_QUANTITY.test(text)) return text;
  const q = tryParseQuantity(text.trim());
  if (q === undefined) throw new FormatError(quantityError(text.trim()));
  return formatQuantity(q);
}

/** Go duration notation (`1h2m3.5s`) as nanoseconds. */
export function parseGoDuration(text: string): bigint {
  const nanos = parseDurationNanos(text);
  if (nanos === undefined) throw new FormatError(`time: invalid duration ${JSON.stringify(text)}`);
  return nanos;
}
