import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '#lib/api';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { ClaimVolumes } from './claim-volumes.ts';

const c: Ctx = { signal: new AbortController().signal, clock: new VirtualClock(), log: silentLogger };
let folder: string;
let kernel: RecordingKernel;
let claims: Map<string, PersistentVolumeClaim>;
let volumes: Map<string, PersistentVolume>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-claims-'));
  kernel = new RecordingKernel();
  claims = new Map();
  volumes = new Map();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** As an agent's start makes it. */
function open(): ClaimVolumes {
  return new ClaimVolumes({
    kernel,
    sources: { claim: (ns, name) => claims.get(`${ns}/${name}`), persistentVolume: (name) => volumes.get(name) },
    storage: {
      folderOf: async ({ metadata }) => {
        await mkdir(join(folder, metadata.name), { recursive: true });
        return join(folder, metadata.name);
      },
    },
    pathOf: (uid, name) => join(folder, 'pods', uid, 'volumes', name),
  });
}

function bound(name: string, spec: Partial<PersistentVolume['spec']>, more: Partial<PersistentVolumeClaim> = {}): void {
  claims.set(`ns/${name}`, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name,
      namespace: 'ns',
      uid: `uid-${name}`,
      annotations: { 'pv.kubernetes.io/bind-completed': 'yes' },
    },
    spec: { volumeName: `v-${name}` },
    status: { phase: 'Bound' },
    ...more,
  });
  volumes.set(`v-${name}`, {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `v-${name}`, annotations: { 'pv.kubernetes.io/provisioned-by': 'berth.dev/local' } },
    spec: { claimRef: { namespace: 'ns', name, uid: `uid-${name}` }, ...spec },
  });
}

function pod(volume: Volume, securityContext: NonNullable<Pod['spec']['securityContext']> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns', uid: 'u' },
    spec: { containers: [{ name: 'm' }], volumes: [volume], securityContext },
  };
}

const data = (readOnly = false): Volume => ({ name: 'd', persistentVolumeClaim: { claimName: 'c', readOnly } });
const local = { local: { path: '/s/v-c' } };
const target = (): string => join(folder, 'pods/u/volumes/d');
const count = (name: string): number => kernel.calls.filter((x) => x.name === name).length;

describe('volumes of claims', () => {
  test.each([
    [
      'no claim',
      () => claims.clear(),
      /error processing PVC ns\/c: failed to fetch PVC from API server: persistentvolumeclaims "c" not found/,
    ],
    [
      'not bound',
      () => bound('c', local, { metadata: { name: 'c', namespace: 'ns', uid: 'uid-c' } }),
      /error processing PVC ns\/c: PVC is not bound/,
    ],
    ['lost', () => bound('c', local, { status: { phase: 'Lost' } }), /PVC is not bound/],
    ['no volume', () => volumes.clear(), /failed to fetch PV v-c from API server/],
    [
      'another’s volume',
      () => bound('c', { ...local, claimRef: { uid: 'other' } }),
      /PV v-c is bound to another claim/,
    ],
    ['a device', () => bound('c', { ...local, volumeMode: 'Block' }), /volumeMode Block, which is not supported/],
    ['mount options', () => bound('c', { ...local, mountOptions: ['noexec'] }), /Mount options are not supported/],
    [
      'a driver',
      () => bound('c', { csi: { driver: 'x', volumeHandle: 'y' } }),
      /PersistentVolumes of type csi are not supported/,
    ],
  ])('what keeps the pod waiting: %s', async (_, change, why) => {
    bound('c', local);
    change();
    await expect(open().prepare(pod(data()), data(), c)).rejects.toThrow(why);
    expect(kernel.mounted.size).toBe(0);
  });

  test('a volume that is a file system is no device', async () => {
    bound('c', local);
    const p = pod(data());
    const spec = { ...p.spec, containers: [{ name: 'm', volumeDevices: [{ name: 'd', devicePath: '/dev/x' }] }] };
    await expect(open().prepare({ ...p, spec }, data(), c)).rejects.toThrow(
      'volume d has volumeMode Filesystem, but is specified in volumeDevices',
    );
  });

  test('mounted once for the pod, however many containers ask, and again after a failure', async () => {
    const own = open();
    await expect(own.prepare(pod(data()), data(), c)).rejects.toThrow(/not found/);
    bound('c', local);
    const both = await Promise.all([own.prepare(pod(data()), data(), c), own.prepare(pod(data()), data(), c)]);
    expect(both).toEqual([
      { hostPath: target(), readOnly: false },
      { hostPath: target(), readOnly: false },
    ]);
    expect(count('mounts.bind')).toBe(1);
    expect(kernel.mounted.get(target())?.detail).toEqual({
      source: join(folder, 'v-c'),
      readOnly: false,
      recursive: true,
    });
  });

  test('fsGroup is set before the mount, and not again by the next agent, under which containers write', async () => {
    bound('c', local);
    const p = pod(data(), { fsGroup: 2000 });
    await open().prepare(p, data(), c);
    const order = kernel.calls.map((x) => x.name).filter((n) => n === 'ownTree' || n === 'mounts.bind');
    expect(order).toEqual(['ownTree', 'mounts.bind']);
    expect(kernel.calls.find((x) => x.name === 'ownTree')?.args).toEqual([join(folder, 'v-c'), 2000]);
    await open().prepare(p, data(), c);
    expect(count('ownTree')).toBe(1);
    expect(count('mounts.bind')).toBe(1);
  });

  test('taken read-only: mounted so, and nobody’s group is changed', async () => {
    bound('c', local);
    const prepared = await open().prepare(pod(data(true), { fsGroup: 2000 }), data(true), c);
    expect(prepared.readOnly).toBe(true);
    expect(kernel.mounted.get(target())?.detail).toMatchObject({ readOnly: true });
    expect(count('ownTree')).toBe(0);
  });

  test('an ephemeral claim must be the pod’s own', async () => {
    const volume: Volume = { name: 'd', ephemeral: {} };
    bound('p-d', local);
    await expect(open().prepare(pod(volume), volume, c)).rejects.toThrow(
      /not created for pod ns\/p \(pod is not owner\)/,
    );
  });

  test('a volume made by hand must be there; a hostPath one is used where it is', async () => {
    bound('c', local);
    const made = volumes.get('v-c');
    if (made !== undefined) made.metadata.annotations = {};
    await expect(open().prepare(pod(data()), data(), c)).rejects.toThrow('path "/s/v-c" does not exist');
    bound('c', { hostPath: { path: folder, type: 'Directory' } });
    expect(await open().prepare(pod(data()), data(), c)).toEqual({ hostPath: folder, readOnly: false });
  });

  test('NFS is mounted by the host’s mount(8), with its options, and its failure is the pod’s event', async () => {
    bound('c', { nfs: { server: 'fd00::1', path: '/-export' }, mountOptions: ['nfsvers=4.2', 'soft'] });
    await open().prepare(pod(data(true)), data(true), c);
    expect(kernel.commands).toEqual([`mount -t nfs -o ro,nfsvers=4.2,soft -- [fd00::1]:/-export ${target()}`]);
    const inline: Volume = { name: 'n', nfs: { server: 'files', path: '/x' } };
    kernel = new RecordingKernel({ run: () => ({ code: 32, stderr: Buffer.from('mount.nfs: Connection refused\n') }) });
    await expect(open().prepare(pod(inline), inline, c)).rejects.toThrow(
      'mount failed: files:/x: mount.nfs: Connection refused',
    );
  });
});
