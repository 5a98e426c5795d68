import { setMaxListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '#lib/base';
import { Dispatcher, type Flow, type Seat, TooBusy } from './dispatcher.ts';
import type { LevelSettings } from './levels.ts';
import { dealHand, flowHash } from './shuffle.ts';

const { signal } = new AbortController();
setMaxListeners(0, signal);
const QUEUING = { queues: 64, handSize: 6, queueLengthMax: 50 };

function level(name: string, o: Partial<LevelSettings> = {}): LevelSettings {
  return { name, isExempt: false, nominalSeats: 4, lendableSeats: 0, seatsMax: 1_000, queuing: QUEUING, ...o };
}

function flow(distinguisher: string, name = 'work'): Flow {
  return { level: name, schema: 'schema', distinguisher };
}

function open(levels: LevelSettings[], waitMsMax = 15_000): { clock: VirtualClock; d: Dispatcher } {
  const clock = new VirtualClock();
  const d = new Dispatcher({ clock, waitMsMax });
  d.configure(levels);
  return { clock, d };
}

/** A client that keeps `parallel` requests of `tookMs` under way until `untilMs`; gives the waits of those that ran. */
async function client(
  { clock, d }: { clock: VirtualClock; d: Dispatcher },
  f: Flow,
  o: { parallel: number; tookMs: number; untilMs: number },
): Promise<number[]> {
  const waits: number[] = [];
  const one = async (): Promise<void> => {
    while (clock.now() < o.untilMs) {
      try {
        const seat = await d.acquire(f, { seats: 1 }, signal);
        await clock.sleep(o.tookMs);
        seat.release();
        waits.push(seat.waitedMs);
      } catch (e) {
        if (!(e instanceof TooBusy)) throw e;
        await clock.sleep(1_000);
      }
    }
  };
  await Promise.all(Array.from({ length: o.parallel }, one));
  return waits;
}

describe('fairness within a level (KEP-1040)', () => {
  test('a client of 100 parallel requests does not starve one of a single request at a time', async () => {
    const o = open([level('work', { nominalSeats: 4 })]);
    const untilMs = o.clock.now() + 10_000;
    const noisy = client(o, flow('noisy'), { parallel: 100, tookMs: 20, untilMs });
    const quiet = client(o, flow('quiet'), { parallel: 1, tookMs: 20, untilMs });
    await run(o.clock, 30_000);
    const [many, few] = [await noisy, await quiet];
    // Four seats of 20 ms: one is free every 5 ms, and the quiet client's turn is at hand.
    expect(Math.max(...few)).toBeLessThanOrEqual(40);
    expect(few.length).toBeGreaterThan(250);
    expect(many.length).toBeGreaterThan(1_000);
  });

  test('the same without queues of their own: with one queue the quiet client waits behind all', async () => {
    const o = open([level('work', { queuing: { queues: 1, handSize: 1, queueLengthMax: 500 } })]);
    const untilMs = o.clock.now() + 10_000;
    const noisy = client(o, flow('noisy'), { parallel: 100, tookMs: 20, untilMs });
    const quiet = client(o, flow('quiet'), { parallel: 1, tookMs: 20, untilMs });
    await run(o.clock, 30_000);
    await noisy;
    expect(Math.max(...(await quiet))).toBeGreaterThan(400);
  });

  test('who asks for slow work waits longer, so that both have the same seat time', async () => {
    const o = open([level('work', { nominalSeats: 1, queuing: { ...QUEUING, handSize: 1 } })]);
    const [slowName, fastName] = differentQueues();
    const untilMs = o.clock.now() + 20_000;
    const slow = client(o, flow(slowName), { parallel: 5, tookMs: 100, untilMs });
    const fast = client(o, flow(fastName), { parallel: 5, tookMs: 10, untilMs });
    await run(o.clock, 60_000);
    const ratio = ((await slow).length * 100) / ((await fast).length * 10);
    expect(ratio).toBeGreaterThan(0.85);
    expect(ratio).toBeLessThan(1.15);
  });

  test('wide requests are waited for, not overtaken for ever by narrow ones', async () => {
    const o = open([level('work', { nominalSeats: 4 })]);
    const untilMs = o.clock.now() + 5_000;
    const narrow = client(o, flow('narrow'), { parallel: 20, tookMs: 10, untilMs });
    await run(o.clock, 100);
    const wide = Promise.resolve(o.d.acquire(flow('wide'), { seats: 4 }, signal));
    await run(o.clock, 200);
    const seat = await wide;
    expect(seat.waitedMs).toBeLessThan(100);
    seat.release();
    await run(o.clock, 20_000);
    await narrow;
  });
});

describe('refusals', () => {
  const refusal = async (seat: Seat | Promise<Seat>): Promise<string> => {
    try {
      await seat;
      return 'served';
    } catch (e) {
      return e instanceof TooBusy ? e.refusal : String(e);
    }
  };

  test('a full hand is refused with 429 and Retry-After 1; others still find room', async () => {
    const { d } = open([level('work', { nominalSeats: 1, queuing: { queues: 64, handSize: 2, queueLengthMax: 3 } })]);
    const seats = Array.from({ length: 7 }, () => d.acquire(flow('noisy'), { seats: 1 }, signal));
    expect(seats).toHaveLength(7);
    let error: unknown;
    try {
      await d.acquire(flow('noisy'), { seats: 1 }, signal);
    } catch (e) {
      error = e;
    }
    expect(error).toMatchObject({ kind: 'TooManyRequests', refusal: 'queue-full', details: { retryAfterSeconds: 1 } });
    expect(d.acquire(flow('quiet'), { seats: 1 }, signal)).toBeInstanceOf(Promise);
  });

  test('a level that rejects never queues', () => {
    const { d } = open([level('work', { nominalSeats: 1, queuing: undefined })]);
    const seat = d.acquire(flow('a'), { seats: 1 }, signal);
    expect(() => d.acquire(flow('b'), { seats: 1 }, signal)).toThrow(TooBusy);
    (seat as Seat).release();
    expect(d.acquire(flow('b'), { seats: 1 }, signal)).not.toBeInstanceOf(Promise);
  });

  test('who waits too long is refused, and the seat goes to others', async () => {
    const { clock, d } = open([level('work', { nominalSeats: 1 })], 1_000);
    const running = d.acquire(flow('a'), { seats: 1 }, signal) as Seat;
    const late = refusal(d.acquire(flow('b'), { seats: 1 }, signal));
    await clock.advance(999);
    const next = d.acquire(flow('c'), { seats: 1 }, signal);
    await clock.advance(1);
    expect(await late).toBe('time-out');
    running.release();
    expect((await next).waitedMs).toBe(1);
  });

  test('a client that goes away leaves its queue', async () => {
    const { d } = open([level('work', { nominalSeats: 1 })]);
    const running = d.acquire(flow('a'), { seats: 1 }, signal) as Seat;
    const abort = new AbortController();
    const gone = Promise.resolve(d.acquire(flow('b'), { seats: 1 }, abort.signal));
    abort.abort(new Error('gone'));
    await expect(gone).rejects.toThrow('gone');
    expect([...d.report()][0]).toMatchObject({ waiting: 0, running: 1 });
    running.release();
    expect([...d.report()][0]).toMatchObject({ waiting: 0, running: 0, seatsInUse: 0 });
  });

  test('an exempt level never waits', () => {
    const { d } = open([level('work', { isExempt: true, nominalSeats: 0, queuing: undefined })]);
    for (let i = 0; i < 1_000; i++) expect(d.acquire(flow('a'), { seats: 10 }, signal)).not.toBeInstanceOf(Promise);
  });
});

describe('seats', () => {
  test('what a level does not use is lent, and comes back before others borrow more', async () => {
    const lender = level('lender', { nominalSeats: 4, lendableSeats: 3 });
    const { d } = open([lender, level('work', { nominalSeats: 2 })]);
    const take = (name: string): Seat | Promise<Seat> => d.acquire(flow('a', name), { seats: 1 }, signal);
    const borrowed = Array.from({ length: 5 }, () => take('work') as Seat);
    for (const seat of borrowed) expect(seat).not.toBeInstanceOf(Promise);
    const borrower = take('work');
    expect(borrower).toBeInstanceOf(Promise);
    expect(take('lender')).not.toBeInstanceOf(Promise);
    const owner = take('lender');
    expect(owner).toBeInstanceOf(Promise);
    borrowed[0]?.release();
    expect((await owner).waitedMs).toBe(0);
    for (const seat of borrowed) seat.release();
    await borrower;
  });

  test('a borrowing limit holds', () => {
    const lender = level('lender', { nominalSeats: 10, lendableSeats: 10 });
    const { d } = open([lender, level('work', { nominalSeats: 2, seatsMax: 3 })]);
    const taken = Array.from({ length: 4 }, () => d.acquire(flow('a'), { seats: 1 }, signal));
    expect(taken.map((s) => s instanceof Promise)).toEqual([false, false, false, true]);
  });

  test('the seats of watchers are kept for their time after the request', async () => {
    const { clock, d } = open([level('work', { nominalSeats: 2 })]);
    const seat = d.acquire(flow('a'), { seats: 1, finalSeats: 2, finalMs: 5 }, signal) as Seat;
    seat.release();
    seat.release();
    const next = d.acquire(flow('b'), { seats: 1 }, signal);
    expect(next).toBeInstanceOf(Promise);
    await clock.advance(5);
    expect((await next).waitedMs).toBe(5);
  });

  test('a level that is gone serves those that wait and takes no more', async () => {
    const { d } = open([level('work', { nominalSeats: 1 }), level('other')]);
    const running = d.acquire(flow('a'), { seats: 1 }, signal) as Seat;
    const waiting = d.acquire(flow('b'), { seats: 1 }, signal);
    d.configure([level('other')]);
    expect(() => d.acquire(flow('c'), { seats: 1 }, signal)).toThrow(TooBusy);
    running.release();
    (await waiting).release();
    expect([...d.report()].map((r) => r.settings.name)).toEqual(['other']);
  });

  test('more seats start those that wait', async () => {
    const { d } = open([level('work', { nominalSeats: 1 })]);
    void d.acquire(flow('a'), { seats: 1 }, signal);
    const waiting = d.acquire(flow('b'), { seats: 1 }, signal);
    d.configure([level('work', { nominalSeats: 2 })]);
    expect((await waiting).waitedMs).toBe(0);
  });
});

describe('laws', () => {
  const step = fc.record({
    level: fc.nat(2),
    user: fc.nat(5),
    seats: fc.integer({ min: 1, max: 6 }),
    tookMs: fc.nat(40),
  });

  test('no level has more than its most, the server never more than its seats, everyone ends, nobody waits without need', async () => {
    const law = async (steps: { level: number; user: number; seats: number; tookMs: number }[]): Promise<void> => {
      const levels = [
        level('0', { nominalSeats: 6, lendableSeats: 4, seatsMax: 8 }),
        level('1', { nominalSeats: 3, lendableSeats: 1, seatsMax: 100 }),
        level('2', { nominalSeats: 5, lendableSeats: 5, seatsMax: 5 }),
      ];
      // Level 2 keeps one seat to itself, though all of its seats are lendable.
      const total = 14;
      const { clock, d } = open(levels);
      let served = 0;
      const check = (): void => {
        const reports = [...d.report()];
        for (const r of reports) {
          expect(r.seatsInUse).toBeLessThanOrEqual(r.settings.seatsMax);
          const own = Math.max(1, r.settings.nominalSeats - r.settings.lendableSeats);
          if (r.waiting > 0) expect(r.seatsInUse + 6).toBeGreaterThan(own);
        }
        const used = reports.reduce((sum, r) => sum + r.seatsInUse, 0);
        expect(used).toBeLessThanOrEqual(total);
        if (used === 0) for (const r of reports) expect(r.waiting).toBe(0);
      };
      const serve = async (s: (typeof steps)[number]): Promise<void> => {
        const seat = await d.acquire(flow(`u${s.user}`, `${s.level}`), { seats: s.seats }, signal);
        check();
        await clock.sleep(s.tookMs);
        seat.release();
        check();
        served++;
      };
      const all = steps.map(serve);
      await run(clock, 14_000);
      await Promise.all(all);
      expect(served).toBe(steps.length);
      for (const r of d.report()) expect(r).toMatchObject({ seatsInUse: 0, waiting: 0, running: 0 });
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), law), { numRuns: 60 });
  });

  test('a hand is different queues of the deck, always the same for a flow', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 10 }),
        (name, queues, size) => {
          const hand = dealHand(flowHash('s', name), queues, size);
          expect(hand).toEqual(dealHand(flowHash('s', name), queues, size));
          expect(new Set(hand).size).toBe(Math.min(queues, size));
          for (const card of hand) expect(card >= 0 && card < queues).toBe(true);
        },
      ),
    );
  });

  test('hands are spread evenly', () => {
    const counts = new Map<number, number>();
    for (let i = 0; i < 4_000; i++)
      for (const card of dealHand(flowHash('s', `user-${i}`), 16, 4)) counts.set(card, (counts.get(card) ?? 0) + 1);
    for (const n of counts.values()) expect(Math.abs(n - 1_000)).toBeLessThan(150);
  });
});

/** What has been called is let begin first: timers of a later instant must not be the next. */
async function run(clock: VirtualClock, ms: number): Promise<void> {
  await clock.advance(0);
  await clock.advance(ms);
}

/** Two flows that the one-card deal gives different queues. */
function differentQueues(): [string, string] {
  const queueOf = (name: string): number | undefined => dealHand(flowHash('schema', name), 64, 1)[0];
  const first = 'slow';
  for (let i = 0; ; i++) if (queueOf(`fast-${i}`) !== queueOf(first)) return [first, `fast-${i}`];
}
