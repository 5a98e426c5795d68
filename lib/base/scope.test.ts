import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { allEnded, raceAbort } from './scope.ts';

describe('allEnded', () => {
  test('gives the results in the order of the work', async () => {
    expect(await allEnded([Promise.resolve(1), Promise.resolve('b'), 3])).toEqual([1, 'b', 3]);
    expect(await allEnded([])).toEqual([]);
  });

  test('throws the first failure, but only when everything else has ended', async () => {
    let fail: () => void = () => undefined;
    const slow = new Promise<never>((_, reject) => {
      fail = () => reject(new Error('second'));
    });
    let thrown: unknown;
    const all = allEnded([slow, Promise.reject(new Error('first'))]).catch((e: unknown) => {
      thrown = e;
    });
    await new Promise((r) => setImmediate(r));
    expect(thrown).toBeUndefined();
    fail();
    await all;
    expect(thrown).toEqual(new Error('first'));
  });
});

describe('raceAbort', () => {
  /** Node ends a process for a rejection that nobody listens to. */
  async function unheardOf(act: () => Promise<void>): Promise<unknown[]> {
    const unheard: unknown[] = [];
    const others = process.listeners('unhandledRejection');
    const note = (e: unknown): void => void unheard.push(e);
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', note);
    try {
      await act();
      for (let turn = 0; turn < 3; turn++) await new Promise((r) => setImmediate(r));
    } finally {
      process.off('unhandledRejection', note);
      for (const l of others) process.on('unhandledRejection', l);
    }
    return unheard;
  }

  test.each(['before', 'while it is waited for'])('aborted %s: what fails later fails silently', async (when) => {
    const unheard = await unheardOf(async () => {
      const controller = new AbortController();
      let fail: (e: Error) => void = () => undefined;
      const work = new Promise<never>((_, reject) => {
        fail = reject;
      });
      if (when === 'before') controller.abort(new Error('gone'));
      const raced = raceAbort(work, controller.signal);
      controller.abort(new Error('gone'));
      await expect(raced).rejects.toThrow('gone');
      fail(new Error('late'));
    });
    expect(unheard).toEqual([]);
  });

  test('gives what the work gives, and leaves no listener', async () => {
    const { signal } = new AbortController();
    expect(await raceAbort(Promise.resolve(1), signal)).toBe(1);
    await expect(raceAbort(Promise.reject(new Error('own')), signal)).rejects.toThrow('own');
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
