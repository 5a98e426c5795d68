/**
 * Whether storage that is to go is still used: then its protection stays. Pure.
 * Source: pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}.
 */
import {
  controllerOf,
  type DeepReadonly,
  type KubeObject,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
} from '#lib/api';

export const CLAIM_PROTECTION = 'kubernetes.io/pvc-protection';
export const VOLUME_PROTECTION = 'kubernetes.io/pv-protection';
export const CLASS_PROTECTION = 'kubernetes.io/vac-protection';

type ReadPod = DeepReadonly<Pod>;

export type Action = 'none' | 'protect' | 'release';

/** What is not going is protected; what is going is let go once nothing uses it. */
export function plan(object: DeepReadonly<KubeObject>, finalizer: string, isUsed: boolean): Action {
  const isProtected = object.metadata.finalizers?.includes(finalizer) === true;
  if (object.metadata.deletionTimestamp === undefined) return isProtected ? 'none' : 'protect';
  return isProtected && !isUsed ? 'release' : 'none';
}

/** A pod that has no node yet does not use its claims; a finished one still does. */
export function usesClaim(pod: ReadPod, claim: DeepReadonly<PersistentVolumeClaim>): boolean {
  if (!pod.spec?.nodeName) return false;
  return (pod.spec.volumes ?? []).some((v) => {
    if (v.persistentVolumeClaim !== undefined) return v.persistentVolumeClaim.claimName === claim.metadata.name;
    if (v.ephemeral === undefined || isShutDown(pod)) return false;
    const isNamed = `${pod.metadata.name}-${v.name}` === claim.metadata.name;
    return isNamed && controllerOf(claim)?.uid === pod.metadata.uid;
  });
}

/** Names of the claims that a pod may use. */
export function claimsOf(pod: ReadPod): string[] {
  return (pod.spec?.volumes ?? []).flatMap((v) => {
    if (v.persistentVolumeClaim !== undefined) return [v.persistentVolumeClaim.claimName];
    return v.ephemeral === undefined ? [] : [`${pod.metadata.name}-${v.name}`];
  });
}

export function isVolumeUsed(volume: DeepReadonly<PersistentVolume>): boolean {
  return volume.status?.phase === 'Bound';
}

/** Names of the volume attributes classes that a claim asks for, has, or is changing to. */
export function classesOfClaim({ spec, status }: DeepReadonly<PersistentVolumeClaim>): string[] {
  const names = [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ];
  return names.flatMap((n) => (n === undefined || n === '' ? [] : [n]));
}

export function classesOfVolume({ spec }: DeepReadonly<PersistentVolume>): string[] {
  const name = spec?.volumeAttributesClassName;
  return name === undefined || name === '' ? [] : [name];
}

/** Its processes have ended: only the object waits to be removed. */
function isShutDown({ metadata }: ReadPod): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;
}
