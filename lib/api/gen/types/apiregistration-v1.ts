// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export interface APIService {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: APIServiceSpec;
  status?: APIServiceStatus | undefined;
}
export interface APIServiceCondition {
  type: APIServiceConditionType;
  status: ConditionStatus;
  lastTransitionTime?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}
export type APIServiceConditionType = string;
export interface APIServiceList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: APIService[];
}
export interface APIServiceSpec {
  service?: ServiceReference | undefined;
  group?: string | undefined;
  version?: string | undefined;
  insecureSkipTLSVerify?: boolean | undefined;
  caBundle?: string | undefined;
  groupPriorityMinimum: number;
  versionPriority: number;
}
export interface APIServiceStatus {
  conditions?: APIServiceCondition[] | undefined;
}
export type ConditionStatus = string;
export interface ServiceReference {
  namespace?: string | undefined;
  name?: string | undefined;
  port?: number | undefined;
}
