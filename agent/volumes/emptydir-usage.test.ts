import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Pod } from '#lib/api';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { RecordingKernel } from '../kernel/recording.ts';
import { diskUsage, limitedOnDisk } from './emptydir-usage.ts';
import { openVolumes } from './open.ts';

const c: Ctx = { signal: new AbortController().signal, clock: new VirtualClock(), log: silentLogger };
const folders: string[] = [];

afterEach(async () => {
  for (const f of folders.splice(0)) await rm(f, { recursive: true });
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'berth-usage-'));
  folders.push(path);
  return path;
}

/** The machine's own programs. */
const real: Programs = {
  run: ([program = '', ...args]) =>
    new Promise((resolve) => {
      execFile(program, args, { encoding: 'buffer' }, (e, stdout, stderr) =>
        resolve({ code: e === null ? 0 : 1, stdout, stderr }),
      );
    }),
};

const podOf = (...volumes: object[]): Pod =>
  ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', uid: 'u' }, spec: { containers: [], volumes } }) as Pod;

test('only emptyDirs on disk with a limit are looked at', () => {
  const pod = podOf(
    { name: 'a', emptyDir: { sizeLimit: '1Mi' } },
    { name: 'b', emptyDir: {} },
    { name: 'c', emptyDir: { sizeLimit: '1Mi', medium: 'Memory' } },
    { name: 'd', emptyDir: { sizeLimit: '0' } },
    { name: 'e', configMap: { name: 'x' } },
  );
  expect(limitedOnDisk(pod)).toEqual([{ name: 'a', limit: '1Mi', bytesMax: 1 << 20 }]);
});

test('what is in folders counts, what links lead to does not', async () => {
  const [path, elsewhere] = [await folder(), await folder()];
  await writeFile(join(elsewhere, 'big'), Buffer.alloc(4 << 20, 1));
  await symlink(elsewhere, join(path, 'link'));
  await mkdir(join(path, 'deep/er'), { recursive: true });
  await writeFile(join(path, 'deep/er/file'), Buffer.alloc(1 << 20, 1));
  const bytes = (await diskUsage(path, real, c)) ?? 0;
  expect(bytes).toBeGreaterThanOrEqual(1 << 20);
  expect(bytes).toBeLessThan(2 << 20);
  expect(await diskUsage(join(path, 'nowhere'), real, c)).toBeUndefined();
});

const noStorage = { folderOf: () => Promise.reject(new Error('none')) };

test('the volume that holds more than its limit is named', async () => {
  const kernel = new RecordingKernel();
  Object.assign(kernel, { programs: real });
  const sources = {
    configMap: () => undefined,
    secret: () => undefined,
    claim: () => undefined,
    persistentVolume: () => undefined,
    serviceAccountToken: () => Promise.reject(new Error('none')),
    nodeAllocatable: () => ({}),
  };
  const volumes = await openVolumes({ kernel, folder: await folder(), sources, storage: noStorage }, c);
  const pod = podOf(
    { name: 'a', emptyDir: { sizeLimit: '8Mi' } },
    { name: 'b', emptyDir: { sizeLimit: '1Mi' } },
    { name: 'c', emptyDir: {} },
  );
  for (const name of ['a', 'b', 'c']) {
    const { hostPath } = await volumes.prepare({ pod, volumeName: name }, c);
    if (name !== 'b') await writeFile(join(hostPath, 'x'), Buffer.alloc(2 << 20, 1));
  }
  expect(await volumes.overLimit(pod, c)).toBeUndefined();
  const { hostPath } = await volumes.prepare({ pod, volumeName: 'b' }, c);
  await writeFile(join(hostPath, 'x'), Buffer.alloc(2 << 20, 1));
  expect(await volumes.overLimit(pod, c)).toMatchObject({ name: 'b', limit: '1Mi' });
});
