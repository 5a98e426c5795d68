/**
 * Keys waiting for a worker. Laws (tested as properties): a key is never with two workers; a key added while it waits is
 * there once; a key added while it is worked on is worked on again afterwards; after any add the key is given out at least
 * once, as soon as a taker is free and its instant (the earliest of those asked for) has come; a key that was only added with
 * a delay is not given out before its instant. An immediate add therefore covers a delayed one: whoever then looks at the
 * key asks for the time it needs.
 *
 * Legal call order: `next` gives a key, which the taker must give back with `done` before it can be given out again.
 * Source: k8s.io/client-go util/workqueue (behaviour).
 */
import type { BackoffPolicy, Clock, Random, Timer } from '#lib/base';
import { assert, backoffMs } from '#lib/base';
import { Heap } from './heap.ts';
import type { QueueMeter } from './workqueue-metrics.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Per key, by the number of failures since `forget`. Default 5 ms doubling to 30 s. */
  readonly backoff?: BackoffPolicy;
  /** Distinct keys at any one time; more is a programmer error, since keys are names of objects. */
  readonly keysMax?: number;
  readonly meter?: QueueMeter | undefined;
}

const DEFAULT_BACKOFF: BackoffPolicy = { initialMs: 5, maxMs: 30_000 };
const DEFAULT_KEYS_MAX = 1_000_000;

interface Delayed {
  readonly key: string;
  readonly atMs: number;
  readonly seq: number;
}

export class WorkQueue implements Disposable {
  readonly #o: WorkQueueOptions;
  /** Insertion order is the order of service. */
  readonly #ready = new Set<string>();
  readonly #working = new Set<string>();
  /** Added again while worked on. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  /** Holds stale entries too: one counts only while #delayed has it. */
  readonly #order = new Heap<Delayed>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq));
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #timer: { readonly atMs: number; readonly timer: Timer } | undefined;
  #seq = 0;
  #closed = false;

  constructor(o: WorkQueueOptions) {
    this.#o = o;
  }

  /** Keys that wait, delayed ones not counted. */
  get size(): number {
    return this.#ready.size;
  }

  get delayedSize(): number {
    return this.#delayed.size;
  }

  add(key: string): void {
    if (this.#closed) return;
    this.#delayed.delete(key);
    if (this.#working.has(key)) {
      if (!this.#again.has(key)) this.#o.meter?.added(key);
      this.#again.add(key);
    } else if (!this.#ready.has(key)) {
      assert(this.#ready.size < (this.#o.keysMax ?? DEFAULT_KEYS_MAX), 'work queue holds too many keys');
      this.#ready.add(key);
      this.#o.meter?.added(key);
      this.#serve();
    }
  }

  addAfter(key: string, delayMs: number): void {
    if (this.#closed) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    if (this.#ready.has(key) || this.#again.has(key)) return;
    const atMs = this.#o.clock.monotonic() + delayMs;
    const known = this.#delayed.get(key);
    if (known && known.atMs <= atMs) return;
    const entry = { key, atMs, seq: ++this.#seq };
    this.#delayed.set(key, entry);
    this.#order.push(entry);
    this.#arm();
  }

  /** After a failure: comes back later each time, until `forget`. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#o.meter?.retried();
    this.addAfter(key, backoffMs(this.#o.backoff ?? DEFAULT_BACKOFF, Math.min(failures, 40), this.#o.random));
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The number of failures since the last `forget`. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, as soon as there is one; undefined once the queue is closed. */
  next(): Promise<string | undefined> {
    return new Promise((resolve) => {
      if (this.#closed) {
        resolve(undefined);
        return;
      }
      this.#takers.push(resolve);
      this.#serve();
    });
  }

  done(key: string): void {
    assert(this.#working.delete(key), `done("${key}") without next()`);
    this.#o.meter?.done(key);
    if (!this.#again.delete(key) || this.#closed) return;
    // It was counted when it was added.
    this.#ready.add(key);
    this.#serve();
  }

  /** Waiting takers get undefined; later adds are dropped. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#o.meter?.ended();
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    for (const take of this.#takers.splice(0)) take(undefined);
  }

  #serve(): void {
    while (this.#takers.length > 0) {
      const [key] = this.#ready;
      if (key === undefined) return;
      this.#ready.delete(key);
      this.#working.add(key);
      this.#o.meter?.began(key);
      this.#takers.shift()?.(key);
    }
  }

  #arm(): void {
    const top = this.#order.peek();
    if (top === undefined || this.#closed) return;
    if (this.#timer && this.#timer.atMs <= top.atMs) return;
    this.#timer?.timer.cancel();
    const timer = this.#o.clock.after(top.atMs - this.#o.clock.monotonic(), () => this.#due());
    this.#timer = { atMs: top.atMs, timer };
  }

  #due(): void {
    this.#timer = undefined;
    const now = this.#o.clock.monotonic();
    for (let top = this.#order.peek(); top !== undefined; top = this.#order.peek()) {
      const isStale = this.#delayed.get(top.key) !== top;
      if (!isStale && top.atMs > now) break;
      this.#order.pop();
      if (!isStale) this.add(top.key);
    }
    this.#arm();
  }
}
