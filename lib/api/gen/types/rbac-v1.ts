// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export interface AggregationRule {
  clusterRoleSelectors?: metav1.LabelSelector[] | undefined;
}
export interface ClusterRole {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  rules: PolicyRule[];
  aggregationRule?: AggregationRule | undefined;
}
export interface ClusterRoleBinding {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  subjects?: Subject[] | undefined;
  roleRef: RoleRef;
}
export interface ClusterRoleBindingList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: ClusterRoleBinding[];
}
export interface ClusterRoleList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: ClusterRole[];
}
export interface PolicyRule {
  verbs: string[];
  apiGroups?: string[] | undefined;
  resources?: string[] | undefined;
  resourceNames?: string[] | undefined;
  nonResourceURLs?: string[] | undefined;
}
export interface Role {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  rules: PolicyRule[];
}
export interface RoleBinding {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  subjects?: Subject[] | undefined;
  roleRef: RoleRef;
}
export interface RoleBindingList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: RoleBinding[];
}
export interface RoleList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: Role[];
}
export interface RoleRef {
  apiGroup: string;
  kind: string;
  name: string;
}
export interface Subject {
  kind: string;
  apiGroup?: string | undefined;
  name: string;
  namespace?: string | undefined;
}
