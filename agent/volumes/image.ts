/**
 * Image volumes (KEP-4639): an image's files as a volume, read-only. The volume is a root of the image store like a container's, named
 * after pod and volume, so that the collector keeps its layers and a restarted agent or machine finds it; every container of the
 * pod sees what the image was when the first one started. A mark in the pod's folder names the root before it is made.
 */
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeepReadonly, ImageVolumeSource } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import { type Images, VOLUME_ROOT } from '../images/images.ts';
import type { UserNamespace } from '../user-namespaces/ranges.ts';

export type ImageStore = Pick<Images, 'find' | 'mountRoot' | 'removeRoot'>;

export interface ImageVolume {
  readonly podUid: string;
  readonly volumeName: string;
  readonly source: DeepReadonly<ImageVolumeSource>;
  readonly userNamespace?: UserNamespace | undefined;
  /** Where the pod's marks lie. */
  readonly marks: string;
}

/** The image has been pulled (agent/pods/steps/image-volumes.ts). */
export async function mountImageVolume(images: ImageStore, v: ImageVolume, c: Ctx): Promise<string> {
  const reference = v.source.reference ?? '';
  const image = await images.find(reference, c);
  if (image === undefined)
    throw new StatusError('NotFound', `image "${reference}" of volume "${v.volumeName}" is not present on this node`);
  await mkdir(join(v.marks, v.volumeName), { recursive: true, mode: 0o700 });
  return images.mountRoot(rootId(v.podUid, v.volumeName), image, c, v.userNamespace);
}

/** All of the pod's; idempotent. */
export async function removeImageVolumes(images: ImageStore, podUid: string, marks: string, c: Ctx): Promise<void> {
  const names = await readdir(marks).catch(() => []); // the pod has none
  for (const name of names) {
    await images.removeRoot(rootId(podUid, name), c);
    await rmdir(join(marks, name));
  }
}

function rootId(podUid: string, volumeName: string): string {
  return `${VOLUME_ROOT}${podUid}-${volumeName}`;
}
