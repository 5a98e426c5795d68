/**
 * An informer in the shape of client-go's, on @kubernetes/client-node's list calls and its Watch: what most controllers of the
 * world do to an API server. A list (by pages, or as a stream that begins with all objects), then a watch from its
 * resourceVersion that is resumed where it stopped, bookmarks included; on 410 a new list. Handlers hear what changed, and every
 * object again at each resync.
 * Source: k8s.io/client-go tools/cache/reflector.go, tools/pager/pager.go; KEP-3157 (WatchList), KEP-956 (bookmarks).
 */
import * as k8s from '@kubernetes/client-node';
import { realClock } from '#lib/base';

export type Listed = k8s.KubernetesObject;
export interface ListQuery {
  limit?: number;
  _continue?: string;
  resourceVersion?: string;
  resourceVersionMatch?: string;
}

export interface Handler<T> {
  added(object: T): void;
  /** At a resync both are the same object. */
  updated(previous: T, object: T): void;
  /** `isStale`: its deletion was missed, this is the last state known. */
  deleted(object: T, isStale: boolean): void;
}

export interface ReflectorOptions<T extends Listed> {
  readonly config: k8s.KubeConfig;
  /** Of the collection: `/api/v1/namespaces/default/configmaps`. */
  readonly path: string;
  list(q: ListQuery): Promise<k8s.KubernetesListObject<T>>;
  readonly selectors?: { readonly labelSelector?: string; readonly fieldSelector?: string };
  /** Asked for from the first list on, which then is a consistent one; else 500, and the first list comes from the cache. */
  readonly pageSize?: number;
  /** Begin with a stream of all objects; one that the server refuses is a list from then on. */
  readonly watchList?: boolean;
  /** Of one watch. Default 300. */
  readonly watchSeconds?: number;
  readonly resyncMs?: number;
  readonly handler?: Partial<Handler<T>>;
}

/** What was asked of the server so far. */
export interface ReflectorCounts {
  lists: number;
  pages: number;
  watchLists: number;
  watches: number;
  bookmarks: number;
  expired: number;
  failures: number;
}

const PAGE_SIZE = 500;
const WATCH_SECONDS = 300;
const RETRY_MS = 100;
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

type Ending = 'ended' | 'expired' | 'refused' | 'failed';

/** What a stream that begins with all objects has brought so far; undefined when that is done. */
interface Gathered<T> {
  map: Map<string, T> | undefined;
}

export class Reflector<T extends Listed> implements AsyncDisposable {
  readonly counts: ReflectorCounts = {
    lists: 0,
    pages: 0,
    watchLists: 0,
    watches: 0,
    bookmarks: 0,
    expired: 0,
    failures: 0,
  };
  readonly #o: ReflectorOptions<T>;
  readonly #store = new Map<string, T>();
  readonly #watch: k8s.Watch;
  readonly #stopping = new AbortController();
  readonly #changed = new Set<() => void>();
  #running: Promise<void> = Promise.resolve();
  #version = '';
  #isExpired = false;
  #isSynced = false;
  #streams: boolean;

  private constructor(o: ReflectorOptions<T>) {
    this.#o = o;
    this.#watch = new k8s.Watch(o.config);
    this.#streams = o.watchList === true;
  }

  static start<T extends Listed>(o: ReflectorOptions<T>): Reflector<T> {
    const made = new Reflector(o);
    made.#running = made.#run();
    return made;
  }

  get hasSynced(): boolean {
    return this.#isSynced;
  }

  /** Of what was seen last: of an object, a list or a bookmark. */
  get resourceVersion(): string {
    return this.#version;
  }

  get(key: string): T | undefined {
    return this.#store.get(key);
  }

  items(): readonly T[] {
    return [...this.#store.values()];
  }

  /** Judged after every change, and now. Throws after `limitMs`. */
  async until(what: string, limitMs: number, isSo: (r: this) => boolean): Promise<void> {
    const end = realClock.monotonic() + limitMs;
    while (!isSo(this)) {
      const left = end - realClock.monotonic();
      if (left <= 0) throw new Error(`${what}: not within ${limitMs} ms`);
      await this.#change(left);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const resync = this.#resync();
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#listAndWatch();
      } catch {
        // Tried again: the server may be away.
        await this.#failed();
      }
    }
    await resync;
  }

  /** Until a new list is needed. */
  async #listAndWatch(): Promise<void> {
    if (this.#streams) {
      const gathered: Gathered<T> = { map: new Map() };
      const ending = await this.#stream(gathered);
      if (ending === 'refused') this.#streams = false;
      if (ending === 'failed') await this.#failed();
      if (gathered.map !== undefined || ending === 'expired') return;
    } else await this.#list();
    for (;;) {
      const ending = await this.#stream({ map: undefined });
      if (this.#stopping.signal.aborted || ending === 'expired') return;
      if (ending === 'refused') throw new Error('the watch was refused');
      if (ending === 'failed') await this.#failed();
    }
  }

