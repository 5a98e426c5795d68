/**
 * From a pod's volume to the PersistentVolume behind its claim. Pure.
 * Source: kubernetes pkg/kubelet/volumemanager/populator (createVolumeSpec, getPVCExtractPV, getPVSpec).
 */
import {
  claimNameOf,
  type DeepReadonly,
  isFullyBound,
  isOwnedByPod,
  type PersistentVolume,
  type Pod,
  type Volume,
} from '#lib/api';
import { StatusError } from '#lib/base';
import type { VolumeSources } from './volume.ts';

export interface ClaimedVolume {
  readonly volume: DeepReadonly<PersistentVolume>;
  /** The pod itself says so. */
  readonly readOnly: boolean;
}

/** undefined = the volume is no claim. Throws what keeps the pod waiting, in Kubernetes' words. */
export function claimedVolume(
  pod: DeepReadonly<Pod>,
  volume: DeepReadonly<Volume>,
  sources: Pick<VolumeSources, 'claim' | 'persistentVolume'>,
): ClaimedVolume | undefined {
  const name = claimNameOf(pod, volume);
  if (name === undefined) return undefined;
  const namespace = pod.metadata.namespace ?? '';
  const fail = (what: string): StatusError =>
    new StatusError('NotFound', `error processing PVC ${namespace}/${name}: ${what}`);
  const claim = sources.claim(namespace, name);
  if (claim === undefined)
    throw fail(`failed to fetch PVC from API server: persistentvolumeclaims "${name}" not found`);
  if (volume.ephemeral !== undefined && !isOwnedByPod(claim, pod))
    throw fail(`PVC was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`);
  if (!isFullyBound(claim) || claim.status?.phase !== 'Bound') throw fail('PVC is not bound');
  const volumeName = claim.spec.volumeName ?? '';
  const found = sources.persistentVolume(volumeName);
  if (found === undefined) throw fail(`failed to fetch PV ${volumeName} from API server`);
  if (found.spec.claimRef?.uid !== claim.metadata.uid) throw fail(`PV ${volumeName} is bound to another claim`);
  return { volume: found, readOnly: volume.persistentVolumeClaim?.readOnly === true };
}

/**
 * Throws Invalid where a container takes the pod's volume `name`, which is a file system, for a device.
 * Source: kubernetes pkg/kubelet/volumemanager/populator (createVolumeSpec).
 */
export function refuseDeviceUse(pod: DeepReadonly<Pod>, name: string): void {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  if (containers.some((x) => (x.volumeDevices ?? []).some((d) => d.name === name)))
    throw new StatusError('Invalid', `volume ${name} has volumeMode Filesystem, but is specified in volumeDevices`);
}

/** Whether a changed claim or volume may be what the pod waits for. */
export function hasClaims(pod: DeepReadonly<Pod>): boolean {
  return (pod.spec?.volumes ?? []).some((v) => claimNameOf(pod, v) !== undefined);
}
