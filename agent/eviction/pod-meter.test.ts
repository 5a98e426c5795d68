import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { type Ctx, StatusError, silentLogger, VirtualClock } from '#lib/base';
import type { CgroupUsage, Programs } from '../kernel/kernel.ts';
import { observeNode } from './node-readings.ts';
import { PodMeter, type PodPlaces } from './pod-meter.ts';

const c: Ctx = { signal: new AbortController().signal, clock: new VirtualClock(), log: silentLogger };
const MI = 1 << 20;
const folders: string[] = [];

afterEach(async () => {
  for (const f of folders.splice(0)) await rm(f, { recursive: true });
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'berth-meter-'));
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
const usage = (mi: number): CgroupUsage => ({
  cpuNs: 0,
  memoryBytes: 2 * mi * MI,
  workingSetBytes: mi * MI,
  pids: mi,
  oomKills: 0,
});

async function files(path: string, ...mi: number[]): Promise<void> {
  await mkdir(path, { recursive: true });
  for (const [i, n] of mi.entries()) await writeFile(join(path, `${i}`), Buffer.alloc(n * MI, 1));
}

async function placesIn(path: string): Promise<PodPlaces> {
  const at = (name: string): string => join(path, name);
  return {
    cgroup: '/berth/pod1',
    containers: [{ name: 'a', cgroup: '/berth/pod1/a', rootfs: at('rootfs'), logs: at('logs') }],
    volumes: [
      { name: 'v', path: at('a volume\twith blanks') },
      { name: 'w', path: at('-w') },
    ],
  };
}

test('files of layers, logs and volumes, with their inodes; what links lead to does not count', async () => {
  const [path, elsewhere] = [await folder(), await folder()];
  const places = await placesIn(path);
  await files(join(elsewhere), 8);
  await files(join(path, 'rootfs/deep/er'), 1, 1);
  await symlink(elsewhere, join(path, 'rootfs/link'));
  await files(join(path, 'logs'), 1);
  await files(join(path, 'a volume\twith blanks'), 3);
  const meter = new PodMeter({ cgroups: { usage: async () => undefined }, programs: real });
  const use = await meter.disk(places, { inodes: true }, c);
  const mi = (bytes = 0): number => Math.floor(bytes / MI);
  const a = use?.containers.get('a');
  expect([mi(a?.rootfs?.bytes), mi(a?.logs?.bytes)]).toEqual([2, 1]);
  expect([a?.rootfs?.inodes, a?.logs?.inodes]).toEqual([6, 2]);
  expect(mi(use?.volumes.get('v')?.bytes)).toBe(3);
  expect(use?.volumes.get('w')).toEqual({ bytes: 0, inodes: 0 });
  const some = await meter.disk(places, { inodes: false, volumesOnly: ['v'] }, c);
  expect([some?.containers.size, [...(some?.volumes.keys() ?? [])]]).toEqual([0, ['v']]);
});

test('memory is the working set, of the pod and of its containers; a pod without a cgroup is not known', async () => {
  const cgroups = { usage: async (path: string) => (path.endsWith('/a') ? usage(3) : usage(5)) };
  const meter = new PodMeter({ cgroups, programs: real });
  const use = await meter.live(await placesIn('/x'), c);
  expect([use?.memoryBytes, use?.pids, use?.containers.get('a')?.memoryBytes]).toEqual([5 * MI, 5, 3 * MI]);
  const none = new PodMeter({ cgroups: { usage: async () => undefined }, programs: real });
  expect(await none.live(await placesIn('/x'), c)).toBeUndefined();
});

test('a walk that takes too long says nothing; any other failure is thrown', async () => {
  const failing = (kind: 'DeadlineExceeded' | 'Internal'): PodMeter =>
    new PodMeter({
      cgroups: { usage: async () => undefined },
      programs: { run: () => Promise.reject(new StatusError(kind, 'no')) },
    });
  const places = await placesIn('/x');
  expect(await failing('DeadlineExceeded').disk(places, { inodes: false }, c)).toBeUndefined();
  await expect(failing('Internal').disk(places, { inodes: false }, c)).rejects.toMatchObject({ kind: 'Internal' });
});

test('what this machine has left', async () => {
  const path = await folder();
  const o = { podsCgroup: '/berth', podsMemoryBytes: 4 * MI, folder: path, imagesFolder: join(path, 'nowhere') };
  const seen = await observeNode({ ...o, cgroups: { usage: async () => usage(5) } }, c);
  for (const signal of ['memory.available', 'nodefs.available', 'pid.available'] as const) {
    const { available = 0, capacity = 0 } = seen.get(signal) ?? {};
    expect(available).toBeGreaterThan(0);
    expect(available).toBeLessThan(capacity);
  }
  expect(seen.get('allocatableMemory.available')).toEqual({ available: 0, capacity: 4 * MI });
  expect(seen.has('imagefs.available')).toBe(false);
});
