/** Lets others have their turn: many policies of one request may take long together, and there is one event loop. */
import type { Ctx } from '#lib/base';

const TURN_MS = 10;

export class Turn {
  readonly #c: Ctx;
  #sinceMs: number;

  constructor(c: Ctx) {
    this.#c = c;
    this.#sinceMs = c.clock.monotonic();
  }

  /** Between two evaluations. Rejects when nobody waits for the answer any more. */
  async breathe(): Promise<void> {
    const { clock, signal } = this.#c;
    if (clock.monotonic() - this.#sinceMs < TURN_MS) return;
    await clock.sleep(0, signal);
    this.#sinceMs = clock.monotonic();
  }
}
