/**
 * Puts the volume plugins together: see volume.ts for the life story.
 *
 *     folder/pods/UID/volumes/NAME             emptyDir (also the mount point of its tmpfs), configMap; mount point of claims
 *     folder/pods/UID/subpaths/CONTAINER/N     binds of subPaths
 *     folder/pods/UID/images/NAME              mark of an image volume, whose root lies with the containers'
 *     folder/memory/UID/NAME                   secret, projected, downwardAPI: one tmpfs for all
 */
import { mkdir, open, readdir, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeepReadonly, Pod, Volume } from '#lib/api';
import { parseQuantity, quantityToNumber } from '#lib/api';
import type { Ctx } from '#lib/base';
import { allEnded, isKind, makePrivateFolder, StatusError } from '#lib/base';
import type { CsiVolumes } from '../csi/volumes.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { UserNamespace } from '../user-namespaces/ranges.ts';
import { hasPayload, holdsPayload, writePayload } from './atomic-writer.ts';
import { ClaimVolumes, type ClaimVolumesOptions } from './claim-volumes.ts';
import { configMapPayload } from './configmap.ts';
import { downwardPayload } from './downwardapi.ts';
import { prepareEmptyDir } from './emptydir.ts';
import { prepareHostPath } from './hostpath.ts';
import { type ImageStore, mountImageVolume, removeImageVolumes } from './image.ts';
import { type VolumeOwner, volumeOwner } from './owner.ts';
import type { Payload } from './payload.ts';
import { payloadDigest } from './payload.ts';
import { projectedPayload } from './projected.ts';
import { secretPayload } from './secret.ts';
import { openInside } from './subpath.ts';
import { TokenCache } from './tokens.ts';
import { type PreparedVolume, type SubPathRequest, setUpFailure, type VolumeSources, type Volumes } from './volume.ts';

export interface VolumesOptions {
  readonly kernel: Pick<Kernel, 'mounts' | 'programs' | 'removeTree' | 'ownTree'>;
  /** Everything lies below it, e.g. $BERTH_HOME/volumes. */
  readonly folder: string;
  readonly sources: VolumeSources;
  readonly storage: ClaimVolumesOptions['storage'];
  /** Absent: volumes of CSI drivers are refused. */
  readonly csi?: CsiVolumes;
  /** Absent: image volumes are refused. */
  readonly images?: ImageStore;
  /** Of a pod that has one; absent: none has. */
  readonly userNamespaceOf?: (podUid: string) => UserNamespace | undefined;
}

export async function openVolumes(o: VolumesOptions, _c: Ctx): Promise<Volumes> {
  await makePrivateFolder(o.folder);
  await mkdir(join(o.folder, 'pods'), { recursive: true, mode: 0o700 });
  return new NodeVolumes(o);
}

/** Unmounts everything below `folder`, for `berth down`; the files go with the state folder. Idempotent. */
export async function teardownVolumes(o: { kernel: Pick<Kernel, 'mounts'>; folder: string }, c: Ctx): Promise<void> {
  for (const point of await o.kernel.mounts.below(o.folder, c)) await o.kernel.mounts.unmount(point, c);
}

class NodeVolumes implements Volumes {
  readonly #o: VolumesOptions;
  readonly #tokens: TokenCache;
  readonly #claims: ClaimVolumes;
  /** Pod uid -> volume -> digest of what this process wrote, or found written. */
  readonly #written = new Map<string, Map<string, string>>();
  readonly #writing = new Map<string, Promise<string>>();
  /** Pods whose volumes are being removed: an update under way goes on to no more of them. */
  readonly #leaving = new Set<string>();
  #memory: Promise<void> | undefined;

  constructor(o: VolumesOptions) {
    this.#o = o;
    this.#tokens = new TokenCache(o.sources);
    this.#claims = new ClaimVolumes({ ...o, pathOf: (uid, name) => this.#diskPath(uid, name) });
  }

