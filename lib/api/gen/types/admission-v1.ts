// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as authenticationv1 from './authentication-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface AdmissionRequest {
  uid: string;
  kind: metav1.GroupVersionKind;
  resource: metav1.GroupVersionResource;
  subResource?: string | undefined;
  requestKind?: metav1.GroupVersionKind | undefined;
  requestResource?: metav1.GroupVersionResource | undefined;
  requestSubResource?: string | undefined;
  name?: string | undefined;
  namespace?: string | undefined;
  operation: Operation;
  userInfo: authenticationv1.UserInfo;
  object?: unknown | undefined;
  oldObject?: unknown | undefined;
  dryRun?: boolean | undefined;
  options?: unknown | undefined;
}
export interface AdmissionResponse {
  uid: string;
  allowed: boolean;
  status?: metav1.Status | undefined;
  patch?: string | undefined;
  patchType?: PatchType | undefined;
  auditAnnotations?: Record<string, string> | undefined;
  warnings?: string[] | undefined;
}
export interface AdmissionReview {
  apiVersion: string;
  kind: string;
  request?: AdmissionRequest | undefined;
  response?: AdmissionResponse | undefined;
}
export type Operation = string;
export type PatchType = string;
