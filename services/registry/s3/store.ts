/**
 * A content store in an S3 bucket, for the registry. Bytes on their way in lie in a folder of this machine, hashed as they come;
 * only what was verified goes to the bucket, under its digest, and only when the bucket has it whole is the commit done: so what
 * was acknowledged is there, and a crash leaves nothing but files in the folder and parts that the next start gives up.
 *
 *   PREFIX blobs/<algorithm>/<hex>      in the bucket, the same tree as in a folder
 *   FOLDER/ingest, FOLDER/blobs         on their way
 *
 * One registry has the prefix: what it has seen of a blob (its size) it remembers. conformance: lib/oci/content-conformance.ts.
 */
import { Readable } from 'node:stream';
import { type Clock, type Ctx, type Logger, type Random, Scope, StatusError } from '#lib/base';
import {
  type AnyDigest,
  algorithmOf,
  type BlobInfo,
  type ContentStore,
  type DigestAlgorithm,
  digestBytes,
  digestMismatch,
  type ExpectedBlob,
  encodedOf,
  FolderContentStore,
  type Ingest,
  isAnyDigest,
} from '#lib/oci';
import { type BucketOptions, S3Bucket, type S3Settings } from './bucket.ts';

export interface S3StoreOptions extends Pick<BucketOptions, 'partBytes' | 'backoff'> {
  readonly settings: S3Settings;
  /** On this machine. */
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BLOBS = 'blobs/';
const KNOWN_MAX = 50_000;
/** Of one stream that broke and moved on each time. */
const RESUMES_MAX = 20;

export class S3ContentStore implements ContentStore, AsyncDisposable {
  readonly #bucket: S3Bucket;
  readonly #spool: FolderContentStore;
  readonly #scope = new Scope('s3');
  readonly #c: Ctx;
  /** What is there, the last seen at the end. */
  readonly #known = new Map<AnyDigest, BlobInfo>();
  readonly #uploads = new Map<AnyDigest, Promise<BlobInfo>>();

  private constructor(o: S3StoreOptions, spool: FolderContentStore) {
    this.#bucket = new S3Bucket(o);
    this.#spool = spool;
    this.#c = { signal: this.#scope.signal, clock: o.clock, log: o.log };
  }

  /** Asks the bucket, so that wrong settings are told at the start: Unavailable. */
  static async open(o: S3StoreOptions): Promise<S3ContentStore> {
    const spool = await FolderContentStore.open(o.folder, { keepIngests: true, durable: false });
    /* Their commit was never acknowledged. */
    for await (const { digest } of spool.list()) await spool.remove(digest);
    const store = new S3ContentStore(o, spool);
    try {
      const count = await store.#told(() => store.#bucket.giveUpUploads(store.#c));
      if (count > 0) o.log.info({ count }, 'uploads in parts of an earlier run given up');
    } catch (e) {
      await store[Symbol.asyncDispose]();
      throw e;
    }
    return store;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await Promise.allSettled(this.#uploads.values());
    await this.#bucket[Symbol.asyncDispose]();
  }

  async stat(digest: AnyDigest): Promise<BlobInfo | undefined> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const found = await this.#told(() => this.#bucket.head(keyOf(digest), this.#c));
    if (found === undefined) return undefined;
    return this.#remember({ digest, sizeBytes: found.sizeBytes, modifiedMs: found.modifiedMs });
  }

