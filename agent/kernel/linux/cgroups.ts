/**
 * Control groups by plain files: v1 (each controller its own tree), v2 (one tree) and hybrid (v1 trees beside a v2 tree
 * that has none of our controllers). A controller that is not mounted is skipped, a limit that is not set is not written.
 * Source: kernel Documentation/admin-guide/cgroup-v1/*, cgroup-v2.rst.
 */
import { readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, StatusError } from '#lib/base';
import type { CgroupFacts, CgroupLimits, Cgroups, CgroupUsage } from '../kernel.ts';
import { pageSizeName } from '../page-size.ts';
import { field, killAll, read, removeEmpty, removeTree, subfolders } from './cgroup-files.ts';
import { type FolderOf, makeV1, makeV2, setV1, setV2 } from './cgroup-limits.ts';
import { hasSubfolders, usageFiles, usageOf } from './cgroup-usage.ts';
import { type MountEntry, mountTable } from './mounts.ts';
import { ownFiles, type ReadFiles } from './read-files.ts';

const REMOVE_ATTEMPTS = 60;

export interface CgroupMounts {
  /** Controller (or name=X) to mount point. */
  readonly v1: ReadonlyMap<string, string>;
  readonly v2: string | undefined;
}

const CONTROLLERS = [
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'freezer',
  'net_cls',
  'blkio',
  'perf_event',
  'net_prio',
  'hugetlb',
  'pids',
  'rdma',
  'misc',
];

export function cgroupMounts(table: readonly MountEntry[]): CgroupMounts {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const m of table) {
    if (m.type === 'cgroup2') v2 ??= m.point;
    if (m.type !== 'cgroup') continue;
    for (const o of m.superOptions)
      if ((CONTROLLERS.includes(o) || o.startsWith('name=')) && !v1.has(o)) v1.set(o, m.point);
  }
  return { v1, v2 };
}

export async function openCgroups(readFiles?: ReadFiles): Promise<LinuxCgroups> {
  const mounts = cgroupMounts(await mountTable());
  return new LinuxCgroups(mounts, await cgroupFacts(mounts, await hugePageSizes()), readFiles);
}

/** Page sizes of the kernel as its cgroup files call them: `hugepages-2048kB` is 2MB. */
async function hugePageSizes(): Promise<string[]> {
  const names = await readdir('/sys/kernel/mm/hugepages').catch(() => []);
  return names.map((n) => pageSizeName(Number(/^hugepages-(\d+)kB$/.exec(n)?.[1] ?? 0) * 1024)).sort();
}

/** v2's root has no files of limits: what its children have tells. */
export async function cgroupFacts(mounts: CgroupMounts, pageSizes: readonly string[]): Promise<CgroupFacts> {
  const memory = mounts.v1.get('memory');
  if (mounts.v1.size > 0) {
    const hasSwap = memory !== undefined && (await read(memory, 'memory.memsw.limit_in_bytes')) !== undefined;
    return { hasSwap, pageSizes: mounts.v1.has('hugetlb') ? pageSizes : [] };
  }
  const root = mounts.v2 ?? '';
  const controllers = (await read(root, 'cgroup.controllers'))?.trim().split(' ') ?? [];
  const folders = [root, ...(await subfolders(root)).map((name) => join(root, name))];
  const swaps = await Promise.all(folders.map((folder) => read(folder, 'memory.swap.max')));
  return {
    hasSwap: swaps.some((text) => text !== undefined),
    pageSizes: controllers.includes('hugetlb') ? pageSizes : [],
  };
}

/** The list of processes of the cgroup this process is in. `memberships`: /proc/self/cgroup (cgroups(7)). */
export function ownProcsFile(mounts: CgroupMounts, memberships: string): string | undefined {
  for (const line of memberships.trim().split('\n')) {
    const [hierarchy = '', controllers = '', ...path] = line.split(':');
    if (hierarchy === '') continue;
    const root = controllers === '' ? mounts.v2 : mounts.v1.get(controllers.split(',')[0] ?? '');
    if (root !== undefined) return join(root, path.join(':'), 'cgroup.procs');
  }
  return undefined;
}

export class LinuxCgroups implements Cgroups {
  readonly version: 'v1' | 'v2' | 'hybrid';
  readonly mounts: CgroupMounts;
  readonly facts: CgroupFacts;
  readonly #readFiles: ReadFiles;
  #moving: Promise<void> | undefined;

  /** `readFiles`: many at once. */
  constructor(
    mounts: CgroupMounts,
    facts: CgroupFacts = { hasSwap: false, pageSizes: [] },
    readFiles: ReadFiles = ownFiles,
  ) {
    this.#readFiles = readFiles;
    this.mounts = mounts;
    this.facts = facts;
    this.version = mounts.v1.size === 0 ? 'v2' : mounts.v2 === undefined ? 'v1' : 'hybrid';
  }

