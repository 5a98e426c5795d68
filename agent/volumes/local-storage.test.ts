import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PersistentVolume } from '#lib/api';
import { StatusError, silentLogger, VirtualClock } from '#lib/base';
import type { DesiredChange } from '../session/session.ts';
import { LocalStorage } from './local-storage.ts';

let folder: string;
let known: PersistentVolume[];
let said: string[];
let problem: StatusError | undefined;
let removing: Promise<void>;
let begun: string[];
let clock: VirtualClock;
let storage: LocalStorage;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'berth-storage-')), 'storage');
  known = [];
  said = [];
  problem = undefined;
  removing = Promise.resolve();
  begun = [];
  clock = new VirtualClock();
  storage = new LocalStorage({
    folder,
    kernel: {
      removeTree: async (path) => {
        if (problem !== undefined) throw problem;
        begun.push(path);
        await removing;
        await rm(path, { recursive: true, force: true });
      },
    },
    session: {
      reportVolumeErased: ({ name, uid }) => said.push(`erased ${name} ${uid}`),
      event: (e) => said.push(`${e.reason}: ${e.message}`),
    },
    volumes: { list: () => known },
    clock,
    log: silentLogger,
  });
  await storage.open();
});
afterEach(async () => {
  await storage[Symbol.asyncDispose]();
  await rm(join(folder, '..'), { recursive: true, force: true });
});

function volume(
  name: string,
  o: { path?: string; phase?: string; policy?: string; by?: string; claimUid?: string } = {},
): PersistentVolume {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name,
      uid: `uid-${name}`,
      annotations: { 'pv.kubernetes.io/provisioned-by': o.by ?? 'berth.dev/local' },
    },
    spec: {
      local: { path: o.path ?? join(folder, name) },
      persistentVolumeReclaimPolicy: o.policy ?? 'Delete',
      claimRef: { namespace: 'ns', name: 'c', uid: o.claimUid ?? `uid-of-claim` },
    },
    status: { phase: o.phase ?? 'Released' },
  };
}

function arrive(...list: PersistentVolume[]): void {
  known.push(...list);
  storage.apply(list.map((object): DesiredChange => ({ type: 'upsert', resource: 'persistentvolumes', object })));
}

async function withData(name: string): Promise<void> {
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, 'data'), 'x');
}

