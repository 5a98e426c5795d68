/**
 * What an image has at a volume's path becomes the content of the new volume, with owners, modes, times and extended attributes.
 * The path is resolved inside the root, whatever its links say; what is copied is copied as it is, links as links. The container
 * does not run yet, so nothing changes meanwhile. Source: moby container/container_unix.go CopyImagePathContent.
 */
import { mkdir, readdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, StatusError } from '#lib/base';
import { FolderTree } from '../../build/context/folder-tree.ts';
import { clipped, resolveIn } from '../../build/context/tree.ts';
import type { Kernel } from '../../kernel/kernel.ts';

const COPY_WITHIN_MS = 30 * 60_000;

/** `staging`: a name beside the mountpoint that nobody else uses; undefined = the mountpoint is a file system of its own. */
export async function copyUp(
  kernel: Pick<Kernel, 'programs' | 'removeTree'>,
  o: { rootfs: string; path: string; mountpoint: string; staging: string | undefined },
  c: Ctx,
): Promise<void> {
  if ((await readdir(o.mountpoint)).length > 0) return;
  const tree = new FolderTree(o.rootfs);
  const inside = await resolveIn(tree, clipped(o.path), { last: true }, c);
  if ((await tree.stat(inside, c))?.type !== 'folder') return;
  const source = `${join(o.rootfs, inside)}/.`;
  if (o.staging === undefined) return copy(kernel, source, o.mountpoint, c);
  // A copy that was cut short is never taken for a whole one.
  await kernel.removeTree(o.staging, c);
  await mkdir(o.staging, { mode: 0o755 });
  await copy(kernel, source, o.staging, c);
  await rmdir(o.mountpoint);
  await rename(o.staging, o.mountpoint);
}

async function copy(kernel: Pick<Kernel, 'programs'>, source: string, target: string, c: Ctx): Promise<void> {
  const result = await kernel.programs.run(
    ['cp', '-a', '--reflink=auto', '--', source, target],
    { timeoutMs: COPY_WITHIN_MS },
    c,
  );
  if (result.code !== 0)
    throw new StatusError(
      'Internal',
      `failed to copy to the volume: ${result.stderr.toString().slice(0, 2000).trim()}`,
    );
}
