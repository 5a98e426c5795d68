/**
 * Names that node and control plane work out each by itself for a volume of a CSI driver. Pure.
 * Source: kubernetes pkg/volume/csi/csi_attacher.go (getAttachmentName), csi_plugin.go (GetVolumeName, CanAttach),
 * pkg/volume/util (GetUniqueVolumeName).
 */
import { hexOf, sha256 } from '#lib/base';
import type { CSIPersistentVolumeSource } from '../gen/types/core-v1.ts';
import type { CSIDriver } from '../gen/types/storage-v1.ts';
import type { DeepReadonly } from '../object.ts';

type CsiSource = DeepReadonly<Pick<CSIPersistentVolumeSource, 'driver' | 'volumeHandle'>>;

/** Of the VolumeAttachment of a volume and a node. */
export function attachmentName(source: CsiSource, nodeName: string): string {
  return `csi-${hexOf(sha256(source.volumeHandle + source.driver + nodeName))}`;
}

/** As it stands in a node's volumesInUse and volumesAttached. */
export function uniqueVolumeName(source: CsiSource): string {
  return `kubernetes.io/csi/${source.driver}^${source.volumeHandle}`;
}

/** A driver without a CSIDriver object is attached: nobody has said that it need not be. */
export function isAttachRequired(driver: DeepReadonly<CSIDriver> | undefined): boolean {
  return driver?.spec.attachRequired !== false;
}

/** A name of fixed length for a volume: of its staging folder, of an ephemeral volume's handle. */
export function hexOfVolume(text: string): string {
  return hexOf(sha256(text));
}
