import { expect, test } from 'vitest';
import { takeTurn } from './turn.ts';

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
