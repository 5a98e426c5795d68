/** IP addresses and networks as Go's net/netip reads and writes them; zones and IPv4 in IPv6 are refused as Kubernetes does. */
import { OpaqueValue } from './value.ts';

export const IP_TYPE = 'net.IP';
export const CIDR_TYPE = 'net.CIDR';

export class Ip extends OpaqueValue {
  readonly typeName = IP_TYPE;
  /** 4 or 16 octets. */
  readonly octets: Uint8Array;
  constructor(octets: Uint8Array) {
    super();
    this.octets = octets;
  }
  get byteLength(): number {
    return this.octets.length;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof Ip && Buffer.compare(this.octets, other.octets) === 0;
  }
  override toString(): string {
    return this.octets.length === 4 ? this.octets.join('.') : formatIpv6(this.octets);
  }
  isV4(): boolean {
    return this.octets.length === 4;
  }
  at(i: number): number {
    return this.octets[i] ?? 0;
  }
  /** Whether all octets from `from` up to the last are zero and the last is `last`. */
  private isZeroUpTo(last: number): boolean {
    return this.octets.every((o, i) => o === (i === this.octets.length - 1 ? last : 0));
  }
  isUnspecified(): boolean {
    return this.isZeroUpTo(0);
  }
  isLoopback(): boolean {
    return this.isV4() ? this.at(0) === 127 : this.isZeroUpTo(1);
  }
  isMulticast(): boolean {
    return this.isV4() ? (this.at(0) & 0xf0) === 0xe0 : this.at(0) === 0xff;
  }
  isLinkLocalMulticast(): boolean {
    if (this.isV4()) return this.at(0) === 224 && this.at(1) === 0 && this.at(2) === 0;
    return this.at(0) === 0xff && (this.at(1) & 0x0f) === 0x02;
  }
  isLinkLocalUnicast(): boolean {
    if (this.isV4()) return this.at(0) === 169 && this.at(1) === 254;
    return this.at(0) === 0xfe && (this.at(1) & 0xc0) === 0x80;
  }
  isGlobalUnicast(): boolean {
    if (this.isV4() && this.octets.every((o) => o === 255)) return false;
    return !this.isUnspecified() && !this.isLoopback() && !this.isMulticast() && !this.isLinkLocalUnicast();
  }
}

export class Cidr extends OpaqueValue {
  readonly typeName = CIDR_TYPE;
  readonly ip: Ip;
  readonly bits: number;
  constructor(ip: Ip, bits: number) {
    super();
    this.ip = ip;
    this.bits = bits;
  }
  /** As Kubernetes counts its size: octets of the prefix. */
  get byteLength(): number {
    return Math.ceil(this.bits / 8);
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof Cidr && this.bits === other.bits && this.ip.equals(other.ip);
  }
  override toString(): string {
    return `${this.ip}/${this.bits}`;
  }
  masked(): Cidr {
    const octets = this.ip.octets.map((o, i) => o & (0xff00 >> Math.min(8, Math.max(0, this.bits - 8 * i))));
    return new Cidr(new Ip(octets), this.bits);
  }
  contains(ip: Ip): boolean {
    if (ip.octets.length !== this.ip.octets.length) return false;
    return new Cidr(ip, this.bits).masked().ip.equals(this.masked().ip);
  }
  containsCidr(other: Cidr): boolean {
    return this.bits <= other.bits && this.contains(other.ip);
  }
}

export function parseIp(text: string): Ip | { readonly message: string } {
  const quoted = JSON.stringify(text);
  if (text.includes('%') && text.includes(':')) {
    const [address = ''] = text.split('%', 1);
    if (parseV6(address) !== undefined) return { message: `IP address ${quoted} with zone value is not allowed` };
  }
  const octets = text.includes(':') ? parseV6(text) : parseV4(text);
  if (octets === undefined)
    return {
      message: `IP Address ${quoted} parse error during conversion from string: ParseAddr(${quoted}): unable to parse IP`,
    };
  if (isV4In6(octets)) return { message: `IPv4-mapped IPv6 address ${quoted} is not allowed` };
  return new Ip(octets);
}

export function parseCidr(text: string): Cidr | { readonly message: string } {
  const failure = (why: string) => ({
    message: `network address parse error during conversion from string: netip.ParsePrefix(${JSON.stringify(text)}): ${why}`,
  });
  const slash = text.lastIndexOf('/');
  if (slash < 0) return failure("no '/'");
  const address = text.slice(0, slash);
  const octets = address.includes(':') ? parseV6(address) : parseV4(address);
  if (octets === undefined) return failure('unable to parse IP');
  const length = text.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(length)) return failure(`bad bits after slash: ${JSON.stringify(length)}`);
  if (Number(length) > octets.length * 8) return failure('prefix length out of range');
  if (isV4In6(octets)) return { message: `IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed` };
  return new Cidr(new Ip(octets), Number(length));
}

function isV4In6(octets: Uint8Array): boolean {
  return octets.length === 16 && octets.every((o, i) => i > 11 || o === (i < 10 ? 0 : 0xff));
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split('.', 5);
  if (parts.length !== 4 || !parts.every((p) => /^(?:0|[1-9]\d{0,2})$/.test(p) && Number(p) < 256)) return undefined;
  return Uint8Array.from(parts, Number);
}

function parseV6(text: string): Uint8Array | undefined {
  if (text.length > 60) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = [groupsOf(halves[0] ?? '', halves.length === 1), groupsOf(halves[1] ?? '', true)];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** Octets of `a:b:c`, whose last group may be an IPv4 address when it is the address's end. */
function groupsOf(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const out: number[] = [];
  const groups = text.split(':');
  for (const [i, g] of groups.entries()) {
    if (atEnd && i === groups.length - 1 && g.includes('.')) {
      const v4 = parseV4(g);
      if (v4 === undefined) return undefined;
      out.push(...v4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(g)) return undefined;
      const n = Number.parseInt(g, 16);
      out.push(n >> 8, n & 0xff);
    }
  }
  return out;
}

/** RFC 5952: the first longest run of two or more zero groups is written `::`. */
function formatIpv6(octets: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((octets[2 * i] ?? 0) << 8) | (octets[2 * i + 1] ?? 0));
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > length) [start, length] = [i, n];
  }
  const hex = (g: readonly number[]) => g.map((n) => n.toString(16)).join(':');
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}
