/** The byte format of agent/native/serve.c: little-endian u32 lengths; fields are NUL-terminated. Pure. */

export const VERBS = {
  cancel: 0,
  run: 1,
  overlay: 2,
  bind: 3,
  tmpfs: 4,
  unmount: 5,
  pin: 6,
  unpin: 7,
  remove: 8,
  unpack: 9,
  session: 10,
  own: 12,
  pause: 20,
  dial: 21,
  unpackBlob: 22,
  pinUser: 23,
  overlayMapped: 24,
  readFiles: 25,
  pack: 26,
  readTree: 28,
  writeTree: 29,
  resolve: 30,
  prober: 31,
} as const;
export type Verb = keyof typeof VERBS;
export type Field = string | Uint8Array | number;

export function encodeRequest(id: number, verb: Verb, fields: readonly Field[]): Buffer {
  const parts = fields.map((f) => (f instanceof Uint8Array ? f : Buffer.from(String(f))));
  const size = 5 + parts.reduce((sum, p) => sum + p.byteLength + 5, 0);
  const out = Buffer.alloc(4 + size);
  out.writeUInt32LE(size, 0);
  out.writeUInt32LE(id, 4);
  out.writeUInt8(VERBS[verb], 8);
  let at = 9;
  for (const p of parts) {
    out.writeUInt32LE(p.byteLength, at);
    out.set(p, at + 4);
    at += 5 + p.byteLength;
  }
  return out;
}

export interface Answer {
  readonly id: number;
  /** Exit code, 128 + signal, or an errno for the helper's own verbs. */
  readonly code: number;
  /** Output above 1 MiB was left out. */
  readonly cut: boolean;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export function decodeAnswer(frame: Buffer): Answer {
  const outSize = frame.readUInt32LE(9);
  const errAt = 13 + outSize;
  const errSize = frame.readUInt32LE(errAt);
  return {
    id: frame.readUInt32LE(0),
    code: frame.readUInt32LE(4),
    cut: frame.readUInt8(8) !== 0,
    stdout: frame.subarray(13, errAt),
    stderr: frame.subarray(errAt + 4, errAt + 4 + errSize),
  };
}

/** Cuts a byte stream into frames of u32 length plus body; throws RangeError on a length above `maxBytes`. */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #size = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes given but not yet part of a whole frame. */
  get pending(): number {
    return this.#size;
  }

  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#size += chunk.byteLength;
    const frames: Buffer[] = [];
    for (;;) {
      if (this.#size < 4) return frames;
      const size = this.#front(4).readUInt32LE(0);
      if (size > this.#maxBytes) throw new RangeError(`a frame of ${size} bytes exceeds ${this.#maxBytes}`);
      if (this.#size < 4 + size) return frames;
      const whole = this.#front(4 + size);
      frames.push(whole.subarray(4, 4 + size));
      this.#chunks[0] = whole.subarray(4 + size);
      this.#size -= 4 + size;
    }
  }

  /** The first chunk, joined with the next ones until it holds `size` bytes. */
  #front(size: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.byteLength >= size) return first;
    let have = 0;
    let count = 0;
    while (have < size) have += this.#chunks[count++]?.byteLength ?? 0;
    const joined = Buffer.concat(this.#chunks.splice(0, count));
    this.#chunks.unshift(joined);
    return joined;
  }
}
