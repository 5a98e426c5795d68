import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { pageSizeName } from '../page-size.ts';
import { cgroupFacts, LinuxCgroups } from './cgroups.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'berth-cgroups-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function folder(path: string, files: Record<string, string>): Promise<void> {
  await mkdir(join(root, path), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, path, name), text);
}
const text = (path: string): Promise<string> => readFile(join(root, path), 'utf8');

/** The files that a kernel makes in each cgroup of v2; empty, since a write to a plain file leaves what was longer. */
const V2_FILES = {
  'cgroup.subtree_control': '',
  'cpu.weight': '',
  'cpu.max': '',
  'memory.max': '',
  'memory.swap.max': '',
  'memory.oom.group': '',
  'pids.max': '',
  'hugetlb.2MB.max': '',
};

describe('cgroup v2', () => {
  const open = (): LinuxCgroups => new LinuxCgroups({ v1: new Map(), v2: root });

  test('each limit is in its file, by the words of cgroup-v2.rst; what is not given stays', async () => {
    await folder('', { 'cgroup.controllers': 'cpuset cpu io memory hugetlb pids\n', 'cgroup.subtree_control': '' });
    await folder('berth', V2_FILES);
    await folder('berth/pod', V2_FILES);
    await folder('berth/free', V2_FILES);
    const limits = {
      cpuShares: 1024,
      cpuQuotaUs: 50_000,
      memoryBytes: 64 << 20,
      swapBytes: 0,
      pids: 100,
      oomGroup: true,
      hugePages: { '2MB': 0 },
    };
    await open().ensure('/berth/pod', limits, c);
    expect(await text('cgroup.subtree_control')).toBe('+cpu +memory +pids +io +cpuset +hugetlb');
    expect(await text('berth/cgroup.subtree_control')).toBe('+cpu +memory +pids +io +cpuset +hugetlb');
    expect(await text('berth/pod/cgroup.subtree_control')).toBe('');
    const read = async (path: string): Promise<Record<string, string>> => {
      const names = Object.keys(V2_FILES).filter((n) => n !== 'cgroup.subtree_control');
      return Object.fromEntries(await Promise.all(names.map(async (n) => [n, await text(`${path}/${n}`)])));
    };
    expect(await read('berth/pod')).toEqual({
      'cpu.weight': '39',
      'cpu.max': '50000 100000',
      'memory.max': String(64 << 20),
      'memory.swap.max': '0',
      'memory.oom.group': '1',
      'pids.max': '100',
      'hugetlb.2MB.max': '0',
    });
    await open().set('/berth/free', { memoryBytes: 'max', cpuQuotaUs: 'max' }, c);
    const untouched = Object.fromEntries(Object.keys(await read('berth/free')).map((n) => [n, '']));
    expect(await read('berth/free')).toEqual({ ...untouched, 'memory.max': 'max', 'cpu.max': 'max 100000' });
  });

  test('a controller that the host does not hand out is left alone, a cgroup that is gone is NotFound', async () => {
    await folder('', { 'cgroup.controllers': 'cpu\n', 'cgroup.subtree_control': '' });
    await folder('berth', { 'cpu.weight': '' });
    await open().ensure('/berth', { cpuShares: 2, memoryBytes: 1, pids: 1, oomGroup: true }, c);
    expect(await text('berth/cpu.weight')).toBe('1');
    await expect(open().set('/berth/gone', { cpuShares: 2 }, c)).rejects.toMatchObject({ kind: 'NotFound' });
  });

  test('what a host can limit is seen from its cgroups', async () => {
    const facts = () => cgroupFacts({ v1: new Map(), v2: root }, ['2MB']);
    await folder('', { 'cgroup.controllers': 'cpu memory\n' });
    await folder('system.slice', { 'memory.max': 'max' });
    expect(await facts()).toEqual({ hasSwap: false, pageSizes: [] });
    await folder('', { 'cgroup.controllers': 'cpu memory hugetlb\n' });
    await folder('system.slice', { 'memory.swap.max': 'max' });
    expect(await facts()).toEqual({ hasSwap: true, pageSizes: ['2MB'] });
    const v1 = new Map([['memory', join(root, 'm')]]);
    expect(await cgroupFacts({ v1, v2: root }, ['2MB'])).toEqual({ hasSwap: false, pageSizes: [] });
    await folder('m', { 'memory.memsw.limit_in_bytes': '1' });
    expect((await cgroupFacts({ v1: new Map([...v1, ['hugetlb', root]]), v2: root }, ['2MB'])).pageSizes).toEqual([
      '2MB',
    ]);
  });
});

test('memory that is kept for it, NUMA nodes and the weight of its disk are in the files of either version', async () => {
  const limits = { memoryNodes: '0', memoryReservationBytes: 5 << 20, blockWeight: 300 };
  await folder('v2', { 'cgroup.controllers': 'cpuset memory\n' });
  await folder('v2/one', { 'cpuset.mems': '', 'memory.low': '' });
  await new LinuxCgroups({ v1: new Map(), v2: join(root, 'v2') }).set('/one', limits, c);
  expect([await text('v2/one/cpuset.mems'), await text('v2/one/memory.low')]).toEqual(['0', String(5 << 20)]);
  const names = ['cpuset', 'memory', 'blkio'] as const;
  await folder('cpuset/one', { 'cpuset.mems': '' });
  await folder('memory/one', { 'memory.soft_limit_in_bytes': '' });
  await folder('blkio/one', { 'blkio.weight': '' });
  const v1 = new Map(names.map((name) => [name as string, join(root, name)]));
  await new LinuxCgroups({ v1, v2: undefined }).set('/one', limits, c);
  expect(await text('cpuset/one/cpuset.mems')).toBe('0');
  expect(await text('memory/one/memory.soft_limit_in_bytes')).toBe(String(5 << 20));
  expect(await text('blkio/one/blkio.weight')).toBe('300');
});

test('names of page sizes as the kernel has them', () => {
  expect([64 << 10, 2 << 20, 512 << 20, 1 << 30].map(pageSizeName)).toEqual(['64KB', '2MB', '512MB', '1GB']);
});
