/**
 * A bounded channel between producers and one consumer. What happens when it is full is the producer's declared choice:
 * `fail` ends the queue with an error (slow watchers are ended, not buffered), `dropOldest` forgets, `coalesceByKey`
 * replaces the waiting item of the same key.
 */
import { StatusError } from './errors.ts';

export type OnFull = 'fail' | 'dropOldest';

export class Queue<T> implements AsyncIterable<T> {
  readonly #capacity: number;
  readonly #onFull: OnFull;
  readonly #keyOf: ((item: T) => string) | undefined;
  #items: T[] = [];
  #head = 0;
  #waiting: { resolve: (r: IteratorResult<T>) => void; reject: (e: unknown) => void } | undefined;
  #ended = false;
  #error: unknown;

  constructor(o: { capacity: number; onFull?: OnFull; coalesceByKey?: (item: T) => string }) {
    this.#capacity = o.capacity;
    this.#onFull = o.onFull ?? 'fail';
    this.#keyOf = o.coalesceByKey;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  /** False when the queue has ended (or ends now because it is full). */
  push(item: T): boolean {
    if (this.#ended) return false;
    if (this.#waiting) {
      const w = this.#waiting;
      this.#waiting = undefined;
      w.resolve({ done: false, value: item });
      return true;
    }
    if (this.#keyOf) {
      const key = this.#keyOf(item);
      for (let i = this.#head; i < this.#items.length; i++) {
        const waiting = this.#items[i];
        if (waiting !== undefined && this.#keyOf(waiting) === key) {
          this.#items[i] = item;
          return true;
        }
      }
    }
    if (this.size >= this.#capacity) {
      if (this.#onFull === 'fail') {
        this.end(
          new StatusError('TooManyRequests', `queue of ${this.#capacity} items is full: the consumer is too slow`),
        );
        return false;
      }
      this.#head++;
    }
    this.#items.push(item);
    return true;
  }

  /** Items already queued are still delivered, then the iteration ends (or throws `error`). */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const w = this.#waiting;
    this.#waiting = undefined;
    if (w) {
      if (error === undefined) w.resolve({ done: true, value: undefined });
      else w.reject(error);
    }
  }

  async next(): Promise<IteratorResult<T>> {
    if (this.size > 0) {
      const value = this.#items[this.#head++] as T;
      if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
        this.#items = this.#items.slice(this.#head);
        this.#head = 0;
      }
      return { done: false, value };
    }
    if (this.#ended) {
      if (this.#error !== undefined) throw this.#error;
      return { done: true, value: undefined };
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  async #stop(): Promise<IteratorResult<T>> {
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return { next: () => this.next(), return: () => this.#stop() };
  }
}
