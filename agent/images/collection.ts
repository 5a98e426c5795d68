/**
 * Removes images that nobody uses: those unused for too long, and, when their disk is fuller than it should be, the least
 * recently used ones until it is not.
 * Source: kubernetes pkg/kubelet/images/image_gc_manager.go (GarbageCollect).
 */
import { statfs } from 'node:fs/promises';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { ImageGcSettings } from '../resources/image-gc-settings.ts';
import type { Images } from './images.ts';

export interface CollectionOptions {
  readonly images: Pick<Images, 'collect'>;
  readonly settings: ImageGcSettings;
  /** Bytes of the disk of images. */
  readonly disk: () => Promise<{ readonly capacity: number; readonly available: number }>;
  /** A warning of the node. */
  readonly warn: (reason: string, message: string) => void;
}

const INTERVAL_MS = 300_000;

export async function diskOf(folder: string): Promise<{ capacity: number; available: number }> {
  const { blocks, bavail, bsize } = await statfs(folder);
  return { capacity: blocks * bsize, available: bavail * bsize };
}

/** Until the signal aborts. */
export async function runCollection(o: CollectionOptions, c: Ctx): Promise<void> {
  for (let failures = 0; ; ) {
    await c.clock.sleep(INTERVAL_MS, c.signal);
    try {
      await collectOnce(o, c);
      failures = 0;
    } catch (e) {
      c.signal.throwIfAborted();
      c.log.warn({ err: messageOf(e) }, 'collecting images failed');
      if (++failures > 1) o.warn('ImageGCFailed', messageOf(e));
    }
  }
}

/** Throws Unavailable when the disk stays too full. */
export async function collectOnce(o: CollectionOptions, c: Ctx): Promise<void> {
  const { settings, images } = o;
  if (settings.imageMaximumGCAgeMs > 0) {
    const minAgeMs = settings.imageMaximumGCAgeMs;
    const old = await images.collect({ freeBytes: Number.MAX_SAFE_INTEGER, minAgeMs }, c);
    if (old > 0) c.log.info({ freedBytes: old }, 'images unused for too long removed');
  }
  const { capacity, available } = await o.disk();
  if (capacity === 0) throw new StatusError('Unavailable', 'invalid capacity 0 on image filesystem');
  const usedPercent = 100 - Math.floor((Math.min(available, capacity) * 100) / capacity);
  if (usedPercent < settings.imageGCHighThresholdPercent || settings.imageGCHighThresholdPercent === 100) return;
  const freeBytes = Math.floor((capacity * (100 - settings.imageGCLowThresholdPercent)) / 100);
  const freed = await images.collect({ freeBytes, minAgeMs: settings.imageMinimumGCAgeMs }, c);
  if (freed > 0) c.log.info({ freedBytes: freed }, 'unused images removed');
  if (freed >= freeBytes - available) return;
  const message = `Insufficient free disk space on the node's image filesystem (${usedPercent}% of ${capacity} bytes used). Failed to free sufficient space by deleting unused images (freed ${freed} bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.`;
  o.warn('FreeDiskSpaceFailed', message);
  throw new StatusError('Unavailable', message);
}
