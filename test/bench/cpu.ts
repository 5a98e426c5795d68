/**
 * CPU by who spends it. The programs of a node are counted by a cgroup, for supervisors and runtimes are nobody's children for
 * long; the agent, the server and etcd by their own account.
 */
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { allEnded } from '#lib/base';
import { openCgroups } from '../../agent/kernel/linux/cgroups.ts';
import { eventually, type TestCluster } from '../harness/cluster.ts';
import { processes } from './memory.ts';

const TICKS_PER_SECOND = 100;

export type CpuGroup = AsyncDisposable & { usedMs(): Promise<number> };

/** ms of CPU since each began. */
export type CpuParts = Readonly<Record<'agent' | 'helper' | 'programs' | 'server' | 'etcd', number>>;

/** `helper`: with what it started and saw end. `programs`: supervisors, runtimes, and what runs in the containers. */
export async function partsOf(t: TestCluster, group: CpuGroup): Promise<CpuParts> {
  const all = await group.usedMs();
  const [agent = 0, helper = 0] = await Promise.all(
    [false, true].map(async (isHelper) => {
      const own = (await agentProcesses(t)).filter((p) => p.isHelper === isHelper);
      return sum(await Promise.all(own.map((p) => cpuOf(p.pid))));
    }),
  );
  const [server = 0, etcd = 0] = await Promise.all(
    ['server', 'etcd'].map(async (word) => {
      const found = await processes((p) => p.words.join(' ').includes(t.layout.home) && isRun(p.words, word));
      return sum(await Promise.all(found.map((p) => cpuOf(p.pid))));
    }),
  );
  return { agent, helper, programs: all - agent - helper, server, etcd };
}

export function spentBetween(before: CpuParts, after: CpuParts, pods: number): string {
  const parts = ['agent', 'helper', 'programs', 'server', 'etcd'] as const;
  return parts.map((p) => `${p} ${((after[p] - before[p]) / pods).toFixed(1)}`).join(', ');
}

function isRun(words: readonly string[], word: string): boolean {
  return words.some((w) => w === word || w.endsWith(`/${word}`));
}

/** Agent, helper and what they start from now on in a cgroup that counts; what is moved into a container counts there. */
export async function cpuGroup(t: TestCluster): Promise<CpuGroup> {
  const groups = await openCgroups();
  const isV2 = groups.version === 'v2';
  const root = (isV2 ? groups.mounts.v2 : groups.mounts.v1.get('cpuacct')) ?? '';
  const own = join(root, `berth-bench-${process.pid}`);
  await mkdir(own);
  const moved = await agentProcesses(t);
  const move = (folder: string): Promise<unknown> =>
    allEnded(moved.map(({ pid }) => writeFile(join(folder, 'cgroup.procs'), String(pid))));
  await move(own);
  const used = async (folder: string): Promise<number> => {
    const text = await readFile(join(folder, isV2 ? 'cpu.stat' : 'cpuacct.usage'), 'utf8');
    return isV2 ? Number(/usage_usec (\d+)/.exec(text)?.[1]) / 1e3 : Number(text) / 1e6;
  };
  return {
    usedMs: async () => (await used(own)) + (await used(join(root, t.layout.instance))),
    [Symbol.asyncDispose]: async () => {
      await move(root);
      await eventually('the cgroup is empty', 10_000, async () => {
        await rmdir(own);
        return true;
      });
    },
  };
}

/** The agent of the first node, its helper, and the helper's prober. */
export async function agentProcesses(t: TestCluster): Promise<{ readonly pid: number; readonly isHelper: boolean }[]> {
  const known = new Set<number>();
  const found = await processes((p) => {
    const isAgent = p.words.includes('agent') && p.words.join(' ').includes(t.layout.home);
    if (isAgent) known.add(p.pid);
    const isHelper = p.words.includes('serve') && known.has(p.parent);
    if (isHelper) known.add(p.pid);
    return isAgent || isHelper;
  });
  return found.map((p) => ({ pid: p.pid, isHelper: p.words.includes('serve') }));
}

/** Of the agent, its helper, and what the helper started and saw end. */
export async function agentCpuMs(t: TestCluster): Promise<number> {
  return sum(await Promise.all((await agentProcesses(t)).map((p) => cpuOf(p.pid))));
}

/** ms, with that of its children that it saw end. */
export async function cpuOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return sum(fields.slice(11, 15).map(Number)) * (1000 / TICKS_PER_SECOND);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
