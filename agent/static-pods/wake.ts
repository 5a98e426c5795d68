import { type Ctx, raceAbort } from '#lib/base';

/** What one loop waits for: a call of `wake`, also one that came while it was at work, or a time limit. */
export class Wake {
  #isPending = false;
  #notify: () => void = () => undefined;

  wake(): void {
    this.#isPending = true;
    this.#notify();
  }

  /** Throws the signal's reason once it is aborted. */
  async wait(limitMs: number | undefined, c: Ctx): Promise<void> {
    c.signal.throwIfAborted();
    if (!this.#isPending) {
      const woken = new Promise<void>((resolve) => {
        this.#notify = resolve;
      });
      const timer = limitMs === undefined ? undefined : c.clock.after(limitMs, () => this.#notify());
      await raceAbort(woken, c.signal).finally(() => timer?.cancel());
    }
    this.#isPending = false;
  }
}
