/**
 * What is on disk of drivers' volumes, in the kubelet's places and files, each written before the call that it speaks of:
 *
 *     plugins/kubernetes.io/csi/DRIVER/HASH/globalmount               staged, HASH of the volume's handle
 *     plugins/kubernetes.io/csi/DRIVER/HASH/vol_data.json
 *     pods/UID/volumes/kubernetes.io~csi/NAME/mount                   published
 *     pods/UID/volumes/kubernetes.io~csi/NAME/vol_data.json
 *
 * Two keys are ours: how far it has come, and in which boot, after which no mount is left. A record without them is a kubelet's,
 * which has or had the same root: its pods and volumes are none of ours, and stay as they are.
 * Source: kubernetes pkg/volume/csi/csi_util.go (saveVolumeData), csi_attacher.go (makeDeviceMountPath).
 */
import { lstat, mkdir, readdir, readFile, rm, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hexOfVolume } from '#lib/api';
import { StatusError, writeFileAtomic } from '#lib/base';
import type { PluginFolders } from '../plugins/root.ts';
import type { Lifecycle } from './request.ts';

export interface VolumeRecord {
  readonly driver: string;
  readonly handle: string;
  readonly specName: string;
  readonly lifecycle: Lifecycle;
  readonly nodeName: string;
  readonly attachment: string;
  /** `begun`: the call may have been made; `done`: it has returned. A publish record begins as `planned`: nothing was asked yet. */
  readonly phase: 'planned' | 'begun' | 'done';
  readonly bootId: string;
}

const FILE = 'vol_data.json';
const PHASE = 'berthPhase';
const FILE_BYTES_MAX = 64 << 10;

export class VolumeRecords {
  readonly #folders: PluginFolders;

  constructor(folders: PluginFolders) {
    this.#folders = folders;
  }

