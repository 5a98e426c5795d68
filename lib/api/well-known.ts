/**
 * The types with a JSON form of their own (times, quantities, int-or-string, raw JSON): JSON in, canonical JSON out.
 * Source: k8s.io/apimachinery pkg/apis/meta/v1/{time,micro_time,duration}.go, pkg/util/intstr, pkg/api/resource.
 */
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

const UNITS_NANO: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go duration notation (`1h2m3.5s`) as nanoseconds. */
export function parseGoDuration(text: string): bigint {
  const m = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (text === '0' || text === '+0' || text === '-0') return 0n;
  if (m === null) throw new FormatError(`time: invalid duration ${JSON.stringify(text)}`);
  let nano = 0n;
  for (const part of text.matchAll(/(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g)) {
    const unit = BigInt(UNITS_NANO[part[3] ?? 'ns'] ?? 1);
    nano += BigInt(part[1] || '0') * unit;
    const fraction = part[2] ?? '';
    if (fraction !== '') nano += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
  }
  return m[1] === '-' ? -nano : nano;
}

/** Nanoseconds as Go's Duration.String prints them. */
export function formatGoDuration(nano: bigint): string {
  if (nano === 0n) return '0s';
  const sign = nano < 0n ? '-' : '';
  const abs = nano < 0n ? -nano : nano;
  if (abs < 1_000n) return `${sign}${abs}ns`;
  if (abs < 1_000_000n) return `${sign}${decimal(abs, 3)}µs`;
  if (abs < 1_000_000_000n) return `${sign}${decimal(abs, 6)}ms`;
  const minutes = abs / 60_000_000_000n;
  const seconds = `${decimal(abs % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return sign + seconds;
  const hours = minutes / 60n;
  return `${sign}${hours > 0n ? `${hours}h` : ''}${minutes % 60n}m${seconds}`;
}

/** `v * 10^-digits` without trailing zeros. */
function decimal(v: bigint, digits: number): string {
  const scale = 10n ** BigInt(digits);
  const fraction = (v % scale).toString().padStart(digits, '0').replace(/0+$/, '');
  return fraction === '' ? String(v / scale) : `${v / scale}.${fraction}`;
}