describe('local storage', () => {
  test('a volume’s folder is open to every user, below a folder that is root’s alone; what is there stays', async () => {
    const path = await storage.folderOf(volume('pvc-1'));
    expect((await stat(path)).mode & 0o777).toBe(0o777);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    await writeFile(join(path, 'data'), 'x');
    expect(await storage.folderOf(volume('pvc-1'))).toBe(path);
    expect(await readdir(path)).toEqual(['data']);
    expect(await readdir(folder)).toEqual(['pvc-1']);
  });

  test.each([
    '/etc',
    'relative',
    '/',
    '',
    'FOLDER',
    'FOLDER/..',
    'FOLDER/pvc-1/deep',
    'FOLDER/other',
    'FOLDER/pvc-1/..',
    'FOLDER/x/../pvc-1',
  ])('a path that is no folder directly below is neither made nor removed: %s', async (text) => {
    const bad = volume('pvc-1', { path: text.replace('FOLDER', folder) });
    await withData('pvc-1');
    await withData('other');
    await expect(storage.folderOf(bad)).rejects.toThrow(/is not below/);
    storage.connected();
    arrive(bad);
    await expect.poll(() => said.length).toBe(1);
    expect(said[0]).toMatch(/^VolumeFailedDelete: Failed to delete the data of the volume: path .* is not below/);
    expect((await readdir(folder)).sort()).toEqual(['other', 'pvc-1']);
  });

  test('one whose path is another volume’s folder is not erased', async () => {
    await withData('pvc-1_ns_c');
    await withData('pvc-12_ns_c');
    storage.connected();
    arrive(
      volume('pvc-2', { path: join(folder, 'pvc-1_ns_c') }),
      volume('pvc-1', { path: join(folder, 'pvc-12_ns_c') }),
    );
    await expect.poll(() => said.length).toBe(2);
    expect(said.join('\n')).toMatch(/is not the folder of volume pvc-2\n.*is not the folder of volume pvc-1$/);
    expect((await readdir(folder)).sort()).toEqual(['pvc-12_ns_c', 'pvc-1_ns_c']);
    known = [];
    arrive(volume('pvc-12', { path: join(folder, 'pvc-12_ns_c') }));
    await expect.poll(() => said.at(-1)).toBe('erased pvc-12 uid-pvc-12');
    expect(await readdir(folder)).toEqual(['pvc-1_ns_c']);
  });

  test('one that names no claim any more is somebody’s to give anew, though it still says Released', async () => {
    for (const name of ['pvc-1', 'pvc-2']) await withData(name);
    storage.connected();
    arrive(volume('pvc-1', { claimUid: '' }), volume('pvc-2'));
    await expect.poll(() => said).toContain('erased pvc-2 uid-pvc-2');
    await clock.advance(100_000);
    expect([said, await readdir(folder)]).toEqual([['erased pvc-2 uid-pvc-2'], ['pvc-1']]);
  });

  test('the folder of one that is given anew while it is being erased is made when the rest is gone', async () => {
    await withData('pvc-1');
    let finish: (() => void) | undefined;
    removing = new Promise<void>((resolve) => {
      finish = resolve;
    });
    storage.connected();
    arrive(volume('pvc-1'));
    await expect.poll(() => begun).toEqual([join(folder, 'pvc-1')]);
    known = [volume('pvc-1', { phase: 'Bound' })];
    let isMade = false;
    const made = storage.folderOf(volume('pvc-1', { phase: 'Bound' })).then(async (path) => {
      isMade = true;
      await writeFile(join(path, 'new'), 'x');
    });
    for (let i = 0; i < 20; i++) await stat(folder);
    expect(isMade).toBe(false);
    finish?.();
    await made;
    await expect.poll(() => said).toEqual(['erased pvc-1 uid-pvc-1']);
    expect(await readdir(join(folder, 'pvc-1'))).toEqual(['new']);
  });

  test('several first pods of one volume get one folder', async () => {
    for (let i = 0; i < 20; i++) {
      const name = `pvc-${i}`;
      const first = storage.folderOf(volume(name)).then(async (path) => [path, (await stat(path)).ino]);
      const all = await Promise.all([first, ...Array.from({ length: 5 }, () => storage.folderOf(volume(name)))]);
      expect(all[0]).toEqual([join(folder, name), (await stat(join(folder, name))).ino]);
    }
    expect((await readdir(folder)).length).toBe(20);
  });

  test('the longest name that a volume may have', async () => {
    const name = `pvc-1_${'n'.repeat(248)}`;
    expect(await storage.folderOf(volume('pvc-1', { path: join(folder, name) }))).toBe(join(folder, name));
  });

  test('a released one is erased and told; others stay', async () => {
    for (const name of ['pvc-1', 'pvc-2', 'pvc-3', 'pvc-4']) await withData(name);
    storage.connected();
    arrive(
      volume('pvc-1'),
      volume('pvc-2', { phase: 'Bound' }),
      volume('pvc-3', { policy: 'Retain' }),
      volume('pvc-4', { by: 'example.com/disk' }),
    );
    await expect.poll(() => said).toEqual(['erased pvc-1 uid-pvc-1']);
    expect((await readdir(folder)).sort()).toEqual(['pvc-2', 'pvc-3', 'pvc-4']);
  });

  test('nothing is erased on the word of a saved wish: the data may be wanted again by now', async () => {
    await withData('pvc-1');
    arrive(volume('pvc-1'));
    await clock.advance(100_000);
    expect(await readdir(folder)).toEqual(['pvc-1']);
    known = [volume('pvc-1', { policy: 'Retain' })];
    storage.connected();
    await clock.advance(100_000);
    expect(await readdir(folder)).toEqual(['pvc-1']);
    known = [volume('pvc-1')];
    storage.connected();
    await expect.poll(() => said).toEqual(['erased pvc-1 uid-pvc-1']);
  });

  test('a failure is told and tried again until it works, or until the data is to stay', async () => {
    await withData('pvc-1');
    problem = new StatusError('Internal', 'input/output error');
    storage.connected();
    arrive(volume('pvc-1'));
    await expect.poll(() => said.length).toBe(1);
    expect(said[0]).toBe('VolumeFailedDelete: Failed to delete the data of the volume: input/output error');
    await clock.advance(1_000);
    await expect.poll(() => said.length).toBe(2);
    problem = undefined;
    await clock.advance(2_000);
    await expect.poll(() => said.at(-1)).toBe('erased pvc-1 uid-pvc-1');
  });

  test('what failed is not tried again while there is no control plane to decide otherwise, and is once it is back', async () => {
    await withData('pvc-1');
    problem = new StatusError('Internal', 'input/output error');
    storage.connected();
    arrive(volume('pvc-1'));
    await expect.poll(() => said.length).toBe(1);
    storage.disconnected();
    problem = undefined;
    arrive(volume('pvc-2'));
    await clock.advance(3_600_000);
    expect(await readdir(folder)).toEqual(['pvc-1']);
    expect(said).toHaveLength(1);
    known = known.map((v) => ({ ...v, spec: { ...v.spec, persistentVolumeReclaimPolicy: 'Retain' } }));
    storage.connected();
    await clock.advance(100_000);
    expect(await readdir(folder)).toEqual(['pvc-1']);
    known = [volume('pvc-1')];
    storage.connected();
    await expect.poll(() => said.at(-1)).toBe('erased pvc-1 uid-pvc-1');
  });
});
