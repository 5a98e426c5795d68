import { expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { Pins } from './pins.ts';
import { forEachLimited, SingleFlight } from './single-flight.ts';

const context = (signal = new AbortController().signal): Ctx => ({ signal, clock: realClock, log: silentLogger });

/** A promise with its handles. */
function gate<T>(): { promise: Promise<T>; open: (value: T) => void; fail: (e: unknown) => void } {
  let open: (value: T) => void = () => undefined;
  let fail: (e: unknown) => void = () => undefined;
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('single flight: callers at the same time share one run, later ones start another', async () => {
  const flights = new SingleFlight<number>();
  let runs = 0;
  const g = gate<number>();
  const work = (): Promise<number> => {
    runs++;
    return g.promise;
  };
  const all = [1, 2, 3].map(() => flights.run('k', work, context()));
  const other = flights.run('other', async () => 9, context());
  g.open(7);
  expect((await Promise.all(all)).map((r) => [r.value, r.joined])).toEqual([
    [7, false],
    [7, true],
    [7, true],
  ]);
  expect((await other).value).toBe(9);
  expect([runs, flights.size]).toEqual([1, 0]);
  await flights.run('k', work, context());
  expect(runs).toBe(2);
});

test('single flight: one cancel leaves the others alone, the last one stops the work and waits for its end', async () => {
  const flights = new SingleFlight<number>();
  const [a, b] = [new AbortController(), new AbortController()];
  const ended = gate<void>();
  let isAborted = false;
  const work = async (c: Ctx): Promise<number> => {
    await new Promise<void>((resolve) => c.signal.addEventListener('abort', () => resolve(), { once: true }));
    isAborted = true;
    await ended.promise;
    throw new Error('stopped');
  };
  const first = flights.run('k', work, context(a.signal));
  const second = flights.run('k', work, context(b.signal));
  a.abort(new Error('a has gone'));
  await expect(first).rejects.toThrow('a has gone');
  expect(isAborted).toBe(false);
  let isSettled = false;
  const settled = second.catch((e: unknown) => {
    isSettled = true;
    return e;
  });
  b.abort(new Error('b has gone'));
  await turn();
  expect([isAborted, isSettled]).toEqual([true, false]);
  ended.open();
  expect(await settled).toMatchObject({ message: 'b has gone' });
  expect(flights.size).toBe(0);
});

test('forEachLimited: never more than the limit; the first failure stops the rest and is thrown', async () => {
  let [now, most] = [0, 0];
  await forEachLimited(
    Array.from({ length: 20 }, (_, i) => i),
    3,
    async () => {
      most = Math.max(most, ++now);
      await turn();
      now--;
    },
    context(),
  );
  expect([now, most]).toEqual([0, 3]);
  const done: number[] = [];
  const failed = forEachLimited(
    [0, 1, 2, 3, 4, 5],
    2,
    async (i, c) => {
      if (i === 1) throw new Error('one is bad');
      await turn();
      c.signal.throwIfAborted();
      done.push(i);
    },
    context(),
  );
  await expect(failed).rejects.toThrow('one is bad');
  expect(done).toEqual([]);
});

test('pins: what is pinned stays; who pins what is being removed waits until it is gone', async () => {
  const pins = new Pins();
  const held = await pins.pin(['a', 'b']);
  const again = await pins.pin(['a']);
  const remove = async (): Promise<boolean> => true;
  expect(await pins.removeUnlessPinned('a', remove)).toBe(false);
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  expect(await pins.removeUnlessPinned('a', remove)).toBe(false);
  expect(await pins.removeUnlessPinned('b', remove)).toBe(true);
  again[Symbol.dispose]();
  const g = gate<boolean>();
  const removing = pins.removeUnlessPinned('a', () => g.promise);
  let isPinned = false;
  const pinning = pins.pin(['a']).then((p) => {
    isPinned = true;
    return p;
  });
  await turn();
  expect(isPinned).toBe(false);
  expect(await pins.removeUnlessPinned('a', remove)).toBe(false);
  g.open(false);
  expect(await removing).toBe(false);
  await pinning;
  expect(isPinned).toBe(true);
});

test('single flight: who comes while a given-up run is ending waits for its end', async () => {
  const flights = new SingleFlight<string>();
  const ended = gate<void>();
  let isRunning = false;
  const slow = async (): Promise<string> => {
    isRunning = true;
    await ended.promise;
    isRunning = false;
    return 'too late';
  };
  const a = new AbortController();
  const gone = expect(flights.run('k', slow, context(a.signal))).rejects.toThrow('a has gone');
  a.abort(new Error('a has gone'));
  await turn();
  const second = flights.run('k', async () => (isRunning ? 'met the first one' : 'alone'), context());
  const b = new AbortController();
  const third = expect(flights.run('k', slow, context(b.signal))).rejects.toThrow('b has gone');
  b.abort(new Error('b has gone'));
  await turn();
  ended.open();
  await Promise.all([gone, third]);
  expect((await second).value).toBe('alone');
  expect(flights.size).toBe(0);
});
