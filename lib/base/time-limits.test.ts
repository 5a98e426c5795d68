import { describe, expect, test } from 'vitest';
import { VirtualClock } from './clock.ts';
import { TimeLimits } from './time-limits.ts';

describe('time limits of one length', () => {
  test('each is over at its own time, in order; a cancelled one never', async () => {
    const clock = new VirtualClock();
    const limits = new TimeLimits(clock, 100);
    const over: string[] = [];
    limits.start(() => over.push('a'));
    const b = limits.start(() => over.push('b'));
    await clock.advance(30);
    limits.start(() => over.push('c'));
    b.cancel();
    await clock.advance(69);
    expect(over).toEqual([]);
    await clock.advance(1);
    expect(over).toEqual(['a']);
    await clock.advance(29);
    expect(over).toEqual(['a']);
    await clock.advance(1);
    expect(over).toEqual(['a', 'c']);
    expect(clock.nextAt()).toBeUndefined();
  });

  test('one timer however many there are, and a new one after all are gone', async () => {
    const clock = new VirtualClock();
    let timers = 0;
    const counted = new TimeLimits(
      Object.assign(Object.create(clock) as VirtualClock, {
        now: () => clock.now(),
        monotonic: () => clock.monotonic(),
        after: (ms: number, fn: () => void) => {
          timers++;
          return clock.after(ms, fn);
        },
      }),
      100,
    );
    for (let i = 0; i < 50; i++) counted.start(() => undefined).cancel();
    expect(timers).toBe(1);
    await clock.advance(100);
    let isOver = false;
    counted.start(() => {
      isOver = true;
    });
    await clock.advance(100);
    expect(isOver).toBe(true);
    expect(timers).toBe(2);
  });

  test('what is started while others end is kept', async () => {
    const clock = new VirtualClock();
    const limits = new TimeLimits(clock, 10);
    const over: number[] = [];
    limits.start(() => {
      over.push(1);
      limits.start(() => over.push(2));
    });
    await clock.advance(10);
    expect(over).toEqual([1]);
    await clock.advance(10);
    expect(over).toEqual([1, 2]);
  });

  test('one that throws, or starts another, keeps none of the others', async () => {
    const clock = new VirtualClock();
    const limits = new TimeLimits(clock, 100);
    const over: string[] = [];
    limits.start(() => {
      throw new Error('of one');
    });
    limits.start(() => {
      over.push('a');
      limits.start(() => over.push('again'));
    });
    limits.start(() => over.push('b'));
    await expect(clock.advance(100)).rejects.toThrow('of one');
    await clock.advance(0);
    expect(over).toEqual(['a', 'b']);
    await clock.advance(100);
    expect(over).toEqual(['a', 'b', 'again']);
    expect(clock.nextAt()).toBeUndefined();
  });
});
