/** IPv4 arithmetic on CIDRs such as `10.43.0.0/16`. */
import { StatusError } from '#lib/base';

export interface Range {
  /** Network address as a number. */
  readonly base: number;
  /** Number of addresses, network and broadcast included. */
  readonly size: number;
}

export function parseCidr(cidr: string): Range {
  const [address = '', bits = ''] = cidr.split('/');
  const base = addressNumber(address);
  const length = Number(bits);
  if (base === undefined || !/^\d{1,2}$/.test(bits) || length > 30 || length < 8)
    throw new StatusError('Invalid', `"${cidr}" is not an IPv4 range such as 10.43.0.0/16 (between /8 and /30)`);
  const size = 2 ** (32 - length);
  return { base: base - (base % size), size };
}

export function nthAddress(cidr: string, n: number): string {
  return addressText(parseCidr(cidr).base + n);
}

/** undefined when the text is not a dotted quad. */
export function addressNumber(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function addressText(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
}
