import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Cpu, formatCpuSet, parseCpuSet, takeCpus } from './cpu-set.ts';

test.each<[string, number[] | undefined]>([
  ['0-3,8', [0, 1, 2, 3, 8]],
  ['5,1-2\n', [1, 2, 5]],
  ['', []],
  ['3-1', undefined],
  ['a', undefined],
  ['1,', undefined],
  ['0-99999999', undefined],
])('list %j', (text, wanted) => {
  expect(parseCpuSet(text)).toEqual(wanted);
});

test('what is written is read again', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 200 })), (ids) => {
      expect(parseCpuSet(formatCpuSet(ids))).toEqual([...ids].sort((a, b) => a - b));
    }),
  );
  expect(formatCpuSet([3, 1, 2, 7])).toBe('1-3,7');
});

/** Two sockets of two cores of two threads, numbered as Linux does: siblings are 4 apart. */
const MACHINE: Cpu[] = Array.from({ length: 8 }, (_, id) => {
  const socket = String(Math.floor((id % 4) / 2));
  return { id, socket, core: `${socket}:${id % 4}` };
});

test.each<[string, number[], number, number[] | undefined]>([
  ['a whole socket', [0, 1, 2, 3, 4, 5, 6, 7], 4, [0, 1, 4, 5]],
  ['a whole core', [0, 1, 2, 3, 4, 5, 6, 7], 2, [0, 4]],
  ['of a core in use rather than of a free one', [1, 2, 3, 5, 6, 7, 4], 1, [4]],
  ['a core and a thread', [1, 5, 2, 6, 3], 3, [1, 3, 5]],
  ['all', [0, 1, 2, 3, 4, 5, 6, 7], 8, [0, 1, 2, 3, 4, 5, 6, 7]],
  ['more than there are', [1, 2], 3, undefined],
])('takes %s (cpu_assignment.go)', (_, free, count, wanted) => {
  expect(takeCpus(MACHINE, new Set(free), count)).toEqual(wanted);
});

test('takes just so many, and only free ones', () => {
  fc.assert(
    fc.property(fc.subarray(MACHINE.map((c) => c.id)), fc.integer({ min: 0, max: 8 }), (free, count) => {
      const taken = takeCpus(MACHINE, new Set(free), count);
      if (count > free.length) expect(taken).toBeUndefined();
      else {
        expect(new Set(taken).size).toBe(count);
        for (const id of taken ?? []) expect(free).toContain(id);
      }
    }),
  );
});
