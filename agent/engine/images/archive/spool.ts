/**
 * The files of an archive that is being loaded, each under a name of ours in the store: no name of the archive touches a file
 * system. Links inside it are followed by name; what leaves it, devices, and what the disk has no room for is refused.
 * Source: moby daemon/internal/image/tarexport/load.go (older archives link equal layers by symlinks).
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readFile, rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Ctx, type Digest, parseDigest } from '#lib/base';
import { type Descriptor, MEDIA_TYPES, readTar, type TarHeader } from '#lib/oci';
import { badParameter } from '../../http/contract.ts';
import { noSpace, RESERVE_BYTES } from './open-archive.ts';

export interface SpooledFile {
  /** Where it lies. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly digest: Digest;
  /** Its first four bytes. */
  readonly head: Buffer;
}

type Entry = { readonly type: 'file'; readonly file: SpooledFile } | { readonly type: 'link'; readonly target: string };

const ENTRIES_MAX = 20_000;
const LINKS_MAX = 8;
const HEAD_BYTES = 4;

export class Spool implements AsyncDisposable {
  readonly #entries = new Map<string, Entry>();
  readonly #draft: () => string;
  readonly #drafts: string[] = [];

  private constructor(draft: () => string) {
    this.#draft = draft;
  }

  /** Reads the whole archive; on failure nothing is left. EngineError 400 for what is no archive, or a hostile one. */
  static async read(bytes: AsyncIterable<Buffer>, draft: () => string, c: Ctx): Promise<Spool> {
    const spool = new Spool(draft);
    try {
      for await (const { header, body } of readTar(bytes)) {
        c.signal.throwIfAborted();
        if (spool.#entries.size >= ENTRIES_MAX) throw invalid(`it has more than ${ENTRIES_MAX} files`);
        await spool.#take(header, body, c);
      }
      return spool;
    } catch (e) {
      await spool[Symbol.asyncDispose]();
      throw e;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of this.#drafts.splice(0)) await rm(path, { force: true });
  }

  /** Through links; undefined when it is not there. */
  find(name: string): SpooledFile | undefined {
    let at = plainName(name);
    for (let hops = 0; hops <= LINKS_MAX; hops++) {
      const entry = this.#entries.get(at);
      if (entry === undefined) return undefined;
      if (entry.type === 'file') return entry.file;
      at = entry.target;
    }
    throw invalid(`${name} is a link without an end`);
  }

  async document(name: string, bytesMax: number): Promise<Buffer | undefined> {
    const file = this.find(name);
    if (file === undefined) return undefined;
    if (file.sizeBytes > bytesMax) throw invalid(`${name} has ${file.sizeBytes} bytes, above the limit of ${bytesMax}`);
    return readFile(file.path);
  }

  async #take(header: TarHeader, body: AsyncIterable<Buffer>, c: Ctx): Promise<void> {
    const name = plainName(header.path);
    switch (header.type) {
      case 'folder':
        return;
      case 'file':
        this.#entries.set(name, { type: 'file', file: await this.#write(header.sizeBytes, body, c) });
        return;
      case 'symlink': {
        const from = name.includes('/') ? name.slice(0, name.lastIndexOf('/') + 1) : '';
        this.#entries.set(name, { type: 'link', target: plainName(`${from}${header.linkPath}`) });
        return;
      }
      case 'hardlink':
        this.#entries.set(name, { type: 'link', target: plainName(header.linkPath) });
        return;
      default:
        throw invalid(`${header.path} is a ${header.type}`);
    }
  }

  async #write(sizeBytes: number, body: AsyncIterable<Buffer>, c: Ctx): Promise<SpooledFile> {
    const path = this.#draft();
    const { bavail, bsize } = await statfs(dirname(path));
    const bytesMax = Math.max(0, bavail * bsize - RESERVE_BYTES);
    if (sizeBytes > bytesMax) throw noSpace(bytesMax);
    this.#drafts.push(path);
    const hash = createHash('sha256');
    let head = Buffer.alloc(0);
    const hashed = async function* (): AsyncGenerator<Buffer, void, void> {
      for await (const piece of body) {
        hash.update(piece);
        if (head.length < HEAD_BYTES) head = Buffer.concat([head, piece.subarray(0, HEAD_BYTES - head.length)]);
        yield piece;
      }
    };
    await pipeline(Readable.from(hashed(), { objectMode: false }), createWriteStream(path, { flags: 'wx' }), {
      signal: c.signal,
    });
    return { path, sizeBytes, digest: parseDigest(`sha256:${hash.digest('hex')}`), head };
  }
}

/** A layer's blob, its compression told by its first bytes. */
export function layerBlob({ digest, head, sizeBytes }: SpooledFile): Descriptor {
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  const isZstd = head.equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]));
  const mediaType = isGzip ? MEDIA_TYPES.ociLayerGzip : isZstd ? MEDIA_TYPES.ociLayerZstd : MEDIA_TYPES.ociLayer;
  return { mediaType, digest, sizeBytes };
}

/** Without `.` and doubled slashes; refused when it leaves the archive. */
function plainName(text: string): string {
  const parts: string[] = [];
  if (text.startsWith('/')) throw invalid(`${JSON.stringify(text)} is an absolute path`);
  for (const part of text.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw invalid(`${JSON.stringify(text)} leaves it`);
  }
  return parts.join('/');
}

export function invalid(why: string): Error {
  return badParameter(`invalid archive: ${why}`);
}
