/**
 * A content-addressed store in a folder. A blob becomes visible only by a rename after its bytes were hashed, compared and
 * synced, so that every visible blob is whole, also after a power loss; a crash leaves nothing but files in `ingest/`.
 *
 *   blobs/<algorithm>/<hex>     whole blobs, immutable (the same tree as an OCI image layout)
 *   ingest/<ref>                bytes on their way in
 *
 * Life of an ingest: begin -> write* -> commit | abort. Two ingests of the same digest may run side by side; both succeed.
 * While bytes arrive they are flushed to disk in the background, so that the sync at commit has little left to do.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, opendir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { assert, isMissing, StatusError } from '#lib/base';
import { type AnyDigest, algorithmOf, type DigestAlgorithm, encodedOf, isAnyDigest } from './digest.ts';
import { FolderIngest } from './ingest.ts';

export interface BlobInfo {
  readonly digest: AnyDigest;
  readonly sizeBytes: number;
  /** When it was stored or last touched, wall ms. */
  readonly modifiedMs: number;
}

export interface ContentStore {
  stat(digest: AnyDigest): Promise<BlobInfo | undefined>;
  /** Bytes [start, end) as a stream; NotFound when the blob is not here. The caller consumes or destroys it. */
  read(digest: AnyDigest, o?: { readonly start?: number; readonly end?: number }): Promise<Readable>;
  /** The whole blob; NotFound, or TooLarge above `bytesMax`. */
  readAll(digest: AnyDigest, bytesMax: number): Promise<Buffer>;
  /** Starts or resumes the ingest `ref` ([A-Za-z0-9._-]+). One owner at a time. */
  begin(ref: string, o?: { readonly algorithm?: DigestAlgorithm }): Promise<Ingest>;
  /** False when it was not here. */
  remove(digest: AnyDigest): Promise<boolean>;
  list(): AsyncIterable<BlobInfo>;
  /** Refs of unfinished ingests with the time of their last byte. */
  ingests(): Promise<readonly { readonly ref: string; readonly modifiedMs: number }[]>;
  removeIngest(ref: string): Promise<void>;
}

export type ExpectedBlob = { readonly digest?: AnyDigest; readonly sizeBytes?: number | undefined };

/** Disposing closes the file and keeps the bytes, so that `begin` with the same ref goes on where this one ended. */
export interface Ingest extends AsyncDisposable {
  readonly ref: string;
  /** Bytes taken so far. */
  readonly offset: number;
  /** Takes ownership of `chunk`; resolves when the store has room for more. */
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves when the operating system has every byte taken: from then on a killed process loses none of them. */
  flush(): Promise<void>;
  /** Back to offset 0. */
  reset(): Promise<void>;
  /**
   * Makes the blob visible, durably. Throws Invalid, reason SizeMismatch or DigestMismatch, when the bytes are not what was
   * expected; the ingest is then gone. Without a digest it is what its bytes make it.
   */
  commit(expected: ExpectedBlob): Promise<BlobInfo>;
  /** Forgets the bytes; safe after any other call. */
  abort(): Promise<void>;
}

const ALGORITHMS: readonly DigestAlgorithm[] = ['sha256', 'sha512'];
const PENDING_BYTES_MAX = 2 * 1024 * 1024;
/** Where nothing is synced a write is a copy in memory, which never waits long. */
const PENDING_UNSYNCED_MAX = 512 * 1024;
/** Of all ingests of a store together, while each has a little. */
const PENDING_ALL = 8 * 1024 * 1024;
const PENDING_BYTES_MIN = 64 * 1024;
const READ_BYTES = 256 * 1024;

export class FolderContentStore implements ContentStore {
  readonly #folder: string;
  readonly #isDurable: boolean;
  readonly #open = new Set<string>();

  private constructor(folder: string, isDurable: boolean) {
    this.#folder = folder;
    this.#isDurable = isDurable;
  }

  /**
   * With `keepIngests` unfinished ingests survive (a registry's resumable uploads), else they are removed now. With `durable: false`
   * (default true) a visible blob is on disk only once its owner has synced the file system.
   */
  static async open(
    folder: string,
    o: { readonly keepIngests: boolean; readonly durable?: boolean },
  ): Promise<FolderContentStore> {
    for (const a of ALGORITHMS) await mkdir(join(folder, 'blobs', a), { recursive: true });
    if (!o.keepIngests) await rm(join(folder, 'ingest'), { recursive: true, force: true });
    await mkdir(join(folder, 'ingest'), { recursive: true });
    return new FolderContentStore(folder, o.durable ?? true);
  }

