/**
 * The devices of the host, which a privileged container gets all of: those below /dev now, but for what each container has of
 * its own. Source: containerd pkg/oci (WithHostDevices), internal/cri (privileged containers).
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { OciDevice } from '../oci-spec.ts';

/** Folders and files that a container's own /dev has. */
const OWN = new Set(['pts', 'shm', 'fd', 'mqueue', 'hugepages', 'console', 'ptmx', 'termination-log', '.lxc', '.udev']);
const DEPTH_MAX = 8;
const DEVICES_MAX = 4096;
const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

export async function hostDevices(folder = '/dev'): Promise<OciDevice[]> {
  const out: OciDevice[] = [];
  await collect(folder, 0, out);
  return out;
}

async function collect(folder: string, depth: number, out: OciDevice[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const e of entries) {
    if (out.length >= DEVICES_MAX || (depth === 0 && OWN.has(e.name))) continue;
    const path = join(folder, e.name);
    if (e.isDirectory() && depth < DEPTH_MAX) await collect(path, depth + 1, out);
    else if (e.isCharacterDevice() || e.isBlockDevice()) out.push(...(await device(path)));
  }
}

/** None when it went meanwhile. */
async function device(path: string): Promise<OciDevice[]> {
  const s = await lstat(path).catch(() => undefined);
  const kind = (s?.mode ?? 0) & S_IFMT;
  if (s === undefined || (kind !== S_IFCHR && kind !== S_IFBLK)) return [];
  const { major, minor } = deviceNumbers(BigInt(s.rdev));
  const type = kind === S_IFBLK ? 'b' : 'c';
  return [{ path, type, major, minor, fileMode: s.mode & 0o777, uid: s.uid, gid: s.gid }];
}

/** makedev(3) of glibc, the other way round. */
export function deviceNumbers(rdev: bigint): { major: number; minor: number } {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}
