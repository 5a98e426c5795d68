/** IPv4 arithmetic: addresses as unsigned 32-bit numbers, CIDR blocks as [first, last]. Pure. */
import { StatusError } from '#lib/base';

export interface Cidr {
  /** Network address. */
  readonly first: number;
  /** Broadcast address. */
  readonly last: number;
  readonly prefixLength: number;
}

/** undefined for anything but four decimal parts of 0..255. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

export function isIpv4(text: string): boolean {
  return parseIpv4(text) !== undefined;
}

/** Throws Invalid; host bits are cleared. */
export function parseCidr(text: string): Cidr {
  const [address, length, rest] = text.split('/');
  const value = address === undefined ? undefined : parseIpv4(address);
  const prefixLength = length !== undefined && /^\d{1,2}$/.test(length) ? Number(length) : 33;
  if (value === undefined || prefixLength > 32 || rest !== undefined)
    throw new StatusError('Invalid', `"${text}" is not an IPv4 block of the form 10.42.1.0/24`);
  const size = 2 ** (32 - prefixLength);
  const first = value - (value % size);
  return { first, last: first + size - 1, prefixLength };
}

export function contains(block: Cidr, address: number): boolean {
  return address >= block.first && address <= block.last;
}

/** The address that the node itself has in its pod block: the first one. */
export function gatewayOf(block: Cidr): number {
  return block.first + 1;
}

export function formatCidr(block: Cidr): string {
  return `${formatIpv4(block.first)}/${block.prefixLength}`;
}
