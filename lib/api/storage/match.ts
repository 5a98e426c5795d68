/**
 * Which volume a claim gets: one that names it already, else the smallest that does. Pure.
 * Source: k8s.io/component-helpers storage/volume FindMatchingVolume, pkg/controller/volume/persistentvolume checkVolumeSatisfyClaim.
 */
import type { PersistentVolume, PersistentVolumeClaim } from '../gen/types/core-v1.ts';
import type { DeepReadonly } from '../object.ts';
import { compareQuantity } from '../quantity.ts';
import { matcherOf } from '../selector.ts';
import { capacityOfVolume, classOfClaim, classOfVolume, isBoundTo, requestOfClaim } from './claims.ts';
import { matchesNodeSelector, type SelectableNode } from './node-selector.ts';

type Claim = DeepReadonly<PersistentVolumeClaim>;
type PersistentVolumeObject = DeepReadonly<PersistentVolume>;

export interface MatchOptions {
  /** The scheduler asks for one of its nodes; the binder for none. */
  readonly node?: SelectableNode;
  /** Without a node: only a volume that names the claim will do, the others are left to the scheduler. */
  readonly isDelayed: boolean;
  /** Promised to other claims. */
  readonly isTaken?: (volume: PersistentVolumeObject) => boolean;
}

export function findVolume(
  claim: Claim,
  volumes: Iterable<PersistentVolumeObject>,
  o: MatchOptions,
): PersistentVolumeObject | undefined {
  const selector = claim.spec.selector === undefined ? undefined : matcherOf(claim.spec.selector);
  let best: PersistentVolumeObject | undefined;
  for (const volume of volumes) {
    if (o.isTaken?.(volume) === true || !mayHold(volume, claim)) continue;
    const isReachable = o.node === undefined || isReachableFrom(volume, o.node);
    if (isBoundTo(volume, claim)) return isReachable ? volume : undefined;
    if (o.node === undefined && o.isDelayed) continue;
    if (volume.spec.claimRef !== undefined || volume.status?.phase !== 'Available' || !isReachable) continue;
    if (selector !== undefined && !selector.matches(volume.metadata.labels)) continue;
    if (classOfVolume(volume) !== classOfClaim(claim) || !offersModes(volume, claim)) continue;
    const isSmaller = best === undefined || compareQuantity(capacityOfVolume(volume), capacityOfVolume(best)) < 0;
    if (isSmaller) best = volume;
  }
  return best;
}

/** What even a volume made for the claim must fulfil. */
function mayHold(volume: PersistentVolumeObject, claim: Claim): boolean {
  return (
    (volume.spec.claimRef === undefined || isBoundTo(volume, claim)) &&
    compareQuantity(capacityOfVolume(volume), requestOfClaim(claim)) >= 0 &&
    isSameMode(volume, claim) &&
    (volume.spec.volumeAttributesClassName ?? '') === (claim.spec.volumeAttributesClassName ?? '') &&
    volume.metadata.deletionTimestamp === undefined
  );
}

/** Why a volume that the claim asks for by name cannot be its; in Kubernetes' words. */
export function mismatchOf(volume: PersistentVolumeObject, claim: Claim): string | undefined {
  if (volume.metadata.deletionTimestamp !== undefined)
    return `the volume is marked for deletion "${volume.metadata.name}"`;
  if (compareQuantity(capacityOfVolume(volume), requestOfClaim(claim)) < 0) return 'requested PV is too small';
  if (classOfVolume(volume) !== classOfClaim(claim)) return 'storageClassName does not match';
  if ((volume.spec.volumeAttributesClassName ?? '') !== (claim.spec.volumeAttributesClassName ?? ''))
    return 'volumeAttributesClassName does not match';
  if (!isSameMode(volume, claim)) return 'incompatible volumeMode';
  return offersModes(volume, claim) ? undefined : 'incompatible accessMode';
}

export function isSameMode(volume: PersistentVolumeObject, claim: Claim): boolean {
  return (volume.spec.volumeMode ?? 'Filesystem') === (claim.spec.volumeMode ?? 'Filesystem');
}

export function isReachableFrom(volume: PersistentVolumeObject, node: SelectableNode): boolean {
  const required = volume.spec.nodeAffinity?.required;
  return required === undefined || matchesNodeSelector(required.nodeSelectorTerms, node);
}

function offersModes(volume: PersistentVolumeObject, claim: Claim): boolean {
  return (claim.spec.accessModes ?? []).every((m) => volume.spec.accessModes?.includes(m) === true);
}
