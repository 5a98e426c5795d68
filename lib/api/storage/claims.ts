/**
 * Claims, volumes and classes as binder, scheduler, gateway and agents must agree on them. Pure.
 * Source: k8s.io/component-helpers storage/volume (pv_helpers.go, helpers.go).
 */
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '../gen/types/core-v1.ts';
import type { StorageClass } from '../gen/types/storage-v1.ts';
import { controllerOf } from '../meta.ts';
import type { DeepReadonly, KubeObject } from '../object.ts';
import { parseQuantity, type Quantity } from '../quantity.ts';

export const StorageAnnotations = {
  /** On a volume, or a claim: the other side was filled in by the controller, which may take it back. */
  boundByController: 'pv.kubernetes.io/bound-by-controller',
  /** On a claim: it was bound once. */
  bindCompleted: 'pv.kubernetes.io/bind-completed',
  provisionedBy: 'pv.kubernetes.io/provisioned-by',
  /** On a claim: who is to make its volume. */
  provisioner: 'volume.kubernetes.io/storage-provisioner',
  betaProvisioner: 'volume.beta.kubernetes.io/storage-provisioner',
  /** On a claim: where its first pod is going to run. */
  selectedNode: 'volume.kubernetes.io/selected-node',
  /** The class, from the time before spec.storageClassName. */
  betaClass: 'volume.beta.kubernetes.io/storage-class',
  isDefaultClass: 'storageclass.kubernetes.io/is-default-class',
  betaIsDefaultClass: 'storageclass.beta.kubernetes.io/is-default-class',
} as const;

/** Of classes whose volumes are folders of a node, made by the node's own agent. */
export const LOCAL_PROVISIONER = 'berth.dev/local';
/** On a Node: the folder that its local volumes lie in, told by its agent. */
export const STORAGE_PATH_ANNOTATION = 'berth.dev/storage-path';
/** Of classes whose volumes somebody makes by hand. */
export const NO_PROVISIONER = 'kubernetes.io/no-provisioner';
/** On a volume of reclaim policy Delete: the object stays until its data is gone (KEP-2644). */
export const PROVISIONER_FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer';
export const HOSTNAME_LABEL = 'kubernetes.io/hostname';

type Claim = DeepReadonly<PersistentVolumeClaim>;
type PersistentVolumeObject = DeepReadonly<PersistentVolume>;

/** '' = none is wanted. */
export function classOfClaim(claim: Claim): string {
  return claim.metadata.annotations?.[StorageAnnotations.betaClass] ?? claim.spec.storageClassName ?? '';
}

export function classOfVolume(volume: PersistentVolumeObject): string {
  return volume.metadata.annotations?.[StorageAnnotations.betaClass] ?? volume.spec.storageClassName ?? '';
}

export function requestOfClaim(claim: Claim): Quantity {
  return parseQuantity(claim.spec.resources?.requests?.['storage'] ?? '0');
}

export function capacityOfVolume(volume: PersistentVolumeObject): Quantity {
  return parseQuantity(volume.spec.capacity?.['storage'] ?? '0');
}

/** Whether the volume names this claim; by name alone where no uid has been filled in yet. */
export function isBoundTo(volume: PersistentVolumeObject, claim: Claim): boolean {
  const ref = volume.spec.claimRef;
  if (ref === undefined) return false;
  const isNamed = ref.name === claim.metadata.name && (ref.namespace ?? '') === (claim.metadata.namespace ?? '');
  return isNamed && (!ref.uid || ref.uid === claim.metadata.uid);
}

/** The volume, naming the claim; undefined = it names the claim already, uid included. */
export function withClaim(volume: PersistentVolumeObject, claim: Claim): PersistentVolumeObject | undefined {
  const { name, namespace, uid, resourceVersion } = claim.metadata;
  const annotations = isBoundTo(volume, claim)
    ? volume.metadata.annotations
    : { ...volume.metadata.annotations, [StorageAnnotations.boundByController]: 'yes' };
  if (volume.spec.claimRef?.uid === uid && isBoundTo(volume, claim)) return undefined;
  const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid, resourceVersion };
  return {
    ...volume,
    metadata: { ...volume.metadata, ...(annotations === undefined ? {} : { annotations }) },
    spec: { ...volume.spec, claimRef },
  };
}

/** Its volume is named and nothing is left to do: a pod may use it. */
export function isFullyBound(claim: Claim): boolean {
  return Boolean(claim.spec.volumeName) && claim.metadata.annotations?.[StorageAnnotations.bindCompleted] !== undefined;
}

export function isDelayed(storageClass: DeepReadonly<StorageClass> | undefined): boolean {
  return storageClass?.volumeBindingMode === 'WaitForFirstConsumer';
}

export function isLocalVolume(volume: PersistentVolumeObject): boolean {
  const by = volume.metadata.annotations?.[StorageAnnotations.provisionedBy];
  return by === LOCAL_PROVISIONER && volume.spec.local !== undefined;
}

/** The host name of the only node that has the volume; undefined where its affinity says something else. */
export function hostOfVolume(volume: PersistentVolumeObject): string | undefined {
  const terms = volume.spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  const [only] = terms.flatMap((t) => t.matchExpressions ?? []);
  const isPlain = terms.length === 1 && terms[0]?.matchExpressions?.length === 1 && !terms[0].matchFields?.length;
  if (!isPlain || only?.key !== HOSTNAME_LABEL || only.operator !== 'In') return undefined;
  return only.values?.length === 1 ? only.values[0] : undefined;
}

/** The name that volumes know a node by. */
export function nodeHost({ metadata }: DeepReadonly<KubeObject>): string {
  return metadata.labels?.[HOSTNAME_LABEL] ?? metadata.name;
}

/**
 * Nobody uses it any more and its data is to go. One whose claimRef was taken away is somebody's to give anew, though its status
 * says Released until the binder has looked.
 */
export function isToBeErased(volume: PersistentVolumeObject): boolean {
  if (!volume.spec.claimRef?.uid) return false;
  const isReleased = volume.status?.phase === 'Released' && volume.spec.persistentVolumeReclaimPolicy === 'Delete';
  return isReleased && isLocalVolume(volume);
}

/** The claim that a volume of a pod stands for; undefined where it stands for none. */
export function claimNameOf(
  pod: DeepReadonly<Pick<Pod, 'metadata'>>,
  volume: DeepReadonly<Volume>,
): string | undefined {
  if (volume.persistentVolumeClaim !== undefined) return volume.persistentVolumeClaim.claimName;
  return volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`;
}

/** Whether a claim of that name was made for this pod and no other. Source: component-helpers storage/ephemeral. */
export function isOwnedByPod(claim: Claim, pod: DeepReadonly<Pick<Pod, 'metadata'>>): boolean {
  return claim.metadata.namespace === pod.metadata.namespace && controllerOf(claim)?.uid === pod.metadata.uid;
}
