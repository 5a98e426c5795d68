import { describe, expect, test } from 'vitest';
import { allEnded } from './scope.ts';

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
