/** From counters to usage, and both as the statistics that the API server asks for. Pure. */
import type { NodeStats, PodStats, UsageSample } from '#lib/client';

/** Of one cgroup, or of the machine. */
export interface Reading {
  /** Monotonic. */
  readonly atMs: number;
  readonly wallMs: number;
  readonly cpuNs: number;
  readonly memoryBytes: number;
  readonly workingSetBytes: number;
  readonly oomKills: number;
}

export interface Readings {
  readonly previous: Reading | undefined;
  readonly latest: Reading;
}

export interface MeasuredContainer {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly container: string;
  /** Unique on the node, another one for each attempt. */
  readonly id: string;
  readonly image: string;
  readonly cgroup: string;
  readonly startedAtMs: number;
  /** Of its first process. */
  readonly pid: number;
  readonly isHostNetwork: boolean;
}

/** undefined while there is one reading only, or after a counter began anew. */
export function usageOf({ previous, latest }: Readings): UsageSample | undefined {
  if (previous === undefined) return undefined;
  const windowMs = latest.atMs - previous.atMs;
  if (windowMs <= 0 || latest.cpuNs < previous.cpuNs) return undefined;
  return {
    timestampMs: Math.round(latest.wallMs),
    windowMs: Math.round(windowMs),
    cpuNanoCores: Math.round(((latest.cpuNs - previous.cpuNs) / windowMs) * 1000),
    workingSetBytes: latest.workingSetBytes,
  };
}

/** A pod is told of when all its containers that run are: a sum of some would look like the pod's. */
export function nodeStats(
  node: Readings | undefined,
  containers: readonly { readonly of: MeasuredContainer; readonly readings: Readings | undefined }[],
): NodeStats {
  const pods = new Map<string, PodStats & { containers: PodStats['containers'][number][]; isWhole: boolean }>();
  for (const { of, readings } of containers) {
    const pod = pods.get(of.uid) ?? {
      namespace: of.namespace,
      name: of.pod,
      uid: of.uid,
      containers: [],
      isWhole: true,
    };
    pods.set(of.uid, pod);
    const usage = readings && usageOf(readings);
    if (usage === undefined) pod.isWhole = false;
    else pod.containers.push({ name: of.container, usage });
  }
  return {
    node: node && usageOf(node),
    pods: [...pods.values()].filter((p) => p.isWhole).map(({ isWhole: _, ...pod }) => pod),
  };
}

/** /proc/stat in ticks of 10 ms: everything but idling and waiting. */
export function machineCpuNs(procStat: string): number {
  const [, user, nice, system, , , irq, softirq, steal] = (/^cpu .*$/m.exec(procStat)?.[0] ?? '').split(/\s+/);
  const ticks = [user, nice, system, irq, softirq, steal].reduce((sum, t) => sum + Number(t ?? 0), 0);
  return ticks * NS_PER_TICK;
}

const NS_PER_TICK = 1e7;

/** As the kubelet's for the root cgroup: what is in use, without inactive pages of files. */
export function machineMemory(meminfo: string): { readonly memoryBytes: number; readonly workingSetBytes: number } {
  const bytes = (name: string): number => {
    const line = meminfo.split('\n').find((l) => l.startsWith(`${name}:`));
    return Number(/(\d+)/.exec(line?.slice(name.length) ?? '')?.[1] ?? 0) * 1024;
  };
  const memoryBytes = Math.max(bytes('MemTotal') - bytes('MemFree'), 0);
  return { memoryBytes, workingSetBytes: Math.max(memoryBytes - bytes('Inactive(file)'), 0) };
}
