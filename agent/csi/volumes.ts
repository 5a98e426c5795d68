/**
 * Volumes of CSI drivers on this node: staged once for the node, published once for each pod, and taken back in the reverse
 * order. What has been begun is on disk before it is asked of a driver (records.ts), so that the next agent goes on where this one
 * died. One call at a time for each volume, as CSI asks.
 *
 * Life of a volume in a pod: planned (a record; the node says that it uses the volume) -> attached, by the control plane ->
 * staged -> published -> expanded, republished -> unpublished -> with the last pod of the node unstaged, and used no more.
 * Source: kubernetes pkg/volume/csi, pkg/kubelet/volumemanager/reconciler.
 */
import {
  attachmentName,
  type CSIDriver,
  type DeepReadonly,
  isAttachRequired,
  type Pod,
  type Secret,
  uniqueVolumeName,
  type Volume,
  type VolumeAttachment,
} from '#lib/api';
import { type Ctx, StatusError, timeText } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import type { Method } from '../plugins/client.ts';
import { KeyedLock } from '../plugins/keyed-lock.ts';
import type { PluginFolders } from '../plugins/root.ts';
import { claimedVolume, refuseDeviceUse } from '../volumes/claim.ts';
import { isLeftToGroup } from '../volumes/group.ts';
import type { PreparedVolume, VolumeSources } from '../volumes/volume.ts';
import { Changes } from './changes.ts';
import type { CsiDriver, CsiDrivers } from './drivers.ts';
import type { TextMap } from './protocol.ts';
import { type VolumeRecord, VolumeRecords } from './records.ts';
import {
  type CsiVolume,
  capability,
  inlineVolume,
  isGroupOurs,
  persistentVolume,
  podAttributes,
  refuseLifecycle,
  type SecretRef,
  TOKENS_ATTRIBUTE,
} from './request.ts';
import { VolumeUsers } from './users.ts';

export interface CsiSources
  extends Pick<VolumeSources, 'claim' | 'persistentVolume' | 'secret' | 'serviceAccountToken'> {
  csiDriver(name: string): DeepReadonly<CSIDriver> | undefined;
  attachment(name: string): DeepReadonly<VolumeAttachment> | undefined;
  /** `status.volumesInUse` of this node, as the control plane has it. */
  volumesInUse(): readonly string[];
}

export interface CsiVolumesOptions {
  readonly kernel: Pick<Kernel, 'ownTree'>;
  readonly folders: PluginFolders;
  readonly drivers: CsiDrivers;
  readonly sources: CsiSources;
  readonly nodeName: string;
  readonly bootId: string;
  /** The node's volumesInUse are others now: the control plane has to know at once. */
  onUse(): void;
}

/** A volume that is published in a pod. */
export interface ReadyVolume {
  readonly pod: DeepReadonly<Pod>;
  readonly volumeName: string;
  readonly volume: CsiVolume;
  readonly path: string;
  /** Of its newest publish call by this agent. */
  publishedAtMs: number;
}

/** As the kubelet's: csiTimeout, and how long a pod waits before it is told. */
const CALL_MS = 120_000;
const ATTACH_MS = 123_000;
/** Drivers register again within moments of an agent's start. */
const DRIVER_MS = 10_000;
/** How often a driver that asks for it is asked to publish again. */
const REPUBLISH_MS = 60_000;
const TOKEN_SECONDS = 3600;

export class CsiVolumes {
  readonly records: VolumeRecords;
  /** Something changed that a volume may be waiting for. */
  readonly changes = new Changes();
  readonly #o: CsiVolumesOptions;
  readonly #locks = new KeyedLock();
  readonly #users = new VolumeUsers();
  /** Pod uid -> volume's name in the pod -> what this agent knows to be published. */
  readonly #ready = new Map<string, Map<string, ReadyVolume>>();

  constructor(o: CsiVolumesOptions) {
    this.#o = o;
    this.records = new VolumeRecords(o.folders);
  }

