/**
 * Objects over the byte-level store: encodes, writes under a compare, tells the watch cache, and speaks of resources and
 * names where the store speaks of keys.
 */
import type { DeepReadonly, KindInfo, KubeObject, ObjectKey } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Entry, Fence, Revision, Store, WriteOptions } from '#lib/store';
import { alreadyExists, conflict } from './api-errors.ts';
import { atRevision, type Cached, cachedOf, decodeStored, encodeStored, storeKey } from './cache/cached.ts';
import type { WatchCache } from './cache/watch-cache.ts';
import { Turns } from './write/turns.ts';

export interface StorageWrite {
  readonly fence?: Fence | undefined;
  readonly ttlSeconds?: number | undefined;
}

export class Storage {
  readonly store: Store;
  readonly cache: WatchCache;
  /** Of writers that lost a race, by store key. */
  readonly turns = new Turns();

  constructor(o: { store: Store; cache: WatchCache }) {
    this.store = o.store;
    this.cache = o.cache;
  }

  /** The newest version known here: may be stale, never older than an own write. */
  latest(kind: KindInfo, key: ObjectKey): Cached | undefined {
    return this.cache.latest(kind, key);
  }

  /** Linearizable, straight from the store. */
  async current(kind: KindInfo, key: ObjectKey, c: Ctx): Promise<Cached | undefined> {
    const entry = await this.store.get(storeKey(kind, key), c);
    if (entry === undefined) return undefined;
    const known = this.cache.latest(kind, key);
    return known?.revision === entry.revision ? known : decodeStored(entry.key, entry.value, entry.revision);
  }

  /** Takes `object` over. Throws AlreadyExists. */
  async create(kind: KindInfo, object: KubeObject, o: StorageWrite, c: Ctx): Promise<Cached> {
    const key = storeKey(kind, { namespace: object.metadata.namespace ?? '', name: object.metadata.name });
    const bytes = encodeStored(object);
    return await this.#written(key, object, bytes, async () => {
      try {
        return await this.store.create(key, bytes, writeOptions(o), c);
      } catch (e) {
        throw isKind(e, 'AlreadyExists') ? alreadyExists(kind, object.metadata.name) : e;
      }
    });
  }

  /** Takes `object` over; throws Conflict when `previous` is no longer the current version. `bytes` = its encoding. */
  async replace(
    kind: KindInfo,
    previous: Cached,
    next: { object: KubeObject; bytes: Buffer },
    o: StorageWrite,
    c: Ctx,
  ): Promise<Cached> {
    return await this.#written(previous.key, next.object, next.bytes, async () => {
      try {
        return await this.store.update(previous.key, next.bytes, previous.revision, writeOptions(o), c);
      } catch (e) {
        throw isStale(e) ? conflict(kind, previous.name) : e;
      }
    });
  }

  /** The object as it was, with the revision of its removal. Throws Conflict like `replace`. */
  async remove(kind: KindInfo, previous: Cached, o: StorageWrite, c: Ctx): Promise<Cached> {
    let revision: Revision;
    try {
      revision = await this.store.delete(previous.key, previous.revision, { fence: o.fence }, c);
    } catch (e) {
      throw isStale(e) ? conflict(kind, previous.name) : e;
    }
    this.cache.noteRemoval(previous.key, revision);
    return atRevision(previous, revision);
  }

  async #written(key: string, object: KubeObject, bytes: Buffer, write: () => Promise<Entry>): Promise<Cached> {
    this.cache.noteIntent(key, object, bytes);
    try {
      const entry = await write();
      const cached = cachedOf(key, object, bytes, entry.revision);
      this.cache.noteWrite(cached);
      return cached;
    } finally {
      this.cache.endIntent(key, bytes);
    }
  }
}

/** A failed compare, as opposed to a failed fence, which no retry heals. */
export function isStale(e: unknown): boolean {
  return isKind(e, 'Conflict') && e.reason !== 'Fenced';
}

/** Whether two objects say the same, resourceVersion left out. */
export function isSameContent(a: DeepReadonly<KubeObject>, b: DeepReadonly<KubeObject>): boolean {
  const { metadata: am, ...ar } = a;
  const { metadata: bm, ...br } = b;
  const { resourceVersion: _a, ...ameta } = am;
  const { resourceVersion: _b, ...bmeta } = bm;
  return isEqual(ameta, bmeta) && isEqual(ar, br);
}

/** Structural equality of JSON values; the order of keys does not count. */
export function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!isEqual(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  for (const k of keys) {
    if (!Object.hasOwn(b, k)) return false;
    if (!isEqual((a as Record<string, unknown>)[k], (b as Record<string, unknown>)[k])) return false;
  }
  return true;
}

function writeOptions(o: StorageWrite): WriteOptions {
  return { fence: o.fence, ttlSeconds: o.ttlSeconds };
}