  async prepareRemote(pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
    const { csi } = this.#o;
    if (csi === undefined) return;
    const prepare = async (volume: DeepReadonly<Volume>): Promise<void> => {
      try {
        const remote = csi.volumeOf(pod, volume);
        if (remote !== undefined) await csi.prepare(pod, volume.name, remote, c);
      } catch (e) {
        throw setUpFailure(volume.name, e);
      }
    };
    await allEnded((pod.spec?.volumes ?? []).map(prepare));
  }

  async prepare(o: { pod: DeepReadonly<Pod>; volumeName: string }, c: Ctx): Promise<PreparedVolume> {
    const volume = (o.pod.spec?.volumes ?? []).find((v) => v.name === o.volumeName);
    if (volume === undefined) throw new StatusError('Invalid', `the pod has no volume "${o.volumeName}"`);
    const uid = uidOf(o.pod);
    if (volume.image !== undefined && this.#o.images !== undefined) {
      const { name: volumeName, image: source } = volume;
      const userNamespace = this.#o.userNamespaceOf?.(uid);
      const o = { podUid: uid, volumeName, source, marks: this.#marks(uid), userNamespace };
      return { hostPath: await mountImageVolume(this.#o.images, o, c), readOnly: true, hasPodIds: true };
    }
    if (volume.hostPath !== undefined) return { hostPath: await prepareHostPath(volume.hostPath), readOnly: false };
    const remote = this.#o.csi?.volumeOf(o.pod, volume);
    if (remote !== undefined && this.#o.csi !== undefined)
      return await this.#o.csi.prepare(o.pod, volume.name, remote, c);
    if (this.#claims.isOurs(volume)) return await this.#claims.prepare(o.pod, volume, c);
    if (volume.emptyDir !== undefined) {
      const hostPath = this.#diskPath(uid, volume.name);
      const memoryBytesMax = memoryLimit(o.pod);
      const place = { pod: o.pod, owner: this.#ownerOf(o.pod), memoryBytesMax, kernel: this.#o.kernel };
      await prepareEmptyDir(hostPath, volume.emptyDir, place, c);
      return { hostPath, readOnly: false, hasPodIds: true };
    }
    return { hostPath: await this.#writeFiles(o.pod, volume, c), readOnly: true, hasPodIds: true };
  }

  #ownerOf(pod: DeepReadonly<Pod>): VolumeOwner {
    return volumeOwner(pod, this.#o.userNamespaceOf?.(uidOf(pod))?.ids);
  }

  async subPath(o: SubPathRequest, c: Ctx): Promise<PreparedVolume> {
    const volume = await this.prepare(o, c);
    const uid = uidOf(o.pod);
    const folder = join(this.#podFolder(uid), 'subpaths', o.containerName);
    const target = join(folder, String(o.mountIndex));
    const owner = volume.hasPodIds === true ? this.#o.userNamespaceOf?.(uid)?.ids.first : undefined;
    const inside = await openInside(volume.hostPath, o.subPath, { canCreate: !volume.readOnly, owner });
    try {
      await mkdir(folder, { recursive: true, mode: 0o750 });
      // A restarted container gets what the path means now: a file of the first start may have been replaced since.
      await this.#o.kernel.mounts.unmount(target, c);
      await removeMountPoint(target);
      if ((await inside.stat()).isDirectory()) await mkdir(target, { recursive: true, mode: 0o750 });
      else await (await open(target, 'a', 0o640)).close();
      await this.#o.kernel.mounts.bind(`/proc/${process.pid}/fd/${inside.fd}`, target, { recursive: true }, c);
    } finally {
      await inside.close();
    }
    return { ...volume, hostPath: target };
  }

  async update(pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
    let failure: unknown;
    const uid = uidOf(pod);
    for (const volume of pod.spec?.volumes ?? []) {
      if (this.#leaving.has(uid)) return;
      if (!isFileVolume(volume)) continue;
      try {
        await this.#writeFiles(pod, volume, c);
      } catch (e) {
        c.signal.throwIfAborted();
        failure ??= e;
      }
    }
    if (this.#leaving.has(uid)) return;
    if ((this.#o.csi?.nextRefreshAtMs(pod) ?? Number.POSITIVE_INFINITY) <= c.clock.now())
      await this.#o.csi?.refresh(pod, c);
    if (failure !== undefined) throw failure;
  }

  uses(pod: DeepReadonly<Pod>, kind: 'ConfigMap' | 'Secret', name: string): boolean {
    return (pod.spec?.volumes ?? []).some((v) => {
      const projections = v.projected?.sources ?? [];
      if (kind === 'ConfigMap')
        return v.configMap?.name === name || projections.some((p) => p.configMap?.name === name);
      return v.secret?.secretName === name || projections.some((p) => p.secret?.name === name);
    });
  }

  nextUpdateAtMs(pod: DeepReadonly<Pod>): number | undefined {
    const dueAtMs = [this.#tokens.nextRefreshAtMs(pod), this.#o.csi?.nextRefreshAtMs(pod)].filter(
      (x) => x !== undefined,
    );
    return dueAtMs.length === 0 ? undefined : Math.min(...dueAtMs);
  }

  emptyDirs(pod: DeepReadonly<Pod>): readonly { readonly name: string; readonly path: string }[] {
    return (pod.spec?.volumes ?? [])
      .filter((v) => v.emptyDir !== undefined && (v.emptyDir.medium ?? '') === '')
      .map(({ name }) => ({ name, path: this.#diskPath(uidOf(pod), name) }));
  }

  async cleanup(podUid: string, c: Ctx): Promise<void> {
    if (!isPlainName(podUid)) throw new StatusError('Invalid', `"${podUid}" is not a pod uid`);
    this.#leaving.add(podUid);
    try {
      await this.#remove(podUid, c);
    } finally {
      this.#leaving.delete(podUid);
    }
  }

  async #remove(podUid: string, c: Ctx): Promise<void> {
    // What is being written now would be left behind.
    await Promise.allSettled([...this.#writing].filter(([key]) => key.startsWith(`${podUid}/`)).map(([, w]) => w));
    await this.#claims.forget(podUid);
    await this.#o.csi?.cleanup(podUid, c);
    const { mounts, removeTree } = this.#ports();
    const folder = this.#podFolder(podUid);
    for (const point of await mounts.below(folder, c)) await mounts.unmount(point, c);
    if (this.#o.images !== undefined) await removeImageVolumes(this.#o.images, podUid, this.#marks(podUid), c);
    await Promise.all([removeTree(folder, c), removeTree(join(this.#memoryFolder(), podUid), c)]);
    this.#written.delete(podUid);
    this.#tokens.forget(podUid);
  }

  async podsOnDisk(): Promise<readonly string[]> {
    const ofDrivers = this.#o.csi?.records.pods() ?? [];
    const lists = await Promise.all([namesIn(join(this.#o.folder, 'pods')), namesIn(this.#memoryFolder()), ofDrivers]);
    return [...new Set(lists.flat())].sort();
  }

  /** One writer for each volume: a container's start and an update may meet. */
  async #writeFiles(pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>, c: Ctx): Promise<string> {
    const key = `${uidOf(pod)}/${volume.name}`;
    const before = this.#writing.get(key) ?? Promise.resolve('');
    const own = before.catch(() => '').then(() => this.#writeNow(pod, volume, c));
    this.#writing.set(key, own);
    try {
      return await own;
    } finally {
      if (this.#writing.get(key) === own) this.#writing.delete(key);
    }
  }

  async #writeNow(pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>, c: Ctx): Promise<string> {
    const uid = uidOf(pod);
    const isOnDisk = volume.configMap !== undefined;
    const target = isOnDisk ? this.#diskPath(uid, volume.name) : join(this.#memoryFolder(), uid, volume.name);
    const payload = await this.#payload(pod, volume, c).catch(async (e: unknown) => {
      // A new agent without a control plane: what an earlier one wrote is what there is, and containers must restart.
      if (!isKind(e, 'Unavailable') || c.signal.aborted || !(await hasPayload(target))) throw e;
      c.log.warn({ err: e, uid, volume: volume.name }, 'a volume could not be renewed; its old files are used on');
      return undefined;
    });
    if (payload === undefined) return target;
    if (!isOnDisk) await this.#ensureMemory(c);
    const owner = this.#ownerOf(pod);
    const digest = payloadDigest(payload, owner);
    const written = this.#written.get(uid) ?? new Map<string, string>();
    const known = written.get(volume.name);
    const isThere =
      known === undefined ? await holdsPayload(target, payload, owner) : known === digest && (await hasPayload(target));
    if (!isThere) await writePayload(target, payload, { owner, clock: c.clock });
    written.set(volume.name, digest);
    this.#written.set(uid, written);
    return target;
  }

  async #payload(pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>, c: Ctx): Promise<Payload> {
    const { sources } = this.#o;
    const namespace = pod.metadata.namespace ?? '';
    const { configMap, secret, downwardAPI, projected } = volume;
    if (configMap !== undefined) {
      const found = sources.configMap(namespace, configMap.name ?? '');
      return configMapPayload(configMap, found, configMap.defaultMode ?? 0o644);
    }
    if (secret !== undefined)
      return secretPayload(secret, sources.secret(namespace, secret.secretName ?? ''), secret.defaultMode ?? 0o644);
    if (downwardAPI !== undefined) {
      const o = { defaultMode: downwardAPI.defaultMode ?? 0o644, allocatable: sources.nodeAllocatable() };
      return downwardPayload(pod, downwardAPI.items ?? [], o);
    }
    if (projected !== undefined)
      return projectedPayload(projected, { pod, volumeName: volume.name, sources, tokens: this.#tokens }, c);
    const type = Object.keys(volume).find((key) => key !== 'name') ?? 'without a source';
    throw new StatusError('Unimplemented', `volume "${volume.name}": volumes of type ${type} are not supported`);
  }

  /** Mounted once for each boot; a mount left by an earlier agent is kept, with the running pods' files. */
  async #ensureMemory(c: Ctx): Promise<void> {
    this.#memory ??= (async () => {
      const path = this.#memoryFolder();
      await mkdir(path, { recursive: true, mode: 0o700 });
      await this.#o.kernel.mounts.tmpfs(path, { mode: 0o700 }, c);
    })();
    try {
      await this.#memory;
    } catch (e) {
      this.#memory = undefined;
      throw e;
    }
  }

  #ports(): { mounts: Kernel['mounts']; removeTree: Kernel['removeTree'] } {
    const { kernel } = this.#o;
    return { mounts: kernel.mounts, removeTree: (path, c) => kernel.removeTree(path, c) };
  }

  #podFolder(uid: string): string {
    return join(this.#o.folder, 'pods', uid);
  }

  #diskPath(uid: string, volumeName: string): string {
    return join(this.#podFolder(uid), 'volumes', volumeName);
  }

  #marks(uid: string): string {
    return join(this.#podFolder(uid), 'images');
  }

  #memoryFolder(): string {
    return join(this.#o.folder, 'memory');
  }
}

function isFileVolume(v: DeepReadonly<Volume>): boolean {
  return (
    v.configMap !== undefined || v.secret !== undefined || v.downwardAPI !== undefined || v.projected !== undefined
  );
}

function uidOf(pod: DeepReadonly<Pod>): string {
  const { uid } = pod.metadata;
  if (uid === undefined || !isPlainName(uid)) throw new StatusError('Invalid', `pod ${pod.metadata.name} has no uid`);
  return uid;
}

/** It becomes a folder's name. */
function isPlainName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text);
}

/** The sum of the containers' memory limits; undefined when one has none. */
function memoryLimit(pod: DeepReadonly<Pod>): number | undefined {
  let sum = 0;
  for (const container of pod.spec?.containers ?? []) {
    const text = container.resources?.limits?.['memory'];
    if (text === undefined) return undefined;
    sum += quantityToNumber(parseQuantity(text));
  }
  return sum > 0 ? Math.ceil(sum) : undefined;
}

/** What was a file may be a folder now. Never recursive: should something still be mounted here, it must stay whole. */
async function removeMountPoint(path: string): Promise<void> {
  const isFolder = await stat(path).then(
    (s) => s.isDirectory(),
    () => undefined,
  );
  if (isFolder !== undefined) await (isFolder ? rmdir(path) : unlink(path));
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    await stat(folder);
    return await readdir(folder);
  } catch {
    // Not made yet: no pod has anything there.
    return [];
  }
}
