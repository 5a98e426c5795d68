/** Limits of a container, at create and at update. Pure. Source: moby daemon/daemon_unix.go (verifyPlatformContainerResources). */
import { badParameter } from '../../http/contract.ts';
import type { HostConfig, Resources } from '../../types.ts';

/** What this machine has, as far as a check needs it. */
export interface MachineFacts {
  readonly cpus: number;
  readonly cgroupVersion: 'v1' | 'v2' | 'hybrid';
  readonly hasSwap: boolean;
  readonly hasBlockWeight: boolean;
  /** Has CAP_SYS_RESOURCE. */
  readonly canRaiseLimits: boolean;
  readonly hardLimits: ReadonlyMap<string, number>;
}

const MEMORY_MIN = 6 << 20;
export const ULIMITS =
  'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as'.split(' ');

/** Throws 400; gives warnings. `current`: of an update, what holds already. */
export function checkResources(r: HostConfig | Resources, m: MachineFacts, o: { isUpdate?: boolean } = {}): string[] {
  const warnings: string[] = [];
  checkMemory(r, m, o.isUpdate === true, warnings);
  checkCpu(r, m);
  if ((r.BlkioWeight ?? 0) !== 0 && ((r.BlkioWeight ?? 0) < 10 || (r.BlkioWeight ?? 0) > 1000))
    throw badParameter('Range of blkio weight is from 10 to 1000');
  if ((r.BlkioWeight ?? 0) > 0 && !m.hasBlockWeight)
    warnings.push('Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.');
  for (const u of r.Ulimits ?? []) {
    if (!ULIMITS.includes(u.Name)) throw badParameter(`invalid ulimit type: ${u.Name}`);
    if (u.Hard !== -1 && (u.Soft === -1 || u.Soft > u.Hard))
      throw badParameter(`ulimit soft limit must be less than or equal to hard limit: ${u.Soft} > ${u.Hard}`);
  }
  const parent = r.CgroupParent ?? '';
  if (parent.split('/').includes('..')) throw badParameter(`invalid cgroup parent: ${JSON.stringify(parent)}`);
  return warnings;
}

function checkMemory(r: Resources, m: MachineFacts, isUpdate: boolean, warnings: string[]): void {
  const { Memory: memory = 0, MemorySwap: swap = 0, MemoryReservation: reservation = 0 } = r;
  if (memory !== 0 && memory < MEMORY_MIN) throw badParameter('Minimum memory limit allowed is 6MB');
  if (memory > 0 && swap !== -1 && !m.hasSwap)
    warnings.push(
      'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.',
    );
  if (memory > 0 && swap > 0 && swap < memory)
    throw badParameter('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (memory === 0 && swap > 0 && !isUpdate)
    throw badParameter('You should always set the Memory limit when using Memoryswap limit, see usage');
  const swappiness = r.MemorySwappiness ?? -1;
  if (swappiness < -1 || swappiness > 100)
    throw badParameter(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  if (swappiness >= 0 && m.cgroupVersion === 'v2')
    warnings.push(
      'Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
    );
  if (reservation !== 0 && reservation < MEMORY_MIN) throw badParameter('Minimum memory reservation allowed is 6MB');
  if (memory > 0 && reservation > 0 && memory < reservation)
    throw badParameter('Minimum memory limit can not be less than memory reservation limit, see usage');
  if (r.OomKillDisable === true && m.cgroupVersion === 'v2')
    warnings.push('Your kernel does not support OomKillDisable. OomKillDisable discarded.');
  else if (r.OomKillDisable === true && memory === 0)
    warnings.push(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    );
}

function checkCpu(r: Resources, m: MachineFacts): void {
  const { NanoCpus: nano = 0, CpuPeriod: period = 0, CpuQuota: quota = 0 } = r;
  if (nano > 0 && period > 0) throw badParameter('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (nano > 0 && quota > 0) throw badParameter('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (nano < 0 || nano > m.cpus * 1e9)
    throw badParameter(`range of CPUs is from 0.01 to ${m.cpus}.00, as there are only ${m.cpus} CPUs available`);
  if (period !== 0 && (period < 1000 || period > 1_000_000))
    throw badParameter('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (quota > 0 && quota < 1000) throw badParameter('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if ((r.CpuShares ?? 0) < 0) throw badParameter(`invalid CPU shares: ${r.CpuShares}`);
  for (const [what, value] of [
    ['cpus', r.CpusetCpus],
    ['mems', r.CpusetMems],
  ] as const) {
    if (value === undefined || value === '') continue;
    const numbers = cpuListOf(value);
    if (numbers === undefined) throw badParameter(`Invalid value ${value} for cpuset ${what}`);
    if (what === 'cpus' && numbers.some((n) => n >= m.cpus))
      throw badParameter(`Requested CPUs are not available - requested ${value}, available: 0-${m.cpus - 1}`);
  }
}

const CPUS_MAX = 8192;

/** `0-2,7`; undefined for what is no such list. */
function cpuListOf(text: string): number[] | undefined {
  const out: number[] = [];
  for (const part of text.split(',')) {
    const [, a, b] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const first = Number(a ?? Number.NaN);
    const last = Number(b ?? first);
    if (!(first <= last) || last > CPUS_MAX) return undefined;
    if (out.length + last - first > CPUS_MAX) return undefined;
    for (let n = first; n <= last; n++) out.push(n);
  }
  return out;
}
