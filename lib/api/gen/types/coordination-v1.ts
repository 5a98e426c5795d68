// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export type CoordinatedLeaseStrategy = string;
export interface Lease {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: LeaseSpec;
}
export interface LeaseList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: Lease[];
}
export interface LeaseSpec {
  holderIdentity?: string | undefined;
  leaseDurationSeconds?: number | undefined;
  acquireTime?: string | undefined;
  renewTime?: string | undefined;
  leaseTransitions?: number | undefined;
  strategy?: CoordinatedLeaseStrategy | undefined;
  preferredHolder?: string | undefined;
}
