/** Who waits for a container's end: each is told once and leaves nothing behind. */
import type { Ctx } from '#lib/base';

export type Condition = 'not-running' | 'next-exit' | 'removed';

export interface WaitResult {
  readonly exitCode: number;
  /** Why the last start failed, or the removal. */
  readonly error: string;
}

export class Waiters {
  readonly #stop = new Set<(r: WaitResult) => void>();
  readonly #removal = new Set<(r: WaitResult) => void>();

  /** Resolves with the next end of its kind. An abort rejects. */
  next(kind: 'stop' | 'removal', signal: AbortSignal): Promise<WaitResult> {
    const set = kind === 'stop' ? this.#stop : this.#removal;
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        set.delete(tell);
        reject(signal.reason);
      };
      const tell = (r: WaitResult): void => {
        signal.removeEventListener('abort', onAbort);
        resolve(r);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      set.add(tell);
    });
  }

  /** True when it has stopped in time; `undefined` = for ever. */
  async within(ms: number | undefined, isRunning: () => boolean, c: Ctx): Promise<boolean> {
    const late = new AbortController();
    using _timer = ms === undefined ? undefined : c.clock.after(ms, () => late.abort());
    const signal = AbortSignal.any([c.signal, late.signal]);
    while (isRunning()) {
      const ended = await this.next('stop', signal).catch(() => undefined);
      c.signal.throwIfAborted();
      if (ended === undefined) return !isRunning();
    }
    return true;
  }

  stopped(r: WaitResult): void {
    tellAll(this.#stop, r);
  }

  /** It is gone: whoever waited for a stop of one that never ran is told too. */
  removed(r: WaitResult): void {
    tellAll(this.#removal, r);
    tellAll(this.#stop, r);
  }
}

function tellAll(set: Set<(r: WaitResult) => void>, r: WaitResult): void {
  for (const tell of [...set]) {
    set.delete(tell);
    tell(r);
  }
}
