/**
 * Many callers, few reads: who arrives while a read is under way must not take its answer (it may be older than a write
 * acknowledged since), but all who arrive meanwhile share the next one, which begins a little after the current has ended.
 */
import { nextTurn } from './clock.ts';

/** Of the event loop. */
const GATHER_TURNS = 2;

export class SharedRead<T> {
  readonly #read: () => Promise<T>;
  #current: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** An answer of a read that began after this call; fails as that read does. */
  read(): Promise<T> {
    if (this.#next !== undefined) return this.#next;
    if (this.#current === undefined) return this.#start();
    this.#next = this.#afterCurrent(this.#current);
    return this.#next;
  }

  /** The answer sets off many who read again at once: a turn or two later they have come, and share this read. */
  async #afterCurrent(current: Promise<T>): Promise<T> {
    await current.catch(() => undefined);
    for (let turn = 0; turn < GATHER_TURNS; turn++) await nextTurn();
    return await this.#start();
  }

  #start(): Promise<T> {
    this.#next = undefined;
    const current = this.#read().finally(() => {
      if (this.#current === current) this.#current = undefined;
    });
    this.#current = current;
    return current;
  }
}
