/**
 * The current objects of one resource, the ring of its recent events, and its watchers.
 *
 * Invariants: every event with a revision above `#droppedRevision` is in the ring; events are applied in revision order;
 * lists are in the order of the store's keys, so that a page may continue in the store.
 */
import { StatusError } from '#lib/base';
import type { Revision } from '#lib/store';
import type { ResourceRef } from '../kind-registry.ts';
import { atRevision, type Cached } from './cached.ts';
import { type CacheEvent, type Filter, type SeenEvent, seenBy, Watcher } from './watcher.ts';

/** Kept whatever their age, so that watches on quiet resources can resume. */
const RING_EVENTS_MIN = 256;
/** Kubernetes' own upper bound of its watch cache. */
const RING_EVENTS_MAX = 100 * 1024;
/** Kubernetes' eventFreshDuration. */
const RING_MS = 75_000;
/** Dropped events that still lie in the array. */
const RING_SLACK = 64;
/** Of stored bytes, which decoded are some five times as many: neither many pods nor a few large objects must fill the memory. */
const RING_BYTES_MAX = 32 << 20;
/** Encoded frames are kept only on the newest events. */
const FRAMES_KEPT = 64;

interface NamespaceIndex {
  readonly items: Map<string, Cached>;
  /** Names in order; undefined = must be sorted again. */
  sorted: string[] | undefined;
}

export class ResourceCache {
  readonly kind: ResourceRef;
  readonly #namespaces = new Map<string, NamespaceIndex>();
  readonly #watchers = new Set<Watcher>();
  /** Nothing below `#head`: what was dropped must not be held until the array is cut. */
  #ring: (CacheEvent | undefined)[] = [];
  #head = 0;
  #ringBytes = 0;
  #droppedRevision: Revision;
  #changedRevision: Revision;
  #size = 0;

  constructor(kind: ResourceRef, revision: Revision) {
    this.kind = kind;
    this.#droppedRevision = revision;
    this.#changedRevision = revision;
  }

  get size(): number {
    return this.#size;
  }

  /** Stored bytes of the events that are kept. */
  get historyBytes(): number {
    return this.#ringBytes;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** Of the last change of this resource: a list at any later revision is the list now. */
  get changedRevision(): Revision {
    return this.#changedRevision;
  }

  get(namespace: string, name: string): Cached | undefined {
    return this.#namespaces.get(namespace)?.items.get(name);
  }

  /** In key order. `after` is a store key, exclusive. */
  *items(namespace: string, after?: string): Iterable<Cached> {
    const names = namespace === '' ? [...this.#namespaces.keys()].sort(byKeyOrder) : [namespace];
    for (const ns of names) {
      const index = this.#namespaces.get(ns);
      if (index === undefined) continue;
      index.sorted ??= [...index.items.keys()].sort();
      for (const name of index.sorted) {
        const cached = index.items.get(name);
        if (cached !== undefined && (after === undefined || cached.key > after)) yield cached;
      }
    }
  }

  /** In no promised order: for searches, which must not pay for sorting what has just changed. */
  unsorted(namespace: string): Iterable<Cached> {
    return this.#namespaces.get(namespace)?.items.values() ?? [];
  }

  /** While loading: no event. */
  load(cached: Cached): void {
    this.#set(cached);
  }

  put(cached: Cached, atMs: number): void {
    const previous = this.get(cached.namespace, cached.name);
    if (previous !== undefined && previous.revision >= cached.revision) return;
    this.#set(cached);
    const type = previous === undefined ? 'ADDED' : 'MODIFIED';
    this.#emit({ type, cached, previous, revision: cached.revision, atMs, frames: undefined });
  }

  remove(namespace: string, name: string, revision: Revision, atMs: number): void {
    const index = this.#namespaces.get(namespace);
    const previous = index?.items.get(name);
    if (index === undefined || previous === undefined || previous.revision >= revision) return;
    index.items.delete(name);
    index.sorted = undefined;
    this.#size--;
    if (index.items.size === 0) this.#namespaces.delete(namespace);
    this.#emit({
      type: 'DELETED',
      cached: atRevision(previous, revision),
      previous,
      revision,
      atMs,
      frames: undefined,
    });
  }

