/**
 * In-place resize, as data: three versions of a container's resources (wanted by the API, allocated by this node, in force in
 * its cgroup), and in which order cgroups change from one to the other. Pure.
 * Source: KEP-1287; pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodResizeAction, doPodResizeAction).
 */
import { compareQuantity, parseQuantity, type ResourceRequirements } from '#lib/api';
import type { CgroupAmount, CgroupLimits } from '../kernel/kernel.ts';
import {
  type ContainerObservation,
  containersOf,
  isRunning,
  observationOf,
  type PodObject,
  type PodObservation,
  type Resources,
  type RoledContainer,
} from './model.ts';
import type { ContainerFigures, PodFigures } from './resources.ts';

const RESIZABLE = ['cpu', 'memory'] as const;
type Resizable = (typeof RESIZABLE)[number];
const LISTS = ['requests', 'limits'] as const;

export function isResizable(c: RoledContainer): boolean {
  return c.role === 'app' || c.role === 'sidecar';
}

/** The pod with other resources for some of its containers. */
export function withResources(pod: PodObject, of: ReadonlyMap<string, Resources | undefined>): PodObject {
  const change = <T extends { readonly name: string }>(c: T): T =>
    of.has(c.name) ? { ...c, resources: of.get(c.name) ?? {} } : c;
  const { initContainers, containers } = pod.spec;
  const inits = initContainers === undefined ? {} : { initContainers: initContainers.map(change) };
  return { ...pod, spec: { ...pod.spec, ...inits, containers: containers.map(change) } };
}

export function isSameResources(a: Resources | undefined, b: Resources | undefined): boolean {
  return RESIZABLE.every((name) => isSameAmount(a, b, name));
}

export function isSameAmount(a: Resources | undefined, b: Resources | undefined, name: Resizable): boolean {
  return !differs(a, b, name);
}

function differs(a: Resources | undefined, b: Resources | undefined, name: Resizable): boolean {
  return LISTS.some((list) => {
    const [x, y] = [a?.[list]?.[name], b?.[list]?.[name]];
    if (x === y) return false;
    return compareQuantity(parseQuantity(x ?? '0'), parseQuantity(y ?? '0')) !== 0;
  });
}

/** What a running container needs to get what its spec (the allocation) says. */
export function resizeOf(c: RoledContainer, o: ContainerObservation): 'none' | 'inPlace' | 'restart' {
  const inForce = o.latest?.resources;
  if (!isResizable(c) || !isRunning(o) || inForce === undefined) return 'none';
  const changed = RESIZABLE.filter((name) => differs(inForce, c.spec.resources, name));
  if (changed.length === 0) return 'none';
  const policies = c.spec.resizePolicy ?? [];
  const isRestarted = changed.some((name) =>
    policies.some((p) => p.resourceName === name && p.restartPolicy === 'RestartContainer'),
  );
  return isRestarted ? 'restart' : 'inPlace';
}

export interface ResizeWork {
  /** A container has to end before its resources can change. */
  readonly hasRestarts: boolean;
  /** Cgroups have to change. */
  readonly isDue: boolean;
}

export function resizeWork(pod: PodObject, seen: PodObservation): ResizeWork {
  const all = containersOf(pod).map((c) => resizeOf(c, observationOf(seen, c.spec.name)));
  const hasRestarts = all.includes('restart');
  return { hasRestarts, isDue: all.includes('inPlace') || seen.resize?.isPodDue === true };
}

/** Of a running container: what its cgroup has, where the spec names it at all. Source: convertContainerStatusResources. */
export function resourcesInForce(allocated: Resources, inForce: Resources | undefined): ResourceRequirements {
  const { requests, limits, claims } = allocated;
  const merged = (list: (typeof LISTS)[number], amounts: Readonly<Record<string, string>>): Record<string, string> => {
    const out = { ...amounts };
    if (inForce === undefined) return out;
    for (const name of RESIZABLE) {
      const amount = inForce[list]?.[name];
      if (amount === undefined) delete out[name];
      else out[name] = amount;
    }
    return out;
  };
  return {
    ...(claims === undefined ? {} : { claims: claims.map((c) => ({ ...c })) }),
    ...(limits === undefined ? {} : { limits: merged('limits', limits) }),
    ...(requests === undefined ? {} : { requests: merged('requests', requests) }),
  };
}

