/**
 * /stats/summary, as the kubelet gives it. Pure. What is not measured is left out, never 0.
 * Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go; kubernetes pkg/kubelet/server/stats/summary.go.
 */
import { timeText } from '#lib/base';
import type { CgroupDetails, PressureOf } from '../kernel/linux/cgroup-details.ts';
import type { DetailSet } from './details.ts';
import type { InterfaceUsage } from './network.ts';
import { type MeasuredContainer, type Reading, type Readings, usageOf } from './usage.ts';

export interface FileSystem {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

/** Folders whose sizes are known from walking them (disk.ts). */
export interface DiskFolders {
  readonly root: string;
  readonly logs: string;
}

export interface MeasuredPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly startTime: string | undefined;
  /** emptyDirs on disk, by name. */
  readonly volumes: readonly { readonly name: string; readonly folder: string }[];
}

export interface SummaryInput {
  readonly nodeName: string;
  readonly bootedAtMs: number;
  readonly memoryBytes: number;
  readonly machine: Readings | undefined;
  readonly pods: readonly MeasuredPod[];
  readonly containers: readonly { readonly of: MeasuredContainer; readonly readings: Readings | undefined }[];
  readonly foldersOf: (of: MeasuredContainer) => DiskFolders;
  readonly details: DetailSet;
  readonly disk: ReadonlyMap<string, number>;
  readonly fileSystem: FileSystem;
}

type Json = Record<string, unknown>;

export function summaryOf(i: SummaryInput): Json {
  const time = timeText(i.details.wallMs);
  const { node } = i.details;
  return {
    node: {
      nodeName: i.nodeName,
      startTime: timeText(i.bootedAtMs),
      ...present('cpu', i.machine && cpuOf(i.machine, node.pressure.cpu)),
      ...present('memory', i.machine && memoryOf(i.machine.latest, undefined, i.memoryBytes, node.pressure.memory)),
      ...present('io', node.pressure.io && { time, psi: psi(node.pressure.io) }),
      network: networkOf(node.interfaces, time),
      fs: fsOf(i.fileSystem, i.fileSystem.capacityBytes - i.fileSystem.availableBytes, time),
      runtime: { imageFs: fsOf(i.fileSystem, undefined, time) },
      rlimit: { time, maxpid: node.processesMax, curproc: node.processes },
    },
    pods: i.pods.map((pod) => podOf(pod, i, time)),
  };
}

function podOf(pod: MeasuredPod, i: SummaryInput, time: string): Json {
  const own = i.containers.filter((x) => x.of.uid === pod.uid);
  const containers = own.map(({ of, readings }) => containerOf(of, readings, i, time));
  const all = own.map((x) => x.readings);
  const known = all.filter((r) => r !== undefined);
  const isWhole = own.length > 0 && known.length === own.length;
  const volumes = pod.volumes.map((v) => ({ name: v.name, ...fsOf(i.fileSystem, i.disk.get(v.folder), time) }));
  const interfaces = i.details.networks.get(pod.uid);
  const tasks = own.map((x) => i.details.containers.get(x.of.id)?.processes ?? 0);
  const folders = own.flatMap((x) => Object.values(i.foldersOf(x.of))).concat(pod.volumes.map((v) => v.folder));
  const sizes = folders.map((f) => i.disk.get(f));
  const used = sizes.length > 0 && sizes.every((x) => x !== undefined) ? sum(sizes) : undefined;
  return {
    podRef: { name: pod.name, namespace: pod.namespace, uid: pod.uid },
    ...present('startTime', pod.startTime),
    containers,
    ...present('cpu', isWhole ? cpuOf(total(known)) : undefined),
    ...present('memory', isWhole ? memoryOf(total(known).latest) : undefined),
    ...present('network', interfaces && networkOf(interfaces, time)),
    ...(volumes.length === 0 ? {} : { volume: volumes }),
    'ephemeral-storage': fsOf(i.fileSystem, used, time),
    process_stats: { process_count: sum(tasks) },
  };
}

