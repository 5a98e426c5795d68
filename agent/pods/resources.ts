/**
 * Requests and limits -> QoS class, cgroup figures, oom_score_adj, downward API values. Pure.
 * Source: kubernetes pkg/apis/core/v1/helper/qos, pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go.
 */
import {
  type Amounts,
  milliValue,
  parseQuantity,
  podLimits,
  podRequests,
  type QosClass,
  qosClassOf as qosClassOfSpec,
  quantityValue,
} from '#lib/api';
import type { CgroupAmount, CgroupLimits } from '../kernel/kernel.ts';
import { pageSizeName } from '../kernel/page-size.ts';
import { type ContainerSpec, containersOf, type PodObject } from './model.ts';

const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MIN_QUOTA_US = 1000;
const HUGE_PAGES = 'hugepages-';
const ZERO = parseQuantity('0');
/** A pod of this priority is part of the node. Source: pkg/kubelet/types/pod_update.go (IsNodeCriticalPod). */
const SYSTEM_CRITICAL_PRIORITY = 2_000_000_000;

export function qosClassOf(pod: PodObject): QosClass {
  return qosClassOfSpec(pod.spec);
}

/** `0` is no request. */
function nonZero(q: string | undefined): string | undefined {
  return q === undefined || milliValue(parseQuantity(q)) === 0n ? undefined : q;
}

function milliOf(q: string): number {
  return Number(milliValue(parseQuantity(q)));
}

function bytesOf(q: string): number {
  return Number(quantityValue(parseQuantity(q)));
}

export function milliCpuOf(amounts: Amounts): number {
  return Number(milliValue(amounts.get('cpu') ?? ZERO));
}

export function cpuShares(milliCpu: number): number {
  return Math.min(Math.max(Math.floor((milliCpu * 1024) / 1000), MIN_SHARES), MAX_SHARES);
}

function quotaUs(milliCpu: number): number {
  return Math.max(milliCpu * 100, MIN_QUOTA_US);
}

export interface ContainerFigures {
  readonly cpuShares: number;
  readonly cpuQuotaUs?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly hugePages: Readonly<Record<string, number>>;
}

/** What has no limit of its own has the pod's, so that its program finds one. `pageSizes`: those that can be limited. */
export function containerFigures(pod: PodObject, spec: ContainerSpec, pageSizes: readonly string[]): ContainerFigures {
  const limitOf = (name: string): string | undefined =>
    nonZero(spec.resources?.limits?.[name]) ?? nonZero(pod.spec.resources?.limits?.[name]);
  const cpuLimit = limitOf('cpu');
  const cpuRequest = spec.resources?.requests?.['cpu'] ?? cpuLimit;
  const memory = limitOf('memory');
  const pages = hugePagesOf(spec.resources?.limits ?? {});
  return {
    cpuShares: cpuShares(cpuRequest === undefined ? 0 : milliOf(cpuRequest)),
    cpuQuotaUs: cpuLimit === undefined ? undefined : quotaUs(milliOf(cpuLimit)),
    memoryBytes: memory === undefined ? undefined : bytesOf(memory),
    hugePages: Object.fromEntries(pageSizes.map((size) => [size, pages[size] ?? 0])),
  };
}

/** By the kernel's names of page sizes. */
function hugePagesOf(list: Readonly<Record<string, string>>): Record<string, number> {
  const names = Object.keys(list).filter((name) => name.startsWith(HUGE_PAGES));
  return Object.fromEntries(
    names.map((n) => [pageSizeName(bytesOf(n.slice(HUGE_PAGES.length))), bytesOf(list[n] ?? '0')]),
  );
}

/** A limit that is taken away is 'max', so that writing it over an older one does. */
export interface PodFigures {
  readonly cpuShares: number;
  readonly cpuQuotaUs: CgroupAmount;
  readonly memoryBytes: CgroupAmount;
  readonly hugePages: Readonly<Record<string, CgroupAmount>>;
}

/**
 * Of the pod's cgroup: what its containers ask for at the same time, with overhead; a limit only where each of them, init
 * containers too, has it, or the pod itself. Source: pkg/kubelet/cm/helpers_linux.go (ResourceConfigForPod).
 */
export function podFigures(pod: PodObject, pageSizes: readonly string[]): PodFigures {
  const o = { usesStatus: false, hasOverhead: true };
  const requests = podRequests(pod, o);
  const limits = podLimits(pod, o);
  const limited = containersOf(pod).filter((c) => c.role !== 'ephemeral');
  const isLimited = (name: string): boolean =>
    nonZero(pod.spec.resources?.limits?.[name]) !== undefined ||
    limited.every((c) => nonZero(c.spec.resources?.limits?.[name]) !== undefined);
  const qos = qosClassOf(pod);
  const pages = hugePagesOf(Object.fromEntries([...requests].map(([n, q]) => [n, String(quantityValue(q))])));
  return {
    cpuShares: qos === 'BestEffort' ? MIN_SHARES : cpuShares(milliCpuOf(requests)),
    cpuQuotaUs: isLimited('cpu') ? quotaUs(milliCpuOf(limits)) : 'max',
    memoryBytes: isLimited('memory') ? Number(quantityValue(limits.get('memory') ?? ZERO)) : 'max',
    hugePages: Object.fromEntries(pageSizes.map((size) => [size, pages[size] ?? 0])),
  };
}

/** `podPidsLimit`: processes of one pod, undefined = as many as the node has. */
export function podCgroupLimits(
  pod: PodObject,
  o: { readonly pageSizes: readonly string[]; readonly podPidsLimit: number | undefined },
): CgroupLimits {
  return { ...podFigures(pod, o.pageSizes), pids: o.podPidsLimit ?? 'max' };
}

/**
 * -997 for Guaranteed, 1000 for BestEffort, in between by the share of the node's memory asked for; a sidecar is never killed
 * before the containers that it serves. Source: pkg/kubelet/qos/policy.go, KEP-753, KEP-2837.
 */
export function oomScoreAdj(pod: PodObject, spec: ContainerSpec, nodeMemoryBytes: number): number {
  const qos = qosClassOf(pod);
  if (qos === 'Guaranteed' || (pod.spec.priority ?? 0) >= SYSTEM_CRITICAL_PRIORITY) return -997;
  if (qos === 'BestEffort') return 1000;
  const share = unclaimedMemoryPerContainer(pod);
  const scoreOf = (bytes: number): number => 1000 - Math.floor((1000 * (bytes + share)) / nodeMemoryBytes);
  const own = scoreOf(memoryRequest(spec));
  const isSidecar = containersOf(pod).some((c) => c.role === 'sidecar' && c.spec.name === spec.name);
  const least = Math.min(...pod.spec.containers.map(memoryRequest));
  const score = isSidecar ? Math.min(own, scoreOf(least)) : own;
  return Math.min(Math.max(score, 3), 999);
}

function memoryRequest(spec: ContainerSpec): number {
  const request = spec.resources?.requests?.['memory'];
  return request === undefined ? 0 : bytesOf(request);
}

/** What the pod itself asks for beyond its containers, for each of them the same. */
function unclaimedMemoryPerContainer(pod: PodObject): number {
  const own = pod.spec.resources?.requests?.['memory'];
  if (own === undefined) return 0;
  const all = containersOf(pod).filter((c) => c.role === 'app' || c.role === 'sidecar');
  const claimed = all.reduce((sum, c) => sum + memoryRequest(c.spec), 0);
  return Math.max(Math.floor((bytesOf(own) - claimed) / all.length), 0);
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
