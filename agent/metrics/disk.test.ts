import { expect, test } from 'vitest';
import { Scope, StatusError, silentLogger, VirtualClock } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { DiskUsages } from './disk.ts';

test('DiskUsages: folders that take too long to walk hide nothing of the others', async () => {
  await using scope = new Scope('test');
  let isSlow = false;
  const run = async (argv: readonly string[]) => {
    if (isSlow && argv.includes('/f/0')) throw new StatusError('DeadlineExceeded', 'du was ended');
    const lines = argv.slice(5).map((path) => `${isSlow ? 2 : 1}\t${path}\n`);
    return { code: 0, stdout: Buffer.from(lines.join('')), stderr: Buffer.alloc(0) };
  };
  const clock = new VirtualClock();
  const folders = Array.from({ length: 60 }, (_, i) => `/f/${i}`);
  const programs = { run } as unknown as Programs;
  const disk = new DiskUsages({ programs, folders: () => folders, scope, clock, log: silentLogger });
  await expect.poll(() => disk.read().get('/f/59')).toBe(1024);
  isSlow = true;
  await clock.advance(60_000);
  await expect.poll(() => disk.read().get('/f/59')).toBe(2048);
  expect(disk.read().get('/f/0')).toBe(1024);
});
