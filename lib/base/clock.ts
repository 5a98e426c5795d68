/**
 * Time as a dependency. Everything outside lib/base takes a `Clock`; tests take `VirtualClock` and advance it.
 * Instants are milliseconds: `now()` is wall time (for API fields), `monotonic()` only for durations.
 */
export interface Timer extends Disposable {
  /** Stops the timer; safe to call again and after it fired. */
  cancel(): void;
}

export interface Clock {
  /** Wall time, ms since the epoch. */
  now(): number;
  /** Monotonic ms from an arbitrary origin. */
  monotonic(): number;
  /** Calls `fn` once after `delayMs`; `unref` timers do not keep the process alive. */
  after(delayMs: number, fn: () => void, o?: { unref?: boolean }): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted. Leaves no listener behind. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, fn, o) {
    const t = setTimeout(fn, Math.min(Math.max(delayMs, 0), 0x7fffffff));
    if (o?.unref) t.unref();
    return { cancel: () => clearTimeout(t), [Symbol.dispose]: () => clearTimeout(t) };
  },
  sleep(delayMs, signal) {
    return sleepOn(this, delayMs, signal);
  },
};

/** Time that moves only when told to. Timers fire in order of their instant, then of creation. */
export class VirtualClock implements Clock {
  #now: number;
  #seq = 0;
  readonly #timers = new Map<number, { at: number; seq: number; fn: () => void }>();

  constructor(startMs = 1_700_000_000_000) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(delayMs: number, fn: () => void): Timer {
    const seq = ++this.#seq;
    this.#timers.set(seq, { at: this.#now + Math.max(delayMs, 0), seq, fn });
    const cancel = (): void => {
      this.#timers.delete(seq);
    };
    return { cancel, [Symbol.dispose]: cancel };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  /** The instant of the next timer, if any. */
  nextAt(): number | undefined {
    return this.#next()?.at;
  }

  /** Moves time by `ms`, firing due timers, and lets promises settle between them. */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    for (let t = this.#next(); t !== undefined && t.at <= target; t = this.#next()) {
      this.#now = t.at;
      this.#timers.delete(t.seq);
      t.fn();
      await settle();
    }
    this.#now = target;
    await settle();
  }

  #next(): { at: number; seq: number; fn: () => void } | undefined {
    let best: { at: number; seq: number; fn: () => void } | undefined;
    for (const t of this.#timers.values())
      if (!best || t.at < best.at || (t.at === best.at && t.seq < best.seq)) best = t;
    return best;
  }
}

/** `2006-01-02T15:04:05Z`: the API's Time. Throws RangeError for what is no instant. */
export function timeText(ms: number): string {
  return `${secondText(ms)}Z`;
}

/** `2006-01-02T15:04:05.000000Z`: the API's MicroTime. Throws as `timeText`. */
export function microTimeText(ms: number): string {
  const text = secondText(ms);
  return `${text}.${String(Math.trunc(ms) - latest.second * 1000).padStart(3, '0')}000Z`;
}

/** Most instants that are told are of the second that was told before. */
let latest = { second: 0, text: '1970-01-01T00:00:00' };

function secondText(ms: number): string {
  const second = Math.floor(Math.trunc(ms) / 1000);
  if (second !== latest.second)
    latest = { second, text: new Date(second * 1000).toISOString().replace(/\.\d{3}Z$/, '') };
  return latest.text;
}

function sleepOn(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** When this process has taken in what has already come from outside. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
