import { expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { takeTurn, waitToChoose } from './turn.ts';

const instance = `turn${process.pid}`;

test('turn: the second is told who has it; afterwards it is free, another instance always', async () => {
  {
    await using _first = await takeTurn(instance, 'up');
    await expect(takeTurn(instance, 'down')).rejects.toThrow(
      new RegExp(`'berth up' \\(process ${process.pid}\\) is at work on instance "${instance}": wait`),
    );
    await using _other = await takeTurn(`${instance}b`, 'down');
  }
  await using _again = await takeTurn(instance, 'down');
});

test('turn: who makes a cluster waits for another that is being made, and is told who has it when that takes too long', async () => {
  const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const first = await waitToChoose(60_000, c);
  const order: string[] = [];
  const second = waitToChoose(60_000, c).then((turn) => {
    order.push('second');
    return turn;
  });
  await expect(waitToChoose(0, c)).rejects.toThrow(/'berth up' \(process \d+\) is making another cluster: try again/);
  order.push('first ends');
  await first[Symbol.asyncDispose]();
  await using _second = await second;
  expect(order).toEqual(['first ends', 'second']);
});
