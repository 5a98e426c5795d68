/**
 * Limits as files of cgroup v1 and v2. What is not given is left as it is; 'max' takes a limit away. A controller that is not
 * there is skipped. Source: kernel Documentation/admin-guide/cgroup-v1/*, cgroup-v2.rst; shares to weight as runc < 1.4
 * (runtime.md 3).
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CgroupAmount, CgroupLimits } from '../kernel.ts';
import { read, write } from './cgroup-files.ts';

export const PERIOD_US = 100_000;
const V1_CONTROLLERS = ['cpu', 'cpuacct', 'memory', 'pids', 'hugetlb'];
const V2_CONTROLLERS = ['cpu', 'memory', 'pids', 'io', 'cpuset', 'hugetlb'];
const NO_SWAP_FILE = ['ENOENT', 'EACCES'];

/** Folder of a controller's cgroup, undefined where it is not mounted. */
export type FolderOf = (controller: string) => string | undefined;

export async function makeV1(folderOf: FolderOf): Promise<void> {
  const folders = new Set(V1_CONTROLLERS.map(folderOf).filter((p) => p !== undefined));
  await Promise.all([...folders].map((folder) => mkdir(folder, { recursive: true })));
}

export async function setV1(folderOf: FolderOf, limits: CgroupLimits): Promise<void> {
  const writes: Promise<void>[] = [];
  const at = (controller: string, fn: (folder: string) => Promise<void>): void => {
    const folder = folderOf(controller);
    if (folder !== undefined) writes.push(fn(folder));
  };
  const { cpuShares, cpuQuotaUs, memoryBytes, pids, hugePages = {} } = limits;
  if (cpuShares !== undefined) at('cpu', (f) => write(f, 'cpu.shares', String(clampShares(cpuShares))));
  if (cpuQuotaUs !== undefined)
    at('cpu', async (f) => {
      await write(f, 'cpu.cfs_period_us', String(PERIOD_US));
      await write(f, 'cpu.cfs_quota_us', v1(cpuQuotaUs));
    });
  if (memoryBytes !== undefined) at('memory', (f) => setMemoryV1(f, memoryBytes, limits.swapBytes));
  const { cpus, memoryNodes, memoryReservationBytes: reservation, blockWeight } = limits;
  if (cpus !== undefined) at('cpuset', (f) => write(f, 'cpuset.cpus', cpus));
  if (memoryNodes !== undefined) at('cpuset', (f) => write(f, 'cpuset.mems', memoryNodes));
  if (reservation !== undefined) at('memory', (f) => write(f, 'memory.soft_limit_in_bytes', String(reservation)));
  if (blockWeight !== undefined) at('blkio', (f) => write(f, 'blkio.weight', String(blockWeight)));
  if (pids !== undefined) at('pids', (f) => write(f, 'pids.max', String(pids)));
  for (const [size, bytes] of Object.entries(hugePages))
    at('hugetlb', (f) => write(f, `hugetlb.${size}.limit_in_bytes`, v1(bytes)));
  await Promise.all(writes);
}

/**
 * Memory may never be above memory + swap: a limit that grows needs the latter first, one that shrinks the former.
 * Source: Documentation/admin-guide/cgroup-v1/memory.rst 2.4.
 */
async function setMemoryV1(folder: string, memory: CgroupAmount, swap: CgroupAmount | undefined): Promise<void> {
  await write(folder, 'memory.use_hierarchy', '1', ['ENOENT', 'EBUSY', 'EACCES']);
  const setMemory = (): Promise<void> => write(folder, 'memory.limit_in_bytes', v1(memory));
  if (swap === undefined) return setMemory();
  const both = memory === 'max' || swap === 'max' ? 'max' : memory + swap;
  const setBoth = (): Promise<void> => write(folder, 'memory.memsw.limit_in_bytes', v1(both), NO_SWAP_FILE);
  const now = Number((await read(folder, 'memory.limit_in_bytes')) ?? 0);
  if (memory === 'max' || memory > now) {
    await setBoth();
    await setMemory();
  } else {
    await setMemory();
    await setBoth();
  }
}

/** Makes `path` below `root`; a controller is there in a folder when its parent hands it down. */
export async function makeV2(root: string, path: string): Promise<void> {
  const have = (await read(root, 'cgroup.controllers'))?.trim().split(' ') ?? [];
  const wanted = V2_CONTROLLERS.filter((name) => have.includes(name)).map((name) => `+${name}`);
  let folder = root;
  for (const part of path.split('/').filter((p) => p !== '')) {
    await write(folder, 'cgroup.subtree_control', wanted.join(' '), ['ENOENT', 'EBUSY', 'EOPNOTSUPP']);
    folder = join(folder, part);
    await mkdir(folder, { recursive: true });
  }
}

/** Of the order: none matters in v2, where a child may be allowed more than its parent. */
export async function setV2(root: string, path: string, limits: CgroupLimits): Promise<void> {
  const folder = join(root, path);
  const have = new Set((await read(root, 'cgroup.controllers'))?.trim().split(' ') ?? []);
  const set = async (controller: string, file: string, text: string | undefined, ignored: string[] = []) => {
    if (text !== undefined && have.has(controller)) await write(folder, file, text, ignored);
  };
  const { cpuShares, cpuQuotaUs, memoryBytes, swapBytes, pids, oomGroup, hugePages = {} } = limits;
  await set('cpu', 'cpu.weight', cpuShares === undefined ? undefined : String(weightOfShares(cpuShares)));
  await set('cpu', 'cpu.max', cpuQuotaUs === undefined ? undefined : `${cpuQuotaUs} ${PERIOD_US}`);
  await set('memory', 'memory.max', textOf(memoryBytes));
  await set('memory', 'memory.swap.max', textOf(swapBytes), NO_SWAP_FILE);
  await set('memory', 'memory.oom.group', oomGroup === undefined ? undefined : oomGroup ? '1' : '0');
  await set('memory', 'memory.low', textOf(limits.memoryReservationBytes));
  await set('cpuset', 'cpuset.cpus', limits.cpus);
  await set('cpuset', 'cpuset.mems', limits.memoryNodes);
  await set('pids', 'pids.max', textOf(pids));
  for (const [size, bytes] of Object.entries(hugePages)) await set('hugetlb', `hugetlb.${size}.max`, String(bytes));
}

function textOf(amount: CgroupAmount | undefined): string | undefined {
  return amount === undefined ? undefined : String(amount);
}

function v1(amount: CgroupAmount): string {
  return amount === 'max' ? '-1' : String(amount);
}

/** cpu.shares 2..262144 to cpu.weight 1..10000. */
export function weightOfShares(shares: number): number {
  return 1 + Math.floor(((clampShares(shares) - 2) * 9999) / 262142);
}

function clampShares(shares: number): number {
  return Math.min(Math.max(Math.round(shares), 2), 262_144);
}
