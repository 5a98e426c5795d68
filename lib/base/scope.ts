/**
 * Structured concurrency: a `Scope` owns tasks and disposables. Disposing it aborts its signal, awaits its tasks and then
 * closes what it owns in reverse order. The first task that fails aborts the others; `done` rejects with that failure.
 */
import { setMaxListeners } from 'node:events';
import type { Clock } from './clock.ts';
import { toStatusError } from './errors.ts';
import type { Logger } from './log.ts';

/** What every waiting function takes. */
export interface Ctx {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Scope implements AsyncDisposable {
  readonly name: string;
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #owned: (() => void | Promise<void>)[] = [];
  readonly #unlink: () => void;
  #failure: unknown;
  #closed: Promise<void> | undefined;

  constructor(name: string, parent?: AbortSignal) {
    this.name = name;
    setMaxListeners(0, this.#controller.signal);
    // Every waiting call listens for as long as it waits; hundreds at once are no leak.
    const onAbort = (): void => this.#controller.abort(parent?.reason);
    if (parent?.aborted) this.#controller.abort(parent.reason);
    else parent?.addEventListener('abort', onAbort, { once: true });
    this.#unlink = () => parent?.removeEventListener('abort', onAbort);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first failure of a task, if any. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Runs `fn` until it ends; a failure that is not a cancel aborts the scope. */
  spawn(taskName: string, fn: (signal: AbortSignal) => Promise<void>, onFailure?: (e: unknown) => void): void {
    const task = fn(this.signal)
      .catch((e: unknown) => {
        if (this.signal.aborted && toStatusError(e).kind === 'Cancelled') return;
        if (this.signal.aborted) return;
        this.#failure ??= e;
        onFailure?.(e);
        this.#controller.abort(new Error(`${this.name}/${taskName} failed`, { cause: e }));
      })
      .finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** Closes `close` when the scope ends, in reverse order of registration. */
  defer(close: () => void | Promise<void>): void {
    this.#owned.push(close);
  }

  own<T extends Disposable | AsyncDisposable>(resource: T): T {
    this.defer(() =>
      Symbol.asyncDispose in resource ? Promise.resolve(resource[Symbol.asyncDispose]()) : resource[Symbol.dispose](),
    );
    return resource;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason ?? new DOMException(`${this.name} is stopping`, 'AbortError'));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.abort();
    this.#unlink();
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
    for (const close of this.#owned.reverse()) await close();
  }
}

/**
 * Rejects with the signal's reason when it aborts first; leaves no listener behind. What `promise` fails with after that is
 * dropped: unheard, it would end the process.
 */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => undefined);
    return Promise.reject(signal.reason);
  }
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener('abort', onAbort);
        resolve(value);
      },
      (e: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(e);
      },
    );
  });
}

/** Promise.all, but a failure is thrown only when all have ended: nothing goes on behind the back of whoever undoes it. */
export async function allEnded<T extends readonly unknown[] | []>(
  work: T,
): Promise<{ -readonly [P in keyof T]: Awaited<T[P]> }> {
  const done = Promise.all(work);
  await done.catch(() => Promise.allSettled(work));
  return done;
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
