/**
 * The folder of this node's local volumes, `$BERTH_HOME/storage`: one folder for each, made when its first pod needs it, erased
 * when its claim is gone and its reclaim policy says Delete. What the API says of a path is believed only as far as it names a
 * folder directly below: nothing else of the host is ever made or removed here.
 *
 * Erasing begins only on a live word of the control plane, never on the wish saved on disk: while this node was away somebody
 * may have decided to keep the data. It is repeated until it succeeds, and told (VolumeFailedDelete) when it does not.
 */
import { chmod, mkdir, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type DeepReadonly, isToBeErased, type PersistentVolume } from '#lib/api';
import { type Clock, type Ctx, type Logger, makePrivateFolder, messageOf, Scope, StatusError } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import type { DesiredChange, Session } from '../session/session.ts';

type Volume = DeepReadonly<PersistentVolume>;

export interface LocalStorageOptions {
  readonly folder: string;
  readonly kernel: Pick<Kernel, 'removeTree'>;
  readonly session: Pick<Session, 'reportVolumeErased' | 'event'>;
  /** As the control plane has them now. */
  readonly volumes: { list(): readonly Volume[] };
  readonly clock: Clock;
  readonly log: Logger;
}

const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;

export class LocalStorage implements AsyncDisposable {
  readonly #o: LocalStorageOptions;
  readonly #scope = new Scope('local storage');
  /** By path: each is made once, or one maker would put its empty folder in the place of another's that is in use. */
  readonly #making = new Map<string, Promise<string>>();
  /** By path: what is given anew meanwhile must not lose what its new pod writes. */
  readonly #removing = new Map<string, Promise<void>>();
  /** Uids. */
  readonly #erasing = new Set<string>();
  #isLive = false;

  constructor(o: LocalStorageOptions) {
    this.#o = o;
  }

  async open(): Promise<void> {
    await makePrivateFolder(this.#o.folder);
  }

  /** The volume's folder, made when it is not there: open to every user, as only its own containers see it. */
  async folderOf(volume: Volume): Promise<string> {
    const path = this.#pathOf(volume);
    const making = this.#making.get(path) ?? this.#make(path).finally(() => this.#making.delete(path));
    this.#making.set(path, making);
    return await making;
  }

  async #make(path: string): Promise<string> {
    await this.#removing.get(path)?.catch(() => undefined); // told by who removes
    if (await isFolder(path)) return path;
    // Under its name only when its mode is right: a crash leaves none with a wrong one. The other name is no longer than its own.
    const draft = join(this.#o.folder, `.${basename(path).slice(1)}`);
    await mkdir(draft, { recursive: true });
    await chmod(draft, 0o777);
    await rename(draft, path).catch(async (e: unknown) => {
      if (!(await isFolder(path))) throw e;
    });
    return path;
  }

  /** Changes of the session; the cache of volumes has been updated before. */
  apply(changes: readonly DesiredChange[]): void {
    if (this.#isLive && changes.some((x) => x.resource === 'persistentvolumes' && x.type === 'upsert'))
      this.#eraseAll();
  }

  /** The control plane has said all that it wants. */
  connected(): void {
    this.#isLive = true;
    this.#eraseAll();
  }

  /** It may decide otherwise where this node does not hear it: nothing more is begun, nor tried again. */
  disconnected(): void {
    this.#isLive = false;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope[Symbol.asyncDispose]();
  }

  #eraseAll(): void {
    for (const volume of this.#o.volumes.list()) {
      const uid = volume.metadata.uid ?? '';
      if (!isToBeErased(volume) || this.#erasing.has(uid)) continue;
      this.#erasing.add(uid);
      this.#scope.spawn('erase', async (signal) => {
        try {
          await this.#erase(uid, { signal, clock: this.#o.clock, log: this.#o.log });
        } finally {
          this.#erasing.delete(uid);
        }
      });
    }
  }

  async #erase(uid: string, c: Ctx): Promise<void> {
    for (let waitMs = RETRY_MS_MIN; ; waitMs = Math.min(2 * waitMs, RETRY_MS_MAX)) {
      const volume = this.#o.volumes.list().find((v) => v.metadata.uid === uid);
      if (!this.#isLive || volume === undefined || !isToBeErased(volume)) return;
      const { name } = volume.metadata;
      try {
        await this.#remove(this.#ownPathOf(volume), c);
        c.log.info({ volume: name }, 'the data of a released volume is deleted');
        this.#o.session.reportVolumeErased({ name, uid });
        return;
      } catch (e) {
        c.signal.throwIfAborted();
        this.#tell(volume, `Failed to delete the data of the volume: ${messageOf(e)}`);
        c.log.warn({ volume: name, err: messageOf(e) }, 'the data of a released volume could not be deleted');
      }
      await c.clock.sleep(waitMs, c.signal);
    }
  }

  async #remove(path: string, c: Ctx): Promise<void> {
    const removing = this.#o.kernel.removeTree(path, c);
    this.#removing.set(path, removing);
    try {
      await removing;
    } finally {
      this.#removing.delete(path);
    }
  }

  #pathOf(volume: Volume): string {
    const path = volume.spec.local?.path ?? '';
    const name = basename(path);
    if (!/^pvc-[A-Za-z0-9._-]{1,250}$/.test(name) || dirname(path) !== this.#o.folder)
      throw new StatusError('Invalid', `path ${path} is not below this node's ${this.#o.folder}`);
    return join(this.#o.folder, name);
  }

  /** Of a volume that is to be erased: its folder bears its name. Of two objects with one path only one may speak for the data. */
  #ownPathOf(volume: Volume): string {
    const path = this.#pathOf(volume);
    const { name } = volume.metadata;
    if (basename(path) !== name && !basename(path).startsWith(`${name}_`))
      throw new StatusError('Invalid', `path ${path} is not the folder of volume ${name}`);
    return path;
  }

  #tell({ metadata: { name, uid } }: Volume, message: string): void {
    const involvedObject = { apiVersion: 'v1', kind: 'PersistentVolume', name, ...(uid === undefined ? {} : { uid }) };
    this.#o.session.event({ involvedObject, type: 'Warning', reason: 'VolumeFailedDelete', message });
  }
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
}
