/**
 * What lets a loop sleep until something happens: a kick that comes while it works is not lost. It begins kicked. A loop clears it,
 * looks at what there is, and sleeps.
 */
import type { Ctx } from './scope.ts';

export class Wake {
  #isKicked = true;
  #resolve: (() => void) | undefined;

  kick(): void {
    this.#isKicked = true;
    this.#resolve?.();
  }

  /** What was told so far is about to be looked at. */
  clear(): void {
    this.#isKicked = false;
  }

  /** Returns at a kick, at once when one came since `clear`, and at `atMs` (wall time). Throws when cancelled. */
  async sleepUntil(atMs: number | undefined, c: Ctx): Promise<void> {
    c.signal.throwIfAborted();
    if (this.#isKicked) return;
    const woken = new Promise<void>((resolve) => {
      this.#resolve = resolve;
    });
    const onAbort = (): void => this.#resolve?.();
    c.signal.addEventListener('abort', onAbort, { once: true });
    const timer =
      atMs === undefined ? undefined : c.clock.after(Math.max(atMs - c.clock.now(), 1), () => this.#resolve?.());
    await woken;
    timer?.cancel();
    c.signal.removeEventListener('abort', onAbort);
    c.signal.throwIfAborted();
  }
}
