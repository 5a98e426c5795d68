/**
 * A cache of all objects of one kind (or one namespace of it), kept by list + watch over the typed Client.
 *
 * Life: `factory.informer(kind)` starts the loop at once: list, deliver, watch from the list's revision. A watch that ends
 * cleanly, or fails for any reason but Expired, is resumed from the last revision seen (failures with back-off); Expired
 * means list again, and what differs from the cache is delivered as ordinary changes. Subscribers therefore see every
 * object reach its last state, but may miss states between: assume lost, doubled and merged events.
 *
 * Invariants: the cache and all indexes change before subscribers are told; objects are shared and deep-readonly (change a
 * copy); while the server is away the last known state stays readable. One InformerFactory per process, one informer per
 * kind. Source: k8s.io/client-go tools/cache/{reflector,shared_informer}.go (behaviour).
 */
import type { DeepReadonly, KindRef, KubeObject, ObjectKey } from '#lib/api';
import { keyOf, keyText } from '#lib/api';
import type { Clock, Ctx, Logger, Random } from '#lib/base';
import { backoffMs, isKind, messageOf, raceAbort, Scope } from '#lib/base';
import type { Client, WatchEvent } from '#lib/client';
import { IndexedCache, type IndexFunction } from './indexed-cache.ts';

/** `previous` undefined = appeared (or already there when subscribing); `next` undefined = gone. */
export type Listener<T> = (previous: DeepReadonly<T> | undefined, next: DeepReadonly<T> | undefined) => void;

export interface Informer<T extends KubeObject> {
  readonly kind: KindRef<T>;
  /** True once the first list has been delivered. */
  readonly isSynced: boolean;
  /** Resolves once the first list has been delivered; rejects with the signal's reason. */
  synced(signal: AbortSignal): Promise<void>;
  get(key: ObjectKey): DeepReadonly<T> | undefined;
  /** All objects, or those of one namespace. */
  list(namespace?: string): readonly DeepReadonly<T>[];
  /** Objects for which the index function gave `value`; throws for an index that nobody declared. */
  byIndex(name: string, value: string): readonly DeepReadonly<T>[];
  /** Objects already known are delivered before this returns. A listener that throws is logged, and stays subscribed. */
  subscribe(listener: Listener<T>): Disposable;
}

export interface InformerOptions<T extends KubeObject> {
  /** Added to those that others declared for this kind; the same name must mean the same function. */
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
}

export interface InformerFactoryOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BACKOFF = { initialMs: 50, maxMs: 5_000 } as const;

/** The process's informers, one per kind, started when first asked for and stopped together. */
export class InformerFactory implements AsyncDisposable {
  readonly #o: InformerFactoryOptions;
  readonly #scope = new Scope('informers');
  readonly #byKind = new Map<string, Running>();

  constructor(o: InformerFactoryOptions) {
    this.#o = o;
  }

