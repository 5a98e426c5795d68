/** A fair, bounded number of things at the same time. */
import { type Ctx, raceAbort } from '#lib/base';

export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs `fn` when a slot is free, first come first served. A cancel while waiting throws the signal's reason at once. */
  async use<T>(fn: () => Promise<T>, c: Ctx): Promise<T> {
    c.signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(c);
    try {
      c.signal.throwIfAborted();
      return await fn();
    } finally {
      this.#release();
    }
  }

  async #wait(c: Ctx): Promise<void> {
    let resolve: () => void = () => undefined;
    const turn = new Promise<void>((r) => {
      resolve = r;
    });
    this.#waiting.push(resolve);
    try {
      await raceAbort(turn, c.signal);
    } catch (e) {
      const at = this.#waiting.indexOf(resolve);
      /* Not in the queue any more: the slot was given in the same moment, and goes on to the next. */
      if (at >= 0) this.#waiting.splice(at, 1);
      else this.#release();
      throw e;
    }
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
