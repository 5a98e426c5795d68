/**
 * Removes unused images when the disk fills or they grow old: a pass every five minutes, as the kubelet's. What is used is seen
 * from the roots on disk, so containers of an earlier agent and image volumes count. A disk that stays full is told by an event
 * of the node. Source: kubernetes pkg/kubelet/images/image_gc_manager.go, pkg/kubelet/kubelet.go (ImageGCPeriod).
 */
import { statfs } from 'node:fs/promises';
import { type Ctx, messageOf, timeText } from '#lib/base';
import type { Session } from '../../session/session.ts';
import type { Images } from '../images.ts';
import { type DiskState, planCollection } from './plan.ts';
import type { ImageGcSettings } from './settings.ts';

export interface CollectorOptions {
  readonly images: Pick<Images, 'collect'>;
  /** On the file system that holds images. */
  readonly folder: string;
  readonly settings: ImageGcSettings;
  readonly nodeName: string;
  readonly event: Session['event'];
  /** Default: of `folder`. */
  readonly disk?: () => Promise<DiskState>;
}

const PERIOD_MS = 300_000;

/** Until the signal aborts. */
export async function collectImages(o: CollectorOptions, c: Ctx): Promise<void> {
  const begin = c.clock.monotonic();
  for (;;) {
    await c.clock.sleep(PERIOD_MS, c.signal);
    try {
      await collectOnce(o, c.clock.monotonic() - begin, c);
    } catch (e) {
      if (c.signal.aborted) throw e;
      c.log.warn({ err: e }, 'collecting images failed');
      tell(o, 'ImageGCFailed', messageOf(e), c);
    }
  }
}

export async function collectOnce(o: CollectorOptions, ranMs: number, c: Ctx): Promise<void> {
  const look = o.disk ?? (() => diskOf(o.folder));
  const disk = await look();
  if (disk.capacityBytes === 0) {
    tell(o, 'InvalidDiskCapacity', 'invalid capacity 0 on image filesystem', c);
    return;
  }
  const plan = planCollection(disk, o.settings, ranMs);
  const { minimumAgeMs } = o.settings;
  const { bytes, files } = plan.free ?? { bytes: 0, files: 0 };
  const freed = await o.images.collect(
    { freeBytes: bytes, freeFiles: files, minAgeMs: minimumAgeMs, unusedForMs: plan.unusedForMs },
    c,
  );
  if (freed > 0) c.log.info({ freedBytes: freed }, 'unused images removed');
  if (plan.free === undefined) return;
  const now = await look();
  if (now.availableBytes >= bytes && (now.files === 0 || now.freeFiles >= files)) return;
  tell(o, 'FreeDiskSpaceFailed', stillFull(disk, plan, freed), c);
}

async function diskOf(folder: string): Promise<DiskState> {
  const { blocks, bavail, bsize, files, ffree } = await statfs(folder);
  return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize, files, freeFiles: ffree };
}

function stillFull(disk: DiskState, plan: ReturnType<typeof planCollection>, freed: number): string {
  const { usagePercent, filesPercent } = plan;
  const what =
    filesPercent > usagePercent
      ? `(${filesPercent}% of ${disk.files} inodes used)`
      : `(${usagePercent}% of ${(disk.capacityBytes / 2 ** 30).toFixed(1)} GiB used)`;
  return (
    `Insufficient free disk space on the node's image filesystem ${what}. ` +
    `Failed to free sufficient space by deleting unused images (freed ${freed} bytes). ` +
    'Investigate disk usage, as it could be used by active images, logs, volumes, or other data.'
  );
}

function tell(o: CollectorOptions, reason: string, message: string, c: Ctx): void {
  const now = timeText(c.clock.now());
  o.event({
    metadata: { namespace: 'default' },
    involvedObject: { apiVersion: 'v1', kind: 'Node', name: o.nodeName, uid: o.nodeName },
    reason,
    message: message.slice(0, 1024),
    type: 'Warning',
    source: { component: 'berth-agent', host: o.nodeName },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
    reportingComponent: 'berth-agent',
    reportingInstance: o.nodeName,
  });
}
