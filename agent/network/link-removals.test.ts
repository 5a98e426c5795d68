import { expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import type { ProgramResult, Programs } from '../kernel/kernel.ts';
import { LinkRemovals } from './link-removals.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

function scripted(): { programs: Programs; runs: { lines: string[]; end: (code: number, stderr?: string) => void }[] } {
  const runs: { lines: string[]; end: (code: number, stderr?: string) => void }[] = [];
  const programs: Programs = {
    run: (_argv, o) =>
      new Promise<ProgramResult>((resolve) => {
        const end = (code: number, stderr = ''): void =>
          resolve({ code, stdout: Buffer.alloc(0), stderr: Buffer.from(stderr) });
        runs.push({ lines: String(o.stdin).trim().split('\n'), end });
      }),
  };
  return { programs, runs };
}

test('who comes while links are being removed shares the next run, and hears of no other', async () => {
  const { programs, runs } = scripted();
  const removals = new LinkRemovals(programs, c);
  const first = removals.remove('a', c);
  const later = ['b', 'c', 'b'].map((link) => removals.remove(link, c));
  expect(runs.map((r) => r.lines)).toEqual([['link del a']]);
  runs[0]?.end(1, 'Cannot find device "a"\nCommand failed -:1\n');
  await first;
  await expect.poll(() => runs.length).toBe(2);
  const [set, ...more] = runs[1]?.lines ?? [];
  const group = Number(/^link set b group (\d+)$/.exec(set ?? '')?.[1]);
  expect(group).toBeGreaterThanOrEqual(2 ** 30);
  expect(group).toBeLessThan(2 ** 31);
  expect(more).toEqual([`link set c group ${group}`, `link del group ${group}`]);
  runs[1]?.end(1, 'RTNETLINK answers: Operation not permitted\n');
  for (const r of later) await expect(r).rejects.toThrow('Operation not permitted');
  const again = removals.remove('b', c);
  expect(runs[2]?.lines).toEqual(['link del b']);
  runs[2]?.end(0);
  await again;
});

test('who gives up leaves the others their run', async () => {
  const { programs, runs } = scripted();
  const removals = new LinkRemovals(programs, c);
  const gone = new AbortController();
  const first = removals.remove('a', { ...c, signal: gone.signal });
  const second = removals.remove('b', c);
  gone.abort(new Error('left'));
  await expect(first).rejects.toThrow('left');
  runs[0]?.end(0);
  await expect.poll(() => runs.length).toBe(2);
  runs[1]?.end(0);
  await second;
});
