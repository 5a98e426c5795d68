import { expect, test } from 'vitest';
import { VirtualClock } from './clock.ts';
import { silentLogger } from './log.ts';
import type { Ctx } from './scope.ts';
import { Wake } from './wake.ts';

function begin() {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const c: Ctx = { signal: stop.signal, clock, log: silentLogger };
  const wake = new Wake();
  const woken: number[] = [];
  const sleep = (afterMs?: number): void =>
    void wake
      .sleepUntil(afterMs === undefined ? undefined : clock.now() + afterMs, c)
      .then(() => woken.push(clock.monotonic()))
      .catch(() => woken.push(-1));
  return { clock, stop, wake, woken, sleep };
}

test('wake: it begins awake; cleared, it sleeps until a kick, its time, or a cancel', async () => {
  const { clock, stop, wake, woken, sleep } = begin();
  sleep();
  await clock.advance(1);
  expect(woken).toHaveLength(1);
  wake.clear();
  sleep();
  await clock.advance(60_000);
  expect(woken).toHaveLength(1);
  wake.kick();
  await clock.advance(0);
  expect(woken).toHaveLength(2);
  wake.clear();
  sleep(5_000);
  await clock.advance(4_999);
  expect(woken).toHaveLength(2);
  await clock.advance(1);
  expect(woken).toHaveLength(3);
  sleep();
  stop.abort();
  await clock.advance(0);
  expect(woken.at(-1)).toBe(-1);
});

test('wake: a kick that comes while its loop works is not lost', async () => {
  const { clock, wake, woken, sleep } = begin();
  wake.clear();
  wake.kick();
  sleep();
  await clock.advance(0);
  expect(woken).toHaveLength(1);
});
