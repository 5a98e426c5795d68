/**
 * One watcher of a resource: events that concern it, with the type as IT sees them (an object that starts to match its
 * selectors is ADDED, one that stops is DELETED), in arrays, bounded. A watcher that does not keep up is ended, never
 * buffered without limit: its client resumes from the last event it got.
 */
import { StatusError } from '#lib/base';
import type { Revision } from '#lib/store';
import { atRevision, type Cached } from './cached.ts';

export type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** A change as all watchers share it. `cached` of a DELETED has the revision of the removal. */
export interface CacheEvent {
  readonly type: ChangeType;
  readonly cached: Cached;
  readonly previous: Cached | undefined;
  readonly revision: Revision;
  /** Monotonic ms. */
  readonly atMs: number;
  /** The encoded frame by type, filled by the first watcher that needs it. */
  frames: Partial<Record<ChangeType, Buffer>> | undefined;
}

export interface SeenEvent {
  readonly type: ChangeType;
  readonly cached: Cached;
  /** Absent for synthetic events of the initial state. */
  readonly event: CacheEvent | undefined;
}

export interface Filter {
  /** '' = all namespaces. */
  readonly namespace: string;
  /** undefined = everything matches. */
  readonly matches: ((cached: Cached) => boolean) | undefined;
}

/** Events that wait for one watcher, beyond those it started with. */
const WATCHER_EVENTS_MAX = 10_000;
const WATCHER_BYTES_MAX = 64 << 20;

export class Watcher implements Disposable {
  readonly #filter: Filter;
  readonly #release: (w: Watcher) => void;
  #buffer: SeenEvent[];
  #initialLeft: number;
  /** Of the events beyond those it started with. */
  #waitingBytes = 0;
  #wake: (() => void) | undefined;
  #ended = false;
  #isPoked = false;
  #error: StatusError | undefined;

  constructor(filter: Filter, initial: SeenEvent[], release: (w: Watcher) => void) {
    this.#filter = filter;
    this.#buffer = initial;
    this.#initialLeft = initial.length;
    this.#release = release;
  }

  get isIdle(): boolean {
    return this.#buffer.length === 0;
  }

  /** What happens from now on it does not see. */
  get isEnded(): boolean {
    return this.#ended;
  }

  offer(event: CacheEvent): void {
    if (this.#ended) return;
    const seen = seenBy(this.#filter, event);
    if (seen === undefined) return;
    const isFull = this.#buffer.length - this.#initialLeft >= WATCHER_EVENTS_MAX;
    if (isFull || this.#waitingBytes >= WATCHER_BYTES_MAX) {
      this.end(
        new StatusError('Expired', 'the watcher is too slow: resume from the last event', { reason: 'Expired' }),
      );
      return;
    }
    this.#buffer.push(seen);
    this.#waitingBytes += seen.cached.bytes.length;
    this.#wake?.();
  }

  /** Lets a waiting `take` return an empty array: time for a bookmark. */
  poke(): void {
    this.#isPoked = true;
    this.#wake?.();
  }

  /** Everything that waits ([] after a poke); undefined once ended (throws when ended by an error) or on `stop`. */
  async take(stop: AbortSignal): Promise<readonly SeenEvent[] | undefined> {
    for (;;) {
      if (stop.aborted) return undefined;
      if (this.#buffer.length > 0 || this.#isPoked) {
        const batch = this.#buffer;
        this.#buffer = [];
        this.#initialLeft = 0;
        this.#waitingBytes = 0;
        this.#isPoked = false;
        return batch;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return undefined;
      await this.#changed(stop);
    }
  }

  /** Everything that waits, at once; undefined when the watcher has ended: what was missed is unknown. */
  drain(): readonly SeenEvent[] | undefined {
    if (this.#ended) return undefined;
    const batch = this.#buffer;
    if (batch.length === 0) return batch;
    this.#buffer = [];
    this.#initialLeft = 0;
    this.#waitingBytes = 0;
    return batch;
  }

  end(error?: StatusError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#release(this);
    this.#wake?.();
  }

  [Symbol.dispose](): void {
    this.end();
  }

  #changed(stop: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake = undefined;
        stop.removeEventListener('abort', done);
        resolve();
      };
      this.#wake = done;
      stop.addEventListener('abort', done, { once: true });
    });
  }
}

/** What the change means to a watcher with this filter; undefined = nothing. */
export function seenBy(filter: Filter, event: CacheEvent): SeenEvent | undefined {
  if (filter.namespace !== '' && event.cached.namespace !== filter.namespace) return undefined;
  if (filter.matches === undefined) return { type: event.type, cached: event.cached, event };
  const before = event.previous !== undefined && filter.matches(event.previous);
  if (event.type === 'DELETED') return before ? { type: 'DELETED', cached: event.cached, event } : undefined;
  const after = filter.matches(event.cached);
  if (before && after) return { type: 'MODIFIED', cached: event.cached, event };
  if (after) return { type: 'ADDED', cached: event.cached, event };
  /* It stops to match: told with what matched, as of now. */
  return before && event.previous !== undefined
    ? { type: 'DELETED', cached: atRevision(event.previous, event.revision), event }
    : undefined;
}
