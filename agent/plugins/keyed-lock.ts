/** One at a time for each key, first come first served. */
import { type Ctx, raceAbort } from '#lib/base';

export class KeyedLock {
  readonly #last = new Map<string, Promise<unknown>>();

  /** A cancel while waiting throws at once, and `fn` is never called. */
  async run<T>(key: string, fn: () => Promise<T>, c: Ctx): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    let release: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      release = resolve;
    });
    const turn = before.then(() => ended);
    this.#last.set(key, turn);
    try {
      await raceAbort(before, c.signal);
      return await fn();
    } finally {
      release();
      if (this.#last.get(key) === turn) this.#last.delete(key);
    }
  }
}
