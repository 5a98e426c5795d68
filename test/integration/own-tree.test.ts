/** Ownership of volumes by fsGroup on a real file system: nothing outside is touched, whatever a container does meanwhile. Root only. */
import { chmod, link, lstat, mkdir, mkdtemp, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '#lib/api';
import type { Ctx } from '#lib/base';
import { realClock, silentLogger } from '#lib/base';
import type { LinuxKernel } from '../../agent/kernel/linux/open.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { openVolumes, teardownVolumes } from '../../agent/volumes/open.ts';

const helperPath = join(import.meta.dirname, '../../dist/berth-helper');
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

describe.skipIf(process.getuid?.() !== 0)('ownership of volumes (root)', () => {
  let folder: string;
  let kernel: LinuxKernel;
  const at = (...parts: string[]): string => join(folder, ...parts);
  const owner = async (path: string) => {
    const { uid, gid, mode } = await lstat(path);
    return [uid, gid, mode & 0o7777] as const;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-own-'));
    kernel = await openKernel({ helperPath, environment: process.env });
  });
  afterAll(async () => {
    for (const point of await kernel.mounts.below(folder, c)) await kernel.mounts.unmount(point, c);
    await kernel[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test('files and folders get the group, owners stay, setuid stays; links and mounts lead nowhere', async () => {
    await mkdir(at('v/deep/er'), { recursive: true });
    await mkdir(at('outside'));
    await mkdir(at('v/mount'));
    await writeFile(at('v/deep/er/file'), 'x', { mode: 0o600 });
    await writeFile(at('v/program'), 'x');
    await chmod(at('v/program'), 0o4755);
    await writeFile(at('outside/secret'), 'x', { mode: 0o600 });
    await symlink(at('outside/secret'), at('v/link'));
    await symlink(at('outside'), at('v/folder'));
    await kernel.mounts.bind(at('outside'), at('v/mount'), {}, c);
    await kernel.ownTree(at('v'), 4321, c);
    expect(await owner(at('v'))).toEqual([0, 4321, 0o2775]);
    expect(await owner(at('v/deep/er'))).toEqual([0, 4321, 0o2775]);
    expect(await owner(at('v/deep/er/file'))).toEqual([0, 4321, 0o660]);
    expect(await owner(at('v/program'))).toEqual([0, 4321, 0o4775]);
    expect((await owner(at('v/link')))[1]).toBe(4321);
    expect(await owner(at('outside/secret'))).toEqual([0, 0, 0o600]);
    expect(await owner(at('outside'))).toEqual([0, 0, 0o755]);
    await kernel.ownTree(at('v'), 4321, c);
    await kernel.mounts.unmount(at('v/mount'), c);
  });

  test('a link for the folder itself, a file, a relative path, no group: refused', async () => {
    await symlink(at('outside'), at('alias'));
    for (const [path, group] of [
      [at('alias'), 1],
      [at('outside/secret'), 1],
      ['outside', 1],
      [at('outside'), -1],
      [at('none'), 1],
    ] as const)
      await expect(kernel.ownTree(path, group, c)).rejects.toThrow();
    expect((await owner(at('outside')))[1]).toBe(0);
    expect(await owner(at('outside/secret'))).toEqual([0, 0, 0o600]);
  });

  test('under attack: names swapped for links to the host while it runs', async () => {
    await mkdir(at('w/real'), { recursive: true });
    for (let i = 0; i < 50; i++) await writeFile(at(`w/real/${i}`), 'x', { mode: 0o600 });
    await symlink(at('outside'), at('w/evil'));
    let isOver = false;
    const attacker = (async () => {
      while (!isOver) {
        await rename(at('w/real'), at('w/kept'));
        await rename(at('w/evil'), at('w/real'));
        await rename(at('w/real'), at('w/evil'));
        await rename(at('w/kept'), at('w/real'));
      }
    })();
    for (let i = 0; i < 150; i++) await kernel.ownTree(at('w'), 5000 + i, c);
    isOver = true;
    await attacker;
    expect(await owner(at('outside/secret'))).toEqual([0, 0, 0o600]);
    expect(await owner(at('outside'))).toEqual([0, 0, 0o755]);
  });

  test('a pod’s claim: mounted, owned, kept by cleanup, read-only where it says so; a hard link of the host’s cannot come in', async () => {
    const claim: PersistentVolumeClaim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'c', namespace: 'ns', uid: 'u', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } },
      spec: { volumeName: 'v' },
      status: { phase: 'Bound' },
    };
    const volume: PersistentVolume = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'v' },
      spec: { claimRef: { uid: 'u' }, local: { path: at('data') } },
    };
    await mkdir(at('data'));
    const volumes = await openVolumes(
      {
        kernel,
        folder: at('volumes'),
        sources: {
          configMap: () => undefined,
          secret: () => undefined,
          claim: () => claim,
          persistentVolume: () => volume,
          serviceAccountToken: () => Promise.reject(new Error('none')),
          nodeAllocatable: () => ({}),
        },
        storage: { folderOf: () => Promise.reject(new Error('none')) },
      },
      c,
    );
    const pod = (uid: string, readOnly: boolean): Pod => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: uid, namespace: 'ns', uid },
      spec: {
        containers: [{ name: 'm' }],
        securityContext: { fsGroup: 7000 },
        volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'c', readOnly } }],
      },
    });
    const rw = await volumes.prepare({ pod: pod('rw', false), volumeName: 'd' }, c);
    await writeFile(join(rw.hostPath, 'file'), 'kept');
    expect((await stat(join(rw.hostPath, 'file'))).gid).toBe(7000);
    await expect(link(at('outside/secret'), join(rw.hostPath, 'hard'))).rejects.toMatchObject({ code: 'EXDEV' });
    const ro = await volumes.prepare({ pod: pod('ro', true), volumeName: 'd' }, c);
    await expect(writeFile(join(ro.hostPath, 'file'), 'x')).rejects.toMatchObject({ code: 'EROFS' });
    // Whatever this machine's kernel can: there is no such server.
    const nfs = pod('nfs', false);
    const inline = {
      ...nfs,
      spec: { ...nfs.spec, volumes: [{ name: 'd', nfs: { server: '127.0.0.1', path: '/none' } }] },
    };
    await expect(volumes.prepare({ pod: inline, volumeName: 'd' }, c)).rejects.toThrow(
      /^mount failed: 127\.0\.0\.1:\/none: .*mount|took longer than/,
    );
    await volumes.cleanup('nfs', c);
    await volumes.cleanup('rw', c);
    await volumes.cleanup('ro', c);
    expect(await kernel.mounts.below(at('volumes'), c)).toEqual([]);
    expect((await stat(at('data/file'))).size).toBe(4);
    await teardownVolumes({ kernel, folder: at('volumes') }, c);
  });
});
