/**
 * The store in memory: for unit tests and the simulator, under the same conformance suite as etcd.
 *
 * Idea: one counter of revisions (each write takes the next; index in the group is always 0), per key the history of its
 * values until compaction (so that paged lists at a past revision and Expired behave as etcd's), one log of events that all
 * watchers share, each with a position of its own. A watcher that falls behind the log's bound gets Expired, exactly as
 * after a compaction.
 *
 * Invariants: `#log` is sorted by revision and complete for every revision above `#compacted`; `#keys` is sorted and
 * holds every key that lives or has history.
 */
import { type Clock, type Ctx, StatusError, type Timer } from '#lib/base';
import {
  type Entry,
  type Fence,
  type HeldKey,
  type ListOptions,
  type ListPage,
  type Revision,
  readRevision,
  type Store,
  type StoreAdmin,
  type StoreEvent,
  toRevision,
  type WriteOptions,
} from './store.ts';
import { conflict, exists, expired, fenced, guardLost, modRevisionOf } from './store-errors.ts';

interface Version {
  readonly mod: bigint;
  /** undefined = removed at `mod`. */
  readonly value: Buffer | undefined;
  readonly isSealed: boolean;
}

interface KeyState {
  /** Oldest first; at least one. */
  versions: Version[];
  createMod: bigint;
  expiry: Timer | undefined;
}

/** Events kept for watchers; older ones are compacted away. */
const LOG_EVENTS_MAX = 200_000;
/** Events handed to a watcher at once. */
const BATCH_EVENTS_MAX = 1_000;

export class MemoryStore implements Store {
  readonly #clock: Clock;
  readonly #states = new Map<string, KeyState>();
  #keys: string[] = [];
  #log: StoreEvent[] = [];
  #mod = 1n;
  #compacted = 0n;
  readonly #wakers = new Set<() => void>();
  readonly #held = new Set<MemoryHeldKey>();
  readonly admin: StoreAdmin;

  constructor(o: { clock: Clock }) {
    this.#clock = o.clock;
    this.admin = {
      acquire: (key, identity, _o, c) => this.#acquire(key, identity, c),
      compact: async (before) => this.#compact(modRevisionOf(before)),
      health: async () => {
        const sizeBytes = this.#sizeBytes();
        return { sizeBytes, sizeInUseBytes: sizeBytes, quotaBytes: 2 ** 31 };
      },
    };
  }

  async get(key: string, c: Ctx): Promise<Entry | undefined> {
    c.signal.throwIfAborted();
    return this.#current(key);
  }

