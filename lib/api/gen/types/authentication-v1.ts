// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export interface BoundObjectReference {
  kind?: string | undefined;
  apiVersion?: string | undefined;
  name?: string | undefined;
  uid?: string | undefined;
}
export type ExtraValue = string[];
export interface SelfSubjectReview {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  status?: SelfSubjectReviewStatus | undefined;
}
export interface SelfSubjectReviewStatus {
  userInfo?: UserInfo | undefined;
}
export interface TokenRequest {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: TokenRequestSpec;
  status?: TokenRequestStatus | undefined;
}
export interface TokenRequestSpec {
  audiences: string[];
  expirationSeconds?: number | undefined;
  boundObjectRef?: BoundObjectReference | undefined;
}
export interface TokenRequestStatus {
  token: string;
  expirationTimestamp: string;
}
export interface TokenReview {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: TokenReviewSpec;
  status?: TokenReviewStatus | undefined;
}
export interface TokenReviewSpec {
  token?: string | undefined;
  audiences?: string[] | undefined;
}
export interface TokenReviewStatus {
  authenticated?: boolean | undefined;
  user?: UserInfo | undefined;
  audiences?: string[] | undefined;
  error?: string | undefined;
}
export interface UserInfo {
  username?: string | undefined;
  uid?: string | undefined;
  groups?: string[] | undefined;
  extra?: Record<string, ExtraValue> | undefined;
}
