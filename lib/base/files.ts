/** Files that others read or that must survive a crash: write a temporary file, fsync, rename, fsync the folder. */
import { existsSync } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Replaces `path` atomically. The temporary file's name begins with a dot, which names of what is kept in a folder do not: one
 * that a crash has left is taken for nothing else. With `durable: false` (default true) the fsyncs are left out: atomic but not
 * crash-safe.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  o: { mode?: number; durable?: boolean } = {},
): Promise<void> {
  const temporary = draftPath(dirname(path), basename(path));
  try {
    const file = await open(temporary, 'w', o.mode ?? 0o644);
    try {
      await file.writeFile(data);
      if (o.durable !== false) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (e) {
    await rm(temporary, { force: true });
    throw e;
  }
  if (o.durable !== false) await syncPath(dirname(path));
}

/**
 * The beginning of a regular file, at most `bytesMax` bytes. It takes no more memory than the file has bytes: a buffer of the
 * limit for each small file fragments the heap of malloc. What has no size (a pipe, a device, /proc) reads as empty.
 */
export async function readUpTo(file: FileHandle, bytesMax: number): Promise<Buffer> {
  const { size } = await file.stat();
  const buffer = Buffer.allocUnsafe(Math.min(size, bytesMax));
  let used = 0;
  while (used < buffer.length) {
    const { bytesRead } = await file.read(buffer, used, buffer.length - used, used);
    if (bytesRead === 0) break;
    used += bytesRead;
  }
  return buffer.subarray(0, used);
}

/** Of a failed call: there is nothing at that path. */
export function isMissing(e: unknown): boolean {
  return e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR');
}

/** A file or a symbolic link; gone is fine. One call, where `rm` with `force` makes three. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (e) {
    if (!isMissing(e)) throw e;
  }
}

/**
 * A folder of few entries, with all that is in it; gone is fine. A file costs one call and a folder two, where `rm` asks of each
 * entry twice what it is. What somebody adds meanwhile is removed too.
 */
export async function removeFolder(path: string): Promise<void> {
  try {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const inside = join(path, entry.name);
      await (entry.isDirectory() ? removeFolder(inside) : removeFile(inside));
    }
    await rmdir(path);
  } catch (e) {
    if (!isMissing(e)) await rm(path, { recursive: true, force: true });
  }
}

/** A path in `folder` that nobody has yet, for what is to become `base` by a rename; `removeDrafts` knows it. */
export function draftPath(folder: string, base: string): string {
  return join(folder, `.${base}.${process.pid}.${nextSuffix()}.tmp`);
}

const DRAFT = /^\.(.+)\.(\d+)\.\d+\.tmp$/;

/**
 * Removes what processes that were killed between `draftPath` and its rename left in a folder, not below it; with `base`, of that file only.
 * No folder is fine. Call it before this process writes there: a draft under its own number is an earlier one's.
 */
export async function removeDrafts(folder: string, base?: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const [, of, pid] = DRAFT.exec(name) ?? [];
    const isOver = pid !== undefined && (Number(pid) === process.pid || !existsSync(`/proc/${pid}`));
    if (isOver && (base === undefined || base === of)) await rm(join(folder, name), { force: true });
  }
}

/**
 * A folder that nobody but its owner may enter, also when it was open before. What containers own lies below such: programs
 * with set-uid, devices, Secrets readable by all. (CVE-2021-41091, CVE-2024-25621)
 */
export async function makePrivateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
}

/** Syncs a file or a folder. */
export async function syncPath(path: string): Promise<void> {
  const opened = await open(path, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

const nextSuffix = (() => {
  let n = 0;
  return (): number => ++n;
})();
