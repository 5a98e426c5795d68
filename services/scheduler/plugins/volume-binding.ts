/**
 * A pod runs where its volumes are, or can come to be: bound ones by their node affinity, others by a volume that is free on
 * the node or a class that makes one there. What is chosen for a node is worked out again when the pod has got one
 * (services/scheduler/pod-volumes.ts). Source: kubernetes plugins/volumebinding.
 */
import {
  claimNameOf,
  classOfClaim,
  compareQuantity,
  type DeepReadonly,
  findVolume,
  isDelayed,
  isFullyBound,
  isOwnedByPod,
  isReachableFrom,
  LOCAL_PROVISIONER,
  NO_PROVISIONER,
  type PersistentVolume,
  type PersistentVolumeClaim,
  requestOfClaim,
  STORAGE_PATH_ANNOTATION,
  type StorageClass,
} from '#lib/api';
import type { FilterPlugin, StorageView } from '../framework.ts';
import { FITS } from '../framework.ts';
import type { NodeInfo } from '../node-info.ts';
import type { PodInfo } from '../pod-info.ts';

const CONFLICT = "node(s) didn't match PersistentVolume's node affinity";
const NO_VOLUME = "node(s) didn't find available persistent volumes to bind";
const VOLUME_GONE = 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)';

type Claim = DeepReadonly<PersistentVolumeClaim>;

/** Of a pod all of whose claims are there and none of which waits for a volume of its own accord. */
export interface PodClaims {
  readonly bound: readonly Claim[];
  /** Smallest first, so that a large volume is not spent on a small claim. */
  readonly delayed: readonly Claim[];
}

export interface VolumeChoice {
  readonly bindings: readonly { readonly claim: Claim; readonly volume: DeepReadonly<PersistentVolume> }[];
  /** Those whose volume is to be made for the node. */
  readonly provisioned: readonly Claim[];
}

export const volumeBinding: FilterPlugin = {
  name: 'VolumeBinding',
  wakesOn: new Set(['node-added', 'node-changed', 'storage-changed']),
  prepare(p, s) {
    const claims = claimsOf(p, s.storage);
    if (claims === undefined || 'refused' in claims) return claims;
    return (n) => {
      const choice = chooseVolumes(claims, n, s.storage);
      return 'reasons' in choice ? choice.reasons : FITS;
    };
  },
};

/** undefined = the pod has no claims. */
export function claimsOf(p: PodInfo, storage: StorageView): PodClaims | { readonly refused: string } | undefined {
  const { pod } = p;
  const bound: Claim[] = [];
  const delayed: Claim[] = [];
  let isImmediate = false;
  for (const volume of pod.spec.volumes ?? []) {
    const name = claimNameOf(pod, volume);
    if (name === undefined) continue;
    const claim = storage.claim(p.namespace, name);
    const refused = problemOf(p, { name, claim, isEphemeral: volume.ephemeral !== undefined });
    if (refused !== undefined) return { refused };
    if (claim === undefined) continue;
    if (isFullyBound(claim)) bound.push(claim);
    else if (!claim.spec.volumeName && isDelayed(storage.storageClass(classOfClaim(claim)))) delayed.push(claim);
    else isImmediate = true;
  }
  if (isImmediate) return { refused: 'pod has unbound immediate PersistentVolumeClaims' };
  if (bound.length + delayed.length === 0) return undefined;
  return { bound, delayed: delayed.sort((a, b) => compareQuantity(requestOfClaim(a), requestOfClaim(b))) };
}

function problemOf(
  p: PodInfo,
  o: { readonly name: string; readonly claim: Claim | undefined; readonly isEphemeral: boolean },
): string | undefined {
  const { claim, name, isEphemeral } = o;
  if (claim === undefined) {
    if (!isEphemeral) return `persistentvolumeclaim "${name}" not found`;
    return `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`;
  }
  if (claim.status?.phase === 'Lost')
    return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec.volumeName ?? ''}"`;
  if (claim.metadata.deletionTimestamp !== undefined) return `persistentvolumeclaim "${name}" is being deleted`;
  if (isEphemeral && !isOwnedByPod(claim, p.pod))
    return `PVC ${p.namespace}/${name} was not created for pod ${p.namespace}/${p.pod.metadata.name} (pod is not owner)`;
  return undefined;
}

/** What the claims would get on this node, or why it will not do. */
export function chooseVolumes(
  claims: PodClaims,
  node: NodeInfo,
  storage: StorageView,
): VolumeChoice | { readonly reasons: readonly string[] } {
  for (const claim of claims.bound) {
    const volume = storage.volume(claim.spec.volumeName ?? '');
    if (volume === undefined) return { reasons: [VOLUME_GONE] };
    if (!isReachableFrom(volume, node)) return { reasons: [CONFLICT] };
  }
  const bindings: { claim: Claim; volume: DeepReadonly<PersistentVolume> }[] = [];
  const provisioned: Claim[] = [];
  const chosen = new Set<string>();
  for (const claim of claims.delayed) {
    const selected = storage.selectedNode(claim);
    if (selected !== undefined && selected !== node.name) return { reasons: [NO_VOLUME] };
    const isTaken = (v: DeepReadonly<PersistentVolume>): boolean =>
      chosen.has(v.metadata.name) || storage.isTaken(v, claim);
    const volume =
      selected === undefined ? findVolume(claim, storage.volumes(), { node, isDelayed: true, isTaken }) : undefined;
    if (volume !== undefined) {
      chosen.add(volume.metadata.name);
      bindings.push({ claim, volume });
    } else if (canProvision(storage.storageClass(classOfClaim(claim)), node)) provisioned.push(claim);
    else return { reasons: [NO_VOLUME] };
  }
  return { bindings, provisioned };
}

function canProvision(c: DeepReadonly<StorageClass> | undefined, node: NodeInfo): boolean {
  if (c === undefined || c.provisioner === '' || c.provisioner === NO_PROVISIONER) return false;
  if (c.provisioner === LOCAL_PROVISIONER && node.node.metadata.annotations?.[STORAGE_PATH_ANNOTATION] === undefined)
    return false;
  const topologies = c.allowedTopologies ?? [];
  if (topologies.length === 0) return true;
  return topologies.some((t) =>
    (t.matchLabelExpressions ?? []).every((e) => {
      const value = node.labels[e.key];
      return value !== undefined && e.values.includes(value);
    }),
  );
}
