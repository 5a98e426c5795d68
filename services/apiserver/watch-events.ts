/**
 * A watch as single events for in-process callers. Written as an iterator by hand: what is waiting already is handed over
 * without the detours of an async generator, which under load would make controllers lag behind the writes.
 */
import type { KubeObject } from '#lib/api';
import type { WatchEvent } from '#lib/client';
import type { WatchItem } from './handlers/watch.ts';

type Event = WatchEvent<KubeObject>;

export class WatchEvents implements AsyncIterableIterator<Event> {
  readonly #open: () => Promise<AsyncIterable<WatchItem>>;
  #source: AsyncIterator<WatchItem> | undefined;
  #batch: readonly Event[] = [];
  #at = 0;
  #isDone = false;

  constructor(open: () => Promise<AsyncIterable<WatchItem>>) {
    this.#open = open;
  }

  next(): Promise<IteratorResult<Event>> {
    const value = this.#batch[this.#at];
    if (value === undefined) return this.#fill();
    this.#at++;
    return Promise.resolve({ done: false, value });
  }

  async return(): Promise<IteratorResult<Event>> {
    this.#isDone = true;
    await this.#source?.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #fill(): Promise<IteratorResult<Event>> {
    while (!this.#isDone) {
      this.#source ??= (await this.#open())[Symbol.asyncIterator]();
      const { done, value } = await this.#source.next();
      if (done === true) break;
      this.#batch = eventsOf(value);
      this.#at = 0;
      const first = this.#batch[this.#at++];
      if (first !== undefined) return { done: false, value: first };
    }
    this.#isDone = true;
    return { done: true, value: undefined };
  }
}

function eventsOf(item: WatchItem): Event[] {
  if (item.type === 'events') return item.events.map((e) => ({ type: e.type, object: e.cached.object }));
  const { resourceVersion } = item;
  return [{ type: 'BOOKMARK', resourceVersion, ...(item.initialEventsEnd ? { initialEventsEnd: true } : {}) }];
}
