/**
 * What a node has left, read from the kernel: memory as the kubelet counts it (what is in use, without inactive pages of
 * files), file systems, processes. What cannot be read is not observed.
 * Source: kubernetes pkg/kubelet/eviction/helpers.go (makeSignalObservations), pkg/kubelet/stats/host_stats_provider.go; proc(5).
 */
import { readFile, stat, statfs } from 'node:fs/promises';
import { type Ctx, messageOf } from '#lib/base';
import type { Cgroups } from '../kernel/kernel.ts';
import { machineMemory } from '../metrics/usage.ts';
import { machinePids } from '../resources/machine.ts';
import type { Observation, Observations, PressureSignal } from './thresholds.ts';

export interface NodeReadingsOptions {
  readonly cgroups: Pick<Cgroups, 'usage'>;
  /** The cgroup above all pods, and the bytes it may use where that is enforced. */
  readonly podsCgroup: string;
  readonly podsMemoryBytes: number | undefined;
  /** Folders on the disk of pods, and on that of images and containers' layers. */
  readonly folder: string;
  readonly imagesFolder: string;
}

export async function observeNode(o: NodeReadingsOptions, c: Ctx): Promise<Observations> {
  const parts = [
    memory(),
    podsMemory(o, c),
    fileSystem('nodefs', o.folder),
    fileSystem('imagefs', o.imagesFolder),
    pids(),
  ];
  const all = await Promise.allSettled(parts);
  c.signal.throwIfAborted();
  const seen = new Map<PressureSignal, Observation>();
  for (const part of all) {
    if (part.status === 'fulfilled') for (const [signal, observation] of part.value) seen.set(signal, observation);
    else c.log.warn({ err: messageOf(part.reason) }, 'no observation found for an eviction signal');
  }
  return seen;
}

/** Whether images and containers' layers have a disk of their own. */
export async function hasDedicatedImageFs(o: Pick<NodeReadingsOptions, 'folder' | 'imagesFolder'>): Promise<boolean> {
  const [own, images] = await Promise.all([stat(o.folder), stat(o.imagesFolder)]);
  return own.dev !== images.dev;
}

type Seen = readonly (readonly [PressureSignal, Observation])[];

async function memory(): Promise<Seen> {
  const text = await readFile('/proc/meminfo', 'utf8');
  const capacity = Number(/^MemTotal:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  return [['memory.available', { capacity, available: capacity - machineMemory(text).workingSetBytes }]];
}

async function podsMemory(o: NodeReadingsOptions, c: Ctx): Promise<Seen> {
  const capacity = o.podsMemoryBytes;
  const usage = capacity === undefined ? undefined : await o.cgroups.usage(o.podsCgroup, c);
  if (capacity === undefined || usage === undefined) return [];
  return [['allocatableMemory.available', { capacity, available: Math.max(capacity - usage.workingSetBytes, 0) }]];
}

async function fileSystem(name: 'nodefs' | 'imagefs', folder: string): Promise<Seen> {
  const fs = await statfs(folder);
  const bytes: Observation = { capacity: fs.blocks * fs.bsize, available: fs.bavail * fs.bsize };
  const seen: [PressureSignal, Observation][] = [[`${name}.available`, bytes]];
  /* Some file systems make inodes as they need them, and say 0. */
  if (fs.files > 0) seen.push([`${name}.inodesFree`, { capacity: fs.files, available: fs.ffree }]);
  return seen;
}

async function pids(): Promise<Seen> {
  const [capacity, load] = await Promise.all([machinePids(), readFile('/proc/loadavg', 'utf8')]);
  const running = Number(/ \d+\/(\d+) /.exec(load)?.[1] ?? 0);
  return [['pid.available', { capacity, available: capacity - running }]];
}