  /** Where a blob lies or would lie: for programs that read files. */
  pathOf(digest: AnyDigest): string {
    return join(this.#folder, 'blobs', algorithmOf(digest), encodedOf(digest));
  }

  async stat(digest: AnyDigest): Promise<BlobInfo | undefined> {
    try {
      const s = await stat(this.pathOf(digest));
      return { digest, sizeBytes: s.size, modifiedMs: s.mtimeMs };
    } catch (e) {
      if (isMissing(e)) return undefined;
      throw e;
    }
  }

  async read(digest: AnyDigest, o: { start?: number; end?: number } = {}): Promise<Readable> {
    const file = await this.#openBlob(digest);
    const start = o.start ?? 0;
    if (o.end !== undefined && o.end <= start) {
      await file.close();
      return Readable.from([]);
    }
    return createReadStream('', {
      fd: file,
      start,
      highWaterMark: READ_BYTES,
      ...(o.end === undefined ? {} : { end: o.end - 1 }),
    });
  }

  async readAll(digest: AnyDigest, bytesMax: number): Promise<Buffer> {
    const info = await this.stat(digest);
    if (!info) throw notHere(digest);
    if (info.sizeBytes > bytesMax)
      throw new StatusError('TooLarge', `${digest} has ${info.sizeBytes} bytes, above the limit of ${bytesMax}`);
    return readFile(this.pathOf(digest));
  }

  async begin(ref: string, o: { algorithm?: DigestAlgorithm } = {}): Promise<Ingest> {
    const path = this.#ingestPath(ref);
    assert(!this.#open.has(ref), `ingest ${ref} is already open`);
    this.#open.add(ref);
    const bytesMax = this.#isDurable ? PENDING_BYTES_MAX : PENDING_UNSYNCED_MAX;
    let file: FileHandle | undefined;
    try {
      file = await open(path, 'a+', 0o644);
      const ingest = new FolderIngest(ref, path, file, {
        algorithm: o.algorithm ?? 'sha256',
        isDurable: this.#isDurable,
        target: (d) => this.pathOf(d),
        pendingBytesMax: () => Math.max(PENDING_BYTES_MIN, Math.min(bytesMax, PENDING_ALL / this.#open.size)),
        released: () => this.#open.delete(ref),
      });
      await ingest.rehash();
      return ingest;
    } catch (e) {
      await file?.close();
      this.#open.delete(ref);
      throw e;
    }
  }

  /** Takes a file of this file system over, whose digest its maker has told; not synced. */
  async adopt(path: string, digest: AnyDigest): Promise<void> {
    await rename(path, this.pathOf(digest));
  }

  async remove(digest: AnyDigest): Promise<boolean> {
    try {
      await rm(this.pathOf(digest));
      return true;
    } catch (e) {
      if (isMissing(e)) return false;
      throw e;
    }
  }

  async *list(): AsyncIterable<BlobInfo> {
    for (const algorithm of ALGORITHMS) {
      for await (const entry of await opendir(join(this.#folder, 'blobs', algorithm))) {
        const digest = `${algorithm}:${entry.name}`;
        const info = isAnyDigest(digest) ? await this.stat(digest) : undefined;
        if (info) yield info;
      }
    }
  }

  async ingests(): Promise<readonly { ref: string; modifiedMs: number }[]> {
    const out: { ref: string; modifiedMs: number }[] = [];
    for (const ref of await readdir(join(this.#folder, 'ingest'))) {
      const s = await stat(this.#ingestPath(ref)).catch(() => undefined); // finished since the listing
      if (s) out.push({ ref, modifiedMs: s.mtimeMs });
    }
    return out;
  }

  async removeIngest(ref: string): Promise<void> {
    if (!this.#open.has(ref)) await rm(this.#ingestPath(ref), { force: true });
  }

  #ingestPath(ref: string): string {
    assert(/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(ref), `bad ingest ref ${ref}`);
    return join(this.#folder, 'ingest', ref);
  }

  async #openBlob(digest: AnyDigest): Promise<FileHandle> {
    try {
      return await open(this.pathOf(digest), 'r');
    } catch (e) {
      if (isMissing(e)) throw notHere(digest);
      throw e;
    }
  }
}

function notHere(digest: AnyDigest): StatusError {
  return new StatusError('NotFound', `blob ${digest} is not in the content store`);
}