  async read(digest: AnyDigest, o: { start?: number; end?: number } = {}): Promise<Readable> {
    const start = o.start ?? 0;
    const info = await this.stat(digest);
    if (info === undefined) throw notHere(digest);
    const end = Math.min(o.end ?? info.sizeBytes, info.sizeBytes);
    if (end <= start) return Readable.from([]);
    const first = await this.#open(digest, start, end);
    const bytes = Readable.from(this.#resumed(digest, { first, start, end }), { objectMode: false });
    // A generator that was never begun has no `finally` to run.
    return bytes.once('close', () => first.destroy());
  }

  async readAll(digest: AnyDigest, bytesMax: number): Promise<Buffer> {
    const info = await this.stat(digest);
    if (info === undefined) throw notHere(digest);
    if (info.sizeBytes > bytesMax)
      throw new StatusError('TooLarge', `${digest} has ${info.sizeBytes} bytes, above the limit of ${bytesMax}`);
    const pieces: Buffer[] = [];
    for await (const piece of (await this.read(digest)) as AsyncIterable<Buffer>) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    const actual = digestBytes(algorithmOf(digest), bytes);
    if (actual !== digest) throw new StatusError('Internal', digestMismatch(digest, actual).message);
    return bytes;
  }

  async begin(ref: string, o: { algorithm?: DigestAlgorithm } = {}): Promise<Ingest> {
    return new S3Ingest(await this.#spool.begin(ref, o), (info) => this.#upload(info));
  }

  async remove(digest: AnyDigest): Promise<boolean> {
    const isHere = (await this.stat(digest)) !== undefined;
    this.#known.delete(digest);
    await this.#told(() => this.#bucket.remove(keyOf(digest), this.#c));
    this.#known.delete(digest);
    return isHere;
  }

  async *list(): AsyncIterable<BlobInfo> {
    try {
      for await (const { key, sizeBytes, modifiedMs } of this.#bucket.list(BLOBS, this.#c)) {
        const digest = key.slice(BLOBS.length).replace('/', ':');
        if (isAnyDigest(digest)) yield { digest, sizeBytes, modifiedMs };
      }
    } catch (e) {
      throw unavailable(e);
    }
  }

  ingests(): Promise<readonly { readonly ref: string; readonly modifiedMs: number }[]> {
    return this.#spool.ingests();
  }

  removeIngest(ref: string): Promise<void> {
    return this.#spool.removeIngest(ref);
  }

  /** Once for a digest at a time: who comes while it goes up waits for that. The file is gone afterwards. */
  async #upload(info: BlobInfo): Promise<BlobInfo> {
    const { digest } = info;
    const running = this.#uploads.get(digest);
    if (running !== undefined) {
      const done = await running;
      await this.#spool.remove(digest);
      return done;
    }
    const upload = this.#uploadAlone(info);
    this.#uploads.set(digest, upload);
    try {
      return await upload;
    } finally {
      this.#uploads.delete(digest);
    }
  }

  async #uploadAlone({ digest, sizeBytes }: BlobInfo): Promise<BlobInfo> {
    try {
      const there = await this.stat(digest);
      if (there?.sizeBytes === sizeBytes) return there;
      const sha256 = algorithmOf(digest) === 'sha256' ? encodedOf(digest) : undefined;
      const file = { path: this.#spool.pathOf(digest), sizeBytes, sha256 };
      await this.#told(() => this.#bucket.put(keyOf(digest), file, this.#c));
      return this.#remember({ digest, sizeBytes, modifiedMs: this.#c.clock.now() });
    } finally {
      await this.#spool.remove(digest);
    }
  }

  async #open(digest: AnyDigest, start: number, end: number): Promise<Readable> {
    const stream = await this.#told(() => this.#bucket.get(keyOf(digest), { start, end }, this.#c));
    if (stream !== undefined) return stream;
    this.#known.delete(digest);
    throw notHere(digest);
  }

  /** A stream that breaks goes on from where it was. */
  async *#resumed(
    digest: AnyDigest,
    o: { readonly first: Readable; readonly start: number; readonly end: number },
  ): AsyncGenerator<Buffer, void, void> {
    let at = o.start;
    for (let stream = o.first, resumes = 0; ; resumes++) {
      const before = at;
      try {
        for await (const piece of stream as AsyncIterable<Buffer>) {
          at += piece.length;
          yield piece;
        }
        if (at >= o.end) return;
      } catch (err) {
        if (at === before || resumes >= RESUMES_MAX) throw unavailable(err);
        this.#c.log.debug({ err, digest, at }, 'a blob from the bucket broke off: it goes on from there');
      }
      if (at === before) throw new StatusError('Unavailable', `the bucket ended ${digest} after ${at} bytes`);
      stream = await this.#open(digest, at, o.end);
    }
  }

  #remember(info: BlobInfo): BlobInfo {
    this.#known.delete(info.digest);
    this.#known.set(info.digest, info);
    const [oldest] = this.#known.keys();
    if (oldest !== undefined && this.#known.size > KNOWN_MAX) this.#known.delete(oldest);
    return info;
  }

  async #told<T>(fn: () => Promise<T>): Promise<T> {
    try {
      return await fn();
    } catch (e) {
      throw unavailable(e);
    }
  }
}

/** What the bucket refuses is no mistake of the registry's client. */
function unavailable(e: unknown): unknown {
  if (!(e instanceof StatusError) || e.kind === 'Unavailable' || e.kind === 'Cancelled') return e;
  return new StatusError('Unavailable', e.message, { cause: e });
}

/** A file's ingest, whose commit ends in the bucket. */
class S3Ingest implements Ingest {
  readonly #file: Ingest;
  readonly #upload: (info: BlobInfo) => Promise<BlobInfo>;

  constructor(file: Ingest, upload: (info: BlobInfo) => Promise<BlobInfo>) {
    this.#file = file;
    this.#upload = upload;
  }

  get ref(): string {
    return this.#file.ref;
  }

  get offset(): number {
    return this.#file.offset;
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#file.write(chunk);
  }

  flush(): Promise<void> {
    return this.#file.flush();
  }

  reset(): Promise<void> {
    return this.#file.reset();
  }

  async commit(expected: ExpectedBlob): Promise<BlobInfo> {
    return this.#upload(await this.#file.commit(expected));
  }

  abort(): Promise<void> {
    return this.#file.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}

function keyOf(digest: AnyDigest): string {
  return `${BLOBS}${algorithmOf(digest)}/${encodedOf(digest)}`;
}

function notHere(digest: AnyDigest): StatusError {
  return new StatusError('NotFound', `blob ${digest} is not in the bucket`);
}
