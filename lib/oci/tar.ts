/**
 * Reading and writing tar archives as streams. The writer is deterministic: equal entries in equal order give equal bytes, so
 * equal images have equal digests. The reader takes what the wild has: ustar, pax, GNU long names, base-256 numbers, v7.
 * Unpacking into a file system is not done here but by the native helper (agent/native), which resolves names safely.
 */
import { StatusError } from '#lib/base';
import {
  BLOCK_BYTES,
  bodyBytes,
  completeHeader,
  EXTENSION_BYTES_MAX,
  encodeHeader,
  NO_XATTRS,
  paddingOf,
  parsePax,
  readRawHeader,
  type TarHeader,
} from './tar-header.ts';

export interface TarEntry {
  readonly header: TarHeader;
  /** The file's bytes. Must be consumed, or left alone, before the next entry is asked for; what is left is skipped. */
  readonly body: TarBody;
}

export interface TarBody extends AsyncIterable<Buffer> {
  /** All that is left of it, where it has come already, else undefined: a turn of the loop for each small file is dear. */
  atOnce(): Buffer | undefined;
}

/**
 * Entries in archive order. Throws Invalid for damage and for an archive that ends early; Unimplemented for sparse files.
 * After the end mark the rest of `source` is read and dropped, so that a hash over the source covers all of it.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, void> {
  const bytes = new ByteReader(source);
  try {
    let globals = new Map<string, Buffer>();
    let locals = new Map<string, Buffer>();
    for (;;) {
      if (locals.size > 0) locals = new Map();
      const gnu: { name?: Buffer; linkName?: Buffer } = {};
      const raw = await readExtensions(bytes, locals, gnu, (g) => {
        globals = new Map([...globals, ...g]);
        checkExtensions(globals);
      });
      if (!raw) break;
      const pax = globals.size === 0 ? locals : new Map([...globals, ...locals]);
      const header = completeHeader(raw, pax, gnu);
      const size = bodyBytes(raw, pax);
      const body = new Body(bytes, size);
      yield { header, body };
      const rest = body.left + paddingOf(size);
      if (bytes.takeNow(rest) === undefined) await bytes.skip(rest);
    }
    await bytes.drain();
  } finally {
    await bytes.close();
  }
}

/** Collects the whole archive: for small ones. */
export async function tarBytes(entries: readonly { header: TarHeader; data: Uint8Array }[]): Promise<Buffer> {
  const out: Uint8Array[] = [];
  for await (const piece of writeTar(entries.map((e) => ({ header: e.header, body: [e.data] })))) out.push(piece);
  return Buffer.concat(out);
}

/** Small entries are given many at a time: a piece a file would cost more than its bytes. */
const PIECE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** Throws Invalid when a body is not as long as its header says. */
export async function* writeTar(
  entries:
    | AsyncIterable<{ header: TarHeader; body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> }>
    | Iterable<{ header: TarHeader; body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> }>,
): AsyncGenerator<Uint8Array, void, void> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  const isFullWith = (piece: Uint8Array): boolean => {
    if (piece.length > 0) pieces.push(piece);
    bytes += piece.length;
    return bytes >= PIECE_BYTES;
  };
  const taken = (): Uint8Array => {
    const [only] = pieces;
    const out = pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
    [pieces, bytes] = [[], 0];
    return out;
  };
  for await (const { header, body } of entries) {
    if (isFullWith(encodeHeader(header))) yield taken();
    let written = 0;
    // A list needs no turn of the loop for each piece.
    if (Array.isArray(body)) {
      for (const piece of body) {
        written += piece.length;
        if (isFullWith(piece)) yield taken();
      }
    } else {
      for await (const piece of body) {
        written += piece.length;
        if (isFullWith(piece)) yield taken();
      }
    }
    if (written !== header.sizeBytes)
      throw new StatusError(
        'Invalid',
        `"${header.path}" has ${written} bytes, not ${header.sizeBytes} as its header says`,
      );
    if (isFullWith(ZEROS.subarray(0, paddingOf(written)))) yield taken();
  }
  isFullWith(Buffer.alloc(2 * BLOCK_BYTES));
  yield taken();
}

