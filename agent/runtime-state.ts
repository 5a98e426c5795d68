/**
 * What of a node may never touch a disk, and is worth nothing once its machine has restarted (ADR 22): the OCI runtime's own state,
 * containers' bundles (their environment holds values of Secrets) and the bodies of Secrets. All of it below /run, which a reboot
 * empties, as it empties the kernel; where /run lies on a disk, on a tmpfs of our own.
 */
import { mkdir, readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import type { Mounts } from './kernel/kernel.ts';

/** statfs(2): f_type of tmpfs and ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

export function runtimeStateFolder(instance: string): string {
  return `/run/berth-runtime/${instance}`;
}

/** Bodies of Secrets. */
export function wishMemoryFolder(instance: string): string {
  return join(runtimeStateFolder(instance), 'wish');
}

/** To be called before anything is written there. Idempotent; what a running agent's successor finds is left as it is. */
export async function openMemoryFolder(folder: string, mounts: Pick<Mounts, 'tmpfs'>, c: Ctx): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (IN_MEMORY.has((await statfs(folder)).type)) return;
  if ((await readdir(folder)).length > 0) {
    /* Containers of an earlier version run from it: a mount would hide them. */
    c.log.warn({ folder }, 'is on a disk, where Secrets should not be: until nothing of this node runs any more');
    return;
  }
  await mounts.tmpfs(folder, { mode: 0o700 }, c);
}
