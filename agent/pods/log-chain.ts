/**
 * The files of one attempt's log: N.log is the newest, N.log.1 the one before, and so on. A rotation renames them all, so a
 * name says nothing of which file it is a moment later: files are told apart by their inode, which no other file can have
 * while somebody holds it open. Whoever reads one file to its end asks for the one after it; how many rotations fell in
 * between does not matter.
 *
 * Files move toward older names only. Looking from the newest name to the oldest therefore meets some twice, and never
 * passes one by.
 */
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

export interface LogFile {
  readonly handle: FileHandle;
  readonly inode: bigint;
}

/** All files that are there, oldest first. Empty when there is no log. */
export async function openChain(path: string): Promise<LogFile[]> {
  const files: LogFile[] = [];
  for (const name of await namesOf(path)) {
    const file = await openOne(name);
    if (file === undefined) continue;
    if (files.some((f) => f.inode === file.inode)) await file.handle.close();
    else files.unshift(file);
  }
  return files;
}

/** The file that was begun after this one; the oldest when this one is no longer there; undefined when it is the newest. */
export async function openNext(path: string, inode: bigint): Promise<LogFile | undefined> {
  let next: LogFile | undefined;
  for (const name of await namesOf(path)) {
    const file = await openOne(name);
    if (file === undefined) continue;
    if (file.inode === inode || file.inode === next?.inode) {
      await file.handle.close();
      if (file.inode === inode) return next;
    } else {
      await next?.handle.close();
      next = file;
    }
  }
  return next;
}

export async function closeAll(files: readonly LogFile[]): Promise<void> {
  await Promise.all(files.map((f) => f.handle.close().catch(() => undefined)));
}

/** Where files are or may be a moment later, newest first. */
async function namesOf(path: string): Promise<string[]> {
  const name = basename(path);
  const all = await readdir(dirname(path)).catch(() => [] as string[]);
  const numbers = new Set([0]);
  for (const n of all) {
    const number = n === name ? 0 : n.startsWith(`${name}.`) ? Number(n.slice(name.length + 1)) : Number.NaN;
    if (Number.isSafeInteger(number) && number >= 0) numbers.add(number).add(number + 1);
  }
  return [...numbers].sort((a, b) => a - b).map((n) => (n === 0 ? path : `${path}.${n}`));
}

async function openOne(name: string): Promise<LogFile | undefined> {
  const handle = await open(name, 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    return { handle, inode: (await handle.stat({ bigint: true })).ino };
  } catch {
    await handle.close(); // of a file system that is going away
    return undefined;
  }
}
