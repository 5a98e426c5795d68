/**
 * What a pass of the image collector does, by how full the disk is. Pure.
 * Source: kubernetes pkg/kubelet/images/image_gc_manager.go (GarbageCollect, freeOldImages).
 */
import type { ImageGcSettings } from './settings.ts';

/** Of the file system that holds images; `files` is 0 where it has no inodes to count. */
export interface DiskState {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly files: number;
  readonly freeFiles: number;
}

export interface CollectionPlan {
  /** Remove what was not used for so long, whatever is free. */
  readonly unusedForMs: number | undefined;
  /** Then make so much free. */
  readonly free: { readonly bytes: number; readonly files: number } | undefined;
  readonly usagePercent: number;
  readonly filesPercent: number;
}

/** `ranMs`: how long the collector has run, which must have seen what is used for the whole maximum age. */
export function planCollection(disk: DiskState, s: ImageGcSettings, ranMs: number): CollectionPlan {
  const available = Math.min(disk.availableBytes, disk.capacityBytes);
  const usagePercent = usedPercent(disk.capacityBytes, available);
  const filesPercent = usedPercent(disk.files, Math.min(disk.freeFiles, disk.files));
  const isFull = usagePercent >= s.highThresholdPercent || filesPercent >= s.highThresholdPercent;
  const share = (100 - s.lowThresholdPercent) / 100;
  return {
    unusedForMs: s.maximumAgeMs > 0 && ranMs > s.maximumAgeMs ? s.maximumAgeMs : undefined,
    free: isFull ? { bytes: Math.ceil(disk.capacityBytes * share), files: Math.ceil(disk.files * share) } : undefined,
    usagePercent,
    filesPercent,
  };
}

function usedPercent(all: number, free: number): number {
  return all === 0 ? 0 : 100 - Math.floor((free * 100) / all);
}