  async #list(): Promise<void> {
    this.counts.lists++;
    // After a 410 the server's cache is not to be believed: a consistent list.
    const isFromCache = this.#o.pageSize === undefined && !this.#isExpired;
    const query: ListQuery = { limit: this.#o.pageSize ?? PAGE_SIZE };
    if (isFromCache) query.resourceVersion = this.#version === '' ? '0' : this.#version;
    const found = new Map<string, T>();
    let page = await this.#page(query);
    for (;;) {
      for (const item of page.items) found.set(keyOf(item), item);
      const next = page.metadata?._continue ?? '';
      if (next === '') break;
      try {
        // The token says at which revision: resourceVersion must not be given again.
        page = await this.#page({ limit: query.limit ?? PAGE_SIZE, _continue: next });
      } catch (e) {
        if (codeOf(e) !== 410) throw e;
        this.counts.expired++;
        found.clear();
        page = await this.#page({});
      }
    }
    this.#isExpired = false;
    this.#replace(found, page.metadata?.resourceVersion ?? '');
  }

  async #page(query: ListQuery): Promise<k8s.KubernetesListObject<T>> {
    this.counts.pages++;
    try {
      return await this.#o.list({ ...this.#o.selectors, ...query });
    } catch (e) {
      if (codeOf(e) === 410) this.#isExpired = true;
      throw e;
    }
  }

  /** One watch. With a map to gather them in it begins with all objects, until the bookmark that ends those. */
  async #stream(gathered: Gathered<T>): Promise<Ending> {
    const query: Record<string, string | number | boolean> = {
      ...this.#o.selectors,
      allowWatchBookmarks: true,
      timeoutSeconds: this.#o.watchSeconds ?? WATCH_SECONDS,
    };
    if (gathered.map === undefined) {
      this.counts.watches++;
      query['resourceVersion'] = this.#version;
    } else {
      this.counts.watchLists++;
      Object.assign(query, { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' });
    }
    const ending = await this.#follow(query, gathered);
    if (ending === 'expired') {
      this.counts.expired++;
      this.#isExpired = true;
    }
    return ending;
  }

  /** Until the watch is closed. */
  #follow(query: Record<string, string | number | boolean>, gathered: Gathered<T>): Promise<Ending> {
    return new Promise((resolve) => {
      let ending: Ending = 'ended';
      const { signal } = this.#stopping;
      const onEvent = (type: string, object: T & k8s.V1Status): void => {
        if (type === 'ERROR') ending = object.code === 410 ? 'expired' : 'failed';
        else this.#onEvent(type, object, gathered);
      };
      const onClosed = (e: unknown): void => resolve(endingOf(e) ?? ending);
      this.#watch.watch(this.#o.path, query, onEvent, onClosed).then((request) => {
        const stop = (): void => request.abort();
        signal.addEventListener('abort', stop, { once: true });
        if (signal.aborted) stop();
      }, onClosed);
    });
  }

  #onEvent(type: string, object: T, gathered: Gathered<T>): void {
    const version = object.metadata?.resourceVersion ?? '';
    const key = keyOf(object);
    if (type === 'BOOKMARK') {
      this.counts.bookmarks++;
      if (gathered.map !== undefined && object.metadata?.annotations?.[INITIAL_EVENTS_END] === 'true') {
        this.#replace(gathered.map, version);
        gathered.map = undefined;
      }
    } else if (gathered.map !== undefined) {
      if (type === 'DELETED') gathered.map.delete(key);
      else gathered.map.set(key, object);
      return;
    } else if (type === 'DELETED') this.#delete(key, object, false);
    else this.#put(key, object);
    if (gathered.map === undefined) this.#version = version;
    this.#tell();
  }

  #replace(found: ReadonlyMap<string, T>, version: string): void {
    for (const [key, object] of [...this.#store]) if (!found.has(key)) this.#delete(key, object, true);
    for (const [key, object] of found) this.#put(key, object);
    this.#version = version;
    this.#isSynced = true;
    this.#tell();
  }

  #put(key: string, object: T): void {
    const previous = this.#store.get(key);
    this.#store.set(key, object);
    if (previous === undefined) this.#o.handler?.added?.(object);
    else if (previous.metadata?.resourceVersion !== object.metadata?.resourceVersion)
      this.#o.handler?.updated?.(previous, object);
  }

  #delete(key: string, object: T, isStale: boolean): void {
    if (this.#store.delete(key)) this.#o.handler?.deleted?.(object, isStale);
  }

  async #resync(): Promise<void> {
    const { resyncMs, handler } = this.#o;
    if (resyncMs === undefined) return;
    while (await this.#sleep(resyncMs)) for (const o of this.#store.values()) handler?.updated?.(o, o);
  }

  async #failed(): Promise<void> {
    this.counts.failures++;
    await this.#sleep(RETRY_MS);
  }

  /** False when stopped. */
  #sleep(ms: number): Promise<boolean> {
    return realClock.sleep(ms, this.#stopping.signal).then(
      () => true,
      () => false,
    );
  }

  #tell(): void {
    for (const wake of [...this.#changed]) wake();
  }

  #change(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#changed.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, limitMs);
      this.#changed.add(wake);
    });
  }
}

/** `namespace/name`, or the name alone. */
export function keyOf(o: Listed): string {
  const { namespace, name = '' } = o.metadata ?? {};
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function endingOf(e: unknown): Ending | undefined {
  if (e === null || e === undefined) return undefined;
  const code = codeOf(e) ?? 0;
  if (code === 410) return 'expired';
  return code >= 400 && code < 500 && code !== 429 ? 'refused' : 'failed';
}

/** Of an ApiException, or of the error that Watch gives for an answer that is not 200. */
export function codeOf(e: unknown): number | undefined {
  if (typeof e !== 'object' || e === null) return undefined;
  if ('statusCode' in e && typeof e.statusCode === 'number') return e.statusCode;
  return 'code' in e && typeof e.code === 'number' ? e.code : undefined;
}
