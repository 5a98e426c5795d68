/**
 * How full a pod's emptyDirs on disk are, against their sizeLimit: the disk itself sets none, so that they are looked at
 * from time to time. `du` walks them, outside this process: a volume may hold millions of files.
 * Source: kubernetes pkg/kubelet/eviction (emptyDirLimitEviction), pkg/volume/util/fs (DiskUsage).
 */
import { type DeepReadonly, type Pod, parseQuantity, quantityToNumber } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';

const DU_LIMIT_MS = 60_000;

export interface LimitedVolume {
  readonly name: string;
  /** As the pod says it. */
  readonly limit: string;
  readonly bytesMax: number;
}

/** Those in memory are not among them: their mount has the size. */
export function limitedOnDisk(pod: DeepReadonly<Pod>): readonly LimitedVolume[] {
  const out: LimitedVolume[] = [];
  for (const { name, emptyDir } of pod.spec?.volumes ?? []) {
    if (emptyDir?.sizeLimit === undefined || (emptyDir.medium ?? '') !== '') continue;
    const bytesMax = quantityToNumber(parseQuantity(emptyDir.sizeLimit));
    if (bytesMax > 0) out.push({ name, limit: emptyDir.sizeLimit, bytesMax });
  }
  return out;
}

/** Bytes of disk below `path`, other file systems left out; undefined when nobody can say. */
export async function diskUsage(path: string, programs: Programs, c: Ctx): Promise<number | undefined> {
  /* Files that vanish meanwhile make it end with 1; the sum stands. */
  const { stdout } = await programs.run(['du', '-s', '-k', '-x', path], { timeoutMs: DU_LIMIT_MS }, c);
  const kibibytes = /^(\d+)\s/.exec(stdout.toString('utf8'))?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}
