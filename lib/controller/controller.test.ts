import { describe, expect, test } from 'vitest';
import { StatusError, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import { type Outcome, parseKeyText, type Source, startController, Terminal } from './controller.ts';
import { Expectations } from './expectations.ts';
import { isEqualJson, mutableCopy } from './mutable-copy.ts';
import { forEachLimited, slowStart } from './slow-start.ts';

function run(reconcile: (key: string) => Promise<Outcome>, o: { synced?: Promise<void>; workers?: number } = {}) {
  const clock = new VirtualClock();
  let add: (key: string) => void = () => undefined;
  const source: Source = {
    synced: () => o.synced ?? Promise.resolve(),
    subscribe: (fn) => {
      add = fn;
      return { [Symbol.dispose]: () => undefined };
    },
  };
  const controller = startController({
    name: 'test',
    reconciler: { reconcile },
    sources: [source],
    workers: o.workers ?? 2,
    clock,
    random: seededRandom(3),
    log: silentLogger,
    backoff: { initialMs: 10, maxMs: 1_000, jitter: 0 },
  });
  return { clock, controller, add: (key: string) => add(key) };
}

describe('controller', () => {
  test('does nothing before its sources are synced', async () => {
    let release: () => void = () => undefined;
    const seen: string[] = [];
    const t = run(
      async (k) => {
        seen.push(k);
        return { done: true };
      },
      {
        synced: new Promise((resolve) => {
          release = resolve;
        }),
      },
    );
    t.add('a');
    await t.clock.advance(1_000);
    expect(seen).toEqual([]);
    release();
    await t.clock.advance(0);
    expect(seen).toEqual(['a']);
    await t.controller[Symbol.asyncDispose]();
  });

  test('a throw is repeated with back-off, Terminal is not, afterMs looks again', async () => {
    const at: Record<string, number[]> = {};
    const t = run(async (k) => {
      const times = at[k] ?? [];
      at[k] = times;
      times.push(t.clock.now() - start);
      if (k === 'fails' && times.length < 4) throw new StatusError('Unavailable', 'away');
      if (k === 'broken') throw new Terminal('no retry heals this');
      return k === 'timed' && times.length < 3 ? { afterMs: 100 } : { done: true };
    });
    const start = t.clock.now();
    for (const k of ['fails', 'broken', 'timed']) t.add(k);
    await t.clock.advance(0);
    await t.clock.advance(10_000);
    expect(at).toEqual({ fails: [0, 10, 30, 70], broken: [0], timed: [0, 100, 200] });
    await t.controller[Symbol.asyncDispose]();
  });

  test('disposal waits for the reconcile that runs', async () => {
    let finish: () => void = () => undefined;
    let ended = false;
    const t = run(async () => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      ended = true;
      return { done: true };
    });
    t.add('a');
    await t.clock.advance(0);
    const closing = t.controller[Symbol.asyncDispose]();
    finish();
    await closing;
    expect(ended).toBe(true);
  });

  test('keys', () => {
    expect(parseKeyText('ns/name')).toEqual({ namespace: 'ns', name: 'name' });
    expect(parseKeyText('node')).toEqual({ namespace: '', name: 'node' });
  });
});

describe('expectations', () => {
  test('hold until the informer shows what was done, or 5 minutes have passed', () => {
    const clock = new VirtualClock();
    const e = new Expectations(clock);
    e.created('rs', 'u1');
    e.deleted('rs', 'u2');
    e.sawPresent('rs', 'u1');
    expect(e.areMet('rs')).toBe(false);
    e.sawPresent('rs', 'u2');
    expect(e.areMet('rs')).toBe(false);
    e.sawGone('rs', 'u2');
    expect(e.areMet('rs')).toBe(true);
  });

  test('are given up when the object was never seen', async () => {
    const clock = new VirtualClock();
    const e = new Expectations(clock);
    e.created('rs', 'u1');
    await clock.advance(4 * 60_000);
    expect(e.areMet('rs')).toBe(false);
    await clock.advance(60_000);
    expect(e.areMet('rs')).toBe(true);
  });
});

describe('slow start', () => {
  test('doubles, and stops after the batch that fails', async () => {
    const called: number[] = [];
    await slowStart(10, async (i) => void called.push(i));
    expect(called).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let tried = 0;
    await expect(
      slowStart(100, async (i) => {
        tried++;
        if (i >= 3) throw new Error(`quota at ${i}`);
      }),
    ).rejects.toThrow('quota at 3');
    expect(tried).toBe(7);
  });

  test('forEachLimited tries all, at most so many at once, and throws the first failure', async () => {
    let running = 0;
    let most = 0;
    const done: number[] = [];
    const work = forEachLimited([1, 2, 3, 4, 5, 6], 2, async (i) => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
      done.push(i);
      if (i === 2) throw new Error('two');
    });
    await expect(work).rejects.toThrow('two');
    expect(done.toSorted()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(most).toBe(2);
  });
});

describe('plain JSON', () => {
  test('a copy is equal and not shared; absent equals undefined', () => {
    const value = { a: [{ b: 1 }, null], c: 'x' };
    const copy = mutableCopy<typeof value>(value);
    expect(copy).toEqual(value);
    expect(copy.a).not.toBe(value.a);
    expect(isEqualJson(copy, value)).toBe(true);
    expect(isEqualJson({ a: undefined, b: 1 }, { b: 1 })).toBe(true);
    expect(isEqualJson({ b: 1 }, { a: undefined, b: 1 })).toBe(true);
    expect(isEqualJson({ b: 1, a: null }, { b: 1 })).toBe(false);
    expect(isEqualJson([1, 2], [1, 2, 3])).toBe(false);
    expect(isEqualJson({}, [])).toBe(false);
  });
});