  /** Folder of what is staged of a volume. */
  stagingFolder(driver: string, handle: string): string {
    return join(this.#stagingRoot(), driver, hexOfVolume(handle));
  }

  stagingPath(driver: string, handle: string): string {
    return join(this.stagingFolder(driver, handle), 'globalmount');
  }

  publishFolder(podUid: string, specName: string): string {
    return join(this.#podFolder(podUid), specName);
  }

  publishPath(podUid: string, specName: string): string {
    return join(this.publishFolder(podUid, specName), 'mount');
  }

  async save(folder: string, r: VolumeRecord): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o750 });
    const data = {
      specVolID: r.specName,
      volumeHandle: r.handle,
      driverName: r.driver,
      nodeName: r.nodeName,
      volumeLifecycleMode: r.lifecycle,
      attachmentID: r.attachment,
      [PHASE]: r.phase,
      berthBootId: r.bootId,
    };
    await writeFileAtomic(join(folder, FILE), JSON.stringify(data), { mode: 0o600 });
  }

  /** Where a driver is to mount: the staging folder has to be there, the folder of a pod is made by the driver. */
  async makeMountPoint(path: string): Promise<void> {
    await mkdir(path, { recursive: true, mode: 0o750 });
  }

  /** undefined when there is none; one that is damaged says so. */
  async load(folder: string): Promise<VolumeRecord | undefined> {
    const text = await readFile(join(folder, FILE), 'utf8').catch((e: unknown) => {
      if (e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR')) return undefined;
      throw e;
    });
    return text === undefined ? undefined : parseRecord(text, join(folder, FILE));
  }

  /** The folder with its mount point, which must be empty: what is still mounted there is not ours to delete, and throws. */
  async remove(folder: string, mountPoint: string): Promise<void> {
    await removeMountPoint(mountPoint);
    await rm(join(folder, FILE), { force: true });
    await removeEmpty(folder);
  }

  async removePodFolder(podUid: string): Promise<void> {
    // Few pods have one.
    if ((await lstat(join(this.#folders.pods, podUid)).catch(() => undefined)) === undefined) return;
    for (const folder of [
      this.#podFolder(podUid),
      join(this.#folders.pods, podUid, 'volumes'),
      join(this.#folders.pods, podUid),
    ])
      await removeEmpty(folder);
  }

  async published(
    podUid: string,
  ): Promise<readonly { readonly folder: string; readonly record: VolumeRecord | undefined }[]> {
    const folder = this.#podFolder(podUid);
    const out: { folder: string; record: VolumeRecord | undefined }[] = [];
    for (const name of await namesIn(folder))
      out.push({ folder: join(folder, name), record: await this.load(join(folder, name)) });
    return out;
  }

  /** Those that have a volume of a driver by this node. */
  async pods(): Promise<readonly string[]> {
    const out: string[] = [];
    for (const uid of await namesIn(this.#folders.pods)) if ((await this.#publishedByUs(uid)).length > 0) out.push(uid);
    return out;
  }

  /** What this node has published and staged. */
  async folders(): Promise<readonly string[]> {
    const published: string[] = [];
    for (const uid of await namesIn(this.#folders.pods)) published.push(...(await this.#publishedByUs(uid)));
    return [...published, ...(await this.#stagedByUs())];
  }

  async staged(): Promise<readonly { readonly folder: string; readonly record: VolumeRecord | undefined }[]> {
    const out: { folder: string; record: VolumeRecord | undefined }[] = [];
    for (const folder of await this.#stagedByUs()) out.push({ folder, record: await this.load(folder) });
    return out;
  }

  async #publishedByUs(podUid: string): Promise<readonly string[]> {
    return await ours(await foldersIn(this.#podFolder(podUid)));
  }

  async #stagedByUs(): Promise<readonly string[]> {
    const folders: string[] = [];
    for (const driver of await foldersIn(this.#stagingRoot())) folders.push(...(await ours(await foldersIn(driver))));
    return folders;
  }

  #podFolder(podUid: string): string {
    return join(this.#folders.pods, podUid, 'volumes/kubernetes.io~csi');
  }

  #stagingRoot(): string {
    return join(this.#folders.plugins, 'kubernetes.io/csi');
  }
}

function parseRecord(text: string, path: string): VolumeRecord {
  const damaged = (cause?: unknown): StatusError => new StatusError('Internal', `${path} is damaged`, { cause });
  if (text.length > FILE_BYTES_MAX) throw damaged();
  let data: Readonly<Record<string, unknown>>;
  try {
    data = JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch (e) {
    throw damaged(e);
  }
  const read = (key: string): string => (typeof data[key] === 'string' ? data[key] : '');
  const phase = read(PHASE);
  if (read('driverName') === '' || read('volumeHandle') === '') throw damaged();
  return {
    driver: read('driverName'),
    handle: read('volumeHandle'),
    specName: read('specVolID'),
    lifecycle: read('volumeLifecycleMode') === 'Ephemeral' ? 'Ephemeral' : 'Persistent',
    nodeName: read('nodeName'),
    attachment: read('attachmentID'),
    phase: phase === 'planned' || phase === 'done' ? phase : 'begun',
    bootId: read('berthBootId'),
  };
}

/** A driver may have made a file of it. */
async function removeMountPoint(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  try {
    await (found.isDirectory() ? rmdir(path) : unlink(path));
  } catch (e) {
    throw new StatusError('Conflict', `${path} is still mounted or not empty`, { cause: e });
  }
}

async function removeEmpty(path: string): Promise<void> {
  await rmdir(path).catch((e: unknown) => {
    const code = e instanceof Error && 'code' in e ? e.code : undefined;
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY') throw e;
  });
}

async function foldersIn(folder: string): Promise<readonly string[]> {
  return (await namesIn(folder)).map((name) => join(folder, name));
}

/** Damaged ones too, as far as that can be told. */
async function ours(folders: readonly string[]): Promise<readonly string[]> {
  const texts = await Promise.all(folders.map((f) => readFile(join(f, FILE), 'utf8').catch(() => '')));
  return folders.filter((_, i) => texts[i]?.includes(`"${PHASE}"`) === true);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(() => [])).filter((n) => !n.startsWith('.')).sort();
}
