import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { HelperMounts, linesWith } from './mounts.ts';

test('below: a path through a symbolic link finds what is mounted there, by the names that were asked for', async () => {
  const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const mounts = new HelperMounts(undefined as never); // Only the mount table is read.
  const folder = await mkdtemp(join(tmpdir(), 'berth-mounts-'));
  try {
    const link = join(folder, 'link');
    await symlink('/dev', link);
    const real = await mounts.below('/dev', c);
    expect(real).toContain('/dev');
    expect(await mounts.below(link, c)).toEqual(real.map((p) => p.replace('/dev', link)));
    expect(await mounts.below(join(folder, 'absent'), c)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('linesWith: whole lines, each once, the first and the last too', () => {
  const text = 'a x x\nb y\nc x\nd x';
  expect(linesWith(text, 'x')).toBe('a x x\nc x\nd x');
  expect(linesWith(text, 'y')).toBe('b y\n');
  expect(linesWith(text, 'z')).toBe('');
  expect(linesWith(`${text}\n`, 'd')).toBe('d x\n');
});
