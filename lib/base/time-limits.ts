/** Time limits of one length for many short things: one timer for all, so that setting and lifting one costs next to nothing. */
import type { Clock, Timer } from './clock.ts';

interface Limit {
  readonly atMs: number;
  readonly onOver: () => void;
}

export class TimeLimits {
  readonly #clock: Clock;
  readonly #ms: number;
  /** In the order of their ends, which is that of their beginnings. */
  readonly #limits = new Set<Limit>();
  #isArmed = false;

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /** Calls `onOver` once when the time is over, unless it was cancelled. Does not keep the process alive. */
  start(onOver: () => void): Timer {
    const limit = { atMs: this.#clock.monotonic() + this.#ms, onOver };
    this.#limits.add(limit);
    this.#arm();
    const cancel = (): void => void this.#limits.delete(limit);
    return { cancel, [Symbol.dispose]: cancel };
  }

  #arm(): void {
    if (this.#isArmed) return;
    const [first] = this.#limits;
    if (first === undefined) return;
    this.#isArmed = true;
    this.#clock.after(first.atMs - this.#clock.monotonic(), () => this.#fire(), { unref: true });
  }

  #fire(): void {
    this.#isArmed = false;
    const now = this.#clock.monotonic();
    try {
      for (const limit of this.#limits) {
        if (limit.atMs > now) break;
        this.#limits.delete(limit);
        limit.onOver();
      }
    } finally {
      // Whatever one of them throws: the others are still to come.
      this.#arm();
    }
  }
}