/** A header with every field at its plainest: mode 0644 or 0755, root, 1970. */
export function tarHeader(h: Partial<TarHeader> & Pick<TarHeader, 'type' | 'path'>): TarHeader {
  return {
    linkPath: '',
    mode: h.type === 'folder' ? 0o755 : h.type === 'symlink' ? 0o777 : 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: 0,
    mtimeNs: 0n,
    userName: '',
    groupName: '',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: NO_XATTRS,
    ...h,
  };
}

/** Reads headers up to the next real entry, gathering pax and GNU extensions on the way. */
async function readExtensions(
  bytes: ByteReader,
  locals: Map<string, Buffer>,
  gnu: { name?: Buffer; linkName?: Buffer },
  onGlobals: (records: Map<string, Buffer>) => void,
): Promise<ReturnType<typeof readRawHeader>> {
  for (;;) {
    const block = bytes.takeNow(BLOCK_BYTES) ?? (await bytes.block());
    const raw = block && readRawHeader(block);
    if (!raw) return undefined;
    if (!'xgLKSX'.includes(raw.flag)) return raw;
    if (raw.flag === 'S') throw new StatusError('Unimplemented', 'sparse files in a tar are not supported');
    if (raw.sizeBytes > EXTENSION_BYTES_MAX)
      throw new StatusError('Invalid', `the tar holds an extended header of ${raw.sizeBytes} bytes`);
    const data = await bytes.take(raw.sizeBytes);
    await bytes.skip(paddingOf(raw.sizeBytes));
    if (raw.flag === 'g') onGlobals(parsePax(data));
    else if (raw.flag === 'L') gnu.name = untilZero(data);
    else if (raw.flag === 'K') gnu.linkName = untilZero(data);
    else for (const [k, v] of parsePax(data)) locals.set(k, v);
    checkExtensions(locals);
  }
}

/** Each header is bounded; so is what many of them add up to. */
function checkExtensions(records: ReadonlyMap<string, Buffer>): void {
  let bytes = 0;
  for (const [key, value] of records) bytes += key.length + value.length;
  if (bytes > EXTENSION_BYTES_MAX)
    throw new StatusError('Invalid', `the tar holds extended headers of more than ${EXTENSION_BYTES_MAX} bytes in all`);
}

function untilZero(data: Buffer): Buffer {
  const end = data.indexOf(0);
  return end < 0 ? data : data.subarray(0, end);
}

class Body implements TarBody {
  readonly #bytes: ByteReader;
  left: number;

  constructor(bytes: ByteReader, size: number) {
    this.#bytes = bytes;
    this.left = size;
  }

  atOnce(): Buffer | undefined {
    const all = this.#bytes.takeNow(this.left);
    if (all !== undefined) this.left = 0;
    return all;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    while (this.left > 0) {
      const piece = await this.#bytes.some(this.left);
      this.left -= piece.length;
      yield piece;
    }
  }
}

/** Exact reads over pieces of any size. */
class ByteReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #piece: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** One block; undefined at the clean end of the source. */
  async block(): Promise<Buffer | undefined> {
    if (this.#piece.length === 0 && !(await this.#more())) return undefined;
    return this.take(BLOCK_BYTES);
  }

  /** Of what has come already; undefined when that is less. */
  takeNow(length: number): Buffer | undefined {
    return this.#piece.length >= length ? this.#cut(length) : undefined;
  }

  async take(length: number): Promise<Buffer> {
    const now = this.takeNow(length);
    if (now !== undefined) return now;
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const part = await this.some(left);
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Between 1 and `lengthMax` bytes. */
  async some(lengthMax: number): Promise<Buffer> {
    if (this.#piece.length === 0 && !(await this.#more()))
      throw new StatusError('Invalid', 'the tar archive ends in the middle of an entry');
    return this.#cut(Math.min(lengthMax, this.#piece.length));
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) left -= (await this.some(left)).length;
  }

  async drain(): Promise<void> {
    do this.#piece = Buffer.alloc(0);
    while (await this.#more());
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  #cut(length: number): Buffer {
    const out = this.#piece.subarray(0, length);
    this.#piece = this.#piece.subarray(length);
    return out;
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#iterator.next();
      if (next.done === true) return false;
      const { buffer, byteOffset, byteLength } = next.value;
      if (byteLength === 0) continue;
      this.#piece = Buffer.from(buffer, byteOffset, byteLength);
      return true;
    }
  }
}
