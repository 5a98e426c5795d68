/**
 * What a driver is asked for a volume of a pod. Pure.
 * Source: kubernetes pkg/volume/csi (csi_client.go, csi_mounter.go, csi_util.go).
 */
import { type CSIDriver, type DeepReadonly, hexOfVolume, type PersistentVolume, type Pod } from '#lib/api';
import { StatusError } from '#lib/base';
import type { AccessMode, TextMap, VolumeCapability } from './protocol.ts';

export type Lifecycle = 'Persistent' | 'Ephemeral';

/** A volume of a driver in one pod, whether behind a claim or in the pod's own spec. */
export interface CsiVolume {
  /** Of the PersistentVolume, or of the pod's volume: a folder's name. */
  readonly specName: string;
  readonly driver: string;
  readonly handle: string;
  readonly lifecycle: Lifecycle;
  readonly readOnly: boolean;
  readonly fsType: string;
  readonly attributes: TextMap;
  readonly accessModes: readonly string[];
  readonly mountOptions: readonly string[];
  readonly stageSecret: SecretRef | undefined;
  readonly publishSecret: SecretRef | undefined;
  readonly expandSecret: SecretRef | undefined;
}

export interface SecretRef {
  readonly namespace: string;
  readonly name: string;
}

type CsiDriverObject = DeepReadonly<CSIDriver> | undefined;
type DriverCan = ReadonlySet<string>;

/** Throws Unimplemented for a raw device: a driver that is asked to mount one makes a file system on it, over what is there. */
export function persistentVolume(volume: DeepReadonly<PersistentVolume>, isReadOnly: boolean): CsiVolume {
  const { csi, accessModes = [], mountOptions = [], volumeMode } = volume.spec;
  if (volumeMode === 'Block')
    throw new StatusError(
      'Unimplemented',
      `volume ${volume.metadata.name} has volumeMode Block, which is not supported`,
    );
  if (csi === undefined) throw new StatusError('Internal', `volume ${volume.metadata.name} is not of a CSI driver`);
  return {
    specName: volume.metadata.name,
    driver: csi.driver,
    handle: csi.volumeHandle,
    lifecycle: 'Persistent',
    readOnly: isReadOnly,
    fsType: csi.fsType ?? '',
    attributes: csi.volumeAttributes ?? {},
    accessModes,
    mountOptions,
    stageSecret: secretRef(csi.nodeStageSecretRef),
    publishSecret: secretRef(csi.nodePublishSecretRef),
    expandSecret: secretRef(csi.nodeExpandSecretRef),
  };
}

/** undefined = the pod has no such volume of its own. */
export function inlineVolume(pod: DeepReadonly<Pod>, name: string): CsiVolume | undefined {
  const csi = pod.spec?.volumes?.find((v) => v.name === name)?.csi;
  if (csi === undefined) return undefined;
  const { namespace = '', uid = '' } = pod.metadata;
  const secret = csi.nodePublishSecretRef?.name;
  return {
    specName: name,
    driver: csi.driver,
    handle: `csi-${hexOfVolume(uid + name)}`,
    lifecycle: 'Ephemeral',
    readOnly: csi.readOnly === true,
    fsType: csi.fsType ?? '',
    attributes: csi.volumeAttributes ?? {},
    accessModes: [],
    mountOptions: [],
    stageSecret: undefined,
    publishSecret: secret === undefined ? undefined : { namespace, name: secret },
    expandSecret: undefined,
  };
}

type SecretReference = NonNullable<NonNullable<PersistentVolume['spec']['csi']>['nodeStageSecretRef']>;

function secretRef(ref: DeepReadonly<SecretReference> | undefined): SecretRef | undefined {
  if (ref?.name === undefined || ref.name === '') return undefined;
  return { namespace: ref.namespace ?? '', name: ref.name };
}

/** Throws Invalid where the driver's object does not allow volumes of this life. */
export function refuseLifecycle(volume: CsiVolume, driver: CsiDriverObject): void {
  const { driver: name, lifecycle } = volume;
  if (driver === undefined) {
    if (lifecycle === 'Persistent') return;
    throw new StatusError(
      'Invalid',
      `volume mode "${lifecycle}" not supported by driver ${name} (no CSIDriver object)`,
    );
  }
  const modes = driver.spec.volumeLifecycleModes ?? ['Persistent'];
  if (modes.includes(lifecycle)) return;
  throw new StatusError(
    'Invalid',
    `volume mode "${lifecycle}" not supported by driver ${name} (only supports ${JSON.stringify(modes)})`,
  );
}

export function capability(volume: CsiVolume, can: DriverCan, groupId: number | undefined): VolumeCapability {
  const group = groupId !== undefined && can.has('VOLUME_MOUNT_GROUP') ? String(groupId) : '';
  return {
    mount: { fs_type: volume.fsType, mount_flags: volume.mountOptions, volume_mount_group: group },
    access_mode: { mode: accessMode(volume.accessModes[0] ?? 'ReadWriteOnce', can) },
  };
}

function accessMode(mode: string, can: DriverCan): AccessMode {
  const isExact = can.has('SINGLE_NODE_MULTI_WRITER');
  switch (mode) {
    case 'ReadWriteOnce':
      return isExact ? 'SINGLE_NODE_MULTI_WRITER' : 'SINGLE_NODE_WRITER';
    case 'ReadWriteOncePod':
      return isExact ? 'SINGLE_NODE_SINGLE_WRITER' : 'SINGLE_NODE_WRITER';
    case 'ReadOnlyMany':
      return 'MULTI_NODE_READER_ONLY';
    case 'ReadWriteMany':
      return 'MULTI_NODE_MULTI_WRITER';
    default:
      return 'UNKNOWN';
  }
}

/** Whether the volume's files are given to the pod's group by us. */
export function isGroupOurs(volume: CsiVolume, driver: CsiDriverObject, can: DriverCan): boolean {
  if (volume.readOnly || can.has('VOLUME_MOUNT_GROUP')) return false;
  switch (driver?.spec.fsGroupPolicy ?? 'ReadWriteOnceWithFSType') {
    case 'None':
      return false;
    case 'File':
      return true;
    default:
      if (volume.fsType === '') return false;
      if (volume.lifecycle === 'Ephemeral') return true;
      return volume.accessModes.some((m) => m === 'ReadWriteOnce' || m === 'ReadWriteOncePod');
  }
}

/** What a driver that asks for it learns of the pod (podInfoOnMount). */
export function podAttributes(pod: DeepReadonly<Pod>, volume: CsiVolume, driver: CsiDriverObject): TextMap {
  if (driver?.spec.podInfoOnMount !== true) return {};
  const { name, namespace = '', uid = '' } = pod.metadata;
  return {
    'csi.storage.k8s.io/pod.name': name,
    'csi.storage.k8s.io/pod.namespace': namespace,
    'csi.storage.k8s.io/pod.uid': uid,
    'csi.storage.k8s.io/serviceAccount.name': pod.spec?.serviceAccountName ?? '',
    'csi.storage.k8s.io/ephemeral': String(volume.lifecycle === 'Ephemeral'),
  };
}

export const TOKENS_ATTRIBUTE = 'csi.storage.k8s.io/serviceAccount.tokens';
