/** The plain files of cgroup folders: read, written, emptied and removed. Source: cgroups(7). */
import { closeSync, openSync, writeSync } from 'node:fs';
import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, StatusError } from '#lib/base';

/** Throws Conflict where the kernel says that it is in use (memory above a new limit), NotFound where the cgroup is gone. */
export async function write(
  folder: string,
  name: string,
  text: string,
  ignored: readonly string[] = [],
): Promise<void> {
  try {
    const path = join(folder, name);
    if (/^(cpu|pids)\./.test(name)) writeNow(path, text);
    else await writeFile(path, text, { flag: 'r+' });
  } catch (e) {
    const code = codeOf(e);
    if (ignored.includes(code)) return;
    const kind = code === 'EBUSY' ? 'Conflict' : code === 'ENOENT' || code === 'ENODEV' ? 'NotFound' : 'Internal';
    throw new StatusError(kind, `cannot write ${JSON.stringify(text)} to ${folder}/${name}: ${messageOf(e)}`, {
      cause: e,
    });
  }
}

/** For what nothing waits in the kernel, as a memory limit may for reclaim: three wake-ups of a thread would be dearer. */
function writeNow(path: string, text: string): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

export async function read(folder: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(folder, name), 'utf8');
  } catch (e) {
    if (codeOf(e) === 'ENOENT' || codeOf(e) === 'ENODEV') return undefined;
    throw e;
  }
}

/** The value of `key value` in a flat keyed file, else 0. */
export function field(text: string | undefined, key: string): number {
  for (const line of (text ?? '').split('\n')) {
    const [k, v] = line.split(' ');
    if (k === key) return Number(v);
  }
  return 0;
}

export async function subfolders(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name);
  } catch (e) {
    if (codeOf(e) === 'ENOENT' || codeOf(e) === 'ENODEV') return [];
    throw e;
  }
}

/** SIGKILL to all processes inside, those of cgroups below too. */
export async function killAll(folder: string): Promise<void> {
  for (const name of await subfolders(folder)) await killAll(join(folder, name));
  const ids = (await read(folder, 'cgroup.procs'))?.split('\n') ?? [];
  for (const id of ids) {
    /* 0 is a process that this process namespace cannot see. */
    if (id === '' || id === '0') continue;
    try {
      process.kill(Number(id), 'SIGKILL');
    } catch (e) {
      if (codeOf(e) !== 'ESRCH') throw e;
    }
  }
  if (ids.length <= 1) return;
  /* A frozen process does not die (v1). */
  await write(folder, 'freezer.state', 'THAWED', ['ENOENT', 'EACCES', 'ENODEV']);
  await write(folder, 'cgroup.freeze', '0', ['ENOENT', 'EACCES', 'ENODEV']);
}

/** False when processes or cgroups are in it. */
export async function removeEmpty(folder: string): Promise<boolean> {
  return rmdir(folder).then(
    () => true,
    (e: unknown) => codeOf(e) === 'ENOENT',
  );
}

/** The error text when something is still busy. */
export async function removeTree(folder: string): Promise<string | undefined> {
  for (const name of await subfolders(folder)) {
    const busy = await removeTree(join(folder, name));
    if (busy !== undefined) return busy;
  }
  try {
    await rmdir(folder);
    return undefined;
  } catch (e) {
    if (codeOf(e) === 'ENOENT') return undefined;
    return messageOf(e);
  }
}

export function codeOf(e: unknown): string {
  return e instanceof Error && 'code' in e ? String(e.code) : '';
}
