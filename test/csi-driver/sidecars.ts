/**
 * What external-provisioner, external-attacher and external-resizer do, as far as the tests need it: they watch the API and call
 * the driver's controller service; from here the objects they wait for and write are seen to be right.
 * Source: github.com/kubernetes-csi/{external-provisioner,external-attacher,external-resizer} (annotations, finalizers, conditions).
 */
import {
  compareQuantity,
  type DeepReadonly,
  Kinds,
  type PersistentVolume,
  type PersistentVolumeClaim,
  parseQuantity,
  quantityToNumber,
  type VolumeAttachment,
} from '#lib/api';
import { type Ctx, isKind, messageOf } from '#lib/base';
import type { Client } from '#lib/client';
import { PluginClient } from '../../agent/plugins/client.ts';
import { type ControllerService, csiServices } from './protocol.ts';

const CALL_MS = 10_000;
const PERIOD_MS = 100;
const PROVISIONER = 'volume.kubernetes.io/storage-provisioner';
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
const SELECTED_NODE = 'volume.kubernetes.io/selected-node';

export interface SidecarsOptions {
  readonly client: Client;
  readonly driver: string;
  readonly socket: string;
}

/** Runs until the signal aborts; what fails is tried again. */
export async function runSidecars(o: SidecarsOptions, c: Ctx): Promise<void> {
  using plugin = new PluginClient(o.socket);
  const sidecars = new Sidecars(o, plugin);
  let last = '';
  while (!c.signal.aborted) {
    for (const step of [sidecars.provision, sidecars.remove, sidecars.attach, sidecars.resize])
      await step.call(sidecars, c).catch((e: unknown) => {
        if (c.signal.aborted || isKind(e, 'Conflict')) return;
        const said = messageOf(e);
        if (said !== last) process.stdout.write(`sidecar: ${said}\n`);
        last = said;
      });
    await c.clock.sleep(PERIOD_MS, c.signal).catch(() => undefined);
  }
}

class Sidecars {
  readonly #o: SidecarsOptions;
  readonly #plugin: PluginClient;
  readonly #service: ControllerService = csiServices()['csi.v1.Controller'];

  constructor(o: SidecarsOptions, plugin: PluginClient) {
    this.#o = o;
    this.#plugin = plugin;
  }

  async provision(c: Ctx): Promise<void> {
    const { client, driver } = this.#o;
    const claims = await client.list(Kinds.persistentvolumeclaims, {}, c);
    for (const claim of claims.items) {
      if (claim.metadata.annotations?.[PROVISIONER] !== driver || claim.spec.volumeName) continue;
      const name = `pvc-${claim.metadata.uid ?? ''}`;
      const found = await client.get(Kinds.persistentvolumes, { namespace: '', name }, c).catch(() => undefined);
      if (found !== undefined) continue;
      const cls = await client.get(Kinds.storageclasses, { namespace: '', name: claim.spec.storageClassName ?? '' }, c);
      if (cls.volumeBindingMode === 'WaitForFirstConsumer' && claim.metadata.annotations[SELECTED_NODE] === undefined)
        continue;
      const storage = claim.spec.resources?.requests?.['storage'] ?? '0';
      const request = {
        name,
        capacity_range: { required_bytes: quantityToNumber(parseQuantity(storage)) },
        volume_capabilities: [],
        parameters: cls.parameters ?? {},
      };
      const { volume } = await this.#plugin.call(this.#service.CreateVolume, request, CALL_MS, c);
      const parameter = (key: string): string => cls.parameters?.[`csi.storage.k8s.io/${key}`] ?? '';
      const secret = { name: parameter('node-stage-secret-name'), namespace: parameter('node-stage-secret-namespace') };
      await client.create<PersistentVolume>(
        Kinds.persistentvolumes,
        {
          metadata: { name, annotations: { [PROVISIONED_BY]: driver } },
          spec: {
            capacity: { storage },
            accessModes: [...(claim.spec.accessModes ?? [])],
            persistentVolumeReclaimPolicy: 'Delete',
            storageClassName: cls.metadata.name,
            mountOptions: [...(cls.mountOptions ?? [])],
            claimRef: claimRef(claim),
            csi: {
              driver,
              volumeHandle: volume.volume_id,
              fsType: 'ext4',
              volumeAttributes: { ...volume.volume_context },
              ...(secret.name === '' ? {} : { nodeStageSecretRef: secret }),
            },
          },
        },
        c,
      );
    }
  }

