/** Volumes on real mounts: tmpfs, binds of subPaths, owners. Root only. */
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConfigMap, Pod, Secret, Volume } from '#lib/api';
import type { Ctx } from '#lib/base';
import { realClock, silentLogger } from '#lib/base';
import type { LinuxKernel } from '../../agent/kernel/linux/open.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { openVolumes, teardownVolumes } from '../../agent/volumes/open.ts';
import type { Volumes } from '../../agent/volumes/volume.ts';

const helperPath = join(import.meta.dirname, '../../dist/berth-helper');
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

describe.skipIf(process.getuid?.() !== 0)('volumes on real mounts (root)', () => {
  let folder: string;
  let kernel: LinuxKernel;
  let volumes: Volumes;
  const maps = new Map<string, ConfigMap>();
  const data = { password: Buffer.from('pw').toString('base64') };
  const secret: Secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'ns' }, data };
  const noStorage = { folderOf: () => Promise.reject(new Error('none')) };
  const sources = {
    claim: () => undefined,
    persistentVolume: () => undefined,
    configMap: (_: string, name: string) => maps.get(name),
    secret: (_: string, name: string) => (name === 's' ? secret : undefined),
    serviceAccountToken: async () => ({ token: 'tok', expiresAtMs: Date.now() + 3_600_000 }),
    nodeAllocatable: () => ({}),
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-volumes-'));
    kernel = await openKernel({ helperPath, environment: process.env });
    volumes = await openVolumes({ kernel, folder, sources, storage: noStorage }, c);
  });

  afterAll(async () => {
    await teardownVolumes({ kernel, folder }, c);
    expect(await kernel.mounts.below(folder, c)).toEqual([]);
    await kernel[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function pod(uid: string, list: Volume[], extra: object = {}): Pod {
    const spec = { containers: [{ name: 'm' }], volumes: list, ...extra };
    return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'ns', uid }, spec };
  }

  async function mountType(path: string): Promise<string | undefined> {
    const table = await readFile('/proc/self/mountinfo', 'utf8');
    return table
      .split('\n')
      .find((line) => line.split(' ')[4] === path)
      ?.split(' - ')[1]
      ?.split(' ')[0];
  }

  test('a memory emptyDir is a tmpfs that is full at its limit; cleanup takes it away and nothing else', async () => {
    const p = pod('u1', [{ name: 'm', emptyDir: { medium: 'Memory', sizeLimit: '64Ki' } }]);
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'm' }, c);
    expect(await mountType(hostPath)).toBe('tmpfs');
    await expect(writeFile(join(hostPath, 'big'), Buffer.alloc(100_000))).rejects.toMatchObject({ code: 'ENOSPC' });
    await writeFile(join(hostPath, 'big'), 'kept');
    await volumes.prepare({ pod: p, volumeName: 'm' }, c);
    expect(await readFile(join(hostPath, 'big'), 'utf8')).toBe('kept');
    await volumes.prepare({ pod: pod('u2', [{ name: 'd', emptyDir: {} }]), volumeName: 'd' }, c);
    await volumes.cleanup('u1', c);
    await volumes.cleanup('u1', c);
    expect(await volumes.podsOnDisk(c)).toEqual(['u2']);
    expect(await mountType(hostPath)).toBeUndefined();
  });

  test('secrets lie on a tmpfs; fsGroup and the token of a common user have the right owners', async () => {
    const list = [
      { name: 's', secret: { secretName: 's', defaultMode: 0o400 } },
      { name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
      { name: 'e', emptyDir: {} },
    ];
    const p = pod('u3', list, { securityContext: { fsGroup: 4242, runAsUser: 1234 } });
    const [s, t, e] = await Promise.all(list.map((v) => volumes.prepare({ pod: p, volumeName: v.name }, c)));
    expect(await mountType(join(folder, 'memory'))).toBe('tmpfs');
    const secretFile = await stat(join(s?.hostPath ?? '', 'password'));
    expect([secretFile.uid, secretFile.gid, secretFile.mode & 0o777]).toEqual([0, 4242, 0o440]);
    const token = await stat(join(t?.hostPath ?? '', 'token'));
    expect([token.uid, token.gid, token.mode & 0o777]).toEqual([1234, 4242, 0o640]);
    const empty = await stat(e?.hostPath ?? '');
    expect([empty.gid, empty.mode & 0o7777]).toEqual([4242, 0o2777]);
    await volumes.cleanup('u3', c);
    expect(await readdir(join(folder, 'memory'))).toEqual([]);
  });

  test('subPath: a key of a ConfigMap stays as it was at the start; a folder is made; both are unmounted at the end', async () => {
    maps.set('cfg', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg' }, data: { key: 'old' } });
    const p = pod('u4', [
      { name: 'c', configMap: { name: 'cfg' } },
      { name: 'e', emptyDir: {} },
    ]);
    const ask = { pod: p, containerName: 'm' };
    const file = await volumes.subPath({ ...ask, volumeName: 'c', mountIndex: 0, subPath: 'key' }, c);
    const dir = await volumes.subPath({ ...ask, volumeName: 'e', mountIndex: 1, subPath: 'a/b' }, c);
    expect(file.readOnly).toBe(true);
    await writeFile(join(dir.hostPath, 'x'), '1');
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'e' }, c);
    expect(await readFile(join(hostPath, 'a/b/x'), 'utf8')).toBe('1');
    maps.set('cfg', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg' }, data: { key: 'new' } });
    await volumes.update(p, c);
    expect(await readFile(file.hostPath, 'utf8')).toBe('old');
    // A restart may find a folder where a file was.
    await volumes.subPath({ ...ask, volumeName: 'e', mountIndex: 0, subPath: 'a' }, c);
    const again = await volumes.subPath({ ...ask, volumeName: 'c', mountIndex: 0, subPath: 'key' }, c);
    expect(await readFile(again.hostPath, 'utf8')).toBe('new');
    await volumes.cleanup('u4', c);
    expect(await kernel.mounts.below(join(folder, 'pods'), c)).toEqual([]);
  });

  test('subPath under attack: a link swapped to and fro never leads out of the volume', async () => {
    const outside = join(folder, 'outside');
    await writeFile(outside, 'secret of the host');
    const p = pod('u5', [{ name: 'e', emptyDir: {} }]);
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'e' }, c);
    await writeFile(join(hostPath, 'good'), 'mine');
    await chmod(hostPath, 0o777);
    await symlink('good', join(hostPath, 'link'));
    let isOver = false;
    const attacker = (async () => {
      for (let i = 0; !isOver; i++) {
        await symlink(i % 2 === 0 ? 'good' : outside, join(hostPath, 'next'));
        await rename(join(hostPath, 'next'), join(hostPath, 'link'));
      }
    })();
    let opened = 0;
    for (let i = 0; i < 100; i++) {
      try {
        const request = { pod: p, volumeName: 'e', containerName: 'm', mountIndex: 0, subPath: 'link' };
        const r = await volumes.subPath(request, c);
        const s = await stat(r.hostPath);
        if (s.isFile()) expect(await readFile(r.hostPath, 'utf8')).toBe('mine');
        opened++;
      } catch (e) {
        expect(e).toMatchObject({ name: 'StatusError' });
      }
    }
    isOver = true;
    await attacker;
    expect(opened).toBeGreaterThan(5);
    console.log(`subPath: ${opened} of 100 opened, the others refused`);
    await volumes.cleanup('u5', c);
    expect(await readFile(outside, 'utf8')).toBe('secret of the host');
  });
});
