/**
 * All objects of the store, decoded once, kept current by ONE store watch that feeds every resource's cache.
 *
 * Consistent read: one linearizable `store.currentRevision` (shared by all that wait for it), then a wait until the cache
 * has applied that revision; nothing else is read from the store. Own writes are remembered until the watch brings them
 * (`latest`), so that read-modify-write chains do not conflict with themselves and the watch reuses the decoded object.
 *
 * When the store forgets history faster than we read it (Expired), everything is listed anew and every watcher is told to
 * do the same. Source: kubernetes staging/src/k8s.io/apiserver/pkg/storage/cacher.
 */
import type { KindInfo, KubeObject, ObjectKey } from '#lib/api';
import { type Clock, type Ctx, isKind, type Logger, raceAbort, Scope, StatusError } from '#lib/base';
import { modRevisionOf, parseObjectKey, REGISTRY_PREFIX, type Revision, type Store, type StoreEvent } from '#lib/store';
import type { KindRegistry, ResourceRef } from '../kind-registry.ts';
import { type Cached, cachedOf, decodeStored, deepFreeze, storeKey } from './cached.ts';
import { ResourceCache } from './resource-cache.ts';

const PAGE_ENTRIES = 1_000;
const RELIST_DELAY_MS = 500;
const AGE_EVERY_MS = 10_000;
/** Stored bytes of all resources' history: decoded they are some five times as many. */
const HISTORY_BYTES_MAX = 32 << 20;
/** How long a read waits for a revision that the cache has not seen: Kubernetes' blockTimeout. */
const WAIT_MS = 3_000;
/** Far above the delay of a watch that works. */
const NUDGE_MS = 250;
const NUDGE_PREFIX = '/berth/progress/';
const NUDGE_TTL_SECONDS = 60;
const DEFINITIONS: ResourceRef = { group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions' };

interface Waiter {
  readonly target: Revision;
  readonly resolve: () => void;
}

export interface WatchCacheOptions {
  readonly store: Store;
  readonly kinds: KindRegistry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly freeze: boolean;
}

export class WatchCache implements AsyncDisposable {
  readonly #store: Store;
  readonly #kinds: KindRegistry;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #freeze: boolean;
  readonly #scope = new Scope('watch-cache');
  /** By `group/resource`, of whatever the store has: versions of a group share one cache. */
  #resources = new Map<string, ResourceCache>();
  /** Own writes on their way to the store: the watch may bring them before the store has answered. */
  readonly #intents = new Map<string, { readonly object: KubeObject; readonly bytes: Buffer }>();
  /** Own writes that the watch has not brought yet, by store key. */
  readonly #ahead = new Map<string, Cached | { readonly removedAt: Revision }>();
  readonly #waiters = new Set<Waiter>();
  #revision = 0n as Revision;
  /** Of the last filling: nothing is missing since then. */
  #filledAt = 0n as Revision;
  #isFed = true;
  #isNudging = false;
  #agedAtMs = 0;

  private constructor(o: WatchCacheOptions) {
    this.#store = o.store;
    this.#kinds = o.kinds;
    this.#clock = o.clock;
    this.#log = o.log;
    this.#freeze = o.freeze;
  }

  /** Resolves when the cache holds everything. */
  static async open(o: WatchCacheOptions, c: Ctx): Promise<WatchCache> {
    const cache = new WatchCache(o);
    await cache.#load(c);
    cache.#scope.spawn('feed', (signal) => cache.#feed(signal));
    return cache;
  }

  /** Everything up to here has been applied. */
  get revision(): Revision {
    return this.#revision;
  }

  of(kind: ResourceRef): ResourceCache {
    const id = resourceId(kind);
    const found = this.#resources.get(id);
    if (found !== undefined) return found;
    // No event of this kind has come since the cache was filled, or it would be here.
    const made = new ResourceCache(kind, this.#filledAt);
    this.#resources.set(id, made);
    return made;
  }

  resources(): Iterable<ResourceCache> {
    return this.#resources.values();
  }

  /** The newest version this process knows of, own writes included. May be behind the store. */
  latest(kind: KindInfo, key: ObjectKey): Cached | undefined {
    const ahead = this.#ahead.get(storeKey(kind, key));
    if (ahead !== undefined) return 'removedAt' in ahead ? undefined : ahead;
    return this.of(kind).get(key.namespace, key.name);
  }

  /** Before the write of `object`, whose encoding is `bytes`: spares decoding it again. */
  noteIntent(key: string, object: KubeObject, bytes: Buffer): void {
    this.#intents.set(key, { object, bytes });
  }

  endIntent(key: string, bytes: Buffer): void {
    if (this.#intents.get(key)?.bytes === bytes) this.#intents.delete(key);
  }

  noteWrite(cached: Cached): void {
    if (this.#freeze) deepFreeze(cached.object);
    if (cached.revision > this.#revision) this.#ahead.set(cached.key, cached);
  }

  noteRemoval(key: string, revision: Revision): void {
    if (revision > this.#revision) this.#ahead.set(key, { removedAt: revision });
  }

  /** Waits until the cache has every write acknowledged before the call. Gives the revision of the last event applied. */
  async consistent(c: Ctx): Promise<Revision> {
    await this.reach(await this.#store.currentRevision(c), c);
    return this.#revision;
  }

  /** Throws DeadlineExceeded (ResourceVersionTooLarge) when the revision does not come within 3 s. */
  async reach(target: Revision, c: Ctx): Promise<void> {
    if (this.#hasReached(target)) return;
    const timeUp = new AbortController();
    const limit = this.#clock.after(WAIT_MS, () => timeUp.abort(tooLarge(target, this.#revision)));
    const nudge = this.#clock.after(NUDGE_MS, () => this.#nudge(c));
    const waiter: { target: Revision; resolve: () => void } = { target, resolve: () => undefined };
    const reached = new Promise<void>((resolve) => {
      waiter.resolve = resolve;
    });
    this.#waiters.add(waiter);
    try {
      await raceAbort(raceAbort(reached, timeUp.signal), c.signal);
    } finally {
      limit.cancel();
      nudge.cancel();
      this.#waiters.delete(waiter);
    }
  }

  /** Throws while the cache has lost the store's history and is being filled anew. */
  requireFed(): void {
    if (!this.#isFed) throw new StatusError('Unavailable', 'the watch cache is being filled');
  }

  endWatchers(error?: StatusError): void {
    for (const r of this.#resources.values()) r.endWatchers(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endWatchers();
    await this.#scope[Symbol.asyncDispose]();
  }

  /** Events of one transaction arrive in one batch (lib/store/etcd-watch.ts), so the transaction's number decides. */
  #hasReached(target: Revision): boolean {
    return modRevisionOf(this.#revision) >= modRevisionOf(target);
  }

  /**
   * In an etcd that others use too, the store's revision moves without an event for us, and the cache would never be seen
   * to reach it. A write of our own makes an event behind it. One at a time; never needed on an etcd of our own.
   */
  #nudge(c: Ctx): void {
    if (this.#isNudging) return;
    this.#isNudging = true;
    const key = `${NUDGE_PREFIX}${this.#revision}`;
    this.#store
      .create(key, Buffer.from('{}'), { ttlSeconds: NUDGE_TTL_SECONDS }, c)
      .catch((err: unknown) => this.#log.debug({ err }, 'nudging the watch failed'))
      .finally(() => {
        this.#isNudging = false;
      });
  }

  async #feed(signal: AbortSignal): Promise<void> {
    const c: Ctx = { signal, clock: this.#clock, log: this.#log };
    while (!signal.aborted) {
      try {
        for await (const events of this.#store.watch(this.#revision, c)) this.#apply(events);
      } catch (e) {
        if (signal.aborted) return;
        if (!isKind(e, 'Expired')) this.#log.warn({ err: e }, 'the store watch failed');
        this.#isFed = false;
        await this.#relist(c);
        this.#isFed = true;
      }
    }
  }

  async #relist(c: Ctx): Promise<void> {
    while (!c.signal.aborted) {
      try {
        await this.#load(c);
        return;
      } catch (e) {
        if (c.signal.aborted) return;
        this.#log.warn({ err: e }, 'filling the watch cache failed');
        await this.#clock.sleep(RELIST_DELAY_MS, c.signal);
      }
    }
  }

  async #load(c: Ctx): Promise<void> {
    const resources = new Map<string, ResourceCache>();
    let at: Revision | undefined;
    let after: string | undefined;
    for (;;) {
      const page = await this.#store.list(REGISTRY_PREFIX, { limit: PAGE_ENTRIES, after, at }, c);
      at ??= page.revision;
      for (const entry of page.entries) {
        const kind = parseObjectKey(entry.key);
        if (kind === undefined) continue;
        const id = resourceId(kind);
        let resource = resources.get(id);
        if (resource === undefined) {
          resource = new ResourceCache(kind, at);
          resources.set(id, resource);
        }
        resource.load(this.#decode(entry.key, entry.value, entry.revision));
      }
      after = page.entries.at(-1)?.key;
      if (!page.more || after === undefined) break;
    }
    // Before the new revision can be told to them by a bookmark: they have not seen what lies between.
    const error = new StatusError('Expired', 'the watch cache was filled anew: list again', { reason: 'Expired' });
    this.endWatchers(error);
    this.#resources = resources;
    this.#filledAt = at;
    this.#kinds.reset([...this.of(DEFINITIONS).items('')].map((cached) => cached.object));
    // Older than what was seen: restored from a backup, which own writes did not survive.
    if (at < this.#revision) this.#ahead.clear();
    this.#revision = at;
    this.#advance(at);
  }

  #apply(events: readonly StoreEvent[]): void {
    const nowMs = this.#clock.monotonic();
    let last = this.#revision;
    for (const event of events) {
      last = event.type === 'put' ? event.entry.revision : event.revision;
      const key = event.type === 'put' ? event.entry.key : event.key;
      const parsed = parseObjectKey(key);
      if (parsed === undefined) continue;
      const { namespace, name } = parsed;
      const cached = event.type === 'put' ? this.#decode(key, event.entry.value, event.entry.revision) : undefined;
      if (cached !== undefined) this.of(parsed).put(cached, nowMs);
      else this.of(parsed).remove(namespace, name, last, nowMs);
      if (isDefinition(parsed)) this.#kinds.define(name, cached?.object);
    }
    this.#boundHistory();
    this.#advance(last);
    this.#age(nowMs);
  }

  /** Who holds most gives first: watches of quiet resources can go on resuming. */
  #boundHistory(): void {
    let bytes = 0;
    for (const resource of this.#resources.values()) bytes += resource.historyBytes;
    while (bytes > HISTORY_BYTES_MAX) {
      let most: ResourceCache | undefined;
      for (const resource of this.#resources.values())
        if (most === undefined || resource.historyBytes > most.historyBytes) most = resource;
      if (most === undefined) return;
      const before = most.historyBytes;
      most.dropOldest();
      bytes -= before - most.historyBytes;
    }
  }

  /** Leases are renewed all the time, so this comes often enough. */
  #age(nowMs: number): void {
    if (nowMs - this.#agedAtMs < AGE_EVERY_MS) return;
    this.#agedAtMs = nowMs;
    for (const resource of this.#resources.values()) resource.age(nowMs);
  }

  #decode(key: string, bytes: Buffer, revision: Revision): Cached {
    const ahead = this.#ahead.get(key);
    if (ahead !== undefined && 'object' in ahead && ahead.revision === revision) return ahead;
    const intent = this.#intents.get(key);
    const isOwn = intent?.bytes.equals(bytes) === true;
    const cached = isOwn ? cachedOf(key, intent.object, bytes, revision) : decodeStored(key, bytes, revision);
    if (this.#freeze) deepFreeze(cached.object);
    return cached;
  }

  #advance(revision: Revision): void {
    if (revision > this.#revision) this.#revision = revision;
    for (const [key, ahead] of this.#ahead)
      if (('removedAt' in ahead ? ahead.removedAt : ahead.revision) <= this.#revision) this.#ahead.delete(key);
    for (const w of [...this.#waiters]) if (this.#hasReached(w.target)) w.resolve();
  }
}

function isDefinition(kind: ResourceRef): boolean {
  return kind.group === DEFINITIONS.group && kind.resource === DEFINITIONS.resource;
}

function resourceId(kind: ResourceRef): string {
  return `${kind.group}/${kind.resource}`;
}

function tooLarge(asked: Revision, current: Revision): StatusError {
  return new StatusError('DeadlineExceeded', `Too large resource version: ${asked}, current: ${current}`, {
    details: {
      retryAfterSeconds: 1,
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    },
  });
}
