/** Bytes on their way into a content store: a file that is appended to, hashed, and renamed to be a blob (content.ts). */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, StatusError, syncPath } from '#lib/base';
import type { BlobInfo, ExpectedBlob, Ingest } from './content.ts';
import { type AnyDigest, algorithmOf, type DigestAlgorithm, digestOf } from './digest.ts';

const WRITE_BYTES = 256 * 1024;
const FLUSH_EVERY_BYTES = 8 * 1024 * 1024;
const READ_BYTES = 256 * 1024;

export interface IngestOptions {
  readonly algorithm: DigestAlgorithm;
  readonly isDurable: boolean;
  readonly target: (digest: AnyDigest) => string;
  readonly pendingBytesMax: () => number;
  readonly released: () => void;
}

/** Appends in pieces of 256 KB with at most one write in flight; the next pieces gather meanwhile. */
export class FolderIngest implements Ingest {
  readonly ref: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #o: IngestOptions;
  #hash: Hash;
  #offset = 0;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #writing: Promise<void> | undefined;
  #flushing: Promise<void> | undefined;
  #unflushed = 0;
  #failure: unknown;
  #phase: 'open' | 'closed' = 'open';

  constructor(ref: string, path: string, file: FileHandle, o: IngestOptions) {
    this.ref = ref;
    this.#path = path;
    this.#file = file;
    this.#o = o;
    this.#hash = createHash(o.algorithm);
  }

  get offset(): number {
    return this.#offset;
  }

  /** Takes up the bytes that an earlier owner of the ref has left. */
  async rehash(): Promise<void> {
    this.#hash = createHash(this.#o.algorithm);
    this.#offset = await hashFile(this.#file, this.#hash);
  }

  async write(chunk: Uint8Array): Promise<void> {
    assert(this.#phase === 'open', `ingest ${this.ref} is closed`);
    if (this.#failure !== undefined) throw this.#failure;
    this.#hash.update(chunk);
    this.#offset += chunk.length;
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes >= WRITE_BYTES) this.#startWriting();
    if (this.#pendingBytes >= this.#o.pendingBytesMax()) await this.#drain();
  }

  flush(): Promise<void> {
    return this.#drain();
  }

  async reset(): Promise<void> {
    await this.#drain();
    await this.#file.truncate(0);
    this.#offset = 0;
    this.#hash = createHash(this.#o.algorithm);
  }

  async commit(expected: ExpectedBlob): Promise<BlobInfo> {
    assert(this.#phase === 'open', `ingest ${this.ref} is closed`);
    try {
      await this.#drain();
      await this.#flushing;
      if (this.#failure !== undefined) throw this.#failure;
      if (expected.sizeBytes !== undefined && expected.sizeBytes !== this.#offset)
        throw sizeMismatch(expected.digest ?? this.ref, expected.sizeBytes, this.#offset);
      const algorithm = expected.digest === undefined ? this.#o.algorithm : algorithmOf(expected.digest);
      const digest = await this.#digest(algorithm);
      if (expected.digest !== undefined && digest !== expected.digest) throw digestMismatch(expected.digest, digest);
      if (this.#o.isDurable) await this.#file.sync();
      const { mtimeMs } = await this.#file.stat();
      const target = this.#o.target(digest);
      await rename(this.#path, target);
      if (this.#o.isDurable) await syncPath(join(target, '..'));
      return { digest, sizeBytes: this.#offset, modifiedMs: mtimeMs };
    } catch (e) {
      await rm(this.#path, { force: true });
      throw e;
    } finally {
      await this.#close();
    }
  }

  async abort(): Promise<void> {
    await this[Symbol.asyncDispose]();
    await rm(this.#path, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#phase === 'closed') return;
    await this.#drain().catch(() => undefined); // the failure was, or will be, seen by the writer
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#phase = 'closed';
    await this.#flushing;
    await this.#file.close();
    this.#o.released();
  }

  async #digest(algorithm: DigestAlgorithm): Promise<AnyDigest> {
    if (algorithm === this.#o.algorithm) return digestOf(algorithm, this.#hash);
    const hash = createHash(algorithm);
    await hashFile(this.#file, hash);
    return digestOf(algorithm, hash);
  }

  async #drain(): Promise<void> {
    while (this.#writing || this.#pendingBytes > 0) {
      this.#startWriting();
      await this.#writing;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #startWriting(): void {
    if (this.#writing || this.#pendingBytes === 0) return;
    const pieces = this.#pending;
    const bytes = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#writing = this.#append(pieces, bytes)
      .catch((e: unknown) => {
        this.#failure ??= e;
      })
      .finally(() => {
        this.#writing = undefined;
        if (this.#pendingBytes >= WRITE_BYTES) this.#startWriting();
      });
  }

  /** writev may write less than asked for; the file is opened for appending, so the rest simply follows. */
  async #append(pieces: readonly Uint8Array[], bytes: number): Promise<void> {
    if (this.#failure !== undefined) return;
    let { bytesWritten } = await this.#file.writev(pieces as Uint8Array[]);
    for (const piece of bytesWritten === bytes ? [] : pieces) {
      const skip = Math.min(bytesWritten, piece.length);
      bytesWritten -= skip;
      if (skip < piece.length) await this.#file.appendFile(piece.subarray(skip));
    }
    this.#unflushed += bytes;
    if (this.#unflushed < FLUSH_EVERY_BYTES || this.#flushing !== undefined || !this.#o.isDurable) return;
    this.#unflushed = 0;
    this.#flushing = this.#file
      .datasync()
      .catch((e: unknown) => {
        this.#failure ??= e;
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }
}

export function sizeMismatch(digest: string, expected: number, actual: number): StatusError {
  const text = `size mismatch: ${digest} should have ${expected} bytes, but ${actual} came`;
  return new StatusError('Invalid', text, { reason: 'SizeMismatch' });
}

export function digestMismatch(expected: string, actual: string): StatusError {
  return new StatusError('Invalid', `digest mismatch: expected ${expected}, but the content is ${actual}`, {
    reason: 'DigestMismatch',
  });
}

/** Feeds the whole file to `hash`; gives its length. */
async function hashFile(file: FileHandle, hash: Hash): Promise<number> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let position = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return position;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
