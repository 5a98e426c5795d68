/** Addresses and blocks of both families, as numbers. Pure. */

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

export interface Block {
  readonly family: Family;
  /** Its lowest address: host bits are 0. */
  readonly first: bigint;
  readonly prefixLength: number;
}

export const BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

export function parseAddress(text: string): Address | undefined {
  const value = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  return value === undefined ? undefined : { family: text.includes(':') ? 6 : 4, value };
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((p) => /^(0|[1-9]\d{0,2})$/.test(p) && Number(p) < 256)) return undefined;
  return parts.reduce((sum, p) => sum * 256n + BigInt(p), 0n);
}

/** RFC 4291 2.2, without zones. */
function parseIpv6(text: string): bigint | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail) {
    const low = parseIpv4(tail[2] ?? '');
    return low === undefined
      ? undefined
      : parseIpv6(`${tail[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head = [], rest = []] = halves.map((h) => (h === '' ? [] : h.split(':')));
  const missing = 8 - head.length - rest.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => '0'), ...rest];
  if (!groups.every((g) => /^[0-9a-fA-F]{1,4}$/.test(g))) return undefined;
  return groups.reduce((sum, g) => (sum << 16n) | BigInt(`0x${g}`), 0n);
}

export function formatAddress(a: Address): string {
  if (a.family === 4) return [24n, 16n, 8n, 0n].map((shift) => (a.value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((a.value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  // RFC 5952: the longest run of at least two zeros, the first of equals.
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === '0') length++;
    if (length > best.length) best = { at, length };
  }
  if (best.length === 1) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

/** `isExact`: the text has no host bits. */
export function parseBlock(text: string): (Block & { readonly isExact: boolean }) | undefined {
  const [ip = '', length = '', more] = text.split('/');
  const address = parseAddress(ip);
  if (address === undefined || more !== undefined || !/^\d{1,3}$/.test(length)) return undefined;
  const prefixLength = Number(length);
  if (prefixLength > BITS[address.family]) return undefined;
  const first = address.value & ~hostMask(address.family, prefixLength);
  return { family: address.family, first, prefixLength, isExact: first === address.value };
}

function hostMask(family: Family, prefixLength: number): bigint {
  return (1n << BigInt(BITS[family] - prefixLength)) - 1n;
}

export function lastOf(b: Block): bigint {
  return b.first | hostMask(b.family, b.prefixLength);
}

export function formatBlock(b: Block): string {
  return `${formatAddress({ family: b.family, value: b.first })}/${b.prefixLength}`;
}

export function containsAddress(b: Block, a: Address): boolean {
  return a.family === b.family && a.value >= b.first && a.value <= lastOf(b);
}

export function overlaps(a: Block, b: Block): boolean {
  return a.family === b.family && a.first <= lastOf(b) && b.first <= lastOf(a);
}
