import { chmod, mkdir, mkdtemp, open, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makePrivateFolder, readUpTo, removeDrafts, removeFile, removeFolder } from './files.ts';

test('a private folder is for its owner only, made now or found open', async () => {
  const base = await mkdtemp(join(tmpdir(), 'berth-files-'));
  const [made, found] = [join(base, 'a/b'), join(base, 'c')];
  await mkdir(found);
  await chmod(found, 0o755);
  for (const path of [made, found, found]) {
    await makePrivateFolder(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  }
  await rm(base, { recursive: true });
});

test('drafts of processes that are no more go; those of living ones and other files stay', async () => {
  const base = await mkdtemp(join(tmpdir(), 'berth-files-'));
  const [gone, living] = [0x7fffffff, process.ppid];
  const stays = ['a.json', `.a.json.${living}.1.tmp`, `a.json.${gone}.1.tmp`, '.a.json.tmp'];
  for (const name of [...stays, `.a.json.${gone}.7.tmp`, `.a.json.${process.pid}.9.tmp`])
    await writeFile(join(base, name), '');
  await removeDrafts(base);
  await removeDrafts(join(base, 'absent'));
  expect((await readdir(base)).sort()).toEqual(stays.sort());
  for (const name of ['a', 'b.c']) await writeFile(join(base, `.${name}.${gone}.1.tmp`), '');
  await removeDrafts(base, 'b.c');
  expect((await readdir(base)).sort()).toEqual([...stays, `.a.${gone}.1.tmp`].sort());
  await rm(base, { recursive: true });
});

test('a folder goes with all that is in it, but nothing that a link in it leads to; what is gone is no error', async () => {
  const base = await mkdtemp(join(tmpdir(), 'berth-files-'));
  const [folder, other] = [join(base, 'a'), join(base, 'b')];
  await mkdir(join(folder, 'c/d'), { recursive: true });
  await mkdir(other);
  for (const path of [join(folder, '1'), join(folder, 'c/d/2'), join(other, '3')]) await writeFile(path, '');
  await symlink(other, join(folder, 'c/link'));
  await removeFolder(folder);
  await removeFolder(folder);
  expect(await readdir(base)).toEqual(['b']);
  await removeFile(join(other, '3'));
  await removeFile(join(other, '3'));
  expect(await readdir(other)).toEqual([]);
  await expect(removeFile(other)).rejects.toThrow(/EISDIR|EPERM/);
  await rm(base, { recursive: true });
});

test('the beginning of a file: no more than asked for, in a buffer no larger than the file; a device reads as empty', async () => {
  const base = await mkdtemp(join(tmpdir(), 'berth-files-'));
  await writeFile(join(base, 'a'), 'hello');
  await using file = await open(join(base, 'a'));
  const whole = await readUpTo(file, 1 << 20);
  expect(whole.toString()).toBe('hello');
  expect(whole.buffer.byteLength).toBeLessThan(1 << 16);
  expect((await readUpTo(file, 3)).toString()).toBe('hel');
  await using device = await open('/dev/zero');
  expect(await readUpTo(device, 10)).toHaveLength(0);
  await rm(base, { recursive: true });
});
