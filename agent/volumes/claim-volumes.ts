/**
 * Volumes that outlive their pod: what a claim is bound to, and NFS. Each is mounted once for each pod, at the pod's own folder,
 * from where containers bind it; that mount, which an agent's restart leaves alone, is also the mark that its ownership has
 * been set. Source: kubernetes pkg/volume/{local,nfs,host_path}, pkg/volume/volume_linux.go.
 */
import { mkdir, realpath, stat } from 'node:fs/promises';
import type { DeepReadonly, NFSVolumeSource, PersistentVolume, Pod, Volume } from '#lib/api';
import { isLocalVolume } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import { claimedVolume, refuseDeviceUse } from './claim.ts';
import { isLeftToGroup } from './group.ts';
import { prepareHostPath } from './hostpath.ts';
import type { PreparedVolume, VolumeSources } from './volume.ts';

export interface ClaimVolumesOptions {
  readonly kernel: Pick<Kernel, 'mounts' | 'programs' | 'ownTree'>;
  readonly sources: Pick<VolumeSources, 'claim' | 'persistentVolume'>;
  readonly storage: { folderOf(volume: DeepReadonly<PersistentVolume>): Promise<string> };
  /** Where the volume of that name of a pod is mounted. */
  pathOf(podUid: string, volumeName: string): string;
}

interface Place {
  readonly pod: DeepReadonly<Pod>;
  readonly target: string;
}

/** A server that does not answer must not hold a start for as long as mount(8) would wait. */
const NFS_MOUNT_MS = 30_000;

export class ClaimVolumes {
  readonly #o: ClaimVolumesOptions;
  /** Pod uid -> volume -> what is ready, or is being made so. */
  readonly #ready = new Map<string, Map<string, Promise<PreparedVolume>>>();

  constructor(o: ClaimVolumesOptions) {
    this.#o = o;
  }

  /** Whether the volume is one of these. */
  isOurs(volume: DeepReadonly<Volume>): boolean {
    return volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined || volume.nfs !== undefined;
  }

  /** Once for each pod and volume; a failure is tried anew by the next call. */
  prepare(pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>, c: Ctx): Promise<PreparedVolume> {
    const uid = pod.metadata.uid ?? '';
    const ofPod = this.#ready.get(uid) ?? new Map<string, Promise<PreparedVolume>>();
    this.#ready.set(uid, ofPod);
    const known = ofPod.get(volume.name);
    if (known !== undefined) return known;
    const own = this.#prepare(pod, volume, c);
    ofPod.set(volume.name, own);
    own.catch(() => {
      if (ofPod.get(volume.name) === own) ofPod.delete(volume.name);
    });
    return own;
  }

  /** Waits for what is being mounted now: it would be left behind. The mounts themselves go with the pod's folder. */
  async forget(podUid: string): Promise<void> {
    const ofPod = this.#ready.get(podUid);
    if (ofPod !== undefined) await Promise.allSettled([...ofPod.values()]);
    this.#ready.delete(podUid);
  }

  async #prepare(pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>, c: Ctx): Promise<PreparedVolume> {
    const place: Place = { pod, target: this.#o.pathOf(pod.metadata.uid ?? '', volume.name) };
    if (volume.nfs !== undefined) return await this.#nfs(volume.nfs, [], place, c);
    const claimed = claimedVolume(pod, volume, this.#o.sources);
    if (claimed === undefined) throw new StatusError('Invalid', `volume "${volume.name}" is no claim`);
    const { spec } = claimed.volume;
    const { readOnly } = claimed;
    if (spec.volumeMode === 'Block')
      throw new StatusError(
        'Unimplemented',
        `volume ${claimed.volume.metadata.name} has volumeMode Block, which is not supported`,
      );
    refuseDeviceUse(pod, volume.name);
    const options = spec.mountOptions ?? [];
    if (spec.nfs !== undefined) {
      const nfs = readOnly ? { ...spec.nfs, readOnly } : spec.nfs;
      return await this.#nfs(nfs, options, place, c);
    }
    if (options.length > 0)
      throw new StatusError(
        'Invalid',
        `Mount options are not supported for volumes of this type: ${options.join(',')}`,
      );
    if (spec.hostPath !== undefined) return { hostPath: await prepareHostPath(spec.hostPath), readOnly };
    if (spec.local !== undefined) return await this.#local(claimed, place, c);
    const type = Object.keys(spec).find((key) => VOLUME_TYPES.has(key)) ?? 'unknown';
    throw new StatusError('Unimplemented', `PersistentVolumes of type ${type} are not supported`);
  }

  async #local(
    { volume, readOnly }: { readonly volume: DeepReadonly<PersistentVolume>; readonly readOnly: boolean },
    { pod, target }: Place,
    c: Ctx,
  ): Promise<PreparedVolume> {
    if (await this.#isMounted(target, c)) return { hostPath: target, readOnly };
    const source = isLocalVolume(volume)
      ? await this.#o.storage.folderOf(volume)
      : await existingFolder(volume.spec.local?.path ?? '');
    const groupId = pod.spec?.securityContext?.fsGroup;
    if (groupId !== undefined && !readOnly && !(await isLeftToGroup(pod, source, groupId)))
      await this.#o.kernel.ownTree(await realpath(source), groupId, c);
    await mkdir(target, { recursive: true, mode: 0o750 });
    await this.#o.kernel.mounts.bind(source, target, { readOnly, recursive: true }, c);
    return { hostPath: target, readOnly };
  }

  async #nfs(
    nfs: DeepReadonly<NFSVolumeSource>,
    options: readonly string[],
    { target }: Place,
    c: Ctx,
  ): Promise<PreparedVolume> {
    const readOnly = nfs.readOnly === true;
    if (await this.#isMounted(target, c)) return { hostPath: target, readOnly };
    await mkdir(target, { recursive: true, mode: 0o750 });
    const all = [...(readOnly ? ['ro'] : []), ...options];
    const argv = ['mount', '-t', 'nfs', ...(all.length > 0 ? ['-o', all.join(',')] : []), '--'];
    const server = nfs.server.includes(':') && !nfs.server.startsWith('[') ? `[${nfs.server}]` : nfs.server;
    const mounted = await this.#o.kernel.programs.run(
      [...argv, `${server}:${nfs.path}`, target],
      { timeoutMs: NFS_MOUNT_MS },
      c,
    );
    if (mounted.code === 0) return { hostPath: target, readOnly };
    const why = mounted.stderr.toString('utf8').trim() || `exit status ${mounted.code}`;
    throw new StatusError('Unavailable', `mount failed: ${server}:${nfs.path}: ${why}`);
  }

  async #isMounted(target: string, c: Ctx): Promise<boolean> {
    return (await this.#o.kernel.mounts.below(target, c)).includes(target);
  }
}

const VOLUME_TYPES: ReadonlySet<string> = new Set([
  'awsElasticBlockStore',
  'azureDisk',
  'azureFile',
  'cephfs',
  'cinder',
  'csi',
  'fc',
  'flexVolume',
  'flocker',
  'gcePersistentDisk',
  'glusterfs',
  'iscsi',
  'photonPersistentDisk',
  'portworxVolume',
  'quobyte',
  'rbd',
  'scaleIO',
  'storageos',
  'vsphereVolume',
]);

async function existingFolder(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new StatusError('NotFound', `path "${path}" does not exist`);
  if (!found.isDirectory()) throw new StatusError('Invalid', `path "${path}" is not a folder`);
  return path;
}
