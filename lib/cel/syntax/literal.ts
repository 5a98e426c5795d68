/** The values of literals: escapes of strings and bytes, ranges of numbers (cel-spec, "String and Bytes Values"). */
import { Uint, type Value } from '../values/value.ts';

const INT64_MIN = -(1n << 63n);
const INT64_MAX = (1n << 63n) - 1n;
const UINT64_MAX = (1n << 64n) - 1n;

export function intLiteral(text: string, negative: boolean): bigint | undefined {
  const magnitude = BigInt(text);
  const n = negative ? -magnitude : magnitude;
  return n < INT64_MIN || n > INT64_MAX ? undefined : n;
}

export function uintLiteral(text: string): Value | undefined {
  const n = BigInt(text.slice(0, -1));
  return n > UINT64_MAX ? undefined : new Uint(n);
}

export function doubleLiteral(text: string, negative: boolean): number | undefined {
  const n = Number(text);
  if (!Number.isFinite(n)) return undefined;
  return negative ? -n : n;
}

const SIMPLE: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  '"': 34,
  "'": 39,
  '\\': 92,
  '?': 63,
  '`': 96,
};

/** Undefined when an escape is malformed. */
export function stringLiteral(text: string): string | undefined {
  const { body, raw } = bodyOf(text);
  if (raw) return body;
  let out = '';
  for (let i = 0; i < body.length; ) {
    if (body[i] !== '\\') {
      out += body[i];
      i++;
      continue;
    }
    const e = escapeAt(body, i);
    if (e === undefined || e.code > 0x10ffff || (e.code >= 0xd800 && e.code < 0xe000)) return undefined;
    out += String.fromCodePoint(e.code);
    i += e.length;
  }
  return out;
}

/** `\x` and octal escapes are octets here, everything else is UTF-8. */
export function bytesLiteral(text: string): Uint8Array | undefined {
  const { body, raw } = bodyOf(text);
  const parts: Uint8Array[] = [];
  const encoder = new TextEncoder();
  for (let i = 0; i < body.length; ) {
    const next = raw ? -1 : body.indexOf('\\', i);
    if (next !== i) {
      parts.push(encoder.encode(body.slice(i, next === -1 ? body.length : next)));
      i = next === -1 ? body.length : next;
      continue;
    }
    const e = escapeAt(body, i);
    if (e === undefined || e.unicode) return undefined;
    parts.push(Uint8Array.of(e.code));
    i += e.length;
  }
  return new Uint8Array(Buffer.concat(parts));
}

function bodyOf(text: string): { body: string; raw: boolean } {
  const prefix = /^[rRbB]*/.exec(text)?.[0] ?? '';
  const quoted = text.slice(prefix.length);
  const quotes = quoted.startsWith('"""') || quoted.startsWith("'''") ? 3 : 1;
  const body = quoted.slice(quotes, -quotes);
  return { body: body.replace(/\r\n?/g, '\n'), raw: /[rR]/.test(prefix) };
}

function escapeAt(body: string, at: number): { code: number; length: number; unicode: boolean } | undefined {
  const c = body[at + 1] ?? '';
  const simple = SIMPLE[c];
  if (simple !== undefined && Object.hasOwn(SIMPLE, c)) return { code: simple, length: 2, unicode: false };
  const digits = c === 'x' || c === 'X' ? 2 : c === 'u' ? 4 : c === 'U' ? 8 : 0;
  if (digits > 0) {
    const hex = body.slice(at + 2, at + 2 + digits);
    if (hex.length !== digits || !/^[0-9a-fA-F]+$/.test(hex)) return undefined;
    return { code: Number.parseInt(hex, 16), length: 2 + digits, unicode: digits > 2 };
  }
  const octal = body.slice(at + 1, at + 4);
  if (!/^[0-3][0-7]{2}$/.test(octal)) return undefined;
  return { code: Number.parseInt(octal, 8), length: 4, unicode: false };
}
