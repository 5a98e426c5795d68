/**
 * Requests and limits -> QoS class, cgroup figures, oom_score_adj, downward API values. Pure.
 * Source: kubernetes pkg/apis/core/v1/helper/qos, pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go.
 */
import { milliValue, parseQuantity, quantityValue } from '#lib/api';
import type { CgroupLimits } from '../kernel/kernel.ts';
import { type ContainerSpec, containersOf, type PodObject } from './model.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MIN_QUOTA_US = 1000;

export function qosClassOf(pod: PodObject): QosClass {
  let any = false;
  let guaranteed = true;
  for (const { role, spec } of containersOf(pod)) {
    if (role === 'ephemeral') continue;
    for (const name of ['cpu', 'memory']) {
      const request = nonZero(spec.resources?.requests?.[name]);
      const limit = nonZero(spec.resources?.limits?.[name]);
      if (request !== undefined || limit !== undefined) any = true;
      if (
        limit === undefined ||
        (request !== undefined && quantityValue(parseQuantity(request)) !== quantityValue(parseQuantity(limit)))
      )
        guaranteed = false;
      if (
        limit !== undefined &&
        request !== undefined &&
        milliValue(parseQuantity(request)) !== milliValue(parseQuantity(limit))
      )
        guaranteed = false;
    }
  }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** `0` is no request. */
function nonZero(q: string | undefined): string | undefined {
  return q === undefined || milliValue(parseQuantity(q)) === 0n ? undefined : q;
}

export function cpuShares(milliCpu: number): number {
  return Math.min(Math.max(Math.floor((milliCpu * 1024) / 1000), MIN_SHARES), MAX_SHARES);
}

export interface ContainerFigures {
  readonly cpuShares: number;
  readonly cpuQuotaUs?: number | undefined;
  readonly memoryBytes?: number | undefined;
}

export function containerFigures(spec: ContainerSpec): ContainerFigures {
  const cpuLimit = nonZero(spec.resources?.limits?.['cpu']);
  const cpuRequest = nonZero(spec.resources?.requests?.['cpu']) ?? cpuLimit;
  const memory = nonZero(spec.resources?.limits?.['memory']);
  return {
    cpuShares: cpuShares(cpuRequest === undefined ? 0 : Number(milliValue(parseQuantity(cpuRequest)))),
    cpuQuotaUs:
      cpuLimit === undefined ? undefined : Math.max(Number(milliValue(parseQuantity(cpuLimit))) * 100, MIN_QUOTA_US),
    memoryBytes: memory === undefined ? undefined : Number(quantityValue(parseQuantity(memory))),
  };
}

/** Of the pod's cgroup: requests summed; quota and memory only when every container has that limit. */
export function podLimits(pod: PodObject): CgroupLimits {
  const figures = containersOf(pod)
    .filter((c) => c.role === 'app' || c.role === 'sidecar')
    .map((c) => containerFigures(c.spec));
  const shares = pod.spec.containers.reduce((sum, c) => sum + milliOf(c.resources?.requests?.['cpu']), 0);
  const quotas = figures.map((f) => f.cpuQuotaUs);
  const memories = figures.map((f) => f.memoryBytes);
  const largestInit = Math.max(0, ...(pod.spec.initContainers ?? []).map((c) => containerFigures(c).memoryBytes ?? 0));
  return {
    cpuShares: cpuShares(shares),
    cpuQuotaUs: quotas.every((q) => q !== undefined) ? quotas.reduce((a, b) => a + (b ?? 0), 0) : undefined,
    memoryBytes: memories.every((m) => m !== undefined)
      ? Math.max(
          largestInit,
          memories.reduce((a: number, b) => a + (b ?? 0), 0),
        )
      : undefined,
  };
}

function milliOf(q: string | undefined): number {
  return q === undefined ? 0 : Number(milliValue(parseQuantity(q)));
}

/** -997 for Guaranteed, 1000 for BestEffort, in between by the share of the node's memory asked for. */
export function oomScoreAdj(pod: PodObject, spec: ContainerSpec, nodeMemoryBytes: number): number {
  const qos = qosClassOf(pod);
  if (qos === 'Guaranteed' || (pod.spec.priority ?? 0) >= 2_000_000_000) return -997;
  if (qos === 'BestEffort') return 1000;
  const request = nonZero(spec.resources?.requests?.['memory']);
  const bytes = request === undefined ? 0 : Number(quantityValue(parseQuantity(request)));
  return Math.min(Math.max(1000 - Math.floor((1000 * bytes) / nodeMemoryBytes), 3), 999);
}

/** A `resourceFieldRef`: rounded up by its divisor; an unset limit is what the node can allocate. */
export function containerResource(
  pod: PodObject,
  own: ContainerSpec,
  ref: {
    readonly containerName?: string | undefined;
    readonly resource: string;
    readonly divisor?: string | undefined;
  },
  allocatable: Readonly<Record<string, string>>,
): string {
  const named =
    ref.containerName === undefined || ref.containerName === ''
      ? own
      : containersOf(pod).find((c) => c.spec.name === ref.containerName)?.spec;
  const [kind, name] = ref.resource.split('.', 2);
  if (named === undefined || name === undefined) return '0';
  const limit = nonZero(named.resources?.limits?.[name]);
  const text =
    kind === 'limits' ? (limit ?? allocatable[name] ?? '0') : (named.resources?.requests?.[name] ?? limit ?? '0');
  const divisor = nonZero(ref.divisor) ?? '1';
  const milli = milliValue(parseQuantity(text));
  const by = milliValue(parseQuantity(divisor));
  return String((milli + by - 1n) / by);
}
