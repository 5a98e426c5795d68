/** One sample of `GET /containers/{id}/stats`. Pure. Source: moby daemon/stats_unix.go, api/types/container/stats.go. */

import type { CgroupUsage } from '../../../kernel/kernel.ts';
import type { CgroupDetails } from '../../../kernel/linux/cgroup-details.ts';
import type { InterfaceUsage } from '../../../metrics/network.ts';

export interface CpuSample {
  readonly totalNs: number;
  readonly userNs: number;
  readonly systemNs: number;
  readonly machineNs: number;
  readonly cpus: number;
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledNs: number;
}

export interface StatsSample {
  readonly readMs: number;
  readonly cpu: CpuSample;
  readonly usage: CgroupUsage;
  readonly details: CgroupDetails;
  /** Of memory.stat. */
  readonly memory: Readonly<Record<string, number>>;
  readonly machineBytes: number;
  /** undefined: it has the host's network. */
  readonly interfaces: readonly InterfaceUsage[] | undefined;
}

const NEVER = '0001-01-01T00:00:00Z';
const NS_PER_TICK = 1e7;

/** Of the whole machine, idle time too: /proc/stat in ticks of 10 ms. */
export function machineTotalNs(procStat: string): number {
  const [, ...fields] = (/^cpu .*$/m.exec(procStat)?.[0] ?? '').split(/\s+/);
  return fields.slice(0, 8).reduce((sum, t) => sum + Number(t), 0) * NS_PER_TICK;
}

export function memoryStats(text: string): Readonly<Record<string, number>> {
  return Object.fromEntries([...text.matchAll(/^([a-z_]+) (\d+)$/gm)].map(([, k = '', v]) => [k, Number(v)]));
}

export function emptyStats(o: { readonly id: string; readonly name: string }): object {
  return {
    ...{ read: NEVER, preread: NEVER, pids_stats: {}, blkio_stats: blkioOf([]), num_procs: 0, storage_stats: {} },
    ...{ cpu_stats: cpuOf(undefined), precpu_stats: cpuOf(undefined), memory_stats: {} },
    ...{ name: `/${o.name}`, id: o.id },
  };
}

export function statsView(
  s: StatsSample,
  before: StatsSample | undefined,
  o: { readonly id: string; readonly name: string },
): object {
  const { usage, details, memory } = s;
  const limit = Math.min(details.memoryLimitBytes ?? s.machineBytes, s.machineBytes);
  return {
    name: `/${o.name}`,
    id: o.id,
    read: new Date(s.readMs).toISOString(),
    preread: before === undefined ? NEVER : new Date(before.readMs).toISOString(),
    pids_stats: {
      current: details.tasks,
      ...(details.tasksMax === undefined ? {} : { limit: details.tasksMax }),
    },
    blkio_stats: blkioOf(details.devices),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: cpuOf(s.cpu),
    precpu_stats: cpuOf(before?.cpu),
    memory_stats: {
      usage: usage.memoryBytes,
      stats: memory,
      limit,
    },
    ...(s.interfaces === undefined ? {} : { networks: networksOf(s.interfaces) }),
  };
}

function cpuOf(c: CpuSample | undefined): object {
  if (c === undefined)
    return {
      cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
      throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
    };
  return {
    cpu_usage: { total_usage: c.totalNs, usage_in_kernelmode: c.systemNs, usage_in_usermode: c.userNs },
    system_cpu_usage: c.machineNs,
    online_cpus: c.cpus,
    throttling_data: { periods: c.periods, throttled_periods: c.throttledPeriods, throttled_time: c.throttledNs },
  };
}

function blkioOf(devices: CgroupDetails['devices']): object {
  const entries = (value: (d: CgroupDetails['devices'][number]) => readonly [number, number]): object[] =>
    devices.flatMap((d) => {
      const [major, minor] = d.device.split(':').map(Number);
      const [read, write] = value(d);
      return [
        { major, minor, op: 'read', value: read },
        { major, minor, op: 'write', value: write },
      ];
    });
  const none = {
    ...{ io_queue_recursive: null, io_service_time_recursive: null, io_wait_time_recursive: null },
    ...{ io_merged_recursive: null, io_time_recursive: null, sectors_recursive: null },
  };
  return {
    io_service_bytes_recursive: devices.length === 0 ? null : entries((d) => [d.readBytes, d.writeBytes]),
    io_serviced_recursive: devices.length === 0 ? null : entries((d) => [d.reads, d.writes]),
    ...none,
  };
}

function networksOf(interfaces: readonly InterfaceUsage[]): object {
  return Object.fromEntries(
    interfaces.map((i) => [
      i.name,
      {
        ...{ rx_bytes: i.rxBytes, rx_packets: i.rxPackets, rx_errors: i.rxErrors, rx_dropped: i.rxDropped },
        ...{ tx_bytes: i.txBytes, tx_packets: i.txPackets, tx_errors: i.txErrors, tx_dropped: i.txDropped },
      },
    ]),
  );
}
