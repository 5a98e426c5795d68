import { expect, test } from 'vitest';
import { Recent } from './recent.ts';

const make = (sizeMax = 10): Recent<string> => new Recent<string>({ sizeMax, sizeOf: (text) => text.length });

test('recent: a value is read once; what is not there and what failed is asked for again', async () => {
  const recent = make();
  const asked: string[] = [];
  const read = (key: string, value: string | undefined) =>
    recent.read(key, () => {
      asked.push(key);
      return Promise.resolve(value);
    });
  expect([await read('a', 'x'), await read('a', 'y')]).toEqual(['x', 'x']);
  expect([await read('b', undefined), await read('b', 'z')]).toEqual([undefined, 'z']);
  await expect(recent.read('c', () => Promise.reject(new Error('disk')))).rejects.toThrow('disk');
  expect(await read('c', 'w')).toBe('w');
  expect(asked).toEqual(['a', 'b', 'b', 'c']);
});

test('recent: a reading from before a change is not kept after it', async () => {
  const recent = make();
  let answer = (_: string): void => undefined;
  const early = recent.read(
    'tag',
    () =>
      new Promise<string>((resolve) => {
        answer = resolve;
      }),
  );
  recent.forget('tag'); // the change begins, and ends
  recent.forget('tag');
  answer('old');
  expect(await early).toBe('old');
  expect(await recent.read('tag', () => Promise.resolve('new'))).toBe('new');
});

test('recent: the least recently used go first, and what is larger than all is not kept', async () => {
  const recent = make(4);
  let reads = 0;
  const read = (key: string, value: string) =>
    recent.read(key, () => {
      reads++;
      return Promise.resolve(value);
    });
  for (const key of ['a', 'b', 'a', 'c']) await read(key, 'xx');
  expect(reads).toBe(3);
  await read('a', 'xx');
  expect(reads).toBe(3);
  await read('b', 'xx');
  expect(reads).toBe(4);
  await read('large', 'xxxxx');
  await read('large', 'xxxxx');
  expect(reads).toBe(6);
});