function containerOf(of: MeasuredContainer, readings: Readings | undefined, i: SummaryInput, time: string): Json {
  const details = i.details.containers.get(of.id);
  const folders = i.foldersOf(of);
  const pressure: CgroupDetails['pressure'] = details?.pressure ?? {};
  return {
    name: of.container,
    startTime: timeText(of.startedAtMs),
    ...present('cpu', readings && cpuOf(readings, pressure.cpu)),
    ...present('memory', readings && memoryOf(readings.latest, details, undefined, pressure.memory)),
    ...present('io', pressure.io && { time, psi: psi(pressure.io) }),
    rootfs: fsOf(i.fileSystem, i.disk.get(folders.root), time),
    logs: fsOf(i.fileSystem, i.disk.get(folders.logs), time),
    ...present('swap', details && { time, swapUsageBytes: details.swapBytes }),
  };
}

function cpuOf(readings: Readings, pressure?: PressureOf): Json {
  return {
    time: timeText(readings.latest.wallMs),
    ...present('usageNanoCores', usageOf(readings)?.cpuNanoCores),
    usageCoreNanoSeconds: readings.latest.cpuNs,
    ...present('psi', pressure && psi(pressure)),
  };
}

/** Available is what is left of the limit, where there is one. */
function memoryOf(r: Reading, d?: CgroupDetails, machineBytes?: number, pressure?: PressureOf): Json {
  const limit = machineBytes ?? d?.memoryLimitBytes;
  return {
    time: timeText(r.wallMs),
    ...present('availableBytes', limit === undefined ? undefined : Math.max(limit - r.workingSetBytes, 0)),
    usageBytes: r.memoryBytes,
    workingSetBytes: r.workingSetBytes,
    ...(d === undefined ? {} : { rssBytes: d.rssBytes, pageFaults: d.pageFaults, majorPageFaults: d.majorPageFaults }),
    ...present('psi', pressure && psi(pressure)),
  };
}

/** The first interface counts as the one that is meant, eth0 where it is there. */
function networkOf(interfaces: readonly InterfaceUsage[], time: string): Json {
  const shown = interfaces.map(({ name, rxBytes, rxErrors, txBytes, txErrors }) => ({
    name,
    rxBytes,
    rxErrors,
    txBytes,
    txErrors,
  }));
  const main = shown.find((x) => x.name === 'eth0') ?? shown[0];
  return { time, ...(main ?? { name: '' }), interfaces: shown };
}

function fsOf(f: FileSystem, usedBytes: number | undefined, time: string): Json {
  const { availableBytes, capacityBytes, inodes, inodesFree } = f;
  return { time, availableBytes, capacityBytes, ...present('usedBytes', usedBytes), inodesFree, inodes };
}

function psi({ some, full }: PressureOf): Json {
  const of = (p: PressureOf['some']): Json => ({ total: p.totalUs, avg10: p.avg10, avg60: p.avg60, avg300: p.avg300 });
  return { full: of(full), some: of(some) };
}

/** Rates of a sum are right when all were read in the same rounds, as they are. */
function total(all: readonly Readings[]): Readings {
  const add = (list: readonly Reading[]): Reading | undefined => {
    const [first] = list;
    if (first === undefined) return undefined;
    const of = (value: (r: Reading) => number): number => sum(list.map(value));
    return {
      ...first,
      cpuNs: of((r) => r.cpuNs),
      memoryBytes: of((r) => r.memoryBytes),
      workingSetBytes: of((r) => r.workingSetBytes),
    };
  };
  const before = all.map((r) => r.previous).filter((r) => r !== undefined);
  const latest = add(all.map((r) => r.latest)) ?? ZERO;
  return { previous: before.length === all.length ? add(before) : undefined, latest };
}

const ZERO: Reading = { atMs: 0, wallMs: 0, cpuNs: 0, memoryBytes: 0, workingSetBytes: 0, oomKills: 0 };

function sum(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((n, v) => n + (v ?? 0), 0);
}

function present(name: string, value: unknown): Json {
  return value === undefined ? {} : { [name]: value };
}
