import { lstat, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeMountParents } from './mount-parents.ts';

let folder: string;
let root: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-parents-'));
  root = join(folder, 'root');
  await mkdir(root);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const mode = async (path: string): Promise<number> => (await stat(join(root, path))).mode & 0o7777;

test('folders that the image lacks are everybody’s to enter, those it has stay as they are', async () => {
  await mkdir(join(root, 'var'));
  await mkdir(join(root, 'var/lib'), { mode: 0o700 });
  const old = process.umask(0o077);
  try {
    await makeMountParents(root, ['/var/run/secrets/kubernetes.io/serviceaccount', '/var/lib/x/y', '/top', '/']);
  } finally {
    process.umask(old);
  }
  expect(await mode('var/run/secrets/kubernetes.io')).toBe(0o755);
  expect(await mode('var/lib')).toBe(0o700);
  expect(await readdir(join(root, 'var/run/secrets/kubernetes.io'))).toEqual([]);
  expect((await readdir(root)).sort()).toEqual(['var']);
});

test('links are followed inside the root and never out of it', async () => {
  await mkdir(join(root, 'var'));
  await symlink('/run', join(root, 'var/run'));
  await symlink('../../../../out', join(root, 'var/up'));
  await symlink(folder, join(root, 'abs'));
  await makeMountParents(root, ['/var/run/secrets/x', '/var/up/a/b', '/abs/c/d', '/../../e/f']);
  expect(await mode('run/secrets')).toBe(0o755);
  expect(await mode('out/a')).toBe(0o755);
  expect((await lstat(join(root, folder, 'c'))).isDirectory()).toBe(true);
  expect(await mode('e')).toBe(0o755);
  expect(await readdir(folder)).toEqual(['root']);
});

test('circles, files on the way and a root that is not there end it quietly', async () => {
  await symlink('b', join(root, 'a'));
  await symlink('a', join(root, 'b'));
  await writeFile(join(root, 'file'), '');
  await makeMountParents(root, ['/a/x/y', '/file/x/y', '/fine/x']);
  expect((await readdir(root)).sort()).toEqual(['a', 'b', 'file', 'fine']);
  await expect(makeMountParents(join(folder, 'none'), ['/a/b'])).resolves.toBeUndefined();
});
