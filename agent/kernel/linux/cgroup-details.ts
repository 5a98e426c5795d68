/**
 * What a cgroup tells besides its usage: kinds of memory, throttling, disk transfers, tasks, pressure. Read when somebody
 * asks, not each round. A file that a kernel does not have leaves its figures out.
 * Source: kernel Documentation/admin-guide/cgroup-v1/*, cgroup-v2.rst, accounting/psi.rst.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { field } from './cgroup-files.ts';
import type { CgroupMounts } from './cgroups.ts';

export interface Pressure {
  /** Microseconds. */
  readonly totalUs: number;
  /** Per cent of the last so many seconds. */
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

export interface PressureOf {
  readonly some: Pressure;
  readonly full: Pressure;
}

export interface DeviceTransfers {
  /** `major:minor` */
  readonly device: string;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}

export interface CgroupDetails {
  readonly userNs: number;
  readonly systemNs: number;
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledNs: number;
  readonly rssBytes: number;
  readonly cacheBytes: number;
  readonly mappedBytes: number;
  readonly swapBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  /** undefined = none. */
  readonly memoryLimitBytes: number | undefined;
  readonly tasks: number;
  readonly tasksMax: number | undefined;
  readonly processes: number;
  readonly devices: readonly DeviceTransfers[];
  /** Only where the kernel has it. */
  readonly pressure: Readonly<Partial<Record<'cpu' | 'memory' | 'io', PressureOf>>>;
}

type Read = (path: string) => Promise<string | undefined>;

/** Ticks of /proc and cpuacct.stat: 100 a second on every architecture that we run on. */
const NS_PER_TICK = 1e7;
/** A limit above this is none: cgroup v1 says 2^63 rounded to pages. */
const NO_LIMIT = 2 ** 60;

/** undefined when the cgroup is gone. */
export async function cgroupDetails(
  mounts: CgroupMounts,
  path: string,
  read: Read = readOrNothing,
): Promise<CgroupDetails | undefined> {
  return mounts.v1.size === 0 ? detailsV2(join(mounts.v2 ?? '', path), read) : detailsV1(mounts, path, read);
}

async function detailsV1(mounts: CgroupMounts, path: string, read: Read): Promise<CgroupDetails | undefined> {
  const file = async (controller: string, name: string): Promise<string | undefined> => {
    const root = mounts.v1.get(controller);
    return root === undefined ? undefined : read(join(root, path, name));
  };
  const [cpu, account, memory, limit, tasks, tasksMax, procs, bytes, operations] = await Promise.all([
    file('cpu', 'cpu.stat'),
    file('cpuacct', 'cpuacct.stat'),
    file('memory', 'memory.stat'),
    file('memory', 'memory.limit_in_bytes'),
    file('pids', 'pids.current'),
    file('pids', 'pids.max'),
    file('pids', 'cgroup.procs'),
    file('blkio', 'blkio.throttle.io_service_bytes_recursive'),
    file('blkio', 'blkio.throttle.io_serviced_recursive'),
  ]);
  if (cpu === undefined && memory === undefined && tasks === undefined) return undefined;
  return {
    userNs: field(account, 'user') * NS_PER_TICK,
    systemNs: field(account, 'system') * NS_PER_TICK,
    periods: field(cpu, 'nr_periods'),
    throttledPeriods: field(cpu, 'nr_throttled'),
    throttledNs: field(cpu, 'throttled_time'),
    rssBytes: field(memory, 'total_rss'),
    cacheBytes: field(memory, 'total_cache'),
    mappedBytes: field(memory, 'total_mapped_file'),
    swapBytes: field(memory, 'total_swap'),
    pageFaults: field(memory, 'total_pgfault'),
    majorPageFaults: field(memory, 'total_pgmajfault'),
    memoryLimitBytes: limitOf(limit),
    tasks: Number(tasks ?? 0),
    tasksMax: limitOf(tasksMax),
    processes: lineCount(procs),
    devices: devicesV1(bytes ?? '', operations ?? ''),
    pressure: {},
  };
}