  /** From the state now: synthetic ADDED events first when `withState`. */
  watchNow(filter: Filter, o: { withState: boolean }): Watcher {
    const initial: SeenEvent[] = [];
    if (o.withState)
      for (const cached of this.items(filter.namespace))
        if (filter.matches === undefined || filter.matches(cached))
          initial.push({ type: 'ADDED', cached, event: undefined });
    return this.#add(filter, initial);
  }

  /** Every change after `from`. Throws Expired when the ring no longer reaches back that far. */
  watchFrom(from: Revision, filter: Filter): Watcher {
    if (from < this.#droppedRevision) throw tooOld(from, this.#droppedRevision);
    const initial: SeenEvent[] = [];
    for (let i = this.#firstAfter(from); i < this.#ring.length; i++) {
      const seen = seenBy(filter, this.#ring[i] as CacheEvent);
      if (seen !== undefined) initial.push(seen);
    }
    return this.#add(filter, initial);
  }

  /** Ends all watchers: on shutdown without, after a relist with an error. */
  endWatchers(error?: StatusError): void {
    for (const w of [...this.#watchers]) w.end(error);
  }

  #add(filter: Filter, initial: SeenEvent[]): Watcher {
    const watcher = new Watcher(filter, initial, (w) => this.#watchers.delete(w));
    this.#watchers.add(watcher);
    return watcher;
  }

  #set(cached: Cached): void {
    let index = this.#namespaces.get(cached.namespace);
    if (index === undefined) {
      index = { items: new Map(), sorted: undefined };
      this.#namespaces.set(cached.namespace, index);
    }
    if (!index.items.has(cached.name)) {
      index.sorted = undefined;
      this.#size++;
    }
    index.items.set(cached.name, cached);
  }

  #emit(event: CacheEvent): void {
    this.#changedRevision = event.revision;
    this.#ring.push(event);
    this.#ringBytes += event.cached.bytes.length;
    this.#trim(event.atMs);
    for (const w of this.#watchers) w.offer(event);
  }

  /** Events that are old now go, also when nothing of this resource happens any more. */
  age(nowMs: number): void {
    this.#trim(nowMs);
  }

  /** When all resources together hold too much. */
  dropOldest(): void {
    const oldest = this.#ring[this.#head];
    if (oldest === undefined) return;
    this.#ringBytes -= oldest.cached.bytes.length;
    this.#droppedRevision = oldest.revision;
    this.#ring[this.#head++] = undefined;
    if (this.#head > RING_SLACK && this.#head * 2 > this.#ring.length) {
      this.#ring = this.#ring.slice(this.#head);
      this.#head = 0;
    }
  }

  #trim(nowMs: number): void {
    const old = this.#ring[this.#ring.length - 1 - FRAMES_KEPT];
    if (old !== undefined) old.frames = undefined;
    for (;;) {
      const count = this.#ring.length - this.#head;
      const oldest = this.#ring[this.#head];
      if (oldest === undefined) break;
      const isWanted = count <= RING_EVENTS_MIN || (count <= RING_EVENTS_MAX && nowMs - oldest.atMs < RING_MS);
      if (isWanted && this.#ringBytes <= RING_BYTES_MAX) break;
      this.dropOldest();
    }
  }

  #firstAfter(revision: Revision): number {
    let low = this.#head;
    let high = this.#ring.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ring[middle] as CacheEvent).revision > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

export function tooOld(asked: Revision, oldest: Revision): StatusError {
  return new StatusError('Expired', `too old resource version: ${asked} (${oldest})`, { reason: 'Expired' });
}

/** The order of keys `NS/NAME`: '-' sorts before '/', so namespaces are compared with their slash. */
function byKeyOrder(a: string, b: string): number {
  const x = `${a}/`;
  const y = `${b}/`;
  return x < y ? -1 : x > y ? 1 : 0;
}