  /** Of what is released. */
  async remove(c: Ctx): Promise<void> {
    const { client, driver } = this.#o;
    for (const volume of (await client.list(Kinds.persistentvolumes, {}, c)).items) {
      if (volume.spec.csi?.driver !== driver || volume.status?.phase !== 'Released') continue;
      if (volume.spec.persistentVolumeReclaimPolicy !== 'Delete') continue;
      if ((await this.#attachments(c)).some((a) => a.spec.source.persistentVolumeName === volume.metadata.name))
        continue;
      await this.#plugin.call(this.#service.DeleteVolume, { volume_id: volume.spec.csi.volumeHandle }, CALL_MS, c);
      await client.delete(Kinds.persistentvolumes, { namespace: '', name: volume.metadata.name }, {}, c);
    }
  }

  async attach(c: Ctx): Promise<void> {
    for (const attachment of await this.#attachments(c)) {
      if (attachment.metadata.deletionTimestamp !== undefined) await this.#detach(attachment, c);
      else if (attachment.status?.attached !== true) await this.#attach(attachment, c);
    }
  }

  async resize(c: Ctx): Promise<void> {
    const { client, driver } = this.#o;
    for (const claim of (await client.list(Kinds.persistentvolumeclaims, {}, c)).items) {
      if (!claim.spec.volumeName || claim.status?.phase !== 'Bound') continue;
      const wanted = claim.spec.resources?.requests?.['storage'] ?? '0';
      const volume = await client.get(Kinds.persistentvolumes, { namespace: '', name: claim.spec.volumeName }, c);
      const has = volume.spec.capacity?.['storage'] ?? '0';
      if (volume.spec.csi?.driver !== driver || compareQuantity(parseQuantity(has), parseQuantity(wanted)) >= 0)
        continue;
      const capacity_range = { required_bytes: quantityToNumber(parseQuantity(wanted)) };
      const request = { volume_id: volume.spec.csi.volumeHandle, capacity_range };
      await this.#plugin.call(this.#service.ControllerExpandVolume, request, CALL_MS, c);
      const grown = { ...volume, spec: { ...volume.spec, capacity: { storage: wanted } } };
      await client.update(Kinds.persistentvolumes, grown, c);
      const body = { status: { conditions: [{ type: 'FileSystemResizePending', status: 'True' }] } };
      const { namespace = '', name } = claim.metadata;
      const key = { namespace, name };
      await client.patch(Kinds.persistentvolumeclaims, key, { type: 'strategic', body }, c, { subresource: 'status' });
    }
  }

  async #attachments(c: Ctx): Promise<readonly DeepReadonly<VolumeAttachment>[]> {
    const all = await this.#o.client.list(Kinds.volumeattachments, {}, c);
    return all.items.filter((a) => a.spec.attacher === this.#o.driver);
  }

  async #attach(attachment: DeepReadonly<VolumeAttachment>, c: Ctx): Promise<void> {
    const { client, driver } = this.#o;
    const finalizer = `external-attacher/${driver.replaceAll('.', '-')}`;
    const finalizers = [...(attachment.metadata.finalizers ?? [])];
    const held = finalizers.includes(finalizer)
      ? attachment
      : await client.update(
          Kinds.volumeattachments,
          { ...attachment, metadata: { ...attachment.metadata, finalizers: [...finalizers, finalizer] } },
          c,
        );
    const request = { ...(await this.#placeOf(attachment, c)), volume_context: {} };
    const { publish_context } = await this.#plugin.call(this.#service.ControllerPublishVolume, request, CALL_MS, c);
    const status = { attached: true, attachmentMetadata: publish_context };
    await client.update(Kinds.volumeattachments, { ...held, status }, c, { subresource: 'status' });
  }

  async #detach(attachment: DeepReadonly<VolumeAttachment>, c: Ctx): Promise<void> {
    await this.#plugin.call(this.#service.ControllerUnpublishVolume, await this.#placeOf(attachment, c), CALL_MS, c);
    const next = { ...attachment, metadata: { ...attachment.metadata, finalizers: [] } };
    await this.#o.client.update(Kinds.volumeattachments, next, c);
  }

  /** The driver's own names of volume and node, the latter as its CSINode has it. */
  async #placeOf({ spec }: DeepReadonly<VolumeAttachment>, c: Ctx): Promise<{ volume_id: string; node_id: string }> {
    const { client, driver } = this.#o;
    const name = spec.source.persistentVolumeName ?? '';
    const volume = await client.get(Kinds.persistentvolumes, { namespace: '', name }, c);
    const node = await client.get(Kinds.csinodes, { namespace: '', name: spec.nodeName }, c);
    const nodeId = node.spec.drivers.find((d) => d.name === driver)?.nodeID ?? '';
    return { volume_id: volume.spec.csi?.volumeHandle ?? '', node_id: nodeId };
  }
}

function claimRef({
  metadata,
}: DeepReadonly<PersistentVolumeClaim>): NonNullable<PersistentVolume['spec']['claimRef']> {
  const { namespace = '', name, uid = '' } = metadata;
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid };
}