  async list(prefix: string, o: ListOptions, c: Ctx): Promise<ListPage> {
    c.signal.throwIfAborted();
    const at = o.at === undefined ? this.#mod : modRevisionOf(o.at);
    if (at < this.#compacted) throw expired(o.at);
    const entries: Entry[] = [];
    let remaining = 0;
    const start =
      o.after !== undefined && o.after >= prefix ? this.#lowerBound(`${o.after}\0`) : this.#lowerBound(prefix);
    for (let i = start; i < this.#keys.length; i++) {
      const key = this.#keys[i] as string;
      if (!key.startsWith(prefix)) break;
      const version = versionAt(this.#states.get(key), at);
      if (version?.value === undefined) continue;
      if (o.limit !== undefined && o.limit > 0 && entries.length >= o.limit) remaining++;
      else entries.push(entryOf(key, { ...version, value: version.value }));
    }
    return { entries, revision: o.at ?? readRevision(at), more: remaining > 0, remaining };
  }

  async create(key: string, value: Buffer, o: WriteOptions, c: Ctx): Promise<Entry> {
    c.signal.throwIfAborted();
    this.#checkFence(o.fence);
    this.#checkGuard(o.guard);
    if (this.#current(key) !== undefined) throw exists(key);
    return this.#put(key, value, o);
  }

  async update(key: string, value: Buffer, expected: Revision, o: WriteOptions, c: Ctx): Promise<Entry> {
    c.signal.throwIfAborted();
    this.#checkFence(o.fence);
    this.#checkGuard(o.guard);
    if (this.#current(key)?.revision !== expected) throw conflict(key);
    return this.#put(key, value, o);
  }

  async delete(key: string, expected: Revision, o: Pick<WriteOptions, 'fence'>, c: Ctx): Promise<Revision> {
    c.signal.throwIfAborted();
    this.#checkFence(o.fence);
    if (this.#current(key)?.revision !== expected) throw conflict(key);
    return this.#remove(key);
  }

  async *watch(from: Revision, c: Ctx): AsyncIterable<readonly StoreEvent[]> {
    let last: Revision = from;
    while (!c.signal.aborted) {
      if (modRevisionOf(last) < this.#compacted) throw expired(last);
      const batch = this.#eventsAfter(last);
      if (batch.length === 0) {
        await this.#changed(c.signal);
        continue;
      }
      const end = batch.at(-1);
      if (end !== undefined) last = revisionOf(end);
      yield batch;
    }
  }

  async currentRevision(c: Ctx): Promise<Revision> {
    c.signal.throwIfAborted();
    return readRevision(this.#mod);
  }

  /** For fault tests: every held key is lost, as when the leases of a partitioned holder run out. */
  loseHeldKeys(): void {
    for (const held of [...this.#held]) held.lose();
  }

  #current(key: string): Entry | undefined {
    const version = this.#states.get(key)?.versions.at(-1);
    return version?.value && entryOf(key, { ...version, value: version.value });
  }

  #put(key: string, value: Buffer, o: Pick<WriteOptions, 'ttlSeconds' | 'isSealed'>): Entry {
    const { ttlSeconds } = o;
    const previous = this.#current(key);
    const mod = ++this.#mod;
    let state = this.#states.get(key);
    if (state === undefined) {
      state = { versions: [], createMod: mod, expiry: undefined };
      this.#states.set(key, state);
      this.#keys.splice(this.#lowerBound(key), 0, key);
    }
    if (previous === undefined) state.createMod = mod;
    const version = { mod, value, isSealed: o.isSealed === true };
    state.versions.push(version);
    state.expiry?.cancel();
    state.expiry =
      ttlSeconds === undefined
        ? undefined
        : this.#clock.after(ttlSeconds * 1000, () => this.#expire(key, mod), { unref: true });
    const entry = entryOf(key, version);
    this.#emit({ type: 'put', entry });
    return entry;
  }

  #remove(key: string): Revision {
    const state = this.#states.get(key);
    const mod = ++this.#mod;
    state?.expiry?.cancel();
    state?.versions.push({ mod, value: undefined, isSealed: false });
    const revision = toRevision(mod, 0);
    this.#emit({ type: 'delete', key, revision });
    return revision;
  }

  #expire(key: string, mod: bigint): void {
    if (this.#states.get(key)?.versions.at(-1)?.mod === mod) this.#remove(key);
  }

  #emit(event: StoreEvent): void {
    this.#log.push(event);
    if (this.#log.length > LOG_EVENTS_MAX * 1.5) {
      const oldest = this.#log[this.#log.length - LOG_EVENTS_MAX];
      if (oldest !== undefined) this.#compact(modRevisionOf(revisionOf(oldest)));
    }
    for (const wake of this.#wakers) wake();
  }

  /** First index in the log whose revision is above `last`; at most one batch from there. */
  #eventsAfter(last: Revision): readonly StoreEvent[] {
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (revisionOf(this.#log[middle] as StoreEvent) > last) high = middle;
      else low = middle + 1;
    }
    return this.#log.slice(low, low + BATCH_EVENTS_MAX);
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#wakers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** As etcd: history before `mod` goes, the state at `mod` stays readable. */
  #compact(mod: bigint): void {
    if (mod > this.#mod) throw new StatusError('BadRequest', `cannot compact at future revision ${mod}`);
    if (mod <= this.#compacted) return;
    this.#compacted = mod;
    this.#log = this.#log.filter((e) => modRevisionOf(revisionOf(e)) > mod);
    for (const [key, state] of this.#states) {
      let keepFrom = 0;
      for (let i = 0; i < state.versions.length; i++) if ((state.versions[i] as Version).mod <= mod) keepFrom = i;
      state.versions = state.versions.slice(keepFrom);
      if (state.versions.length === 1 && state.versions[0]?.value === undefined) this.#states.delete(key);
    }
    this.#keys = this.#keys.filter((k) => this.#states.has(k));
    for (const wake of this.#wakers) wake();
  }

  #checkFence(fence: Fence | undefined): void {
    if (fence === undefined) return;
    if (this.#current(fence.key) === undefined || this.#states.get(fence.key)?.createMod !== fence.createRevision)
      throw fenced(fence);
  }

  #checkGuard(guard: Fence | undefined): void {
    try {
      this.#checkFence(guard);
    } catch (e) {
      throw guard === undefined ? e : guardLost(guard);
    }
  }

  async #acquire(key: string, identity: string, c: Ctx): Promise<HeldKey> {
    while (this.#current(key) !== undefined) {
      c.signal.throwIfAborted();
      await this.#changed(c.signal);
    }
    c.signal.throwIfAborted();
    this.#put(key, Buffer.from(identity), {});
    const held = new MemoryHeldKey({ key, createRevision: this.#mod }, () => {
      this.#held.delete(held);
      if (this.#states.get(key)?.createMod === held.fence.createRevision && this.#current(key)) this.#remove(key);
    });
    this.#held.add(held);
    return held;
  }

  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) >= key) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #sizeBytes(): number {
    let size = 0;
    for (const [key, state] of this.#states)
      for (const v of state.versions) size += key.length + (v.value?.byteLength ?? 0);
    return size;
  }
}

class MemoryHeldKey implements HeldKey {
  readonly fence: Fence;
  readonly #controller = new AbortController();
  #release: (() => void) | undefined;

  constructor(fence: Fence, release: () => void) {
    this.fence = fence;
    this.#release = release;
  }

  get lost(): AbortSignal {
    return this.#controller.signal;
  }

  lose(): void {
    this.#controller.abort(new StatusError('Conflict', `${this.fence.key} was lost`, { reason: 'Fenced' }));
    this.#release?.();
    this.#release = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release?.();
    this.#release = undefined;
  }
}

function entryOf(key: string, v: Version & { readonly value: Buffer }): Entry {
  return { key, value: v.value, revision: toRevision(v.mod, 0), ...(v.isSealed ? { isSealed: true } : {}) };
}

function revisionOf(e: StoreEvent): Revision {
  return e.type === 'put' ? e.entry.revision : e.revision;
}

/** The newest version at or before `mod`. */
function versionAt(state: KeyState | undefined, mod: bigint): Version | undefined {
  const versions = state?.versions ?? [];
  for (let i = versions.length - 1; i >= 0; i--) {
    const v = versions[i] as Version;
    if (v.mod <= mod) return v;
  }
  return undefined;
}
