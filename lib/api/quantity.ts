/**
 * Kubernetes quantities (`100m`, `1.5Gi`, `1e3`), exact in bigints. A quantity is `unscaled * 10^-scale` together with the
 * notation it is written in; the canonical text is the one without fraction whose suffix is the largest possible.
 * Precision below 1n (10^-9) is rounded away from zero, as Go does.
 * Source: k8s.io/apimachinery/pkg/api/resource/quantity.go and suffix.go (the comment of Quantity is the specification).
 */
import { StatusError } from '#lib/base';

export type QuantityFormat = 'BinarySI' | 'DecimalSI' | 'DecimalExponent';

/** Value in nano units (10^-9), so that every quantity is one exact integer. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

const NANO = 1_000_000_000n;
const BINARY: readonly (readonly [string, bigint])[] = [
  ['Ei', 1n << 60n],
  ['Pi', 1n << 50n],
  ['Ti', 1n << 40n],
  ['Gi', 1n << 30n],
  ['Mi', 1n << 20n],
  ['Ki', 1n << 10n],
];
/** Suffix by power of ten. */
const DECIMAL: readonly (readonly [string, number])[] = [
  ['E', 18],
  ['P', 15],
  ['T', 12],
  ['G', 9],
  ['M', 6],
  ['k', 3],
  ['', 0],
  ['m', -3],
  ['u', -6],
  ['n', -9],
];
const FORM = /^([+-]?)(\d*)(?:\.(\d*))?(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d+))?$/;
/** Go caps quantities at 2^63-1 units. */
const MAX_NANO = ((1n << 63n) - 1n) * NANO;

/** Undefined when the text is not a quantity. */
export function tryParseQuantity(text: string): Quantity | undefined {
  const m = FORM.exec(text);
  if (m === null) return undefined;
  const [, sign = '', whole = '', fraction = '', binary, decimal, exponent] = m;
  const digits = whole + fraction;
  if (digits === '') return undefined;
  const unscaled = BigInt(digits);
  let nano: bigint;
  let format: QuantityFormat;
  if (binary !== undefined) {
    const factor = BINARY.find(([s]) => s === binary)?.[1] ?? 1n;
    nano = ceilDiv(unscaled * factor * NANO, 10n ** BigInt(fraction.length));
    format = 'BinarySI';
  } else {
    const power = exponent !== undefined ? Number(exponent) : (DECIMAL.find(([s]) => s === (decimal ?? ''))?.[1] ?? 0);
    if (Math.abs(power) > 1000) return undefined;
    const shift = power - fraction.length + 9;
    nano = shift >= 0 ? unscaled * 10n ** BigInt(shift) : ceilDiv(unscaled, 10n ** BigInt(-shift));
    format = exponent === undefined ? 'DecimalSI' : 'DecimalExponent';
  }
  if (nano > MAX_NANO) nano = MAX_NANO;
  return { nano: sign === '-' ? -nano : nano, format };
}

/** BadRequest, with Go's words, when the text is not a quantity. */
export function parseQuantity(text: string): Quantity {
  const q = tryParseQuantity(text);
  if (q === undefined) throw new StatusError('BadRequest', quantityError(text));
  return q;
}

/** Go's words for a text that is not a quantity. */
export function quantityError(text: string): string {
  if (/^[+-]?(\d+\.?\d*|\.\d+)[eEinumkKMGTP]+([+-]?\d+)?$/.test(text)) return "unable to parse quantity's suffix";
  return "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
}

/** Canonical text. A binary quantity below 1024, or with a fraction, is written in decimal notation. */
export function formatQuantity(q: Quantity): string {
  if (q.nano === 0n) return '0';
  const format =
    q.format === 'BinarySI' && (magnitude(q.nano) < 1024n * NANO || q.nano % NANO !== 0n) ? 'DecimalSI' : q.format;
  if (format === 'BinarySI') {
    const value = q.nano / NANO;
    for (const [suffix, factor] of BINARY) if (value % factor === 0n) return `${value / factor}${suffix}`;
    return String(value);
  }
  let mantissa = q.nano;
  let power = -9;
  while (mantissa % 1000n === 0n && power < (format === 'DecimalSI' ? 18 : 999)) {
    mantissa /= 1000n;
    power += 3;
  }
  if (format === 'DecimalSI') return `${mantissa}${DECIMAL.find(([, p]) => p === power)?.[0] ?? ''}`;
  return power === 0 ? String(mantissa) : `${mantissa}e${power}`;
}

/** Negative, zero or positive, by value alone: 1000m equals 1. */
export function compareQuantity(a: Quantity, b: Quantity): number {
  return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

/** The sum takes the notation of `a`, unless that is zero. */
export function addQuantity(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function subQuantity(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** Whole units, fractions rounded up (away from zero), as Quantity.Value. */
export function quantityValue(q: Quantity): bigint {
  return roundAway(q.nano, NANO);
}

/** Thousandths, rounded up, as Quantity.MilliValue. */
export function milliValue(q: Quantity): bigint {
  return roundAway(q.nano, 1_000_000n);
}

/** The nearest double: for display and ratios, not for accounting. */
export function quantityToNumber(q: Quantity): number {
  return Number(q.nano / NANO) + Number(q.nano % NANO) / 1e9;
}

export function quantityOf(units: bigint, format: QuantityFormat = 'DecimalSI'): Quantity {
  return { nano: units * NANO, format };
}

export function milliQuantityOf(milli: bigint): Quantity {
  return { nano: milli * 1_000_000n, format: 'DecimalSI' };
}

function magnitude(v: bigint): bigint {
  return v < 0n ? -v : v;
}

/** `a`, `b` not negative. */
function ceilDiv(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}

function roundAway(v: bigint, unit: bigint): bigint {
  return v < 0n ? -ceilDiv(-v, unit) : ceilDiv(v, unit);
}
