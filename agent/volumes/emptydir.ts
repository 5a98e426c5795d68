/** emptyDir: a folder of the pod on disk, or a tmpfs of its own with a size limit (pkg/volume/emptydir). */
import { chmod, chown, mkdir, rename, stat } from 'node:fs/promises';
import type { DeepReadonly, EmptyDirVolumeSource } from '#lib/api';
import { parseQuantity, quantityToNumber } from '#lib/api';
import type { Ctx } from '#lib/base';
import { StatusError } from '#lib/base';
import type { Mounts } from '../kernel/kernel.ts';
import type { VolumeOwner } from './owner.ts';

/** Idempotent: an existing volume keeps its contents. `memoryBytesMax`: the pod's memory limit, for tmpfs without sizeLimit. */
export async function prepareEmptyDir(
  path: string,
  source: DeepReadonly<EmptyDirVolumeSource>,
  o: { owner: VolumeOwner; memoryBytesMax: number | undefined; mounts: Mounts },
  c: Ctx,
): Promise<void> {
  const medium = source.medium ?? '';
  if (medium !== '' && medium !== 'Memory') throw new StatusError('Invalid', `unknown storage medium "${medium}"`);
  if (!(await exists(path))) await makeWhole(path, o.owner);
  if (medium === '') return;
  const sizes = [sizeLimit(source.sizeLimit), o.memoryBytesMax].filter((size) => size !== undefined);
  const size = sizes.length === 0 ? {} : { sizeBytes: Math.min(...sizes) };
  // A mount that exists is left alone by the port, contents and all.
  await o.mounts.tmpfs(path, { ...size, mode: 0o777 }, c);
  const { uid, gid } = await stat(path);
  if (gid !== o.owner.gid || uid !== o.owner.uid) await setOwner(path, o.owner);
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