async function detailsV2(folder: string, read: Read): Promise<CgroupDetails | undefined> {
  const names = ['cpu.stat', 'memory.stat', 'memory.swap.current', 'memory.max', 'pids.current', 'pids.max'];
  const more = ['cgroup.procs', 'io.stat', 'cpu.pressure', 'memory.pressure', 'io.pressure'];
  const texts = await Promise.all([...names, ...more].map((n) => read(join(folder, n))));
  const [cpu, memory, swap, limit, tasks, tasksMax, procs, io, cpuPressure, memoryPressure, ioPressure] = texts;
  if (cpu === undefined) return undefined;
  const of = (kind: string, text: string | undefined): object => {
    const found = text === undefined ? undefined : parsePressure(text);
    return found === undefined ? {} : { [kind]: found };
  };
  return {
    userNs: field(cpu, 'user_usec') * 1000,
    systemNs: field(cpu, 'system_usec') * 1000,
    periods: field(cpu, 'nr_periods'),
    throttledPeriods: field(cpu, 'nr_throttled'),
    throttledNs: field(cpu, 'throttled_usec') * 1000,
    rssBytes: field(memory, 'anon'),
    cacheBytes: field(memory, 'file'),
    mappedBytes: field(memory, 'file_mapped'),
    swapBytes: Number(swap ?? 0),
    pageFaults: field(memory, 'pgfault'),
    majorPageFaults: field(memory, 'pgmajfault'),
    memoryLimitBytes: limitOf(limit),
    tasks: Number(tasks ?? 0),
    tasksMax: limitOf(tasksMax),
    processes: lineCount(procs),
    devices: devicesV2(io ?? ''),
    pressure: { ...of('cpu', cpuPressure), ...of('memory', memoryPressure), ...of('io', ioPressure) },
  };
}

/** `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for full, which the machine's cpu may lack. */
export function parsePressure(text: string): PressureOf | undefined {
  const line = (name: string): Pressure => {
    const found = text.split('\n').find((l) => l.startsWith(`${name} `)) ?? '';
    const value = (key: string): number => Number(new RegExp(`\\b${key}=([\\d.]+)`).exec(found)?.[1] ?? 0);
    return { avg10: value('avg10'), avg60: value('avg60'), avg300: value('avg300'), totalUs: value('total') };
  };
  return text.startsWith('some ') ? { some: line('some'), full: line('full') } : undefined;
}

/** `8:0 Read 4096` a line, and sums without a device. */
function devicesV1(bytes: string, operations: string): DeviceTransfers[] {
  const perDevice = (text: string, device: string, what: 'Read' | 'Write'): number =>
    Number(new RegExp(`^${device} ${what} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  const devices = new Set([...bytes.matchAll(/^(\d+:\d+) /gm)].map((m) => m[1] ?? ''));
  return [...devices].map((device) => ({
    device,
    readBytes: perDevice(bytes, device, 'Read'),
    writeBytes: perDevice(bytes, device, 'Write'),
    reads: perDevice(operations, device, 'Read'),
    writes: perDevice(operations, device, 'Write'),
  }));
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` a line. */
function devicesV2(io: string): DeviceTransfers[] {
  const out: DeviceTransfers[] = [];
  for (const line of io.split('\n')) {
    const device = /^\d+:\d+(?= )/.exec(line)?.[0];
    if (device === undefined) continue;
    const value = (key: string): number => Number(new RegExp(` ${key}=(\\d+)`).exec(line)?.[1] ?? 0);
    out.push({
      device,
      readBytes: value('rbytes'),
      writeBytes: value('wbytes'),
      reads: value('rios'),
      writes: value('wios'),
    });
  }
  return out;
}

function limitOf(text: string | undefined): number | undefined {
  const value = Number((text ?? '').trim() || Number.NaN);
  return Number.isFinite(value) && value < NO_LIMIT ? value : undefined;
}

function lineCount(text: string | undefined): number {
  return text === undefined || text === '' ? 0 : text.trimEnd().split('\n').length;
}

async function readOrNothing(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined); // gone, or not of this kernel
}
