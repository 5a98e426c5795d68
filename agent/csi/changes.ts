/** Waits for what others bring about: `tell` makes every waiter look again. */
import type { Ctx } from '#lib/base';

export class Changes {
  readonly #waiters = new Set<() => void>();

  tell(): void {
    for (const look of [...this.#waiters]) look();
  }

  /** Called at each change, until disposed. */
  subscribe(look: () => void): Disposable {
    this.#waiters.add(look);
    return { [Symbol.dispose]: () => void this.#waiters.delete(look) };
  }

  /** True as soon as `isSo`; false when it was not within `limitMs`. Throws when cancelled. */
  async until(isSo: () => boolean, limitMs: number, c: Ctx): Promise<boolean> {
    c.signal.throwIfAborted();
    if (isSo()) return true;
    return await new Promise<boolean>((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#waiters.delete(look);
        timer.cancel();
        c.signal.removeEventListener('abort', onAbort);
        settle();
      };
      const look = (): void => {
        if (isSo()) end(() => resolve(true));
      };
      const onAbort = (): void => end(() => reject(c.signal.reason));
      const timer = c.clock.after(limitMs, () => end(() => resolve(isSo())));
      this.#waiters.add(look);
      c.signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
