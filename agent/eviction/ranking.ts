/**
 * Which pod goes first, and what it is told: those that use more than they asked for, then by priority, then by how much more.
 * A pod of which nothing is known goes before the others. Pure.
 * Source: kubernetes pkg/kubelet/eviction/helpers.go (rank*Pressure, evictionMessage), pkg/kubelet/types/pod_update.go.
 */
import { type Amounts, formatQuantity, parseQuantity, podRequests, quantityOf, quantityValue } from '#lib/api';
import { containersOf, type PodObject } from '../pods/model.ts';
import type { StarvedResource } from './thresholds.ts';

export interface DiskUse {
  readonly bytes: number;
  readonly inodes: number;
}

export interface ContainerUse {
  /** Working set. */
  readonly memoryBytes: number | undefined;
  /** The writable layer. */
  readonly rootfs: DiskUse | undefined;
  readonly logs: DiskUse | undefined;
}

/** What a pod uses, as far as it was measured. */
export interface PodUse {
  readonly memoryBytes: number | undefined;
  readonly pids: number | undefined;
  /** By name of those that run. */
  readonly containers: ReadonlyMap<string, ContainerUse>;
  /** emptyDir volumes on disk, by name. */
  readonly volumes: ReadonlyMap<string, DiskUse>;
}

export type UseOf = (pod: PodObject) => PodUse | undefined;

/** What of a pod's files lies on the disk that is short. */
export interface DiskParts {
  readonly rootfs: boolean;
  readonly logs: boolean;
  readonly volumes: boolean;
}

const SYSTEM_CRITICAL_PRIORITY = 2_000_000_000;
const SOURCE_ANNOTATION = 'kubernetes.io/config.source';
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** Never evicted, admitted under any pressure: static pods, which nobody would make again elsewhere, and the system's. */
export function isCriticalPod(pod: PodObject): boolean {
  const annotations = pod.metadata.annotations ?? {};
  const source = annotations[SOURCE_ANNOTATION];
  if ((source !== undefined && source !== 'api') || annotations[MIRROR_ANNOTATION] !== undefined) return true;
  return (pod.spec.priority ?? 0) >= SYSTEM_CRITICAL_PRIORITY;
}

export function rankPods(
  pods: readonly PodObject[],
  resource: StarvedResource,
  useOf: UseOf,
  parts: DiskParts,
): readonly PodObject[] {
  const facts = new Map(pods.map((pod) => [pod, factsOf(pod, resource, useOf(pod), parts)]));
  return [...pods].sort((a, b) => {
    const [x, y] = [facts.get(a), facts.get(b)];
    if (x === undefined || y === undefined) return 0;
    return x.turn - y.turn || (a.spec.priority ?? 0) - (b.spec.priority ?? 0) || y.excess - x.excess;
  });
}

/** `turn`: 0 of which nothing is known, 1 more than it asked for, 2 the rest. PIDs are asked for by nobody. */
function factsOf(
  pod: PodObject,
  resource: StarvedResource,
  use: PodUse | undefined,
  parts: DiskParts,
): { readonly turn: number; readonly excess: number } {
  const used = use === undefined ? undefined : usedOf(use, resource, parts);
  if (used === undefined) return { turn: resource === 'pids' ? 1 : 0, excess: Number.POSITIVE_INFINITY };
  if (resource === 'pids') return { turn: 1, excess: used };
  const requests = podRequests(pod, { usesStatus: false, hasOverhead: true });
  /* Inodes too are weighed against the storage asked for. */
  const excess = used - amount(requests, resource === 'memory' ? 'memory' : 'ephemeral-storage');
  return { turn: used > amount(requests, resource) ? 1 : 2, excess };
}

function usedOf(use: PodUse, resource: StarvedResource, parts: DiskParts): number | undefined {
  if (resource === 'memory') return use.memoryBytes;
  if (resource === 'pids') return use.pids;
  return diskUseOf(use, parts)[resource === 'inodes' ? 'inodes' : 'bytes'];
}

/** Of all its containers and volumes together. */
export function diskUseOf(use: PodUse, parts: DiskParts): DiskUse {
  const all: (DiskUse | undefined)[] = [];
  for (const c of use.containers.values())
    all.push(parts.rootfs ? c.rootfs : undefined, parts.logs ? c.logs : undefined);
  if (parts.volumes) all.push(...use.volumes.values());
  return {
    bytes: all.reduce((sum, x) => sum + (x?.bytes ?? 0), 0),
    inodes: all.reduce((sum, x) => sum + (x?.inodes ?? 0), 0),
  };
}

/** The containers that use more than they asked for, as the pod's message names them. */
export function exceededMessage(pod: PodObject, resource: StarvedResource, use: PodUse | undefined): string {
  let message = '';
  if (use === undefined || (resource !== 'memory' && resource !== 'ephemeral-storage')) return message;
  if (resource === 'memory') message += podExceededMessage(pod, use);
  for (const { spec, role } of containersOf(pod)) {
    const container = use.containers.get(spec.name);
    if (role === 'ephemeral' || container === undefined) continue;
    const used = resource === 'memory' ? container.memoryBytes : storedBytes(container);
    const request = spec.resources?.requests?.[resource] ?? '0';
    if (used === undefined || used <= Number(quantityValue(parseQuantity(request)))) continue;
    message += `Container ${spec.name} was using ${bytesText(used)}, request is ${canonical(request)}, has larger consumption of ${resource}. `;
  }
  return message;
}

function podExceededMessage(pod: PodObject, use: PodUse): string {
  const request = pod.spec.resources?.requests?.['memory'];
  if (request === undefined || use.memoryBytes === undefined) return '';
  return `Pod ${pod.metadata.name} was using ${bytesText(use.memoryBytes)}, request is ${canonical(request)}, has larger consumption of memory. `;
}

function storedBytes(c: ContainerUse): number | undefined {
  return c.rootfs === undefined || c.logs === undefined ? undefined : c.rootfs.bytes + c.logs.bytes;
}

function amount(of: Amounts, name: string): number {
  const quantity = of.get(name);
  return quantity === undefined ? 0 : Number(quantityValue(quantity));
}

function canonical(quantity: string): string {
  return formatQuantity(parseQuantity(quantity));
}

export function bytesText(bytes: number): string {
  return formatQuantity(quantityOf(BigInt(Math.trunc(bytes)), 'BinarySI'));
}
