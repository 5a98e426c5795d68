/** Lets so many steps a second through at once; further ones wait for the next second. */
import type { Ctx } from '#lib/base';

const SECOND_MS = 1_000;

export class Pace {
  readonly #perSecond: number;
  #beganAtMs: number | undefined;
  #steps = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** After a step. */
  async step({ clock, signal }: Pick<Ctx, 'clock' | 'signal'>): Promise<void> {
    const now = clock.monotonic();
    if (this.#beganAtMs === undefined || now - this.#beganAtMs >= SECOND_MS) {
      this.#beganAtMs = now;
      this.#steps = 0;
    }
    if (++this.#steps < this.#perSecond) return;
    await clock.sleep(this.#beganAtMs + SECOND_MS - now, signal);
  }
}
