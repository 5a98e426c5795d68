/** What a cgroup uses: which files tell of it, and what they say. Pure. Source: cgroups(7), cgroup-v1/memory.rst, cgroup-v2.rst. */
import { join } from 'node:path';
import type { CgroupUsage } from '../kernel.ts';
import { field } from './cgroup-files.ts';
import type { CgroupMounts } from './cgroups.ts';

const V1_FILES = [
  ['cpuacct', 'cpuacct.usage'],
  ['memory', 'memory.usage_in_bytes'],
  ['memory', 'memory.stat'],
  ['pids', 'pids.current'],
  ['memory', 'memory.oom_control'],
  ['memory', ''],
] as const;
const V2_FILES = ['cpu.stat', 'memory.current', 'memory.stat', 'pids.current', 'memory.events'];
/** Of a folder without subfolders. */
const LINKS_MIN = 2;

/** As many for each cgroup, in the order in which `usageOf` takes their texts. */
export function usageFiles(m: CgroupMounts, path: string): readonly string[] {
  if (m.v1.size === 0) return V2_FILES.map((name) => join(m.v2 ?? '', path, name));
  return V1_FILES.map(([controller, name]) => {
    const root = m.v1.get(controller);
    return root === undefined ? '' : `${join(root, path)}/${name}`;
  });
}

/** undefined: it is gone. */
export function usageOf(m: CgroupMounts, texts: readonly (string | undefined)[]): CgroupUsage | undefined {
  return m.v1.size === 0 ? usageV2(texts) : usageV1(texts);
}

/** v1 counts the OOM kills of each cgroup alone: those of what a container made below its own are to be added. */
export function hasSubfolders(m: CgroupMounts, texts: readonly (string | undefined)[]): boolean {
  return m.v1.size > 0 && Number(texts[5] ?? 0) > LINKS_MIN;
}

function usageV1([cpu, memory, stat, pids, oom]: readonly (string | undefined)[]): CgroupUsage | undefined {
  if (cpu === undefined && memory === undefined && pids === undefined) return undefined;
  const memoryBytes = Number(memory ?? 0);
  return {
    cpuNs: Number(cpu ?? 0),
    memoryBytes,
    workingSetBytes: Math.max(memoryBytes - field(stat, 'total_inactive_file'), 0),
    pids: Number(pids ?? 0),
    oomKills: field(oom, 'oom_kill'),
  };
}

function usageV2([cpu, memory, stat, pids, events]: readonly (string | undefined)[]): CgroupUsage | undefined {
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