  informer<T extends KubeObject>(kind: KindRef<T>, o: InformerOptions<T> = {}): Informer<T> {
    const id = idOf(kind);
    // The map is keyed by kind, and a KindRef<T> names exactly one T.
    let found = this.#byKind.get(id)?.informer as CachedInformer<T> | undefined;
    if (!found) {
      const informer = new CachedInformer<T>(kind, this.#o);
      found = informer;
      const dropped = new AbortController();
      this.#byKind.set(id, { informer, synced: (s) => informer.synced(s), dropped });
      this.#scope.spawn(id, (signal) => {
        const ends = AbortSignal.any([signal, dropped.signal]);
        return informer.run({ signal: ends, clock: this.#o.clock, log: this.#o.log });
      });
    }
    for (const [name, fn] of Object.entries(o.indexes ?? {})) found.declareIndex(name, fn);
    return found;
  }

  /** Ends the informer of a kind that is not served any more; asked for again, it is a new one. */
  drop(kind: KindRef): void {
    const id = idOf(kind);
    this.#byKind.get(id)?.dropped.abort(new DOMException('the kind is not served any more', 'AbortError'));
    this.#byKind.delete(id);
  }

  /** Waits for every informer asked for so far. */
  async synced(signal: AbortSignal): Promise<void> {
    for (const { synced } of this.#byKind.values()) await synced(signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope[Symbol.asyncDispose]();
  }
}

interface Running {
  readonly informer: unknown;
  readonly synced: (signal: AbortSignal) => Promise<void>;
  readonly dropped: AbortController;
}

function idOf(kind: KindRef): string {
  return `${kind.group}/${kind.version}/${kind.resource}`;
}

class CachedInformer<T extends KubeObject> implements Informer<T> {
  readonly kind: KindRef<T>;
  readonly #o: InformerFactoryOptions;
  readonly #cache = new IndexedCache<T>();
  readonly #listeners = new Set<Listener<T>>();
  readonly #firstList: Promise<void>;
  #markSynced: () => void = () => undefined;
  #synced = false;
  #revision = '';
  #failures = 0;

  constructor(kind: KindRef<T>, o: InformerFactoryOptions) {
    this.kind = kind;
    this.#o = o;
    this.#firstList = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  get isSynced(): boolean {
    return this.#synced;
  }

  synced(signal: AbortSignal): Promise<void> {
    return raceAbort(this.#firstList, signal);
  }

  get(key: ObjectKey): DeepReadonly<T> | undefined {
    return this.#cache.get(keyText(key));
  }

  list(namespace?: string): readonly DeepReadonly<T>[] {
    return this.#cache.list(namespace);
  }

  byIndex(name: string, value: string): readonly DeepReadonly<T>[] {
    return this.#cache.byIndex(name, value);
  }

  declareIndex(name: string, fn: IndexFunction<T>): void {
    this.#cache.declareIndex(name, fn);
  }

  subscribe(listener: Listener<T>): Disposable {
    // Wrapped, so that one function may subscribe twice and each disposal ends its own subscription.
    const own: Listener<T> = (previous, next) => listener(previous, next);
    this.#listeners.add(own);
    for (const o of this.#cache.list()) this.#tell(own, undefined, o);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  /** Until the context's signal aborts. */
  async run(c: Ctx): Promise<void> {
    let mustList = true;
    while (!c.signal.aborted) {
      try {
        if (mustList) await this.#list(c);
        mustList = false;
        await this.#watch(c);
      } catch (e) {
        if (c.signal.aborted) return;
        if (isKind(e, 'Expired')) mustList = true;
        else c.log.warn({ resource: this.kind.resource, err: messageOf(e) }, 'list or watch failed, trying again');
        await sleepUnlessEnded(c, backoffMs(BACKOFF, Math.min(this.#failures++, 10), this.#o.random));
      }
    }
  }

  async #list(c: Ctx): Promise<void> {
    const { items, resourceVersion } = await this.#o.client.list(this.kind, {}, c);
    this.#revision = resourceVersion;
    const seen = new Set<string>();
    for (const next of items) {
      seen.add(keyText(keyOf(next)));
      this.#put(next);
    }
    for (const known of this.#cache.list()) if (!seen.has(keyText(keyOf(known)))) this.#remove(known);
    this.#failures = 0;
    this.#synced = true;
    this.#markSynced();
  }

  async #watch(c: Ctx): Promise<void> {
    const startedMs = c.clock.monotonic();
    const q = { resourceVersion: this.#revision, allowWatchBookmarks: true };
    for await (const event of this.#o.client.watch(this.kind, q, c)) {
      this.#failures = 0;
      this.#apply(event);
    }
    // A server that ends every watch at once must not turn this into a busy loop.
    if (!c.signal.aborted && c.clock.monotonic() - startedMs < BACKOFF.initialMs)
      await sleepUnlessEnded(c, backoffMs(BACKOFF, Math.min(this.#failures++, 10), this.#o.random));
  }

  #apply(event: WatchEvent<T>): void {
    if (event.type === 'BOOKMARK') {
      this.#revision = event.resourceVersion;
      return;
    }
    if (event.type === 'DELETED') this.#remove(event.object);
    else this.#put(event.object);
    this.#revision = event.object.metadata.resourceVersion ?? this.#revision;
  }

  /** A new uid under a known name is told as a removal and an addition, so that nobody takes it for the same object. */
  #put(next: DeepReadonly<T>): void {
    const previous = this.#cache.get(keyText(keyOf(next)));
    if (previous && previous.metadata.uid !== next.metadata.uid) {
      this.#remove(previous);
      this.#put(next);
      return;
    }
    if (previous && previous.metadata.resourceVersion === next.metadata.resourceVersion) return;
    this.#cache.put(keyText(keyOf(next)), next);
    for (const l of this.#listeners) this.#tell(l, previous, next);
  }

  #remove(last: DeepReadonly<T>): void {
    const previous = this.#cache.remove(keyText(keyOf(last)));
    if (previous) for (const l of this.#listeners) this.#tell(l, previous, undefined);
  }

  #tell(listener: Listener<T>, previous: DeepReadonly<T> | undefined, next: DeepReadonly<T> | undefined): void {
    try {
      listener(previous, next);
    } catch (e) {
      this.#o.log.error({ resource: this.kind.resource, err: e }, 'informer listener failed');
    }
  }
}

async function sleepUnlessEnded(c: Ctx, ms: number): Promise<void> {
  try {
    await c.clock.sleep(ms, c.signal);
  } catch (e) {
    if (!c.signal.aborted) throw e;
  }
}
