/**
 * Writers of one object that lost a race wait in line for it, in the order they came: n writers that all try again at once
 * do n² work for n writes. Held only around one read-modify-write; a writer holds one turn at a time, so none wait in a ring.
 */
import { setMaxListeners } from 'node:events';
import type { Ctx } from '#lib/base';

export class Turns {
  /** Per key those who wait; present = somebody has the turn. */
  readonly #lines = new Map<string, (() => void)[]>();

  /** Throws the signal's reason when it aborts first. */
  async take(key: string, c: Pick<Ctx, 'signal'>): Promise<Disposable> {
    c.signal.throwIfAborted();
    const line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, []);
    else await this.#wait(line, c.signal);
    return { [Symbol.dispose]: () => this.#pass(key) };
  }

  #wait(line: (() => void)[], signal: AbortSignal): Promise<void> {
    /* One signal (a test's, a controller's) may have many writers waiting; each takes its listener off again. */
    setMaxListeners(0, signal);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        line.splice(line.indexOf(go), 1);
        reject(signal.reason);
      };
      const go = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      line.push(go);
    });
  }

  #pass(key: string): void {
    const next = this.#lines.get(key)?.shift();
    if (next === undefined) this.#lines.delete(key);
    else next();
  }
}
