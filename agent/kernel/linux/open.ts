/** The Linux implementation of the kernel ports, on `berth-helper serve`. */
import { rmdir } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { Duplex } from 'node:stream';
import { type Ctx, type Random, realRandom } from '#lib/base';
import type { Freezer, Kernel } from '../kernel.ts';
import { codeOf } from './cgroup-files.ts';
import { type LinuxCgroups, openCgroups } from './cgroups.ts';
import { cgroupFreezer } from './freezer.ts';
import { Helper } from './helper.ts';
import { HelperMounts, HelperNamespaces } from './mounts.ts';
import { packFolder } from './pack.ts';
import { openProber } from './prober.ts';
import { baseEnvironment, HelperPrograms } from './programs.ts';
import { helperFiles } from './read-files.ts';
import { syncFileSystem, unpackBlob, unpackLayer } from './unpack.ts';

export interface KernelOptions {
  /** dist/berth-helper */
  readonly helperPath: string;
  /** Environment of which PATH and HOME are handed on to programs; default: none. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly random?: Random;
}

/** What agent/runtime needs beyond the ports: sessions are verbs of the helper. */
export interface LinuxKernel extends Kernel {
  readonly helper: Helper;
  readonly cgroups: LinuxCgroups;
  readonly freezer: Freezer;
  /** A new process that asks steady probes, spoken to in the frames of agent/native/prober.c; it ends with the connection. */
  openProber(c: Ctx): Promise<Duplex>;
}

export async function openKernel(o: KernelOptions): Promise<LinuxKernel> {
  const helper = await Helper.open({ helperPath: o.helperPath, random: o.random ?? realRandom });
  const cgroups = await openCgroups(helperFiles(helper));
  const programs = new HelperPrograms(helper, baseEnvironment(o.environment ?? {}));
  return {
    helper,
    programs,
    mounts: new HelperMounts(helper),
    namespaces: new HelperNamespaces(helper, cgroups),
    cgroups,
    freezer: cgroupFreezer(cgroups.mounts),
    unpackLayer: (u, c) => unpackLayer(helper, u, c),
    unpackBlob: (u, c) => unpackBlob(helper, u, c),
    packFolder: (o, c) => packFolder(helper, o, c),
    openProber: (c) => openProber(helper, c),
    syncFileSystem: (path, c) => syncFileSystem(programs, path, c),
    ownTree: async (path, groupId, c) => {
      await helper.call('own', [path, groupId], c);
    },
    removeTree: async (path, c) => {
      c.signal.throwIfAborted();
      if (!isAbsolute(path) || !(await isGone(path))) await helper.call('remove', [path], c);
    },
    [Symbol.asyncDispose]: () => helper[Symbol.asyncDispose](),
  };
}

/** Often there is nothing, or an empty folder: a process of the helper costs ten times as much as this. */
function isGone(path: string): Promise<boolean> {
  return rmdir(path).then(
    () => true,
    (e: unknown) => codeOf(e) === 'ENOENT',
  );
}