  /** Reads what earlier agents have left. Call before anything else. */
  async open(c: Ctx): Promise<void> {
    for (const uid of await this.records.pods())
      for (const { folder, record } of await this.#sound(() => this.records.published(uid), c))
        if (record !== undefined) this.#users.add(keyOf(record), folder, record);
    for (const { record } of await this.#sound(() => this.records.staged(), c))
      if (record !== undefined) this.#users.staged(keyOf(record), record);
  }

  /** `status.volumesInUse`: what must not be detached. */
  volumesInUse(): readonly string[] {
    return this.#users.attachable();
  }

  /** The driver's volume behind a volume of the pod; undefined = it is of another kind. Throws what keeps the pod waiting. */
  volumeOf(pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>): CsiVolume | undefined {
    if (volume.csi !== undefined) return inlineVolume(pod, volume.name);
    const claimed = claimedVolume(pod, volume, this.#o.sources);
    if (claimed?.volume.spec.csi === undefined) return undefined;
    const found = persistentVolume(claimed.volume, claimed.readOnly);
    refuseDeviceUse(pod, volume.name);
    return found;
  }

  /** Idempotent; waits for the driver and for the attachment, so not to be called where that stops others. */
  async prepare(pod: DeepReadonly<Pod>, volumeName: string, volume: CsiVolume, c: Ctx): Promise<PreparedVolume> {
    const uid = uidOf(pod);
    const path = this.records.publishPath(uid, volume.specName);
    const ready = { hostPath: path, readOnly: volume.readOnly };
    if (this.#ready.get(uid)?.has(volumeName) === true) return ready;
    refuseLifecycle(volume, this.#o.sources.csiDriver(volume.driver));
    const publishedAtMs = await this.#locks.run(keyOf(volume), () => this.#publishOnce(pod, volume, c), c);
    const ofPod = this.#ready.get(uid) ?? new Map<string, ReadyVolume>();
    this.#ready.set(uid, ofPod.set(volumeName, { pod, volumeName, volume, path, publishedAtMs }));
    this.changes.tell();
    return ready;
  }

  /** All that this agent knows to be published. */
  *ready(): Iterable<ReadyVolume> {
    for (const ofPod of this.#ready.values()) yield* ofPod.values();
  }

  /** When `refresh` has something to do for the pod; 0 = it has volumes that this agent has not looked at. */
  nextRefreshAtMs(pod: DeepReadonly<Pod>): number | undefined {
    let next: number | undefined;
    for (const v of pod.spec?.volumes ?? []) {
      const ready = this.#ready.get(pod.metadata.uid ?? '')?.get(v.name);
      const at = ready === undefined ? (this.#isOurs(pod, v) ? 0 : undefined) : this.#republishAtMs(ready);
      if (at !== undefined) next = Math.min(at, next ?? at);
    }
    return next;
  }

  async refresh(pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
    for (const v of pod.spec?.volumes ?? []) {
      const ready = this.#ready.get(uidOf(pod))?.get(v.name);
      if (ready === undefined) {
        const volume = this.#isOurs(pod, v) ? this.volumeOf(pod, v) : undefined;
        if (volume !== undefined) await this.prepare(pod, v.name, volume, c);
        continue;
      }
      if ((this.#republishAtMs(ready) ?? Number.POSITIVE_INFINITY) > c.clock.now()) continue;
      await this.locked(ready.volume, (driver) => this.#publish(pod, ready.volume, driver, c), c);
      ready.publishedAtMs = c.clock.now();
    }
  }

  /** Of a pod whose containers are gone, known to this agent or not. Throws while a driver cannot be reached. Idempotent. */
  async cleanup(podUid: string, c: Ctx): Promise<void> {
    for (const { folder, record } of await this.records.published(podUid)) {
      if (record === undefined) await this.records.remove(folder, `${folder}/mount`);
      else await this.#locks.run(keyOf(record), () => this.#unpublish(folder, record, c), c);
    }
    this.#ready.delete(podUid);
    await this.records.removePodFolder(podUid);
  }

  /** Left by an agent that died between a pod's last call and its volume's. Once the control plane has said which pods there are. */
  async removeUnused(c: Ctx): Promise<void> {
    for (const { record } of await this.records.staged())
      if (record !== undefined && !this.#users.isUsed(keyOf(record)))
        await this.#locks.run(keyOf(record), () => this.#unstage(record, c), c);
  }

  /** Calls `fn` while nobody else asks anything of the volume's driver for it. */
  async locked<T>(volume: CsiVolume, fn: (driver: CsiDriver) => Promise<T>, c: Ctx): Promise<T> {
    return await this.#locks.run(keyOf(volume), () => fn(this.#o.drivers.get(volume.driver)), c);
  }

  /** undefined while it is not registered. */
  driver(name: string): CsiDriver | undefined {
    return this.#hasDriver(name) ? this.#o.drivers.get(name) : undefined;
  }

  async call<Q, A>(driver: CsiDriver, method: Method<Q, A>, request: Q, c: Ctx): Promise<A> {
    return await driver.client.call(method, request, CALL_MS, c);
  }

  secret(what: string, ref: SecretRef | undefined): TextMap {
    if (ref === undefined) return {};
    const found = this.#o.sources.secret(ref.namespace, ref.name);
    if (found !== undefined) return secretTexts(found);
    throw new StatusError(
      'NotFound',
      `fetching ${what} ${ref.namespace}/${ref.name} failed: kubernetes.io/csi: failed to find the secret ${ref.name} in the namespace ${ref.namespace} with error: secrets "${ref.name}" not found`,
    );
  }

  /** When the newest publish call of this agent was; one by an earlier agent counts as made now. */
  async #publishOnce(pod: DeepReadonly<Pod>, volume: CsiVolume, c: Ctx): Promise<number> {
    const folder = this.records.publishFolder(uidOf(pod), volume.specName);
    const known = await this.records.load(folder);
    const { bootId, nodeName, sources } = this.#o;
    if (known?.phase === 'done' && known.bootId === bootId && keyOf(known) === keyOf(volume)) return c.clock.now();
    const isAttached = volume.lifecycle === 'Persistent' && isAttachRequired(sources.csiDriver(volume.driver));
    const { driver, handle, specName, lifecycle } = volume;
    const attachment = isAttached ? attachmentName({ driver, volumeHandle: handle }, nodeName) : '';
    const record: VolumeRecord = {
      driver,
      handle,
      specName,
      lifecycle,
      nodeName,
      attachment,
      phase: 'planned',
      bootId,
    };
    /* Of this boot, it may have been asked for already. */
    if (known?.phase !== 'begun' || known.bootId !== bootId) await this.records.save(folder, record);
    if (this.#users.add(keyOf(record), folder, record)) this.#o.onUse();
    await this.changes.until(() => this.#hasDriver(driver), DRIVER_MS, c);
    const found = this.#o.drivers.get(driver);
    if (isAttached) await this.#attached(volume, attachment, c);
    if (lifecycle === 'Persistent' && found.can.has('STAGE_UNSTAGE_VOLUME')) await this.#stage(pod, record, volume, c);
    await this.records.save(folder, { ...record, phase: 'begun' });
    await this.#publish(pod, volume, found, c);
    await this.records.save(folder, { ...record, phase: 'done' });
    return c.clock.now();
  }

  /** Before the node says that it uses the volume, it could be detached while it is being mounted. */
  async #attached(volume: CsiVolume, name: string, c: Ctx): Promise<void> {
    const { sources } = this.#o;
    const unique = uniqueVolumeName({ driver: volume.driver, volumeHandle: volume.handle });
    const isReady = (): boolean =>
      sources.attachment(name)?.status?.attached === true &&
      sources.attachment(name)?.metadata.deletionTimestamp === undefined &&
      sources.volumesInUse().includes(unique);
    if (await this.changes.until(isReady, ATTACH_MS, c)) return;
    const why = sources.attachment(name)?.status?.attachError?.message;
    throw new StatusError(
      'DeadlineExceeded',
      `timed out waiting for external-attacher of ${volume.driver} CSI driver to attach volume ${volume.handle}${why === undefined ? '' : `: ${why}`}`,
    );
  }

  async #stage(pod: DeepReadonly<Pod>, record: VolumeRecord, volume: CsiVolume, c: Ctx): Promise<void> {
    const { driver: name, handle } = volume;
    const folder = this.records.stagingFolder(name, handle);
    const known = await this.records.load(folder);
    if (known?.phase === 'done' && known.bootId === this.#o.bootId) return;
    const secrets = this.secret('NodeStageSecretRef', volume.stageSecret);
    const driver = this.#o.drivers.get(name);
    await this.records.save(folder, { ...record, phase: 'begun' });
    this.#users.staged(keyOf(record), record);
    await this.records.makeMountPoint(this.records.stagingPath(name, handle));
    const request = {
      volume_id: handle,
      publish_context: this.#publishContext(volume),
      staging_target_path: this.records.stagingPath(name, handle),
      volume_capability: capability(volume, driver.can, groupOf(pod)),
      secrets,
      volume_context: volume.attributes,
    };
    await this.call(driver, driver.service.NodeStageVolume, request, c);
    await this.records.save(folder, { ...record, phase: 'done' });
  }

  async #publish(pod: DeepReadonly<Pod>, volume: CsiVolume, driver: CsiDriver, c: Ctx): Promise<void> {
    const driverObject = this.#o.sources.csiDriver(volume.driver);
    const secrets = this.secret('NodePublishSecretRef', volume.publishSecret);
    const tokens = await this.#tokens(pod, driverObject, c);
    const areSecret = driverObject?.spec.serviceAccountTokenInSecrets === true;
    const isStaged = volume.lifecycle === 'Persistent' && driver.can.has('STAGE_UNSTAGE_VOLUME');
    const target = this.records.publishPath(uidOf(pod), volume.specName);
    const request = {
      volume_id: volume.handle,
      publish_context: this.#publishContext(volume),
      staging_target_path: isStaged ? this.records.stagingPath(volume.driver, volume.handle) : '',
      target_path: target,
      volume_capability: capability(volume, driver.can, groupOf(pod)),
      readonly: volume.readOnly,
      secrets: { ...secrets, ...(areSecret ? tokens : {}) },
      volume_context: {
        ...volume.attributes,
        ...podAttributes(pod, volume, driverObject),
        ...(areSecret ? {} : tokens),
      },
    };
    await this.call(driver, driver.service.NodePublishVolume, request, c);
    const groupId = groupOf(pod);
    const isOurs = groupId !== undefined && isGroupOurs(volume, driverObject, driver.can);
    if (isOurs && !(await isLeftToGroup(pod, target, groupId))) await this.#o.kernel.ownTree(target, groupId, c);
  }

  async #unpublish(folder: string, record: VolumeRecord, c: Ctx): Promise<void> {
    const target = `${folder}/mount`;
    if (record.phase !== 'planned') {
      const { client, service } = await this.#driver(record.driver, c);
      await client.call(service.NodeUnpublishVolume, { volume_id: record.handle, target_path: target }, CALL_MS, c);
    }
    await this.records.remove(folder, target);
    if (this.#users.remove(keyOf(record), folder)) await this.#unstage(record, c);
  }

  /** Of a volume that no pod of the node uses. */
  async #unstage({ driver: name, handle }: VolumeRecord, c: Ctx): Promise<void> {
    const folder = this.records.stagingFolder(name, handle);
    const path = this.records.stagingPath(name, handle);
    const record = await this.records.load(folder);
    if (record !== undefined) {
      const driver = await this.#driver(name, c);
      const request = { volume_id: handle, staging_target_path: path };
      await driver.client.call(driver.service.NodeUnstageVolume, request, CALL_MS, c);
      await this.records.remove(folder, path);
    }
    this.#users.forget(keyOf({ driver: name, handle }));
    this.#o.onUse();
  }

  async #driver(name: string, c: Ctx): Promise<CsiDriver> {
    await this.changes.until(() => this.#hasDriver(name), DRIVER_MS, c);
    return this.#o.drivers.get(name);
  }

  #hasDriver(name: string): boolean {
    return this.#o.drivers.has(name);
  }

  #publishContext(volume: CsiVolume): TextMap {
    if (volume.lifecycle === 'Ephemeral') return {};
    const name = attachmentName({ driver: volume.driver, volumeHandle: volume.handle }, this.#o.nodeName);
    return this.#o.sources.attachment(name)?.status?.attachmentMetadata ?? {};
  }

  /** For drivers that act in the pod's name (KEP-1855). */
  async #tokens(pod: DeepReadonly<Pod>, driver: DeepReadonly<CSIDriver> | undefined, c: Ctx): Promise<TextMap> {
    const requests = driver?.spec.tokenRequests ?? [];
    if (requests.length === 0) return {};
    const out: Record<string, { token: string; expirationTimestamp: string }> = {};
    for (const { audience, expirationSeconds = TOKEN_SECONDS } of requests) {
      const o = { pod, audience: audience === '' ? undefined : audience, expirationSeconds };
      const { token, expiresAtMs } = await this.#o.sources.serviceAccountToken(o, c);
      out[audience] = { token, expirationTimestamp: timeText(expiresAtMs) };
    }
    return { [TOKENS_ATTRIBUTE]: JSON.stringify(out) };
  }

  #republishAtMs({ volume, publishedAtMs }: ReadyVolume): number | undefined {
    const isAsked = this.#o.sources.csiDriver(volume.driver)?.spec.requiresRepublish === true;
    return isAsked ? publishedAtMs + REPUBLISH_MS : undefined;
  }

  #isOurs(pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>): boolean {
    try {
      return this.volumeOf(pod, volume) !== undefined;
    } catch {
      // Its claim is not there, not bound, or taken for a device: nothing of it is published.
      return false;
    }
  }

  /** A record that is damaged must not stop the agent: the pod's own end says so again. */
  async #sound<T>(read: () => Promise<readonly T[]>, c: Ctx): Promise<readonly T[]> {
    try {
      return await read();
    } catch (e) {
      c.log.error({ err: e }, 'what is known of a volume of a CSI driver cannot be read');
      return [];
    }
  }
}

function keyOf({ driver, handle }: { readonly driver: string; readonly handle: string }): string {
  return `${driver}^${handle}`;
}

function uidOf(pod: DeepReadonly<Pod>): string {
  return pod.metadata.uid ?? '';
}

function groupOf(pod: DeepReadonly<Pod>): number | undefined {
  return pod.spec?.securityContext?.fsGroup;
}

function secretTexts(secret: DeepReadonly<Secret>): TextMap {
  const entries = Object.entries(secret.data ?? {});
  return Object.fromEntries(entries.map(([k, v]) => [k, Buffer.from(v, 'base64').toString('utf8')]));
}
