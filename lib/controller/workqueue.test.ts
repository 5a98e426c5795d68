import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom, VirtualClock } from '#lib/base';
import { Heap } from './heap.ts';
import { WorkQueue } from './workqueue.ts';

const KEYS = ['a', 'b', 'c', 'd'] as const;

type Command =
  | { readonly do: 'add'; readonly key: string }
  | { readonly do: 'addAfter'; readonly key: string; readonly ms: number }
  | { readonly do: 'fail'; readonly key: string }
  | { readonly do: 'take' }
  | { readonly do: 'done'; readonly which: number }
  | { readonly do: 'advance'; readonly ms: number };

const key = fc.constantFrom(...KEYS);
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ do: fc.constant('add' as const), key }),
  fc.record({ do: fc.constant('addAfter' as const), key, ms: fc.integer({ min: 0, max: 50 }) }),
  fc.record({ do: fc.constant('fail' as const), key }),
  fc.record({ do: fc.constant('take' as const) }),
  fc.record({ do: fc.constant('done' as const), which: fc.nat(3) }),
  fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 40 }) }),
);

/** The queue beside the simplest thing that obeys its laws: for each key the earliest instant at which it is owed. */
class Model {
  readonly clock = new VirtualClock();
  readonly queue = new WorkQueue({
    clock: this.clock,
    random: seededRandom(7),
    backoff: { initialMs: 8, maxMs: 64, jitter: 0 },
  });
  readonly owedAt = new Map<string, number>();
  readonly working: string[] = [];
  readonly failures = new Map<string, number>();
  takers = 0;

  owe(k: string, atMs: number): void {
    this.owedAt.set(k, Math.min(this.owedAt.get(k) ?? Number.POSITIVE_INFINITY, atMs));
  }

  take(): void {
    this.takers++;
    void this.queue.next().then((k) => {
      this.takers--;
      if (k === undefined) return;
      expect(this.working, 'a key is with one worker').not.toContain(k);
      expect(this.owedAt.get(k), `${k} was given out though nobody asked`).toBeDefined();
      expect(this.owedAt.get(k), `${k} was given out too early`).toBeLessThanOrEqual(this.clock.monotonic());
      this.owedAt.delete(k);
      this.working.push(k);
    });
  }

  async run(c: Command): Promise<void> {
    const now = this.clock.monotonic();
    switch (c.do) {
      case 'add':
        this.queue.add(c.key);
        this.owe(c.key, now);
        break;
      case 'addAfter':
        this.queue.addAfter(c.key, c.ms);
        this.owe(c.key, now + c.ms);
        break;
      case 'fail': {
        const n = this.failures.get(c.key) ?? 0;
        this.failures.set(c.key, n + 1);
        this.queue.addRateLimited(c.key);
        this.owe(c.key, now + Math.min(8 * 2 ** n, 64));
        break;
      }
      case 'take':
        this.take();
        break;
      case 'done': {
        const k = this.working[c.which % Math.max(this.working.length, 1)];
        if (k === undefined) break;
        this.working.splice(this.working.indexOf(k), 1);
        this.queue.done(k);
        break;
      }
      case 'advance':
        await this.clock.advance(c.ms);
        break;
    }
    await this.clock.advance(0);
    const isDue = [...this.owedAt].some(([k, at]) => at <= this.clock.monotonic() && !this.working.includes(k));
    expect(isDue && this.takers > 0, 'a due key waits though a taker is free').toBe(false);
  }
}

describe('work queue', () => {
  test('its laws hold for any sequence of calls', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
        const m = new Model();
        for (const c of commands) await m.run(c);
        // Liveness: with a worker for each key, everything owed comes out.
        for (let i = 0; i < 20 && (m.owedAt.size > 0 || m.working.length > 0); i++) {
          for (const k of m.working.splice(0)) m.queue.done(k);
          for (const _ of KEYS) m.take();
          await m.clock.advance(64);
        }
        expect([...m.owedAt.keys()]).toEqual([]);
        m.queue[Symbol.dispose]();
      }),
      { numRuns: 300 },
    );
  });

  test('closing answers waiting takers and drops later adds', async () => {
    const q = new WorkQueue({ clock: new VirtualClock(), random: seededRandom(1) });
    const waiting = q.next();
    q[Symbol.dispose]();
    q.add('late');
    expect(await waiting).toBeUndefined();
    expect(await q.next()).toBeUndefined();
    expect(q.size).toBe(0);
  });

  test('forget starts the back-off again', async () => {
    const clock = new VirtualClock();
    const q = new WorkQueue({ clock, random: seededRandom(1), backoff: { initialMs: 10, maxMs: 1_000, jitter: 0 } });
    const delays: number[] = [];
    for (const forget of [false, false, true, false]) {
      if (forget) q.forget('k');
      q.addRateLimited('k');
      delays.push((clock.nextAt() ?? 0) - clock.monotonic());
      const taken = q.next();
      await clock.advance(1_000);
      q.done((await taken) ?? '');
    }
    expect(delays).toEqual([10, 20, 10, 20]);
  });
});

describe('heap', () => {
  test('gives items in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (items) => {
        const h = new Heap<number>((a, b) => a < b);
        for (const i of items) h.push(i);
        const out = items.map(() => h.pop());
        expect(out).toEqual(items.toSorted((a, b) => a - b));
        expect(h.pop()).toBeUndefined();
      }),
    );
  });
});
