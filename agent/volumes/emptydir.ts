/** emptyDir: a folder of the pod on disk, a tmpfs of its own with a size limit, or huge pages (pkg/volume/emptydir). */
import { chmod, chown, mkdir, rename, stat } from 'node:fs/promises';
import type { DeepReadonly, EmptyDirVolumeSource, Pod } from '#lib/api';
import { parseQuantity, quantityToNumber } from '#lib/api';
import type { Ctx } from '#lib/base';
import { StatusError } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import { isHugePages, mountHugePages, pageSizeOf } from './hugepages.ts';
import type { VolumeOwner } from './owner.ts';

export interface EmptyDirPlace {
  readonly pod: DeepReadonly<Pod>;
  readonly owner: VolumeOwner;
  /** The pod's memory limit, for tmpfs without sizeLimit. */
  readonly memoryBytesMax: number | undefined;
  readonly kernel: Pick<Kernel, 'mounts' | 'programs'>;
}

/** Idempotent: an existing volume keeps its contents. */
export async function prepareEmptyDir(
  path: string,
  source: DeepReadonly<EmptyDirVolumeSource>,
  o: EmptyDirPlace,
  c: Ctx,
): Promise<void> {
  const medium = source.medium ?? '';
  if (medium !== '' && medium !== 'Memory' && !isHugePages(medium))
    throw new StatusError('Invalid', `unknown storage medium "${medium}"`);
  const pageSize = isHugePages(medium) ? pageSizeOf(medium, o.pod) : undefined;
  if (!(await exists(path))) await makeWhole(path, o.owner);
  if (medium === '') return;
  if (pageSize !== undefined) {
    await mountHugePages(path, { pageSize, programs: o.kernel.programs }, c);
    await giveTo(path, o.owner);
    return;
  }
  const sizes = [sizeLimit(source.sizeLimit), o.memoryBytesMax].filter((size) => size !== undefined);
  const size = sizes.length === 0 ? {} : { sizeBytes: Math.min(...sizes) };
  // A mount that exists is left alone by the port, contents and all.
  await o.kernel.mounts.tmpfs(path, { ...size, mode: 0o777 }, c);
  await giveTo(path, o.owner);
}

async function giveTo(path: string, owner: VolumeOwner): Promise<void> {
  const { uid, gid } = await stat(path);
  if (gid !== owner.gid || uid !== owner.uid) await setOwner(path, owner);
}

/** Under its name only when owner and mode are right: a crash leaves none with wrong ones. */
async function makeWhole(path: string, owner: VolumeOwner): Promise<void> {
  const draft = `${path}.new`;
  await mkdir(draft, { recursive: true });
  await chmod(draft, 0o777);
  await setOwner(draft, owner);
  await rename(draft, path);
}

async function setOwner(path: string, { uid, gid, isShared }: VolumeOwner): Promise<void> {
  if (uid !== 0 || gid !== 0) await chown(path, uid, gid);
  await chmod(path, isShared ? 0o2777 : 0o777);
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Not made yet; any other trouble shows when it is made.
    return false;
  }
}

/** Bytes; undefined = no limit. */
function sizeLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = Math.ceil(quantityToNumber(parseQuantity(text)));
  return bytes > 0 ? bytes : undefined;
}
