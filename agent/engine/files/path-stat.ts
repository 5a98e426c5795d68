/**
 * X-Docker-Container-Path-Stat: what a path of a container is, with the mode bits of Go's io/fs. Pure.
 * Source: moby api/types/container (PathStat); Go io/fs FileMode.
 */
import { timeText } from '#lib/base';
import type { FileStat } from '../../kernel/linux/container-files.ts';

const TYPE_MASK = 0o170000;
const GO_TYPES: ReadonlyMap<number, number> = new Map([
  [0o040000, 2 ** 31], // folder
  [0o120000, 2 ** 27], // symlink
  [0o060000, 2 ** 26], // block device
  [0o020000, 2 ** 26 + 2 ** 21], // character device
  [0o010000, 2 ** 25], // fifo
  [0o140000, 2 ** 24], // socket
]);

export function goMode(mode: number): number {
  const special =
    ((mode & 0o4000) === 0 ? 0 : 2 ** 23) +
    ((mode & 0o2000) === 0 ? 0 : 2 ** 22) +
    ((mode & 0o1000) === 0 ? 0 : 2 ** 20);
  return (GO_TYPES.get(mode & TYPE_MASK) ?? 0) + special + (mode & 0o777);
}

/** base64 of JSON. `path` as it was asked for. */
export function pathStatHeader(s: FileStat, path: string): string {
  const body = {
    name: baseName(path),
    size: s.sizeBytes,
    mode: goMode(s.mode),
    mtime: timeOf(s),
    linkTarget: s.linkTarget,
  };
  return Buffer.from(JSON.stringify(body)).toString('base64');
}

/** filepath.Base of the absolute path. */
function baseName(path: string): string {
  const end = path.replace(/\/+$/, '');
  return end === '' ? '/' : end.slice(end.lastIndexOf('/') + 1);
}

/** RFC 3339 with nanoseconds, zeros at the end left out. */
function timeOf({ mtimeS, mtimeNs }: FileStat): string {
  const fraction = mtimeNs === 0 ? '' : `.${String(mtimeNs).padStart(9, '0').replace(/0+$/, '')}`;
  return timeText(mtimeS * 1000).replace('Z', `${fraction}Z`);
}
