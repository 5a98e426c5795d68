/**
 * Stops all processes of a cgroup where they are, and lets them go on. v1 may have to be told more than once: a process that is
 * just being made escapes its first look. Source: kernel Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst.
 */
import { join } from 'node:path';
import { type Ctx, isKind, StatusError } from '#lib/base';
import type { Freezer } from '../kernel.ts';
import { field, read, write } from './cgroup-files.ts';
import type { CgroupMounts } from './cgroups.ts';

const ATTEMPTS = 500;
const WAIT_MS = 10;

export function cgroupFreezer(mounts: CgroupMounts, attempts = ATTEMPTS): Freezer {
  const isV2 = mounts.v1.size === 0;
  const folderOf = (path: string): string => {
    const root = isV2 ? mounts.v2 : mounts.v1.get('freezer');
    if (root === undefined) throw new StatusError('Unavailable', 'cgroups of this host cannot be frozen');
    return join(root, path);
  };
  const isFrozen = async (folder: string): Promise<boolean> =>
    isV2
      ? field(await read(folder, 'cgroup.events'), 'frozen') === 1
      : (await read(folder, 'freezer.state'))?.trim() === 'FROZEN';
  const order = (folder: string, on: boolean): Promise<void> =>
    isV2 ? write(folder, 'cgroup.freeze', on ? '1' : '0') : write(folder, 'freezer.state', on ? 'FROZEN' : 'THAWED');
  return {
    async freeze(path, c) {
      const folder = folderOf(path);
      for (let attempt = 0; attempt < attempts; attempt++) {
        await order(folder, true).catch((e: unknown) => {
          throw isKind(e, 'NotFound') ? new StatusError('Conflict', `${path} has no processes any more`) : e;
        });
        if (await isFrozen(folder)) return;
        await c.clock.sleep(WAIT_MS, c.signal);
      }
      await order(folder, false);
      throw new StatusError('DeadlineExceeded', `the processes of ${path} do not freeze`);
    },
    /* v2 lets the frozen be killed: their cgroup may be gone before it is thawed. */
    thaw: (path) =>
      order(folderOf(path), false).catch((e: unknown) => {
        if (!isKind(e, 'NotFound')) throw e;
      }),
    isFrozen: async (path: string, _c: Ctx) => isFrozen(folderOf(path)),
  };
}
