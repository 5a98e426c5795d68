/**
 * The protobuf wire format: a reader over a byte range and a writer that fills its buffer from the end, so that the length
 * of a nested message is known when its prefix is written (as gogo does). Integers are 64 bits wide; a JSON number can hold
 * the API's values exactly up to 2^53. Source: protobuf.dev/programming-guides/encoding.
 */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

/** Objects nest some 30 deep, schemas in CRDs 100. What nests without an end would overflow the stack of whoever reads it. */
const DEPTH_MAX = 1_000;

/** The bytes are not what the message says; the text is gogo's. */
export class WireError extends Error {}

export class Reader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
  /** Of messages within messages, and of groups being skipped. */
  private depth: number;

  constructor(bytes: Buffer, start: number, end: number, depth = 0) {
    if (depth > DEPTH_MAX) throw tooDeep();
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    this.depth = depth;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  /** Signed 64-bit value; inexact beyond 2^53. */
  varint(): number {
    let low = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      const b = this.byte();
      low += (b & 0x7f) * scale;
      if (b < 0x80) return low;
      scale *= 128;
    }
    let value = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const b = this.byte();
      value |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw new WireError('proto: integer overflow');
  }

  /** Signed 64-bit value, exact. */
  varintExact(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const b = this.byte();
      value |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return BigInt.asIntN(64, value);
    }
    throw new WireError('proto: integer overflow');
  }

  double(): number {
    this.need(8);
    const v = this.bytes.readDoubleLE(this.at);
    this.at += 8;
    return v;
  }

  /** A reader of the length-delimited bytes that come next; this reader moves behind them. */
  nested(): Reader {
    const length = this.varint();
    if (length < 0) throw new WireError('proto: negative length found during unmarshaling');
    this.need(length);
    const start = this.at;
    this.at += length;
    return new Reader(this.bytes, start, this.at, this.depth + 1);
  }

  text(): string {
    const r = this.nested();
    return this.bytes.toString('utf8', r.at, r.end);
  }

  /** Not a copy. */
  slice(): Buffer {
    const r = this.nested();
    return this.bytes.subarray(r.at, r.end);
  }

  /** Skips the value of an unknown field. Groups are skipped whole. */
  skip(wire: number): void {
    switch (wire) {
      case VARINT:
        this.varintExact();
        return;
      case FIXED64:
        this.need(8);
        this.at += 8;
        return;
      case BYTES:
        this.nested();
        return;
      case FIXED32:
        this.need(4);
        this.at += 4;
        return;
      case START_GROUP:
        this.skipGroup();
        return;
      default:
        throw new WireError(`proto: illegal wireType ${wire}`);
    }
  }

  private skipGroup(): void {
    if (++this.depth > DEPTH_MAX) throw tooDeep();
    for (;;) {
      const wire = this.varint() & 7;
      if (wire === END_GROUP) break;
      this.skip(wire);
    }
    this.depth--;
  }

  private byte(): number {
    const b = this.at < this.end ? this.bytes[this.at] : undefined;
    if (b === undefined) throw new WireError('unexpected EOF');
    this.at++;
    return b;
  }

  private need(length: number): void {
    if (this.at + length > this.end) throw new WireError('unexpected EOF');
  }
}

function tooDeep(): WireError {
  return new WireError(`exceeded max depth: messages may nest ${DEPTH_MAX} deep`);
}

/** Writes backwards: last field first, value before tag. */
export class BackWriter {
  private buffer: Buffer;
  private start: number;

  /** `capacity`: bytes that are taken at once; it grows. */
  constructor(capacity = 1024) {
    this.buffer = Buffer.allocUnsafe(capacity);
    this.start = capacity;
  }

  /** Bytes written so far: the difference of two readings is the length of what was written between. */
  get length(): number {
    return this.buffer.length - this.start;
  }

  finish(): Buffer {
    return this.buffer.subarray(this.start);
  }

  tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  /** Negative numbers take ten bytes. */
  varint(value: number): void {
    if (value < 0 || value > Number.MAX_SAFE_INTEGER) {
      this.varintExact(BigInt(value));
      return;
    }
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
    this.reserve(size);
    let rest = value;
    for (let i = 0; i < size - 1; i++) {
      this.buffer[this.start + i] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.buffer[this.start + size - 1] = rest;
  }

  varintExact(value: bigint): void {
    const groups: number[] = [];
    let rest = BigInt.asUintN(64, value);
    do {
      groups.push(Number(rest & 0x7fn));
      rest >>= 7n;
    } while (rest > 0n);
    this.reserve(groups.length);
    for (const [i, g] of groups.entries()) this.buffer[this.start + i] = i < groups.length - 1 ? g | 0x80 : g;
  }

  double(value: number): void {
    this.reserve(8);
    this.buffer.writeDoubleLE(value, this.start);
  }

  /** The bytes and their length in front. */
  bytes(value: Uint8Array): void {
    this.reserve(value.length);
    this.buffer.set(value, this.start);
    this.varint(value.length);
  }

  text(value: string): void {
    const size = Buffer.byteLength(value);
    this.reserve(size);
    this.buffer.write(value, this.start, 'utf8');
    this.varint(size);
  }

  private reserve(size: number): void {
    if (this.start < size) {
      const used = this.length;
      const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, used + size + 1024));
      this.buffer.copy(grown, grown.length - used, this.start);
      this.start = grown.length - used;
      this.buffer = grown;
    }
    this.start -= size;
  }
}
