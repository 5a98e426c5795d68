/** A fair, bounded number of things at the same time. */
import type { Ctx } from '#lib/base';

export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs `fn` when a slot is free. A cancel while waiting throws the signal's reason. */
  async use<T>(fn: () => Promise<T>, c: Ctx): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      c.signal.throwIfAborted();
      return await fn();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
