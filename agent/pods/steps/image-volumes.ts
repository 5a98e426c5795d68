/**
 * The images of a container's image volumes, pulled by their own policy before the container is made. A failure keeps the container
 * waiting as its own image's would. Source: kubernetes pkg/kubelet/kuberuntime (getImageVolumes, toKubeContainerImageVolumes).
 */
import { type Ctx, messageOf } from '#lib/base';
import type { PodDeps } from '../deps.ts';
import type { ContainerSpec, PodObject } from '../model.ts';
import type { PodEvents } from '../pod-events.ts';
import { pullByPolicy, StartFailure } from './image.ts';

export async function ensureImageVolumes(
  d: PodDeps,
  pod: PodObject,
  container: ContainerSpec,
  events: PodEvents,
  c: Ctx,
): Promise<void> {
  for (const volume of pod.spec.volumes ?? []) {
    if (volume.image === undefined) continue;
    if (container.volumeMounts?.some((m) => m.name === volume.name) !== true) continue;
    const { reference = '', pullPolicy: policy = 'IfNotPresent' } = volume.image;
    await pullByPolicy(d, { pod, reference, policy, events }, c);
  }
}

/** What goes wrong with the mount of a pulled one, in the runtimes' words (cri-api pkg/errors ErrImageVolumeMountFailed). */
export function imageVolumeFailure(pod: PodObject, volumeName: string, e: unknown): unknown {
  if (pod.spec.volumes?.find((v) => v.name === volumeName)?.image === undefined) return e;
  return new StartFailure('CreateContainerError', `ImageVolumeMountFailed: ${messageOf(e)}`, e);
}
