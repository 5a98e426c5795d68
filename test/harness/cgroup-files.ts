/** Limits as the kernel has them, of v1 or v2: what tests believe, whatever the API says. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type LinuxCgroups, openCgroups } from '../../agent/kernel/linux/cgroups.ts';

export interface LimitsInForce {
  /** cpu.shares (v1) or cpu.weight (v2) */
  readonly weight: number;
  /** Microseconds per period of 100 ms; 'max' = no limit. */
  readonly quotaUs: number | 'max';
  readonly memoryBytes: number | 'max';
  readonly pids: number | 'max';
}

/** v1 says "no limit" as the largest number of whole pages. */
const V1_UNLIMITED = 2 ** 62;

export async function limitsInForce(path: string): Promise<LimitsInForce> {
  const groups = await openCgroups();
  const isV2 = groups.version === 'v2';
  const quota = isV2 ? (await text(groups, 'cpu', path, 'cpu.max')).split(' ')[0] : undefined;
  return {
    weight: Number(await text(groups, 'cpu', path, isV2 ? 'cpu.weight' : 'cpu.shares')),
    quotaUs: amount(quota ?? (await text(groups, 'cpu', path, 'cpu.cfs_quota_us'))),
    memoryBytes: amount(await text(groups, 'memory', path, isV2 ? 'memory.max' : 'memory.limit_in_bytes')),
    pids: amount(await text(groups, 'pids', path, 'pids.max')),
  };
}

async function text(groups: LinuxCgroups, controller: string, path: string, file: string): Promise<string> {
  const root = groups.version === 'v2' ? groups.mounts.v2 : groups.mounts.v1.get(controller);
  return (await readFile(join(root ?? '', path, file), 'utf8')).trim();
}

function amount(value: string): number | 'max' {
  return value === 'max' || Number(value) < 0 || Number(value) > V1_UNLIMITED ? 'max' : Number(value);
}
