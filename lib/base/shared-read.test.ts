import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextTurn } from './clock.ts';
import { SharedRead } from './shared-read.ts';

interface Begun {
  readonly answer: (value: number) => void;
  readonly fail: (e: Error) => void;
}

function scripted(): { shared: SharedRead<number>; begun: Begun[] } {
  const begun: Begun[] = [];
  const shared = new SharedRead<number>(() => new Promise((answer, fail) => void begun.push({ answer, fail })));
  return { shared, begun };
}

async function turns(n: number): Promise<void> {
  for (let i = 0; i < n; i++) await nextTurn();
}

describe('a read that many share', () => {
  test('who comes while one is under way waits for the next, which all of them share', async () => {
    const { shared, begun } = scripted();
    const first = shared.read();
    const later = [shared.read(), shared.read()];
    expect(begun).toHaveLength(1);
    begun[0]?.answer(1);
    expect(await first).toBe(1);
    // Between the two reads.
    later.push(shared.read());
    await turns(3);
    expect(begun).toHaveLength(2);
    const last = shared.read();
    begun[1]?.answer(2);
    expect(await Promise.all(later)).toEqual([2, 2, 2]);
    await turns(3);
    begun[2]?.answer(3);
    expect(await last).toBe(3);
    expect(begun).toHaveLength(3);
  });

  test('one that fails does so for those who asked for it alone', async () => {
    const { shared, begun } = scripted();
    const first = shared.read();
    const second = shared.read();
    begun[0]?.fail(new Error('cut'));
    await expect(first).rejects.toThrow('cut');
    await turns(3);
    begun[1]?.answer(2);
    expect(await second).toBe(2);
    const third = shared.read();
    begun[2]?.answer(3);
    expect(await third).toBe(3);
  });

  test('no answer is older than what was written before it was asked for', async () => {
    const step = fc.constantFrom('write', 'read', 'answer', 'fail', 'turn');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        let written = 0;
        const underWay: (() => void)[] = [];
        const failing: (() => void)[] = [];
        // As of its beginning, the oldest that a linearizable read may give.
        const shared = new SharedRead<number>(() => {
          const seen = written;
          return new Promise((resolve, reject) => {
            underWay.push(() => resolve(seen));
            failing.push(() => reject(new Error('cut')));
          });
        });
        const end = (how: (() => void)[]): void => {
          how[0]?.();
          underWay.shift();
          failing.shift();
        };
        const asked: Promise<void>[] = [];
        for (const s of steps) {
          if (s === 'write') written++;
          else if (s === 'answer') end(underWay);
          else if (s === 'fail') end(failing);
          else if (s === 'turn') await nextTurn();
          else {
            const before = written;
            const check = (seen: number): void => expect(seen).toBeGreaterThanOrEqual(before);
            const cut = (e: unknown): void => expect(e).toEqual(new Error('cut'));
            asked.push(shared.read().then(check, cut));
            expect(underWay.length).toBeLessThanOrEqual(1);
          }
        }
        // All are answered in the end, by two reads at most.
        for (let i = 0; i < 3; i++) {
          end(underWay);
          await turns(4);
        }
        await Promise.all(asked);
        expect(underWay).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
