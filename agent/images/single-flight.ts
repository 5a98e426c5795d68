/**
 * Many callers of the same work share one run of it. The run has a signal of its own, which aborts when the last caller has
 * gone: one impatient caller does not take the work away from the others. Two runs of a key never overlap: who comes while a
 * given-up run is still ending waits for that (it may hold the file that the next one needs).
 */
import type { Ctx } from '#lib/base';
import { raceAbort } from '#lib/base';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  callers: number;
}

export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();
  /** Given up, not ended yet. */
  readonly #ending = new Map<string, Promise<unknown>>();

  get size(): number {
    return this.#flights.size;
  }

  /** `joined`: somebody else's run was joined; its failure may have been caused by what only that caller brought. */
  async run(key: string, fn: (c: Ctx) => Promise<T>, c: Ctx): Promise<{ value: T; joined: boolean }> {
    c.signal.throwIfAborted();
    const found = this.#flights.get(key);
    const flight = found ?? this.#start(key, fn, c);
    flight.callers++;
    try {
      return { value: await raceAbort(flight.result, c.signal), joined: found !== undefined };
    } finally {
      flight.callers--;
      if (flight.callers === 0) {
        flight.stop.abort(c.signal.reason);
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        await this.#end(key, flight); // what it was doing has ended before the last caller hears of it
      }
    }
  }

  #start(key: string, fn: (c: Ctx) => Promise<T>, c: Ctx): Flight<T> {
    const stop = new AbortController();
    const own = { signal: stop.signal, clock: c.clock, log: c.log };
    const before = this.#ending.get(key);
    const after = async (ended: Promise<unknown>): Promise<T> => {
      await ended;
      own.signal.throwIfAborted();
      return fn(own);
    };
    const result = before === undefined ? fn(own) : after(before);
    result.catch(() => undefined); // seen by the callers
    const flight: Flight<T> = { result, stop, callers: 0 };
    this.#flights.set(key, flight);
    return flight;
  }

  async #end(key: string, flight: Flight<T>): Promise<void> {
    const ended = flight.result.catch(() => undefined);
    this.#ending.set(key, ended);
    await ended;
    if (this.#ending.get(key) === ended) this.#ending.delete(key);
  }
}

export interface Stage<T> {
  /** How many items may be in it at once. */
  readonly limit: number;
  readonly run: (item: T, c: Ctx) => Promise<void>;
}

/** Each item goes through all stages; items overtake each other between them. Failures as in `forEachLimited`. */
export function forEachStaged<T>(items: readonly T[], stages: readonly Stage<T>[], c: Ctx): Promise<void> {
  const gates = stages.map((stage) => ({ stage, gate: new Gate(stage.limit) }));
  const through = async (item: T, own: Ctx): Promise<void> => {
    for (const { stage, gate } of gates) {
      await gate.enter();
      try {
        if (!own.signal.aborted) await stage.run(item, own);
      } finally {
        gate.leave();
      }
    }
  };
  return forEachLimited(items, items.length, through, c);
}

/** Whoever waits gets in: those inside end, since the first failure aborts them. */
class Gate {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(limit: number) {
    this.#free = limit;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

/** Runs `fn` over all items, at most `limit` at once; the first failure aborts the others and is thrown after they ended. */
export async function forEachLimited<T>(
  items: readonly T[],
  limit: number,
  fn: (item: T, c: Ctx) => Promise<void>,
  c: Ctx,
): Promise<void> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(c.signal.reason);
  c.signal.addEventListener('abort', onAbort, { once: true });
  if (c.signal.aborted) onAbort();
  let failure: { error: unknown } | undefined;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length && !stop.signal.aborted) {
      const item = items[next++];
      if (item === undefined) return;
      await fn(item, { ...c, signal: stop.signal });
    }
  };
  const guarded = (): Promise<void> =>
    worker().catch((error: unknown) => {
      failure ??= { error };
      stop.abort(error);
    });
  try {
    await Promise.all(Array.from({ length: Math.min(limit, items.length) }, guarded));
  } finally {
    c.signal.removeEventListener('abort', onAbort);
  }
  c.signal.throwIfAborted();
  if (failure) throw failure.error;
}