export interface ResizeStep {
  /** A container, or undefined: the pod's own cgroup. */
  readonly container: string | undefined;
  readonly limits: CgroupLimits;
}

export interface ContainerChange {
  readonly name: string;
  readonly before: ContainerFigures;
  readonly after: ContainerFigures;
}

/** A pod's cgroup grows before its containers' and shrinks after them, and of these those that shrink come first. */
export function resizeSteps(
  before: PodFigures,
  after: PodFigures,
  containers: readonly ContainerChange[],
  o: { readonly limitsSwap: boolean },
): ResizeStep[] {
  const swap = (memory: CgroupAmount): CgroupLimits =>
    o.limitsSwap ? { memoryBytes: memory, swapBytes: memory === 'max' ? 'max' : 0 } : { memoryBytes: memory };
  const pod = (limits: CgroupLimits): ResizeStep => ({ container: undefined, limits });
  const memory = order(
    compare(after.memoryBytes, before.memoryBytes),
    [pod({ memoryBytes: after.memoryBytes })],
    containers
      .map((c) => ({ name: c.name, by: compare(c.after.memoryBytes, c.before.memoryBytes), after: c.after }))
      .filter((c) => c.by !== 0)
      .sort((a, b) => a.by - b.by)
      .map((c) => ({ container: c.name, limits: swap(c.after.memoryBytes ?? 'max') })),
  );
  const cpuOf = (f: ContainerFigures): CgroupLimits => ({ cpuShares: f.cpuShares, cpuQuotaUs: f.cpuQuotaUs ?? 'max' });
  const cpuContainers = containers
    .map((c) => ({
      name: c.name,
      by: compare(c.after.cpuQuotaUs, c.before.cpuQuotaUs) || c.after.cpuShares - c.before.cpuShares,
      after: c.after,
    }))
    .filter((c) => c.by !== 0)
    .sort((a, b) => a.by - b.by)
    .map((c): ResizeStep => ({ container: c.name, limits: cpuOf(c.after) }));
  const shares = [pod({ cpuShares: after.cpuShares })];
  const quota = [pod({ cpuQuotaUs: after.cpuQuotaUs })];
  const cpu = order(after.cpuShares - before.cpuShares, shares, cpuContainers);
  return [...memory, ...order(compare(after.cpuQuotaUs, before.cpuQuotaUs), quota, cpu)];
}

/** `outer` last when it shrinks, else first: what it has is not sure where it seems to be the same. */
function order(by: number, outer: readonly ResizeStep[], inner: readonly ResizeStep[]): ResizeStep[] {
  return by < 0 ? [...inner, ...outer] : [...outer, ...inner];
}

function compare(a: CgroupAmount | undefined, b: CgroupAmount | undefined): number {
  const value = (x: CgroupAmount | undefined): number => (x === undefined || x === 'max' ? Number.MAX_VALUE : x);
  return Math.sign(value(a) - value(b));
}

/** `Pod resize started: {...}`: what events say. Source: pkg/kubelet/events/resize.go. */
export function resizeMessage(what: string, pod: PodObject, generation: number | undefined, error?: string): string {
  const of = (list: readonly { readonly name: string; readonly resources?: Resources | undefined }[] | undefined) =>
    list === undefined || list.length === 0
      ? undefined
      : list.map((c) => ({ name: c.name, resources: c.resources ?? {} }));
  const summary = {
    initContainers: of(pod.spec.initContainers),
    containers: of(pod.spec.containers),
    generation: generation ?? 0,
    error,
  };
  return `${what}: ${JSON.stringify(summary)}`;
}
