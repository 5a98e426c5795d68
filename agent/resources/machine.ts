/** What this machine has, read from the kernel. Source: proc(5), Documentation/admin-guide/mm/hugetlbpage.rst. */
import { readdir, readFile, statfs } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import type { MachineFigures } from './allocatable.ts';
import { type Cpu, parseCpuSet } from './cpu-set.ts';

const HUGE_PAGES = '/sys/kernel/mm/hugepages';
const CPUS = '/sys/devices/system/cpu';
const PIDS_UNKNOWN = 32_768;

/** `folder`: on the disk that pods use. */
export async function machineFigures(folder: string, podsMax: number): Promise<MachineFigures> {
  const disk = await statfs(folder);
  return {
    cpus: cpus().length,
    memoryBytes: totalmem(),
    diskBytes: Number(disk.blocks) * disk.bsize,
    pids: await machinePids(),
    hugePages: await hugePages(),
    podsMax,
  };
}

/** Processes and threads that the kernel can have at a time. */
export async function machinePids(): Promise<number> {
  return Math.min(await number('/proc/sys/kernel/pid_max'), await number('/proc/sys/kernel/threads-max'));
}

/** CPUs that are online, with their cores. Source: Documentation/ABI/stable/sysfs-devices-system-cpu. */
export async function machineCpus(): Promise<Cpu[]> {
  const online = parseCpuSet(await readFile(`${CPUS}/online`, 'utf8')) ?? [];
  const text = async (id: number, name: string): Promise<string> =>
    (await readFile(`${CPUS}/cpu${id}/topology/${name}`, 'utf8').catch(() => String(id))).trim();
  return Promise.all(
    online.map(async (id) => {
      const socket = await text(id, 'physical_package_id');
      return { id, socket, core: `${socket}:${await text(id, 'core_id')}` };
    }),
  );
}

async function number(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return Number(text.trim()) || PIDS_UNKNOWN;
}

async function hugePages(): Promise<Map<number, number>> {
  const out = new Map<number, number>();
  for (const name of (await readdir(HUGE_PAGES).catch(() => [])).sort()) {
    const bytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0) * 1024;
    const count = await readFile(join(HUGE_PAGES, name, 'nr_hugepages'), 'utf8').catch(() => '0');
    if (bytes > 0) out.set(bytes, Number(count.trim()) * bytes);
  }
  return out;
}
