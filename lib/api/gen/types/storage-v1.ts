// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface CSIDriver {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: CSIDriverSpec;
}
export interface CSIDriverList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: CSIDriver[];
}
export interface CSIDriverSpec {
  attachRequired?: boolean | undefined;
  podInfoOnMount?: boolean | undefined;
  volumeLifecycleModes?: VolumeLifecycleMode[] | undefined;
  storageCapacity?: boolean | undefined;
  fsGroupPolicy?: FSGroupPolicy | undefined;
  tokenRequests?: TokenRequest[] | undefined;
  requiresRepublish?: boolean | undefined;
  seLinuxMount?: boolean | undefined;
  nodeAllocatableUpdatePeriodSeconds?: number | undefined;
  serviceAccountTokenInSecrets?: boolean | undefined;
  preventPodSchedulingIfMissing?: boolean | undefined;
}
export interface CSINode {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: CSINodeSpec;
}
export interface CSINodeDriver {
  name: string;
  nodeID: string;
  topologyKeys: string[];
  allocatable?: VolumeNodeResources | undefined;
}
export interface CSINodeList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: CSINode[];
}
export interface CSINodeSpec {
  drivers: CSINodeDriver[];
}
export interface CSIStorageCapacity {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  nodeTopology?: metav1.LabelSelector | undefined;
  storageClassName: string;
  capacity?: string | undefined;
  maximumVolumeSize?: string | undefined;
}
export interface CSIStorageCapacityList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: CSIStorageCapacity[];
}
export type FSGroupPolicy = string;
export interface StorageClass {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  provisioner: string;
  parameters?: Record<string, string> | undefined;
  reclaimPolicy?: corev1.PersistentVolumeReclaimPolicy | undefined;
  mountOptions?: string[] | undefined;
  allowVolumeExpansion?: boolean | undefined;
  volumeBindingMode?: VolumeBindingMode | undefined;
  allowedTopologies?: corev1.TopologySelectorTerm[] | undefined;
}
export interface StorageClassList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: StorageClass[];
}
export interface TokenRequest {
  audience: string;
  expirationSeconds?: number | undefined;
}
export interface VolumeAttachment {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: VolumeAttachmentSpec;
  status?: VolumeAttachmentStatus | undefined;
}
export interface VolumeAttachmentList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: VolumeAttachment[];
}
export interface VolumeAttachmentSource {
  persistentVolumeName?: string | undefined;
  inlineVolumeSpec?: corev1.PersistentVolumeSpec | undefined;
}
export interface VolumeAttachmentSpec {
  attacher: string;
  source: VolumeAttachmentSource;
  nodeName: string;
}
export interface VolumeAttachmentStatus {
  attached: boolean;
  attachmentMetadata?: Record<string, string> | undefined;
  attachError?: VolumeError | undefined;
  detachError?: VolumeError | undefined;
}
export interface VolumeAttributesClass {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  driverName: string;
  parameters?: Record<string, string> | undefined;
}
export interface VolumeAttributesClassList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: VolumeAttributesClass[];
}
export type VolumeBindingMode = string;
export interface VolumeError {
  time?: string | undefined;
  message?: string | undefined;
  errorCode?: number | undefined;
}
export type VolumeLifecycleMode = string;
export interface VolumeNodeResources {
  count?: number | undefined;
}
