/**
 * Limits of local storage, which nothing but eviction enforces: emptyDir.sizeLimit and limits of ephemeral-storage. Pure.
 * Source: kubernetes pkg/kubelet/eviction/eviction_manager.go (localStorageEviction).
 */
import { formatQuantity, parseQuantity, podLimits, quantityValue } from '#lib/api';
import type { PodObject } from '../pods/model.ts';
import { diskUseOf, type PodUse } from './ranking.ts';

const STORAGE = 'ephemeral-storage';

/** What has to be measured of a pod; undefined when it has no such limit. */
export function storageLimitsOf(
  pod: PodObject,
): { readonly volumes: readonly string[]; readonly isWhole: boolean } | undefined {
  const volumes = (pod.spec.volumes ?? []).filter(isLimited).map((v) => v.name);
  const isWhole = podLimits(pod, { usesStatus: false, hasOverhead: false }).has(STORAGE);
  return volumes.length === 0 && !isWhole ? undefined : { volumes, isWhole };
}

/** Those in memory are not among them: their mount has the size. */
function isLimited(v: NonNullable<PodObject['spec']['volumes']>[number]): boolean {
  const { sizeLimit, medium = '' } = v.emptyDir ?? {};
  return sizeLimit !== undefined && medium === '' && amountOf(sizeLimit) > 0;
}

export interface StorageViolation {
  /** As metrics name it. */
  readonly signal: 'emptydirfs.limit' | 'ephemeralpodfs.limit' | 'ephemeralcontainerfs.limit';
  readonly message: string;
}

/** The first limit that the pod is over, in the words of its eviction. */
export function storageViolation(
  pod: PodObject,
  use: PodUse,
  o: { readonly hasDedicatedImageFs: boolean },
): StorageViolation | undefined {
  for (const v of (pod.spec.volumes ?? []).filter(isLimited)) {
    const limit = v.emptyDir?.sizeLimit ?? '0';
    if ((use.volumes.get(v.name)?.bytes ?? 0) <= amountOf(limit)) continue;
    const message = `Usage of EmptyDir volume "${v.name}" exceeds the limit "${canonical(limit)}". `;
    return { signal: 'emptydirfs.limit', message };
  }
  const total = podLimits(pod, { usesStatus: false, hasOverhead: false }).get(STORAGE);
  if (total === undefined) return undefined;
  const parts = { rootfs: true, logs: true, volumes: true };
  if (diskUseOf(use, parts).bytes > Number(quantityValue(total))) {
    const message = `Pod ephemeral local storage usage exceeds the total limit of containers ${formatQuantity(total)}. `;
    return { signal: 'ephemeralpodfs.limit', message };
  }
  for (const spec of pod.spec.containers) {
    const limit = spec.resources?.limits?.[STORAGE];
    const container = use.containers.get(spec.name);
    if (limit === undefined || amountOf(limit) === 0 || container === undefined) continue;
    const rootfs = o.hasDedicatedImageFs ? 0 : (container.rootfs?.bytes ?? 0);
    if ((container.logs?.bytes ?? 0) + rootfs <= amountOf(limit)) continue;
    const message = `Container ${spec.name} exceeded its local ephemeral storage limit "${canonical(limit)}". `;
    return { signal: 'ephemeralcontainerfs.limit', message };
  }
  return undefined;
}

function amountOf(quantity: string): number {
  return Number(quantityValue(parseQuantity(quantity)));
}

function canonical(quantity: string): string {
  return formatQuantity(parseQuantity(quantity));
}
