/** What running containers use, read when somebody asks. */
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import type { Ctx } from '#lib/base';
import { cgroupDetails } from '../../kernel/linux/cgroup-details.ts';
import type { LinuxKernel } from '../../kernel/linux/open.ts';
import { interfacesOf } from '../../metrics/network.ts';
import { EngineError } from '../http/contract.ts';
import { machineTotalNs, memoryStats, type StatsSample } from './view/stats.ts';
import { parsePs, psArguments, type TopAnswer } from './view/top.ts';

const PROGRAM_MS = 10_000;
const WALK_MS = 60_000;
const PIDS_MAX = 4096;

export interface Measured {
  readonly cgroup: string;
  readonly pid: number;
  readonly isHostNetwork: boolean;
}

/** undefined when it is gone. */
export async function statsSample(kernel: LinuxKernel, m: Measured, c: Ctx): Promise<StatsSample | undefined> {
  const { mounts, version } = kernel.cgroups;
  const folder = version === 'v2' ? mounts.v2 : mounts.v1.get('memory');
  const [usage, details, memory, machine, interfaces] = await Promise.all([
    kernel.cgroups.usage(m.cgroup, c),
    cgroupDetails(mounts, m.cgroup),
    readFile(join(folder ?? '', m.cgroup, 'memory.stat'), 'utf8').catch(() => ''),
    readFile('/proc/stat', 'utf8'),
    m.isHostNetwork ? undefined : interfacesOf(m.pid),
  ]);
  if (usage === undefined || details === undefined) return undefined;
  const { userNs, systemNs, periods, throttledPeriods, throttledNs } = details;
  const cpus = availableParallelism();
  return {
    readMs: c.clock.now(),
    cpu: {
      ...{ totalNs: usage.cpuNs, machineNs: machineTotalNs(machine), cpus },
      ...{ userNs, systemNs, periods, throttledPeriods, throttledNs },
    },
    ...{ usage, details, memory: memoryStats(memory), machineBytes: totalmem(), interfaces },
  };
}

/** Throws 400 and 500. */
export async function topOf(kernel: LinuxKernel, cgroup: string, text: string, c: Ctx): Promise<TopAnswer> {
  const own = psArguments(text);
  const pids = await pidsOf(kernel, cgroup);
  const run = (argv: readonly string[]) => kernel.programs.run(['ps', ...argv], { timeoutMs: PROGRAM_MS }, c);
  const exact = await run([...own, `-q${[...pids].join(',')}`]);
  /* Some of its options do not go with -q. */
  const { code, stdout, stderr } = exact.code === 0 ? exact : await run(own);
  if (code !== 0) throw new EngineError(500, `ps: ${stderr.toString().split('\n')[0] ?? ''}`);
  return parsePs(stdout.toString(), pids);
}

/** Of the cgroup and of those below it. */
async function pidsOf(kernel: LinuxKernel, cgroup: string): Promise<ReadonlySet<number>> {
  const out = new Set<number>();
  const file = kernel.cgroups.procsFile(cgroup);
  const collect = async (path: string, depth: number): Promise<void> => {
    const text = await readFile(path, 'utf8').catch(() => '');
    for (const line of text.split('\n')) if (line !== '' && line !== '0' && out.size < PIDS_MAX) out.add(Number(line));
    if (depth > 3) return;
    for (const name of await folders(dirname(path)))
      await collect(join(dirname(path), name, 'cgroup.procs'), depth + 1);
  };
  if (file !== undefined) await collect(file, 0);
  return out;
}

async function folders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((e) => e.isDirectory()).map((e) => e.name);
}

/** What a container has written: the upper folder of its root. */
export async function writtenBytes(kernel: LinuxKernel, rootfs: string, c: Ctx): Promise<number> {
  const argv = ['du', '-s', '-b', '-x', '--', join(dirname(rootfs), 'upper')];
  const { stdout } = await kernel.programs.run(argv, { timeoutMs: WALK_MS }, c);
  const bytes = Number(/^(\d+)\t/.exec(stdout.toString())?.[1] ?? 0);
  return Math.max(0, bytes - FOLDER_BYTES);
}

/** Of an empty folder itself, which du counts. */
const FOLDER_BYTES = 4096;
