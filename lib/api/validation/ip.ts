/**
 * IP addresses and CIDRs with the strict rules of KEP-4858 (StrictIPCIDRValidation, on since 1.36). Fields older than these
 * rules take any notation of a valid value; newer ones the canonical one only.
 * Source: k8s.io/apimachinery/pkg/util/validation/ip.go.
 */
import { type FieldError, goQuote, invalid } from '../field-error.ts';
import { isIpv6 } from './names.ts';

export interface Ip {
  readonly family: 4 | 6;
  /** 32 or 128 bits. */
  readonly value: bigint;
  readonly isMapped: boolean;
  readonly hasLeadingZeros: boolean;
}

export interface Cidr {
  readonly address: Ip;
  readonly prefix: number;
  readonly hasLeadingZeros: boolean;
}

const IP_TEXT = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
const CIDR_TEXT = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
const MAPPED = 0xffffn << 32n;

/** Leading zeros of IPv4 numbers are read as decimal, as old versions did; ::ffff:1.2.3.4 is IPv4. */
export function parseIp(text: string): Ip | undefined {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(text)) {
    const parts = text.split('.');
    const numbers = parts.map(Number);
    if (numbers.some((n) => n > 255)) return undefined;
    const value = numbers.reduce((sum, n) => (sum << 8n) | BigInt(n), 0n);
    return { family: 4, value, isMapped: false, hasLeadingZeros: parts.some((p) => p.length > 1 && p.startsWith('0')) };
  }
  if (!isIpv6(text)) return undefined;
  const value = valueOfIpv6(text);
  if (value >> 32n !== MAPPED >> 32n) return { family: 6, value, isMapped: false, hasLeadingZeros: false };
  return { family: 4, value: value & 0xffffffffn, isMapped: true, hasLeadingZeros: false };
}

function valueOfIpv6(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const groups = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
  return groups.reduce((sum, g) => (sum << 16n) | BigInt(g), 0n);
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

/** RFC 5952, as Go prints it. */
export function formatIp({ family, value }: Pick<Ip, 'family' | 'value'>): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const hex = (list: number[]): string => list.map((g) => g.toString(16)).join(':');
  if (start < 0) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? undefined : parseIp(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^\d{1,4}$/.test(digits)) return undefined;
  const given = Number(digits);
  const isWide = address.isMapped || address.family === 6;
  if (given > (isWide ? 128 : 32)) return undefined;
  const prefix = address.isMapped ? Math.max(0, given - 96) : given;
  return {
    address,
    prefix,
    hasLeadingZeros: address.hasLeadingZeros || (digits.length > 1 && digits.startsWith('0')),
  };
}

/** The first address of the network. */
export function networkOf({ address, prefix }: Cidr): bigint {
  const host = BigInt((address.family === 4 ? 32 : 128) - prefix);
  return (address.value >> host) << host;
}

export function formatCidr(cidr: Cidr): string {
  const { family } = cidr.address;
  return `${formatIp({ family, value: networkOf(cidr) })}/${cidr.prefix}`;
}

/** Whether `inner` is a part of `outer`, and smaller. */
export function isStrictSubnet(inner: Cidr, outer: Cidr): boolean {
  if (inner.address.family !== outer.address.family || inner.prefix <= outer.prefix) return false;
  return networkOf({ ...inner, prefix: outer.prefix }) === networkOf(outer);
}

/** A field older than the strict rules; values in `known` were there before. */
export function validateLegacyIp(text: string, path: string, known: readonly string[] = []): FieldError[] {
  if (known.includes(text)) return [];
  const ip = parseIp(text);
  if (ip === undefined) return [invalid(path, text, IP_TEXT)];
  if (ip.hasLeadingZeros) return [invalid(path, text, 'must not have leading 0s')];
  return ip.isMapped ? [invalid(path, text, 'must not be an IPv4-mapped IPv6 address')] : [];
}

export function validateIp(text: string, path: string): FieldError[] {
  const errors = validateLegacyIp(text, path);
  const ip = parseIp(text);
  if (errors.length > 0 || ip === undefined || formatIp(ip) === text) return errors;
  return [invalid(path, text, `must be in canonical form (${goQuote(formatIp(ip))})`)];
}

export function validateLegacyCidr(text: string, path: string, known: readonly string[] = []): FieldError[] {
  if (known.includes(text)) return [];
  const cidr = parseCidr(text);
  if (cidr === undefined) return [invalid(path, text, CIDR_TEXT)];
  if (cidr.hasLeadingZeros) return [invalid(path, text, 'must not have leading 0s in IP or prefix length')];
  if (cidr.address.isMapped) return [invalid(path, text, 'must not have an IPv4-mapped IPv6 address')];
  if (networkOf(cidr) === cidr.address.value) return [];
  return [invalid(path, text, 'must not have bits set beyond the prefix length')];
}

export function validateCidr(text: string, path: string): FieldError[] {
  const errors = validateLegacyCidr(text, path);
  const cidr = parseCidr(text);
  if (errors.length > 0 || cidr === undefined || formatCidr(cidr) === text) return errors;
  return [invalid(path, text, `must be in canonical form (${goQuote(formatCidr(cidr))})`)];
}
