/**
 * The records of containers: `containers/<id>/record.json`, beside what else a container has of its own on this host. A folder
 * without a readable record is what a crash left of a container that was being made or removed.
 */
import { mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, isMissing, type Logger, parseDigest, removeDrafts, syncPath, writeFileAtomic } from '#lib/base';
import { parseJsonObject } from '#lib/oci';
import type { Kernel } from '../../kernel/kernel.ts';
import type { ContainerId } from '../../runtime/runtime.ts';
import { bool, int, list, map, object, oneOf, text, texts, whole } from '../http/fields.ts';
import type { ContainerRecord } from '../parts.ts';
import type { MountPoint } from '../types.ts';
import { configOf, endpointOf, hostConfigOf } from './create/decode.ts';
import type { ContainerStore, StoredContainer } from './life/ports.ts';

const NAME = 'record.json';
const ID = /^[0-9a-f]{64}$/;

export class FolderStore implements ContainerStore {
  readonly folder: string;
  readonly #synced = new Map<ContainerId, Promise<void>>();

  constructor(folder: string) {
    this.folder = folder;
  }

  folderOf(id: ContainerId): string {
    return join(this.folder, id);
  }

  /** All that are whole; those without a record, or with a damaged one, are removed. Throws for one that cannot be read now. */
  async load(kernel: Pick<Kernel, 'removeTree' | 'mounts'>, log: Logger, c: Ctx): Promise<StoredContainer[]> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const out: StoredContainer[] = [];
    for (const name of await readdir(this.folder)) {
      const folder = join(this.folder, name);
      if (ID.test(name)) {
        await removeDrafts(folder);
        const bytes = await readFile(join(folder, NAME)).catch((e: unknown) => {
          if (!isMissing(e)) throw e;
          return undefined;
        });
        const stored = bytes === undefined ? undefined : decodeStored(bytes, log);
        if (stored?.record.id === name) {
          out.push(stored);
          continue;
        }
      }
      for (const point of await kernel.mounts.below(folder, c)) await kernel.mounts.unmount(point, c);
      await kernel.removeTree(folder, c);
    }
    return out;
  }

  /** Its folder is made where there is none. */
  async save(s: StoredContainer, o: { readonly durable: boolean }): Promise<void> {
    const { id } = s.record;
    const path = join(this.folderOf(id), NAME);
    const data = JSON.stringify({ version: 1, ...s });
    await this.#synced.get(id);
    try {
      await writeFileAtomic(path, data, { mode: 0o600, durable: o.durable });
    } catch (e) {
      if (!isMissing(e)) throw e;
      await mkdir(this.folderOf(id), { mode: 0o700 });
      await writeFileAtomic(path, data, { mode: 0o600, durable: o.durable });
    }
  }

  /** Gone at once, by a rename; the files are the caller's to remove, or the next `load`'s. undefined: it was gone. */
  async drop(id: ContainerId): Promise<string | undefined> {
    const trash = join(this.folder, `.removed-${id}`);
    await this.#synced.get(id);
    try {
      await rename(this.folderOf(id), trash);
    } catch (e) {
      if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
      throw e;
    }
    return trash;
  }

  /** Begins to bring a new record to the disk, behind whoever waits for an answer; `sync` waits for it. */
  beginSync(id: ContainerId): void {
    const folder = this.folderOf(id);
    const synced = (async () => {
      await syncPath(join(folder, NAME));
      await syncPath(folder);
      await syncPath(this.folder);
    })().catch(() => undefined); // it was removed meanwhile
    this.#synced.set(id, synced);
    void synced.finally(() => this.#synced.delete(id));
  }

  async sync(id: ContainerId): Promise<void> {
    await this.#synced.get(id);
  }
}

const mountPointOf = whole<MountPoint>(
  {
    Type: oneOf<MountPoint['Type']>('bind', 'volume', 'tmpfs', 'image'),
    Name: text,
    Source: text,
    Destination: text,
    Driver: text,
    Mode: text,
    RW: bool,
    Propagation: text,
  },
  { Type: 'bind', Source: '', Destination: '', Mode: '', RW: true, Propagation: '' },
);

function decodeStored(bytes: Buffer, log: Logger): StoredContainer | undefined {
  try {
    const doc = parseJsonObject(bytes, 'record');
    const removal = doc['removal'];
    return {
      record: decodeRecord(object(doc['record'], 'record')),
      hasRun: doc['hasRun'] === true,
      ...(removal === undefined ? {} : { removal: { volumes: object(removal, 'removal')['volumes'] === true } }),
    };
  } catch (err) {
    log.warn({ err }, 'the record of a container cannot be read: the container is removed');
    return undefined;
  }
}

function decodeRecord(r: Readonly<Record<string, unknown>>): ContainerRecord {
  const code = r['startExitCode'];
  const finished = r['finishedAtMs'];
  return {
    id: text(r['id'], 'id') as ContainerId,
    name: text(r['name'], 'name'),
    createdAtMs: typeof r['createdAtMs'] === 'number' ? r['createdAtMs'] : 0,
    imageId: parseDigest(text(r['imageId'], 'imageId')),
    path: text(r['path'], 'path'),
    args: texts(r['args'], 'args'),
    config: configOf(r['config'], 'config'),
    hostConfig: hostConfigOf(r['hostConfig'], 'hostConfig'),
    endpoints: map((v, what) => endpointOf(v, what))(r['endpoints'], 'endpoints'),
    mounts: list(mountPointOf)(r['mounts'], 'mounts'),
    restartCount: int(r['restartCount'], 'restartCount'),
    isStoppedByUser: bool(r['isStoppedByUser'], 'isStoppedByUser'),
    error: text(r['error'], 'error'),
    ...(code === undefined ? {} : { startExitCode: int(code, 'startExitCode') }),
    ...(typeof finished === 'number' ? { finishedAtMs: finished } : {}),
  };
}
