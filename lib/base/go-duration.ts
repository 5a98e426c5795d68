/** Go's text of a duration: `90s`, `1m30s`, `1.5h`. Source: https://pkg.go.dev/time#ParseDuration. */

const CHARACTERS_MAX = 200;
const SECOND = 1_000_000_000n;
const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: SECOND,
  m: 60n * SECOND,
  h: 3600n * SECOND,
};

/** Nanoseconds, however many; undefined when the text is no duration. */
export function parseGoDuration(text: string): bigint | undefined {
  if (text.length > CHARACTERS_MAX) return undefined;
  const negative = text.startsWith('-');
  let rest = negative || text.startsWith('+') ? text.slice(1) : text;
  if (rest === '0') return 0n;
  if (rest === '') return undefined;
  let total = 0n;
  while (rest !== '') {
    const m = /^(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/.exec(rest);
    if (m === null || ((m[1] ?? '') === '' && (m[2] ?? '') === '')) return undefined;
    const unit = UNITS[m[3] ?? ''] ?? 1n;
    const fraction = m[2] ?? '';
    total += BigInt(m[1] === '' ? '0' : (m[1] ?? '0')) * unit;
    if (fraction !== '') total += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
    rest = rest.slice(m[0].length);
  }
  return negative ? -total : total;
}