  async ensure(path: string, limits: CgroupLimits, c: Ctx): Promise<void> {
    c.signal.throwIfAborted();
    checkPath(path);
    if (this.version !== 'v2') await makeV1(this.#folderOf(path));
    else if (this.mounts.v2 !== undefined) await makeV2(this.mounts.v2, path);
    await this.set(path, limits, c);
  }

  async set(path: string, limits: CgroupLimits, c: Ctx): Promise<void> {
    c.signal.throwIfAborted();
    checkPath(path);
    if (this.version !== 'v2') await setV1(this.#folderOf(path), limits);
    else if (this.mounts.v2 !== undefined) await setV2(this.mounts.v2, path, limits);
  }

  #folderOf(path: string): FolderOf {
    return (controller) => {
      const root = this.mounts.v1.get(controller);
      return root === undefined ? undefined : join(root, path);
    };
  }

  async usage(path: string, c: Ctx): Promise<CgroupUsage | undefined> {
    c.signal.throwIfAborted();
    checkPath(path);
    return usageOf(this.mounts, await ownFiles(usageFiles(this.mounts, path), c));
  }

  async usages(paths: readonly string[], c: Ctx): Promise<ReadonlyMap<string, CgroupUsage>> {
    c.signal.throwIfAborted();
    for (const path of paths) checkPath(path);
    const files = paths.map((path) => usageFiles(this.mounts, path));
    const texts = await this.#readFiles(files.flat(), c);
    const out = new Map<string, CgroupUsage>();
    const width = files[0]?.length ?? 0;
    for (const [i, path] of paths.entries()) {
      const own = texts.slice(i * width, (i + 1) * width);
      const usage = usageOf(this.mounts, own);
      if (usage === undefined) continue;
      const memory = this.mounts.v1.get('memory');
      const isNested = memory !== undefined && hasSubfolders(this.mounts, own);
      out.set(path, isNested ? { ...usage, oomKills: await oomKillsV1(join(memory, path)) } : usage);
    }
    return out;
  }

  /**
   * The first move of a process between cgroups waits for an RCU grace period, moves within the next one do not
   * (cgroup_threadgroup_rwsem, kernel/cgroup/cgroup.c; kernel/rcu/sync.c; ADR 11). Moving this process to where it is lets the
   * wait begin now, and not when the runtime moves the container's.
   */
  expectMove(): void {
    this.#moving ??= this.#moveToOwn()
      .catch(() => undefined) // the runtime waits itself then
      .finally(() => {
        this.#moving = undefined;
      });
  }

  /** Where it is is asked anew: somebody may have moved it. */
  async #moveToOwn(): Promise<void> {
    const own = ownProcsFile(this.mounts, readFileSync('/proc/self/cgroup', 'utf8'));
    if (own !== undefined) await writeFile(own, '0', { flag: 'r+' });
  }

  async children(path: string, c: Ctx): Promise<readonly string[]> {
    c.signal.throwIfAborted();
    checkPath(path);
    const names = new Set<string>();
    for (const root of this.#roots()) for (const name of await subfolders(join(root, path))) names.add(name);
    return [...names].sort();
  }

  async remove(path: string, c: Ctx): Promise<void> {
    checkPath(path);
    if (path === '/') throw new StatusError('Invalid', 'the root cgroup cannot be removed');
    /* Nearly always it is empty or gone: one call for each tree. */
    const empty = await Promise.all(this.#roots().map((root) => removeEmpty(join(root, path))));
    const roots = this.#roots().filter((_, i) => empty[i] !== true);
    for (let attempt = 0; roots.length > 0; attempt++) {
      await Promise.all(roots.map((root) => killAll(join(root, path))));
      const left = await Promise.all(roots.map((root) => removeTree(join(root, path))));
      const busy = left.find((e) => e !== undefined);
      if (busy === undefined) return;
      if (attempt >= REMOVE_ATTEMPTS)
        throw new StatusError('Conflict', `cgroup ${path} cannot be removed: ${busy}`, { cause: busy });
      await c.clock.sleep(Math.min(2 ** attempt, 50), c.signal);
    }
  }

  /** The file that counts OOM kills of a cgroup, for the supervisor. */
  oomFile(path: string): string | undefined {
    if (this.version === 'v2') return join(this.mounts.v2 ?? '', path, 'memory.events');
    const memory = this.mounts.v1.get('memory');
    return memory === undefined ? undefined : join(memory, path, 'memory.oom_control');
  }

  /** The file that lists the processes of a cgroup. */
  procsFile(path: string): string | undefined {
    const root = this.version === 'v2' ? this.mounts.v2 : (this.mounts.v1.get('pids') ?? this.#roots()[0]);
    return root === undefined ? undefined : join(root, path, 'cgroup.procs');
  }

  /** The files that list the processes of a cgroup, one a tree in which it exists. */
  async procsFiles(path: string): Promise<readonly string[]> {
    checkPath(path);
    const folders = await Promise.all(
      this.#roots().map(async (root) => ((await read(join(root, path), 'cgroup.procs')) === undefined ? [] : [root])),
    );
    return folders.flat().map((root) => join(root, path, 'cgroup.procs'));
  }

  /** Every mounted tree, each once. */
  #roots(): string[] {
    const roots = new Set(this.mounts.v1.values());
    if (this.mounts.v2 !== undefined) roots.add(this.mounts.v2);
    return [...roots];
  }
}

function checkPath(path: string): void {
  if (!path.startsWith('/') || path.split('/').includes('..'))
    throw new StatusError('Invalid', `bad cgroup path ${JSON.stringify(path)}`);
}

/** In v1 each cgroup counts only its own kills. */
async function oomKillsV1(folder: string): Promise<number> {
  let kills = field(await read(folder, 'memory.oom_control'), 'oom_kill');
  for (const name of await subfolders(folder)) kills += await oomKillsV1(join(folder, name));
  return kills;
}
