/**
 * A store that keeps the values of some keys sealed. Above it nobody sees an envelope, below it nobody a secret.
 *
 * Which values are sealed on writing is decided by the key's prefix; on reading the flag beside the value decides, so that
 * values from before sealing are read as they are, and sealed when they are next written. What is not sealed passes through
 * untouched: no copy, no promise more.
 *
 * Fail closed: a value that no key opens fails the read or ends the watch with its error. Nothing is skipped, since a list
 * without it would say that it does not exist.
 */
import { type Ctx, isKind, messageOf } from '#lib/base';
import type { Entry, ListOptions, ListPage, Revision, Store, StoreAdmin, StoreEvent, WriteOptions } from '../store.ts';
import type { Sealer } from './sealer.ts';

/** Each is another rotation that came between sealing and writing. */
const ATTEMPTS_MAX = 5;
/** How long a watch waits for who opens. */
const WATCH_OPEN_MS = 30_000;
const WATCH_RETRY_MS = 500;

export interface SealedStoreOptions {
  readonly store: Store;
  readonly sealer: Sealer;
  /** Keys that begin with one of these are sealed. */
  readonly prefixes: readonly string[];
  /** Called for each change below `wakePrefix`, which is how replicas hear of a rotation at once. */
  readonly onChange?: ((key: string) => void) | undefined;
  readonly wakePrefix?: string | undefined;
}

export class SealedStore implements Store {
  readonly admin: StoreAdmin;
  readonly #o: SealedStoreOptions;
  readonly #store: Store;

  constructor(o: SealedStoreOptions) {
    this.#o = o;
    this.#store = o.store;
    this.admin = o.store.admin;
  }

  async get(key: string, c: Ctx): Promise<Entry | undefined> {
    const entry = await this.#store.get(key, c);
    return entry?.isSealed === true ? await this.#opened(entry, c) : entry;
  }

  async list(prefix: string, o: ListOptions, c: Ctx): Promise<ListPage> {
    const page = await this.#store.list(prefix, o, c);
    if (!page.entries.some((e) => e.isSealed === true)) return page;
    const entries: Entry[] = [];
    for (const e of page.entries) entries.push(e.isSealed === true ? await this.#opened(e, c) : e);
    return { ...page, entries };
  }

  create(key: string, value: Buffer, o: WriteOptions, c: Ctx): Promise<Entry> {
    if (!this.#isSecret(key)) return this.#store.create(key, value, o, c);
    return this.#written(key, value, o, c, (sealed, options) => this.#store.create(key, sealed, options, c));
  }

  update(key: string, value: Buffer, expected: Revision, o: WriteOptions, c: Ctx): Promise<Entry> {
    if (!this.#isSecret(key)) return this.#store.update(key, value, expected, o, c);
    return this.#written(key, value, o, c, (sealed, options) => this.#store.update(key, sealed, expected, options, c));
  }

  delete(key: string, expected: Revision, o: Pick<WriteOptions, 'fence'>, c: Ctx): Promise<Revision> {
    return this.#store.delete(key, expected, o, c);
  }

  async *watch(from: Revision, c: Ctx): AsyncIterable<readonly StoreEvent[]> {
    const { onChange, wakePrefix } = this.#o;
    for await (const events of this.#store.watch(from, c)) {
      let out: StoreEvent[] | undefined;
      for (const [i, e] of events.entries()) {
        const key = e.type === 'put' ? e.entry.key : e.key;
        if (wakePrefix !== undefined && key.startsWith(wakePrefix)) onChange?.(key);
        if (e.type !== 'put' || e.entry.isSealed !== true) continue;
        out ??= [...events];
        out[i] = { type: 'put', entry: await this.#openedInTime(e.entry, c) };
      }
      yield out ?? events;
    }
  }

  currentRevision(c: Ctx): Promise<Revision> {
    return this.#store.currentRevision(c);
  }

  #isSecret(key: string): boolean {
    return this.#o.prefixes.some((p) => key.startsWith(p));
  }

  async #opened(entry: Entry, c: Ctx): Promise<Entry> {
    const value = await this.#o.sealer.open(entry.key, entry.value, c);
    return { key: entry.key, value, revision: entry.revision };
  }

  /** A plugin that is away for a moment must not end the watch, and with it every watch of this server's clients. */
  async #openedInTime(entry: Entry, c: Ctx): Promise<Entry> {
    const end = c.clock.monotonic() + WATCH_OPEN_MS;
    for (;;) {
      try {
        return await this.#opened(entry, c);
      } catch (e) {
        if (!isKind(e, 'Unavailable') || c.clock.monotonic() >= end) throw e;
        c.log.warn({ err: messageOf(e), key: entry.key }, 'a sealed value cannot be opened now; trying again');
      }
      await c.clock.sleep(WATCH_RETRY_MS, c.signal);
    }
  }

  async #written(
    key: string,
    value: Buffer,
    o: WriteOptions,
    c: Ctx,
    write: (sealed: Buffer, options: WriteOptions) => Promise<Entry>,
  ): Promise<Entry> {
    const { sealer } = this.#o;
    for (let attempt = 1; ; attempt++) {
      const sealed = await sealer.seal(key, value, c);
      try {
        const { revision } = await write(sealed.value, { ...o, isSealed: true, guard: sealed.guard });
        return { key, value, revision };
      } catch (e) {
        if (!isGuardLost(e) || attempt >= ATTEMPTS_MAX) throw e;
        await sealer.refresh(c);
      }
    }
  }
}

export function isGuardLost(e: unknown): boolean {
  return isKind(e, 'Conflict') && e.reason === 'GuardLost';
}
