/**
 * Control groups by plain files: v1 (each controller its own tree), v2 (one tree) and hybrid (v1 trees beside a v2 tree
 * that has none of our controllers). A controller that is not mounted is skipped, a limit that is not set is not written.
 * Source: kernel Documentation/admin-guide/cgroup-v1/*, cgroup-v2.rst; shares to weight as runc < 1.4 (runtime.md 3).
 */
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { CgroupLimits, Cgroups, CgroupUsage } from '../kernel.ts';
import { type MountEntry, mountTable } from './mounts.ts';

const PERIOD_US = 100_000;
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

export async function openCgroups(): Promise<LinuxCgroups> {
  return new LinuxCgroups(cgroupMounts(await mountTable()));
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
  #moving: Promise<void> | undefined;

  constructor(mounts: CgroupMounts) {
    this.mounts = mounts;
    this.version = mounts.v1.size === 0 ? 'v2' : mounts.v2 === undefined ? 'v1' : 'hybrid';
  }

  async ensure(path: string, limits: CgroupLimits, c: Ctx): Promise<void> {
    c.signal.throwIfAborted();
    checkPath(path);
    if (this.version === 'v2') await this.#ensureV2(path, limits);
    else await this.#ensureV1(path, limits);
  }

  async usage(path: string, c: Ctx): Promise<CgroupUsage | undefined> {
    c.signal.throwIfAborted();
    checkPath(path);
    return this.version === 'v2' ? this.#usageV2(path) : this.#usageV1(path);
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
    const own = ownProcsFile(this.mounts, await readFile('/proc/self/cgroup', 'utf8'));
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
    for (let attempt = 0; ; attempt++) {
      await Promise.all(this.#roots().map((root) => kill(join(root, path))));
      const left = await Promise.all(this.#roots().map((root) => removeTree(join(root, path))));
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

  async #ensureV1(path: string, limits: CgroupLimits): Promise<void> {
    const at = (controller: string): string | undefined => {
      const root = this.mounts.v1.get(controller);
      return root === undefined ? undefined : join(root, path);
    };
    const folders = new Set(['cpu', 'cpuacct', 'memory', 'pids'].map(at).filter((p) => p !== undefined));
    await Promise.all([...folders].map((folder) => mkdir(folder, { recursive: true })));
    const cpu = at('cpu');
    const memory = at('memory');
    const pids = at('pids');
    const writes: Promise<void>[] = [];
    if (cpu !== undefined && limits.cpuShares !== undefined)
      writes.push(write(cpu, 'cpu.shares', String(clampShares(limits.cpuShares))));
    if (cpu !== undefined && limits.cpuQuotaUs !== undefined)
      writes.push(
        write(cpu, 'cpu.cfs_period_us', String(PERIOD_US)).then(() =>
          write(cpu, 'cpu.cfs_quota_us', String(limits.cpuQuotaUs)),
        ),
      );
    if (memory !== undefined && limits.memoryBytes !== undefined)
      writes.push(
        write(memory, 'memory.use_hierarchy', '1', ['ENOENT', 'EBUSY', 'EACCES']).then(() =>
          write(memory, 'memory.limit_in_bytes', String(limits.memoryBytes)),
        ),
      );
    if (pids !== undefined && limits.pids !== undefined) writes.push(write(pids, 'pids.max', String(limits.pids)));
    await Promise.all(writes);
  }

  async #ensureV2(path: string, limits: CgroupLimits): Promise<void> {
    const root = this.mounts.v2;
    if (root === undefined) return;
    const have = new Set((await read(root, 'cgroup.controllers'))?.trim().split(' ') ?? []);
    const wanted = ['cpu', 'memory', 'pids', 'io', 'cpuset'].filter((name) => have.has(name)).map((name) => `+${name}`);
    /* A controller is available in a folder when its parent hands it down. */
    let folder = root;
    for (const part of path.split('/').filter((p) => p !== '')) {
      await write(folder, 'cgroup.subtree_control', wanted.join(' '), ['ENOENT', 'EBUSY', 'EOPNOTSUPP']);
      folder = join(folder, part);
      await mkdir(folder, { recursive: true });
    }
    if (limits.cpuShares !== undefined && have.has('cpu'))
      await write(folder, 'cpu.weight', String(weightOfShares(limits.cpuShares)));
    if (limits.cpuQuotaUs !== undefined && have.has('cpu'))
      await write(folder, 'cpu.max', `${limits.cpuQuotaUs} ${PERIOD_US}`);
    if (limits.memoryBytes !== undefined && have.has('memory'))
      await write(folder, 'memory.max', String(limits.memoryBytes));
    if (limits.pids !== undefined && have.has('pids')) await write(folder, 'pids.max', String(limits.pids));
  }

  async #usageV1(path: string): Promise<CgroupUsage | undefined> {
    const file = async (controller: string, name: string): Promise<string | undefined> => {
      const root = this.mounts.v1.get(controller);
      return root === undefined ? undefined : read(join(root, path), name);
    };
    const [cpu, memory, stat, pids] = await Promise.all([
      file('cpuacct', 'cpuacct.usage'),
      file('memory', 'memory.usage_in_bytes'),
      file('memory', 'memory.stat'),
      file('pids', 'pids.current'),
    ]);
    if (cpu === undefined && memory === undefined && pids === undefined) return undefined;
    const memoryBytes = Number(memory ?? 0);
    const root = this.mounts.v1.get('memory');
    return {
      cpuNs: Number(cpu ?? 0),
      memoryBytes,
      workingSetBytes: Math.max(memoryBytes - field(stat, 'total_inactive_file'), 0),
      pids: Number(pids ?? 0),
      oomKills: root === undefined ? 0 : await oomKillsV1(join(root, path)),
    };
  }

  async #usageV2(path: string): Promise<CgroupUsage | undefined> {
    const folder = join(this.mounts.v2 ?? '', path);
    const files = ['cpu.stat', 'memory.current', 'memory.stat', 'pids.current', 'memory.events'];
    const [cpu, memory, stat, pids, events] = await Promise.all(files.map((name) => read(folder, name)));
    if (cpu === undefined) return undefined;
    const memoryBytes = Number(memory ?? 0);
    return {
      cpuNs: field(cpu, 'usage_usec') * 1000,
      memoryBytes,
      workingSetBytes: Math.max(memoryBytes - field(stat, 'inactive_file'), 0),
      pids: Number(pids ?? 0),
      oomKills: field(events, 'oom_kill'),
    };
  }
}

