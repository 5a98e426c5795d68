import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { closeAll, openChain } from './log-chain.ts';

const KEPT = 5;
/** What happens just before each look at a file. */
let before: () => void = () => undefined;

vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof import('node:fs/promises')>();
  const looked =
    <A extends unknown[], R>(fn: (...args: A) => R) =>
    (...args: A): R => {
      before();
      return fn(...args);
    };
  return { ...fs, open: looked(fs.open), stat: looked(fs.stat) };
});
const base = mkdtempSync(join(tmpdir(), 'berth-chain-'));
afterEach(() => {
  before = () => undefined;
  rmSync(base, { recursive: true, force: true });
});

test('however many rotations fall between two looks: files in their order, all that are left, none twice', async () => {
  const rotations = fc.array(fc.constantFrom(0, 0, 0, 1, 2, 3), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: KEPT }), rotations, async (files, plan) => {
      const folder = mkdtempSync(join(base, 'log-'));
      const path = join(folder, '0.log');
      const nameOf = (n: number): string => (n === 0 ? path : `${path}.${n}`);
      let newest = -1;
      const rotate = (): void => {
        for (let n = KEPT - 1; n >= 1; n--) if (existsSync(nameOf(n - 1))) renameSync(nameOf(n - 1), nameOf(n));
        writeFileSync(path, String(++newest));
      };
      for (let i = 0; i < files; i++) rotate();
      const [first, left] = [newest, [...plan]];
      before = () => {
        for (let n = left.shift() ?? 0; n > 0; n--) rotate();
      };
      const chain = await openChain(path);
      const seen = await Promise.all(chain.map(async (f) => Number(await f.handle.readFile('utf8'))));
      await closeAll(chain);
      const last = seen.at(-1) ?? -1;
      expect(last).toBeGreaterThanOrEqual(first);
      expect(seen).toEqual(seen.map((_, i) => last - seen.length + 1 + i));
      expect(seen[0]).toBeLessThanOrEqual(Math.max(newest - KEPT + 1, 0));
      expect(readdirSync(folder).length).toBeLessThanOrEqual(KEPT);
      rmSync(folder, { recursive: true });
    }),
    { numRuns: 300 },
  );
});
