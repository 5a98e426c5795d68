/** Whose rights a container's process gets, by its image's own files. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { accountLines, resolveUser } from './user.ts';

const folders: string[] = [];

afterEach(async () => {
  for (const f of folders.splice(0)) await rm(f, { recursive: true });
});

async function image(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'berth-user-'));
  folders.push(root);
  await mkdir(join(root, 'etc'));
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0::/:/sh\nweb:x:1000:1001::/:/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nweb:x:1001:\nextra:x:50000:other,web\naudio:x:29:\n');
  return root;
}

test('Merge, the default: the groups that the image gives the user, and those of the pod', async () => {
  const pod = { runAsUser: 1000, supplementalGroups: [60000], fsGroup: 70000 };
  const merged = { uid: 1000, gid: 1001, additionalGids: [1001, 50000, 60000, 70000] };
  expect(await resolveUser(await image(), '', pod, undefined)).toEqual(merged);
  const said = { ...pod, supplementalGroupsPolicy: 'Merge' };
  expect(await resolveUser(await image(), 'web', said, undefined)).toEqual(merged);
});

test('Strict: only those of the pod, and the primary one of the image (KEP-3619)', async () => {
  const pod = { runAsUser: 1000, supplementalGroups: [60000], fsGroup: 70000, supplementalGroupsPolicy: 'Strict' };
  expect(await resolveUser(await image(), '', pod, undefined)).toEqual({
    uid: 1000,
    gid: 1001,
    additionalGids: [1001, 60000, 70000],
  });
  const own = { supplementalGroupsPolicy: 'Strict', runAsGroup: 3000 };
  expect(await resolveUser(await image(), 'web:extra', own, undefined)).toEqual({
    uid: 1000,
    gid: 3000,
    additionalGids: [3000],
  });
});

test('names of the image are looked up, unknown ones and root against runAsNonRoot are refused', async () => {
  const root = await image();
  expect(await resolveUser(root, 'web:audio', undefined, undefined)).toMatchObject({ uid: 1000, gid: 29 });
  await expect(resolveUser(root, 'nobody', undefined, undefined)).rejects.toThrow('unable to find user nobody');
  await expect(resolveUser(root, '', { runAsNonRoot: true }, undefined)).rejects.toThrow('image will run as root');
  await expect(resolveUser(root, 'web', { runAsNonRoot: true }, undefined)).rejects.toThrow('non-numeric user (web)');
});

test('a user of an image that is longer than any is refused, and not repeated whole', async () => {
  const failed = resolveUser(await image(), 'x'.repeat(5_000_000), undefined, undefined);
  await expect(failed).rejects.toThrow(/^unable to find user x{64}…: no matching entries in the image$/);
});

test('a passwd file that is a link out of the root is not read', async () => {
  const root = await image();
  await rm(join(root, 'etc/passwd'));
  await symlink('/etc/passwd', join(root, 'etc/passwd'));
  await expect(resolveUser(root, 'root', undefined, undefined)).rejects.toThrow('unable to find user root');
});

test('a folder that is swapped for a link all the time: only what the image has is ever read', async () => {
  const [root, outside] = [await image(), await image()];
  await writeFile(join(outside, 'etc/passwd'), 'secret:x:0:0::/:/sh\n');
  const swap = `
    const { renameSync, symlinkSync } = require('node:fs');
    const { workerData: [etc, outside] } = require('node:worker_threads');
    symlinkSync(outside, etc + '-link');
    for (;;) {
      renameSync(etc, etc + '-away'); renameSync(etc + '-link', etc);
      renameSync(etc, etc + '-link'); renameSync(etc + '-away', etc);
    }`;
  const worker = new Worker(swap, { eval: true, workerData: [join(root, 'etc'), join(outside, 'etc')] });
  try {
    const seen = new Set<string>();
    for (let i = 0; i < 1500; i++) for (const [name = ''] of await accountLines(root, 'etc/passwd')) seen.add(name);
    expect([...seen].sort()).toEqual(['root', 'web']);
  } finally {
    await worker.terminate();
  }
});
