/**
 * A writer and a reader for the little DER that certificates need (ITU-T X.690; RFC 5280, RFC 2986).
 *
 * Why our own: @peculiar/x509 needs a global reflect polyfill and costs 24 MB and 0.8 s at start, in every process.
 * Verification of certificates is left to OpenSSL (node:crypto X509Certificate, TLS); this file only makes them, and reads
 * the fixed structure of a PKCS#10 request.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { assert, StatusError } from '#lib/base';

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

export function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.byteLength;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), body]);
  const digits: number[] = [];
  for (let n = length; n > 0; n >>>= 8) digits.unshift(n & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.length, ...digits]), body]);
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tlv(TAG.sequence, ...parts);
}

/** A non-negative integer from its bytes, most significant first. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  return tlv(TAG.integer, (trimmed[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), trimmed]) : trimmed);
}

export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes: number[] = [];
  for (const n of [first * 40 + second, ...rest]) {
    const digits = [n & 0x7f];
    for (let more = Math.floor(n / 128); more > 0; more = Math.floor(more / 128)) digits.unshift((more & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return tlv(TAG.oid, Buffer.from(bytes));
}

export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return tlv(TAG.bitString, Buffer.from([unusedBits]), bytes);
}

export function octetString(bytes: Uint8Array): Buffer {
  return tlv(TAG.octetString, bytes);
}

export function utf8(text: string): Buffer {
  return tlv(TAG.utf8, Buffer.from(text));
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 4.1.2.5). `text` is `YYYY-MM-DDTHH:MM:SS...`. */
export function time(text: string): Buffer {
  const digits = `${text.slice(0, 19).replace(/[-:T]/g, '')}Z`;
  return Number(text.slice(0, 4)) < 2050
    ? tlv(TAG.utcTime, Buffer.from(digits.slice(2)))
    : tlv(TAG.generalizedTime, Buffer.from(digits));
}

/** 4 or 16 bytes. Throws Invalid. */
export function ipBytes(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number));
  if (!isIPv6(text) || text.includes('%')) throw new StatusError('Invalid', `"${text}" is no IP address`);
  const plain = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
    return `${group(a, b)}:${group(c, d)}`;
  });
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  assert(groups.length === 8, `${text} has ${groups.length} groups`);
  return Buffer.from(groups.flatMap((g) => [Number.parseInt(g, 16) >>> 8, Number.parseInt(g, 16) & 0xff]));
}

/** The text of 4 or 16 bytes. Throws Invalid for other lengths. */
export function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  if (bytes.length !== 16) throw malformed();
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':');
}

/** One element: its tag, its content, and the whole of it as it was (what signatures cover). */
export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

/** The elements in `bytes`, one after the other. Throws Invalid for anything that is not whole, definite-length DER. */
export function elements(bytes: Buffer): Element[] {
  const out: Element[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const tag = bytes[at];
    const first = bytes[at + 1];
    if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f || first === 0x80) throw malformed();
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    if (lengthBytes > 3 || at + 2 + lengthBytes > bytes.byteLength) throw malformed();
    const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes);
    const start = at + 2 + lengthBytes;
    if (start + length > bytes.byteLength) throw malformed();
    out.push({ tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length) });
    at = start + length;
  }
  return out;
}

export function oidText(content: Buffer): string {
  const numbers: number[] = [];
  let n = 0;
  for (const byte of content) {
    n = n * 128 + (byte & 0x7f);
    if ((byte & 0x80) === 0) {
      numbers.push(n);
      n = 0;
    }
  }
  const [first = 0, ...rest] = numbers;
  const top = Math.min(Math.floor(first / 40), 2);
  return [top, first - top * 40, ...rest].join('.');
}

export function malformed(): StatusError {
  return new StatusError('Invalid', 'malformed DER');
}
