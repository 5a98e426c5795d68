/** hostPath: a path of the node, checked (or made) as its type says (pkg/volume/hostpath). Nothing is removed later. */

import type { Stats } from 'node:fs';
import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import type { DeepReadonly, HostPathVolumeSource } from '#lib/api';
import { StatusError } from '#lib/base';

export async function prepareHostPath(source: DeepReadonly<HostPathVolumeSource>): Promise<string> {
  const { path } = source;
  const type = source.type ?? '';
  if (!isAbsolute(path) || path.split('/').includes('..'))
    throw new StatusError('Invalid', `hostPath ${path} must be absolute and must not contain '..'`);
  switch (type) {
    case '':
      // No check, but a bind needs something: as kubelet's runtimes do, a missing path becomes a folder.
      if ((await statOf(path)) === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
      return path;
    case 'DirectoryOrCreate':
      if ((await statOf(path)) === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
      return expectKind(path, 'directory', (s) => s.isDirectory());
    case 'Directory':
      return expectKind(path, 'directory', (s) => s.isDirectory());
    case 'FileOrCreate':
      if ((await statOf(path)) === undefined) await makeFile(path);
      return expectKind(path, 'file', (s) => s.isFile());
    case 'File':
      return expectKind(path, 'file', (s) => s.isFile());
    case 'Socket':
      return expectKind(path, 'socket file', (s) => s.isSocket());
    case 'CharDevice':
      return expectKind(path, 'character device', (s) => s.isCharacterDevice());
    case 'BlockDevice':
      return expectKind(path, 'block device', (s) => s.isBlockDevice());
    default:
      throw new StatusError('Invalid', `hostPath type "${type}" is unknown`);
  }
}

async function expectKind(path: string, what: string, isRight: (s: Stats) => boolean): Promise<string> {
  const found = await statOf(path);
  if (found === undefined || !isRight(found))
    throw new StatusError('Invalid', `hostPath type check failed: ${path} is not a ${what}`);
  return path;
}

/** The parent has to exist: kubelet does not make it either. */
async function makeFile(path: string): Promise<void> {
  if ((await statOf(dirname(path))) === undefined)
    throw new StatusError('Invalid', `hostPath type check failed: the folder of ${path} does not exist`);
  const file = await open(path, 'a', 0o644);
  await file.close();
  await chmod(path, 0o644);
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (e) {
    if (e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR')) return undefined;
    throw new StatusError('Unavailable', `hostPath ${path} cannot be read`, { cause: e });
  }
}
