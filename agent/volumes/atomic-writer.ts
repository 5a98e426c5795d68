/**
 * Writes a payload so that a container sees all of the old files or all of the new ones, never a mix:
 *
 *     config.yaml -> ..data/config.yaml            (symlink, never changes)
 *     ..data      -> ..2026_11_23_08_33_12.123abc  (symlink, replaced by rename)
 *     ..2026_11_23_08_33_12.123abc/config.yaml     (the file)
 *
 * Order: new folder, files, `..data` swapped, visible links added, stale ones removed, old folder removed. A crash between
 * any two steps leaves a readable volume, and the next write cleans up.
 * Source: kubernetes pkg/volume/util/atomic_writer.go.
 */
import type { Stats } from 'node:fs';
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { type Clock, isMissing, timeText } from '#lib/base';
import type { VolumeOwner } from './owner.ts';
import type { Payload, PayloadFile } from './payload.ts';

const DATA = '..data';
const DATA_NEW = '..data_tmp';

/** With a fsGroup files become group-readable, folders setgid. */
export async function writePayload(
  target: string,
  payload: Payload,
  o: { owner: VolumeOwner; clock: Clock },
): Promise<void> {
  await mkdir(target, { recursive: true });
  await setOwner(target, o.owner, folderMode(o.owner));
  const fresh = await mkdtemp(join(target, `..${stamp(o.clock.now())}.`));
  try {
    await fill(fresh, payload, o.owner);
  } catch (e) {
    // A full disk or a path that is both file and folder is tried again and again.
    await rm(fresh, { recursive: true, force: true });
    throw e;
  }
  const old = await linkTarget(join(target, DATA));
  await rm(join(target, DATA_NEW), { force: true });
  await link(fresh.slice(target.length + 1), join(target, DATA_NEW), o.owner);
  await rename(join(target, DATA_NEW), join(target, DATA));
  await alignLinks(target, new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path)), o.owner);
  await removeOthers(target, fresh.slice(target.length + 1), old);
}

/** True when a payload was written here (perhaps by an earlier process). */
export async function hasPayload(target: string): Promise<boolean> {
  return (await linkTarget(join(target, DATA))) !== undefined;
}

/**
 * True when exactly this is there, whole and reachable, written by whatever process: writing it again would wake all who watch
 * the files. Source: kubernetes pkg/volume/util/atomic_writer.go (shouldWritePayload).
 */
export async function holdsPayload(target: string, payload: Payload, owner: VolumeOwner): Promise<boolean> {
  const current = await linkTarget(join(target, DATA));
  if (current === undefined || current.includes('/')) return false;
  try {
    const tops = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
    const wanted = [DATA, current, ...tops];
    const present = new Set(await readdir(target));
    if (present.size !== wanted.length || !wanted.every((name) => present.has(name))) return false;
    for (const name of tops) if ((await linkTarget(join(target, name))) !== join(DATA, name)) return false;
    const folders = [target, join(target, current)];
    const names = new Set<string>();
    for (const entry of await readdir(join(target, current), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isDirectory()) folders.push(path);
      else names.add(relative(join(target, current), path));
    }
    for (const path of folders)
      if (!isOwned(await lstat(path), { uid: owner.uid, gid: owner.gid, mode: folderMode(owner) })) return false;
    if (names.size !== payload.size) return false;
    for (const [path, file] of payload)
      if (!names.has(path) || !(await holdsFile(join(target, current, path), file, owner))) return false;
    return true;
  } catch (e) {
    if (isMissing(e)) return false;
    throw e;
  }
}

async function holdsFile(path: string, file: PayloadFile, owner: VolumeOwner): Promise<boolean> {
  const found = await lstat(path);
  if (!found.isFile() || found.size !== file.data.length || !isOwned(found, ownerOf(file, owner))) return false;
  return file.data.equals(await readFile(path));
}

interface Ownership {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

function isOwned(found: Stats, wanted: Ownership): boolean {
  return found.uid === wanted.uid && found.gid === wanted.gid && (found.mode & 0o7777) === wanted.mode;
}

function ownerOf(file: PayloadFile, owner: VolumeOwner): Ownership {
  const uid = file.uid === undefined ? owner.uid : owner.uidOf(file.uid);
  return { uid, gid: owner.gid, mode: owner.isShared ? file.mode | 0o440 : file.mode };
}

async function fill(fresh: string, payload: Payload, owner: VolumeOwner): Promise<void> {
  await setOwner(fresh, owner, folderMode(owner));
  const folders = new Set<string>();
  for (const path of payload.keys())
    for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) folders.add(parent);
  for (const folder of [...folders].sort()) {
    await mkdir(join(fresh, folder));
    await setOwner(join(fresh, folder), owner, folderMode(owner));
  }
  for (const [path, file] of payload) await writeOne(join(fresh, path), file, owner);
}

async function writeOne(path: string, file: PayloadFile, owner: VolumeOwner): Promise<void> {
  await writeFile(path, file.data, { mode: 0o600, flag: 'wx' });
  const wanted = ownerOf(file, owner);
  await setOwner(path, wanted, wanted.mode);
}

async function setOwner(path: string, o: { uid: number; gid: number }, mode: number): Promise<void> {
  // Owner first: chown clears the setgid bit.
  if (o.uid !== 0 || o.gid !== 0) await chown(path, o.uid, o.gid);
  await chmod(path, mode);
}

function folderMode(owner: VolumeOwner): number {
  return owner.isShared ? 0o2775 : 0o755;
}

async function link(to: string, path: string, { uid, gid }: VolumeOwner): Promise<void> {
  await symlink(to, path);
  if (uid !== 0) await lchown(path, uid, gid);
}

async function alignLinks(target: string, wanted: ReadonlySet<string>, owner: VolumeOwner): Promise<void> {
  const present = new Set((await readdir(target)).filter((name) => !name.startsWith('..')));
  for (const name of wanted) if (!present.has(name)) await link(join(DATA, name), join(target, name), owner);
  for (const name of present) if (!wanted.has(name)) await rm(join(target, name), { recursive: true, force: true });
}

async function removeOthers(target: string, current: string, old: string | undefined): Promise<void> {
  for (const name of await readdir(target)) {
    if (!name.startsWith('..') || name === DATA || name === current) continue;
    if (name === old || (await lstat(join(target, name))).isDirectory())
      await rm(join(target, name), { recursive: true, force: true });
  }
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch {
    // Not there (or not a link): nothing was written yet.
    return undefined;
  }
}

/** 2006_01_02_15_04_05 */
function stamp(ms: number): string {
  return timeText(ms).slice(0, 19).replace(/[-T:]/g, '_');
}