/** cpu.shares 2..262144 to cpu.weight 1..10000. */
export function weightOfShares(shares: number): number {
  return 1 + Math.floor(((clampShares(shares) - 2) * 9999) / 262142);
}

/** The value of `key value` in a flat keyed file, else 0. */
export function field(text: string | undefined, key: string): number {
  for (const line of (text ?? '').split('\n')) {
    const [k, v] = line.split(' ');
    if (k === key) return Number(v);
  }
  return 0;
}

function clampShares(shares: number): number {
  return Math.min(Math.max(Math.round(shares), 2), 262_144);
}

function checkPath(path: string): void {
  if (!path.startsWith('/') || path.split('/').includes('..'))
    throw new StatusError('Invalid', `bad cgroup path ${JSON.stringify(path)}`);
}

async function write(folder: string, name: string, text: string, ignored: readonly string[] = []): Promise<void> {
  try {
    await writeFile(join(folder, name), text, { flag: 'r+' });
  } catch (e) {
    if (ignored.includes(codeOf(e))) return;
    throw new StatusError('Internal', `cannot write ${JSON.stringify(text)} to ${folder}/${name}: ${messageOf(e)}`, {
      cause: e,
    });
  }
}

async function read(folder: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(folder, name), 'utf8');
  } catch (e) {
    if (codeOf(e) === 'ENOENT' || codeOf(e) === 'ENODEV') return undefined;
    throw e;
  }
}

async function subfolders(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name);
  } catch (e) {
    if (codeOf(e) === 'ENOENT' || codeOf(e) === 'ENODEV') return [];
    throw e;
  }
}

/** In v1 each cgroup counts only its own kills. */
async function oomKillsV1(folder: string): Promise<number> {
  let kills = field(await read(folder, 'memory.oom_control'), 'oom_kill');
  for (const name of await subfolders(folder)) kills += await oomKillsV1(join(folder, name));
  return kills;
}

async function kill(folder: string): Promise<void> {
  for (const name of await subfolders(folder)) await kill(join(folder, name));
  const ids = (await read(folder, 'cgroup.procs'))?.split('\n') ?? [];
  for (const id of ids) {
    /* 0 is a process that this process namespace cannot see. */
    if (id === '' || id === '0') continue;
    try {
      process.kill(Number(id), 'SIGKILL');
    } catch (e) {
      if (codeOf(e) !== 'ESRCH') throw e;
    }
  }
  if (ids.length <= 1) return;
  /* A frozen process does not die (v1). */
  await write(folder, 'freezer.state', 'THAWED', ['ENOENT', 'EACCES', 'ENODEV']);
  await write(folder, 'cgroup.freeze', '0', ['ENOENT', 'EACCES', 'ENODEV']);
}

/** The error text when something is still busy. */
async function removeTree(folder: string): Promise<string | undefined> {
  for (const name of await subfolders(folder)) {
    const busy = await removeTree(join(folder, name));
    if (busy !== undefined) return busy;
  }
  try {
    await rmdir(folder);
    return undefined;
  } catch (e) {
    if (codeOf(e) === 'ENOENT') return undefined;
    return messageOf(e);
  }
}

function codeOf(e: unknown): string {
  return e instanceof Error && 'code' in e ? String(e.code) : '';
}
