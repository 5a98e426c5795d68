import { describe, expect, test } from 'vitest';
import { VirtualClock } from '#lib/base';
import { WatchPace } from './watch-pace.ts';

function withStreams(n: number): { clock: VirtualClock; pace: WatchPace; streams: Disposable[] } {
  const clock = new VirtualClock();
  const pace = new WatchPace(clock);
  return { clock, pace, streams: Array.from({ length: n }, () => pace.open()) };
}

/** How long a stream that has written now gathers. */
async function gatheredMs(clock: VirtualClock, pace: WatchPace): Promise<number> {
  let isOver = false;
  void pace.gather()?.then(() => {
    isOver = true;
  });
  for (let ms = 0; ms < 1000; ms++) {
    if (isOver) return ms;
    await clock.advance(1);
  }
  throw new Error('a beat never ends');
}

describe('pace of watch streams', () => {
  test('few streams never wait', () => {
    const { pace, clock } = withStreams(99);
    expect(pace.gather()).toBeUndefined();
    expect(clock.nextAt()).toBeUndefined();
  });

  test.each([
    [100, 5],
    [400, 20],
    [1000, 50],
    [5000, 50],
  ])('%d streams gather %d ms, all until the same beat', async (n, ms) => {
    const { pace, clock } = withStreams(n);
    expect(await gatheredMs(clock, pace)).toBe(ms);
    const first = pace.gather();
    await clock.advance(ms - 1);
    expect(pace.gather()).toBe(first);
    await clock.advance(1);
    expect(pace.gather()).not.toBe(first);
  });

  test('a stream that ends counts no more, once', () => {
    const { pace, streams } = withStreams(101);
    for (let i = 0; i < 3; i++) streams[0]?.[Symbol.dispose]();
    expect(pace.gather()).toBeDefined();
    streams[1]?.[Symbol.dispose]();
    expect(pace.gather()).toBeUndefined();
  });

  test('the same frames are joined once, others anew; a single one is itself', () => {
    const { pace } = withStreams(2);
    const [a, b, c] = ['a\n', 'b\n', 'c\n'].map((t) => Buffer.from(t)) as [Buffer, Buffer, Buffer];
    const ab = pace.joined([a, b]);
    expect(ab.toString()).toBe('a\nb\n');
    expect(pace.joined([a, b])).toBe(ab);
    expect(pace.joined([a])).toBe(a);
    expect(pace.joined([a, c]).toString()).toBe('a\nc\n');
    expect(pace.joined([a, b, c]).toString()).toBe('a\nb\nc\n');
    expect(pace.joined([b, a]).toString()).toBe('b\na\n');
    expect(pace.joined([a, b]).toString()).toBe('a\nb\n');
  });
});
