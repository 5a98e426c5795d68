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
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Clock, timeText } from '#lib/base';
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
  const uid = file.uid === undefined ? owner.uid : owner.uidOf(file.uid);
  await setOwner(path, { uid, gid: owner.gid }, owner.isShared ? file.mode | 0o440 : file.mode);
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
