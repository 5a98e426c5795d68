/**
 * The folders above a container's mount points, where the image lacks them. A runtime makes them too, but crun 1.8 for root
 * alone (mode 01700): then no other user reaches what is mounted below, its service account's token above all.
 *
 * Links of the image are followed inside the root, as the runtime does it. Nothing runs in the root yet, so nobody can put a
 * link where a folder was seen.
 */
import { chmod, chown, lstat, mkdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

const LINKS_MAX = 40;

/** `targets`: absolute in the container. `owner`: of what is made. What cannot be made is left to the runtime, whose error says why. */
export async function makeMountParents(rootfs: string, targets: readonly string[], owner = 0): Promise<void> {
  const parents = new Set(targets.map((target) => partsOf(target).slice(0, -1).join('/')));
  for (const parent of parents) await makeFolders(rootfs, parent, owner);
}

async function makeFolders(rootfs: string, folder: string, owner: number): Promise<void> {
  const left = partsOf(folder);
  let at: string[] = [];
  let links = 0;
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    if (part === '..') {
      at.pop();
      continue;
    }
    const path = join(rootfs, ...at, part);
    const seen = await lstat(path).catch(() => undefined);
    if (seen === undefined) {
      if (!(await makeFolder(path, owner))) return;
    } else if (seen.isSymbolicLink()) {
      if (++links > LINKS_MAX) return;
      const text = await readlink(path);
      if (text.startsWith('/')) at = [];
      left.unshift(...partsOf(text));
      continue;
    } else if (!seen.isDirectory()) return;
    at.push(part);
  }
}

async function makeFolder(path: string, owner: number): Promise<boolean> {
  try {
    await mkdir(path);
    await chmod(path, 0o755);
    if (owner !== 0) await chown(path, owner, owner);
    return true;
  } catch {
    // Read-only, or no root at all: the runtime will tell.
    return false;
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
