/**
 * A path inside a volume, opened so that no symlink can lead out of it, even one that a container swaps in between check and
 * use. The path is resolved once and must lie inside the volume; then it is walked from the volume's root by descriptors,
 * each step with O_NOFOLLOW, and the last descriptor is what gets bound (/proc/PID/fd/N names the object, not the path).
 * Source: kubernetes pkg/volume/util/subpath (CVE-2017-1002101).
 */

import type { FileHandle } from 'node:fs/promises';
import { constants, mkdir, open, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { StatusError } from '#lib/base';

/** Not in fs.constants: opens the object itself, without reading or waking it (devices, sockets). */
const O_PATH = 0o10000000;
/** What a new folder takes over of its volume's root: permissions, and setgid, by which a group keeps what is below. */
const MODE_MASK = 0o2777;

/** Relative, without "..": throws Invalid. */
export function checkedSubPath(subPath: string): string {
  if (subPath.startsWith('/'))
    throw new StatusError('Invalid', `error SubPath \`${subPath}\` must not be an absolute path`);
  if (subPath.split('/').includes('..'))
    throw new StatusError('Invalid', `unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  return subPath
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/**
 * The caller closes the handle after binding. Missing folders are made, as open as the volume, unless it is read-only; `owner`: whose
 * they are, where not the node's root.
 */
export async function openInside(
  volume: string,
  subPath: string,
  o: { canCreate: boolean; owner?: number | undefined },
): Promise<FileHandle> {
  const root = await realpath(volume);
  const wanted = join(root, checkedSubPath(subPath));
  let resolved = await resolveInside(root, wanted, subPath);
  if (resolved === undefined) {
    if (!o.canCreate) throw new StatusError('Invalid', `subPath "${subPath}" does not exist in the volume`);
    await makeInside(root, checkedSubPath(subPath), o.owner);
    resolved = await resolveInside(root, wanted, subPath);
  }
  if (resolved === undefined) throw new StatusError('Unavailable', `subPath "${subPath}" vanished while it was opened`);
  return walk(root, relative(root, resolved), subPath);
}

/** undefined when it does not exist; Invalid when it leads out of the volume. */
async function resolveInside(root: string, wanted: string, subPath: string): Promise<string | undefined> {
  let resolved: string;
  try {
    resolved = await realpath(wanted);
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw new StatusError('Invalid', `subPath "${subPath}" cannot be opened`, { cause: e });
  }
  if (resolved !== root && !resolved.startsWith(root + sep)) throw outside(subPath);
  return resolved;
}

/** Makes what is missing, one level at a time, each below a descriptor that was reached without following a link. */
async function makeInside(root: string, path: string, owner: number | undefined): Promise<void> {
  let at = await open(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const mode = (await at.stat()).mode & MODE_MASK;
    for (const part of path.split('/')) {
      const name = `/proc/self/fd/${at.fd}/${part}`;
      const made = await mkdir(name, { mode: mode & 0o777 }).then(
        () => true,
        (e: unknown) => {
          if (e instanceof Error && 'code' in e && e.code === 'EEXIST') return false;
          throw e;
        },
      );
      const next = await openNext(name, constants.O_RDONLY | constants.O_DIRECTORY, path);
      // By the descriptor: the name may be a link by now, to anything of the host.
      if (made && owner !== undefined) {
        const { gid } = await next.stat();
        await next.chown(owner, gid === 0 ? owner : gid);
      }
      if (made) await next.chmod(mode);
      await at.close();
      at = next;
    }
  } finally {
    await at.close();
  }
}

async function walk(root: string, path: string, subPath: string): Promise<FileHandle> {
  let at = await open(root, constants.O_RDONLY | constants.O_DIRECTORY);
  for (const part of path === '' ? [] : path.split(sep)) {
    try {
      const next = await openNext(`/proc/self/fd/${at.fd}/${part}`, O_PATH, subPath);
      await at.close();
      at = next;
    } catch (e) {
      await at.close();
      throw e;
    }
  }
  return at;
}

async function openNext(name: string, flags: number, subPath: string): Promise<FileHandle> {
  const handle = await open(name, flags | constants.O_NOFOLLOW).catch((e: unknown) => {
    if (e instanceof Error && 'code' in e && (e.code === 'ELOOP' || e.code === 'ENOTDIR')) throw outside(subPath);
    throw e;
  });
  // With O_PATH a link is opened itself instead of refused.
  if ((await handle.stat()).isSymbolicLink()) {
    await handle.close();
    throw outside(subPath);
  }
  return handle;
}

function outside(subPath: string): StatusError {
  return new StatusError('Invalid', `subPath "${subPath}" leads out of the volume`);
}
