import { expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import { Slots } from './slots.ts';

function ctx(): { c: Ctx; stop: AbortController } {
  const stop = new AbortController();
  return { c: { signal: stop.signal, clock: new VirtualClock(), log: silentLogger }, stop };
}

const never = (): Promise<void> => new Promise(() => undefined);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('no more than the count at once, in order', async () => {
  const slots = new Slots(2);
  const { c } = ctx();
  const order: string[] = [];
  const ends: (() => void)[] = [];
  const job = (name: string): Promise<void> =>
    slots.use(async () => {
      order.push(name);
      await new Promise<void>((resolve) => ends.push(resolve));
    }, c);
  const all = ['a', 'b', 'c', 'd'].map(job);
  await turn();
  expect(order).toEqual(['a', 'b']);
  ends[0]?.();
  await turn();
  expect(order).toEqual(['a', 'b', 'c']);
  ends[1]?.();
  await turn();
  for (const end of ends) end();
  await Promise.all(all);
  expect(order).toEqual(['a', 'b', 'c', 'd']);
});

test('who is cancelled while waiting leaves at once and loses no slot', async () => {
  const slots = new Slots(1);
  const first = ctx();
  const second = ctx();
  let release: () => void = () => undefined;
  const held = slots.use(
    () =>
      new Promise<void>((resolve) => {
        release = resolve;
      }),
    first.c,
  );
  const waiting = slots.use(never, second.c);
  second.stop.abort(new DOMException('over', 'AbortError'));
  await expect(waiting).rejects.toThrow('over');
  const third = slots.use(async () => 'ran', first.c);
  release();
  await held;
  expect(await third).toBe('ran');
  expect(await slots.use(async () => 'again', first.c)).toBe('again');
});

test('a cancel in the moment the slot is given passes it on', async () => {
  const slots = new Slots(1);
  const { c } = ctx();
  const second = ctx();
  let release: () => void = () => undefined;
  const held = slots.use(
    () =>
      new Promise<void>((resolve) => {
        release = resolve;
      }),
    c,
  );
  const waiting = slots.use(never, second.c).catch(() => 'cancelled');
  const third = slots.use(async () => 'ran', c);
  release();
  second.stop.abort();
  await held;
  expect(await waiting).toBe('cancelled');
  expect(await third).toBe('ran');
});
