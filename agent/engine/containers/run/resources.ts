/** Docker's resources as those of the OCI specification, and as limits of a living cgroup. Pure. Source: moby daemon/oci_linux.go (WithResources), runc libcontainer/cgroups. */
import type { CgroupLimits } from '../../../kernel/kernel.ts';
import type { OciBlockIo, OciResources, OciThrottle } from '../../../runtime/oci-spec.ts';
import type { Resources } from '../../types.ts';

const PERIOD_US = 100_000;

export interface CgroupMachine {
  readonly version: 'v1' | 'v2' | 'hybrid';
  readonly hasSwap: boolean;
  readonly hasBlockWeight: boolean;
}

export interface BlockDevices {
  /** Numbers of devices by their path. */
  readonly numbers: ReadonlyMap<string, { readonly major: number; readonly minor: number }>;
}

export function ociResourcesOf(r: Resources, m: CgroupMachine, block: BlockDevices): OciResources {
  const out: OciResources = {};
  const quota = quotaOf(r);
  const cpu: NonNullable<OciResources['cpu']> = {};
  if ((r.CpuShares ?? 0) > 0) cpu.shares = r.CpuShares ?? 0;
  if (quota.quotaUs !== undefined) cpu.quota = quota.quotaUs;
  if (quota.periodUs !== undefined) cpu.period = quota.periodUs;
  if (r.CpusetCpus) cpu.cpus = r.CpusetCpus;
  if (r.CpusetMems) cpu.mems = r.CpusetMems;
  if (Object.keys(cpu).length > 0) out.cpu = cpu;
  const memory: NonNullable<OciResources['memory']> = {};
  if ((r.Memory ?? 0) > 0) memory.limit = r.Memory ?? 0;
  if ((r.MemorySwap ?? 0) !== 0 && m.hasSwap) memory.swap = r.MemorySwap ?? 0;
  if ((r.MemoryReservation ?? 0) > 0) memory.reservation = r.MemoryReservation ?? 0;
  if (m.version !== 'v2' && (r.MemorySwappiness ?? -1) >= 0) memory.swappiness = r.MemorySwappiness ?? 0;
  if (m.version !== 'v2' && r.OomKillDisable === true) memory.disableOOMKiller = true;
  if (Object.keys(memory).length > 0) out.memory = memory;
  if ((r.PidsLimit ?? 0) > 0) out.pids = { limit: r.PidsLimit ?? 0 };
  const blockIo = blockIoOf(r, m, block);
  if (Object.keys(blockIo).length > 0) out.blockIO = blockIo;
  return out;
}

/** Of an update, for the cgroup that is there: what it does not name stays. */
export function limitsOf(r: Resources, now: Resources, m: CgroupMachine): CgroupLimits {
  const { quotaUs, periodUs } = quotaOf(r);
  const memory = r.Memory ?? 0;
  const swap = r.MemorySwap ?? (memory > 0 ? now.MemorySwap : undefined);
  const base = memory > 0 ? memory : (now.Memory ?? 0);
  const quota =
    quotaUs === undefined || quotaUs <= 0 ? undefined : Math.round((quotaUs * PERIOD_US) / (periodUs ?? PERIOD_US));
  return {
    cpuShares: (r.CpuShares ?? 0) > 0 ? r.CpuShares : undefined,
    cpuQuotaUs: quotaUs === -1 ? 'max' : quota,
    memoryBytes: memory > 0 ? memory : swap === undefined || base === 0 ? undefined : base,
    swapBytes: !m.hasSwap || swap === undefined || swap === 0 ? undefined : swap < 0 ? 'max' : Math.max(swap - base, 0),
    pids: r.PidsLimit === undefined || r.PidsLimit === null ? undefined : r.PidsLimit > 0 ? r.PidsLimit : 'max',
    cpus: r.CpusetCpus || undefined,
    memoryNodes: r.CpusetMems || undefined,
    memoryReservationBytes: (r.MemoryReservation ?? 0) > 0 ? r.MemoryReservation : undefined,
    blockWeight: m.hasBlockWeight && (r.BlkioWeight ?? 0) > 0 ? r.BlkioWeight : undefined,
  };
}

function quotaOf(r: Resources): { readonly quotaUs?: number; readonly periodUs?: number } {
  if ((r.NanoCpus ?? 0) > 0) return { quotaUs: Math.round(((r.NanoCpus ?? 0) * PERIOD_US) / 1e9), periodUs: PERIOD_US };
  return {
    ...((r.CpuQuota ?? 0) === 0 ? {} : { quotaUs: r.CpuQuota ?? 0 }),
    ...((r.CpuPeriod ?? 0) === 0 ? {} : { periodUs: r.CpuPeriod ?? 0 }),
  };
}

function blockIoOf(r: Resources, m: CgroupMachine, { numbers }: BlockDevices): OciBlockIo {
  const throttles = (list: Resources['BlkioDeviceReadBps']): OciThrottle[] =>
    (list ?? []).flatMap(({ Path, Rate }) => {
      const device = numbers.get(Path);
      return device === undefined ? [] : [{ ...device, rate: Rate }];
    });
  const out: OciBlockIo = {};
  if (m.hasBlockWeight && (r.BlkioWeight ?? 0) > 0) out.weight = r.BlkioWeight ?? 0;
  const weights = (r.BlkioWeightDevice ?? []).flatMap(({ Path, Weight }) => {
    const device = numbers.get(Path);
    return device === undefined ? [] : [{ ...device, weight: Weight }];
  });
  if (m.hasBlockWeight && weights.length > 0) out.weightDevice = weights;
  const all = {
    throttleReadBpsDevice: throttles(r.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttles(r.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttles(r.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttles(r.BlkioDeviceWriteIOps),
  };
  for (const key of Object.keys(all) as (keyof typeof all)[]) if (all[key].length > 0) out[key] = all[key];
  return out;
}
