/**
 * Roots as overlayfs mounts: layers are the lower folders, each container has an upper and a work folder. Nothing is copied,
 * so a root appears in about a millisecond however large the image is.
 */
import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import type { RootFormat } from './snapshot.ts';

export function overlayFormat(kernel: Kernel): RootFormat {
  return {
    name: 'overlay',
    async unpack(target, input, c) {
      const { file: path, bytesMax, entriesMax } = input;
      if (path !== undefined) return kernel.unpackBlob({ root: target, path, bytesMax, entriesMax }, c);
      return kernel.unpackLayer({ root: target, input: await input.open(), bytesMax, entriesMax }, c);
    },
    async build(root, layers, c, userNamespace) {
      const upper = join(root, 'upper');
      await Promise.all([upper, join(root, 'work'), join(root, 'merged')].map((p) => mkdir(p, { recursive: true })));
      await chmod(upper, 0o755); // the root folder's mode in the container, whatever our umask is
      const owner = userNamespace?.ids.first;
      if (owner !== undefined) await chown(upper, owner, owner);
      await kernel.mounts.overlay(
        {
          lower: layers.length > 0 ? [...layers].reverse() : [await emptyFolder(root)],
          upper,
          work: join(root, 'work'),
          target: join(root, 'merged'),
          mapped: userNamespace && { userNamespace: userNamespace.path, staging: join(root, 'staging') },
        },
        c,
      );
    },
    async dismantle(root, c) {
      for (const point of await kernel.mounts.below(root, c)) await kernel.mounts.unmount(point, c);
    },
  };
}

/** Tries a mount below `folder`: false where overlayfs is missing or refuses the file system (overlay on overlay, some NFS). */
export async function overlayWorks(kernel: Kernel, folder: string, c: Ctx): Promise<boolean> {
  const probe = join(folder, 'overlay-probe');
  const format = overlayFormat(kernel);
  try {
    await mkdir(join(probe, 'merged'), { recursive: true });
    await format.build(probe, [], c);
    return true;
  } catch (e) {
    c.signal.throwIfAborted();
    c.log.warn({ err: e, folder }, 'overlayfs does not work here: container roots will be plain copies');
    return false;
  } finally {
    await format.dismantle(probe, c);
    await rm(probe, { recursive: true, force: true });
  }
}

async function emptyFolder(root: string): Promise<string> {
  const path = join(root, 'empty');
  await mkdir(path, { recursive: true });
  return path;
}
