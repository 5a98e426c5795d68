/**
 * Uploads on their way: POST begins one, PATCH appends, PUT ends it, DELETE forgets it. The bytes lie in the content store's
 * ingest folder under `<id>.<hash of the repository>`, so an upload survives a restart of the registry (its hash is then
 * computed anew from the file) and can only be continued in its own repository. The running hashes of the most recent uploads
 * are kept open. One request at a time works on an upload. What nobody continued for a day is removed.
 */
import { type Clock, type Logger, type Random, sha256 } from '#lib/base';
import type { ContentStore, Ingest } from '#lib/oci';
import { registryError } from './errors.ts';

const OPEN_UPLOADS_MAX = 64;
const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const SWEEP_EVERY_MS = 60 * 60 * 1000;
const ID = /^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$/;

export interface UploadsOptions {
  readonly content: ContentStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export class Uploads implements AsyncDisposable {
  readonly #o: UploadsOptions;
  /** Open ingests by ref, least recently used first. */
  readonly #open = new Map<string, Ingest>();
  /** The last request of each busy upload. */
  readonly #turns = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();
  readonly #sweeping: Promise<void>;

  constructor(o: UploadsOptions) {
    this.#o = o;
    this.#sweeping = this.#sweepForEver();
  }

  /** A new upload's id. */
  async start(repository: string): Promise<string> {
    const id = this.#o.random.uuid();
    const ref = refOf(id, repository);
    this.#remember(ref, await this.#o.content.begin(ref));
    return id;
  }

  /** Runs `fn` alone on the upload. BLOB_UPLOAD_UNKNOWN when there is none. */
  async use<T>(id: string, repository: string, fn: (ingest: Ingest) => Promise<T>): Promise<T> {
    if (!ID.test(id)) throw registryError('BLOB_UPLOAD_UNKNOWN');
    const ref = refOf(id, repository);
    try {
      return await this.#alone(ref, async () => fn(await this.#ingest(ref)));
    } finally {
      await this.#closeIdle();
    }
  }

  /** To be called inside `use` when the ingest was committed or aborted. */
  forget(ingest: Ingest): void {
    this.#open.delete(ingest.ref);
  }

  /** Removes uploads nobody touched for a day; gives how many. */
  async sweep(): Promise<number> {
    let removed = 0;
    for (const { ref, modifiedMs } of await this.#o.content.ingests()) {
      if (this.#turns.has(ref) || this.#o.clock.now() - modifiedMs < MAX_AGE_MS) continue;
      await this.#alone(ref, async () => {
        await this.#open.get(ref)?.[Symbol.asyncDispose]();
        this.#open.delete(ref);
        await this.#o.content.removeIngest(ref);
      });
      removed++;
    }
    return removed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#sweeping;
    await Promise.allSettled(this.#turns.values());
    for (const ingest of this.#open.values()) await ingest[Symbol.asyncDispose]();
    this.#open.clear();
  }

  /** One at a time on `ref`, in the order of calling. */
  async #alone<T>(ref: string, fn: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(ref) ?? Promise.resolve();
    const result = before.then(fn);
    const settled = result.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(ref, settled);
    try {
      return await result;
    } finally {
      if (this.#turns.get(ref) === settled) this.#turns.delete(ref);
    }
  }

  async #ingest(ref: string): Promise<Ingest> {
    const open = this.#open.get(ref);
    if (open) {
      this.#remember(ref, open);
      return open;
    }
    const known = await this.#o.content.ingests();
    if (!known.some((i) => i.ref === ref)) throw registryError('BLOB_UPLOAD_UNKNOWN');
    const ingest = await this.#o.content.begin(ref);
    this.#remember(ref, ingest);
    return ingest;
  }

  #remember(ref: string, ingest: Ingest): void {
    this.#open.delete(ref);
    this.#open.set(ref, ingest);
  }

  async #closeIdle(): Promise<void> {
    for (const [ref, ingest] of this.#open) {
      if (this.#open.size <= OPEN_UPLOADS_MAX) return;
      if (this.#turns.has(ref)) continue;
      await this.#alone(ref, async () => {
        this.#open.delete(ref);
        await ingest[Symbol.asyncDispose]();
      });
    }
  }

  async #sweepForEver(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const removed = await this.sweep();
        if (removed > 0) this.#o.log.info({ removed }, 'abandoned uploads removed');
      } catch (e) {
        this.#o.log.warn({ err: e }, 'sweep of abandoned uploads failed');
      }
      await this.#o.clock.sleep(SWEEP_EVERY_MS, this.#stop.signal).catch(() => undefined); // stopped: the loop ends
    }
  }
}

function refOf(id: string, repository: string): string {
  return `${id}.${sha256(repository).slice(7, 23)}`;
}
