// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface CertificateSigningRequest {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: CertificateSigningRequestSpec;
  status?: CertificateSigningRequestStatus | undefined;
}
export interface CertificateSigningRequestCondition {
  type: RequestConditionType;
  status: corev1.ConditionStatus;
  reason?: string | undefined;
  message?: string | undefined;
  lastUpdateTime?: string | undefined;
  lastTransitionTime?: string | undefined;
}
export interface CertificateSigningRequestList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: CertificateSigningRequest[];
}
export interface CertificateSigningRequestSpec {
  request: string;
  signerName: string;
  expirationSeconds?: number | undefined;
  usages?: KeyUsage[] | undefined;
  username?: string | undefined;
  uid?: string | undefined;
  groups?: string[] | undefined;
  extra?: Record<string, ExtraValue> | undefined;
}
export interface CertificateSigningRequestStatus {
  conditions?: CertificateSigningRequestCondition[] | undefined;
  certificate?: string | undefined;
}
export type ExtraValue = string[];
export type KeyUsage = string;
export type RequestConditionType = string;
