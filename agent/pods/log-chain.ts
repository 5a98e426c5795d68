/**
 * The files of one attempt's log: N.log is the newest, N.log.1 the one before, and so on. A rotation renames them all, so a
 * name says nothing of which file it is a moment later: files are told apart by their inode, which no other file can have
 * while somebody holds it open. Whoever reads one file to its end asks for the one after it; how many rotations fell in
 * between does not matter.
 *
 * Files move toward older names only. Looking from the newest name to the oldest therefore meets some twice, and never
 * passes one by. But what is met may be newer than what was met before: several rotations fell in between.
 */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

export interface LogFile {
  readonly handle: FileHandle;
  readonly inode: bigint;
}

/** All files that are there, oldest first. Empty when there is no log. */
export async function openChain(path: string): Promise<LogFile[]> {
  const files: LogFile[] = [];
  let names: readonly string[] = [];
  /** Where the oldest of them is, or was a moment ago. */
  let place = 0;
  for (let i = 0; ; i++) {
    // Rotations meanwhile have made more.
    if (i >= names.length) names = await namesOf(path);
    if (i >= names.length) return files;
    const file = await openOne(names[i] ?? '');
    if (file === undefined) continue;
    const [oldest] = files;
    // The file before stayed where it is while this one was opened: this is the one that was begun before it.
    if (oldest === undefined || (oldest.inode !== file.inode && (await lies(names[place] ?? '', oldest)))) {
      files.unshift(file);
      place = i;
      continue;
    }
    await file.handle.close();
    do if (++place === names.length) names = await namesOf(path);
    while (place < names.length && !(await lies(names[place] ?? '', oldest)));
    i = place; // where it is gone, all older ones are
  }
}

async function lies(name: string, file: LogFile): Promise<boolean> {
  return (await inodeAt(name)) === file.inode;
}

/** undefined: nothing is there. */
export async function inodeAt(name: string): Promise<bigint | undefined> {
  return (await stat(name, { bigint: true }).catch(() => undefined))?.ino;
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
