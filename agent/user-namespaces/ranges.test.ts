import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkPool, defaultPool, freeRange, hostId, IDS_PER_POD, type IdRange } from './ranges.ts';

const pool = (o: Partial<Parameters<typeof freeRange>[0]> = {}) => ({
  ...defaultPool(IDS_PER_POD),
  idsPerPod: IDS_PER_POD,
  start: 0,
  ...o,
});

describe('freeRange', () => {
  test('the first one is that of the kubelet: never the ids of the node itself', () => {
    expect(freeRange(pool(), [])).toEqual({ first: 65_536, count: 65_536 });
    expect(freeRange(pool(), [{ first: 65_536, count: 65_536 }])).toEqual({ first: 131_072, count: 65_536 });
  });

  test('no two pods share an id, whatever was held under other settings, and none has the id 2^32-1', () => {
    const held = fc.array(
      fc.record({ first: fc.integer({ min: 1, max: 2 ** 22 }), count: fc.integer({ min: 1, max: 2 ** 18 }) }),
      { maxLength: 40 },
    );
    const settings = fc.record({ idsPerPod: fc.constantFrom(65_536, 131_072), start: fc.integer({ min: 0, max: 70 }) });
    fc.assert(
      fc.property(held, settings, fc.integer({ min: 1, max: 20 }), (old, s, count) => {
        const p = { first: s.idsPerPod, count: 64 * s.idsPerPod, ...s };
        const all: IdRange[] = [...old];
        try {
          for (let i = 0; i < count; i++) all.push(freeRange(p, all));
        } catch {
          /* None is left: nobody got one twice. */
        }
        const given = all.slice(old.length);
        for (const [i, a] of given.entries()) {
          expect(a.first).toBeGreaterThanOrEqual(p.first);
          expect(a.first + a.count).toBeLessThanOrEqual(p.first + p.count);
          for (const b of [...old, ...given.slice(i + 1)])
            expect(a.first + a.count <= b.first || b.first + b.count <= a.first).toBe(true);
        }
      }),
    );
    const last = freeRange(pool({ start: 65_533 }), []);
    expect(last.first + last.count).toBe(2 ** 32 - 65_536);
    expect(freeRange(pool({ start: 65_533 }), [last]).first).toBe(65_536);
  });

  test('a pool that is used up is told in the kubelet’s words', () => {
    const small = pool({ count: 65_536 });
    expect(() => freeRange(small, [freeRange(small, [])])).toThrow(/could not find an empty slot/);
  });
});

test.each([
  [{ first: 65_537, count: 65_536 * 250 }, 'ID 65537 is not a multiple of 65536'],
  [{ first: 0, count: 65_536 * 250 }, 'ID 0 must be greater or equal to 65536'],
  [{ first: 65_536, count: 65_536 * 250 + 1 }, 'IDs length 16384001 is not a multiple of 65536'],
  [{ first: 65_536, count: 65_536 * 249 }, 'IDs are not enough to support 250 pods'],
])('checkPool: %j is refused', (range, why) => {
  expect(() => checkPool(range, IDS_PER_POD, 250)).toThrow(`kubelet user assigned ${why}`);
  expect(() => checkPool(defaultPool(IDS_PER_POD), IDS_PER_POD, 250)).not.toThrow();
});

test('hostId: an id of the pod is that far behind its root; one that the namespace has not is refused', () => {
  const ids = { first: 131_072, count: 65_536 };
  expect([hostId(ids, 0, 'user'), hostId(ids, 65_535, 'user'), hostId(undefined, 70_000, 'user')]).toEqual([
    131_072, 196_607, 70_000,
  ]);
  expect(() => hostId(ids, 65_536, 'fsGroup')).toThrow("fsGroup 65536 is not in the pod's user namespace");
});
