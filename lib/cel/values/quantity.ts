/** Quantities for CEL, exact in nano units (k8s.io/apimachinery/pkg/api/resource). */
import { OpaqueValue } from './value.ts';

export const QUANTITY_TYPE = 'kubernetes.Quantity';
const NANO = 1_000_000_000n;
const FORM = /^([+-]?)(\d*)(?:\.(\d*))?(?:([KMGTPE])i|([numkMGTPE])|[eE]([+-]?\d{1,4}))?$/;
const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const TEXT_LENGTH_MAX = 1000;
const INT64_MAX = (1n << 63n) - 1n;

export class Quantity extends OpaqueValue {
  readonly typeName = QUANTITY_TYPE;
  readonly nano: bigint;
  constructor(nano: bigint) {
    super();
    this.nano = nano;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof Quantity && other.nano === this.nano;
  }
  isInteger(): boolean {
    const n = this.nano / NANO;
    return this.nano % NANO === 0n && n <= INT64_MAX && n >= -INT64_MAX - 1n;
  }
  integer(): bigint {
    return this.nano / NANO;
  }
  approximate(): number {
    return Number(this.nano / NANO) + Number(this.nano % NANO) / 1e9;
  }
  plus(other: Quantity): Quantity {
    return new Quantity(this.nano + other.nano);
  }
  minus(other: Quantity): Quantity {
    return new Quantity(this.nano - other.nano);
  }
  static ofInteger(n: bigint): Quantity {
    return new Quantity(n * NANO);
  }
  /** Canonical in base units or the smaller decimal suffixes. */
  override toString(): string {
    for (const [unit, suffix] of [
      [NANO, ''],
      [1_000_000n, 'm'],
      [1000n, 'u'],
    ] as const)
      if (this.nano % unit === 0n) return `${this.nano / unit}${suffix}`;
    return `${this.nano}n`;
  }
}

/** A message in Go's words when the text is no quantity. */
export function parseQuantity(text: string): Quantity | { readonly message: string } {
  const m = text.length > TEXT_LENGTH_MAX ? null : FORM.exec(text);
  const digits = `${m?.[2] ?? ''}${m?.[3] ?? ''}`;
  if (m === null || digits === '')
    return { message: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'" };
  const fraction = (m[3] ?? '').length;
  const unscaled = BigInt(digits);
  let nano: bigint;
  if (m[4] !== undefined) {
    const factor = 1n << BigInt(10 * ('KMGTPE'.indexOf(m[4]) + 1));
    nano = ceilDivide(unscaled * factor * NANO, 10n ** BigInt(fraction));
  } else {
    const power = (m[6] === undefined ? (DECIMAL[m[5] ?? ''] ?? 0) : Number(m[6])) - fraction + 9;
    if (power > 1000) return { message: "unable to parse quantity's suffix" };
    nano = power >= 0 ? unscaled * 10n ** BigInt(power) : ceilDivide(unscaled, 10n ** BigInt(-power));
  }
  return new Quantity(m[1] === '-' ? -nano : nano);
}

function ceilDivide(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}
