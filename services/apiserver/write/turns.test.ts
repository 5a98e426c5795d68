import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

const never = { signal: new AbortController().signal };
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('turns of one key go round in order, those of another are free, and who gives up loses its place', async () => {
  const turns = new Turns();
  const order: string[] = [];
  const gone = new AbortController();
  const run = async (name: string, key = 'k', c = never): Promise<void> => {
    using _turn = await turns.take(key, c);
    order.push(`${name} begins`);
    await settled();
    order.push(`${name} ends`);
  };
  const first = run('a');
  const waiting = [run('b'), run('c', 'k', { signal: gone.signal }), run('d'), run('e', 'other')];
  gone.abort(new Error('gone'));
  await expect(waiting[1]).rejects.toThrow('gone');
  await Promise.all([first, waiting[0], waiting[2], waiting[3]]);
  expect(order.filter((x) => !x.startsWith('e'))).toEqual(['a', 'b', 'd'].flatMap((x) => [`${x} begins`, `${x} ends`]));
  expect(order.indexOf('e begins')).toBeLessThan(order.indexOf('b begins'));
  await expect(turns.take('k', { signal: AbortSignal.abort(new Error('late')) })).rejects.toThrow('late');
  using again = await turns.take('k', never);
  expect(again).toBeDefined();
});
