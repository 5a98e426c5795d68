/** Durations as Go writes and reads them (time.Duration: int64 nanoseconds), which Kubernetes' objects, events and configuration hold. Pure. */

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const NANOS_PER_MS = 1_000_000n;
const MAX = (1n << 63n) - 1n;
/** Nobody writes longer ones, and numbers of many digits take long to read. */
const TEXT_MAX = 200;

/** time.ParseDuration: `-1h2m3.5s`, `.5ms`, `0`; undefined for anything else, also for what does not fit. */
export function parseDurationNanos(text: string): bigint | undefined {
  if (text.length > TEXT_MAX) return undefined;
  const isNegative = text.startsWith('-');
  let rest = isNegative || text.startsWith('+') ? text.slice(1) : text;
  if (rest === '0') return 0n;
  if (rest === '') return undefined;
  let total = 0n;
  while (rest !== '') {
    const m = /^(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/.exec(rest);
    if (m === null) return undefined;
    const [whole, digits = '', fraction = '', name = ''] = m;
    const unit = UNITS[name];
    if (unit === undefined || (digits === '' && fraction === '')) return undefined;
    total += BigInt(digits || '0') * unit;
    if (fraction !== '') total += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
    rest = rest.slice(whole.length);
  }
  if (total > MAX + (isNegative ? 1n : 0n)) return undefined;
  return isNegative ? -total : total;
}

/** Duration.String: `567ms`, `1.234s`, `1m2.5s`, `1h0m3s`. */
export function durationText(nanos: bigint): string {
  if (nanos === 0n) return '0s';
  const sign = nanos < 0n ? '-' : '';
  const abs = nanos < 0n ? -nanos : nanos;
  if (abs < 1_000n) return `${sign}${abs}ns`;
  if (abs < 1_000_000n) return `${sign}${decimal(abs, 3)}µs`;
  if (abs < 1_000_000_000n) return `${sign}${decimal(abs, 6)}ms`;
  const minutes = abs / 60_000_000_000n;
  const seconds = `${decimal(abs % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return sign + seconds;
  const hours = minutes / 60n;
  return `${sign}${hours > 0n ? `${hours}h` : ''}${minutes % 60n}m${seconds}`;
}

/** Milliseconds, whole, as Truncate(time.Millisecond) prints. Below 0 counts as 0. */
export function goDuration(ms: number): string {
  return durationText(BigInt(Math.max(0, Math.floor(ms))) * NANOS_PER_MS);
}

/** `300ms`, `1m30s`, `0`: milliseconds; undefined for anything else, also negative ones. */
export function parseGoDuration(text: string): number | undefined {
  const nanos = parseDurationNanos(text);
  return nanos === undefined || nanos < 0n ? undefined : Number(nanos) / Number(NANOS_PER_MS);
}

/** `v * 10^-digits` without trailing zeros. */
function decimal(v: bigint, digits: number): string {
  const scale = 10n ** BigInt(digits);
  const fraction = (v % scale).toString().padStart(digits, '0').replace(/0+$/, '');
  return fraction === '' ? String(v / scale) : `${v / scale}.${fraction}`;
}
