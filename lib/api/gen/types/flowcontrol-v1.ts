// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export type ConditionStatus = string;
export interface ExemptPriorityLevelConfiguration {
  nominalConcurrencyShares?: number | undefined;
  lendablePercent?: number | undefined;
}
export interface FlowDistinguisherMethod {
  type: FlowDistinguisherMethodType;
}
export type FlowDistinguisherMethodType = string;
export interface FlowSchema {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: FlowSchemaSpec;
  status?: FlowSchemaStatus | undefined;
}
export interface FlowSchemaCondition {
  type?: FlowSchemaConditionType | undefined;
  status?: ConditionStatus | undefined;
  lastTransitionTime?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}
export type FlowSchemaConditionType = string;
export interface FlowSchemaList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: FlowSchema[];
}
export interface FlowSchemaSpec {
  priorityLevelConfiguration: PriorityLevelConfigurationReference;
  matchingPrecedence: number;
  distinguisherMethod?: FlowDistinguisherMethod | undefined;
  rules?: PolicyRulesWithSubjects[] | undefined;
}
export interface FlowSchemaStatus {
  conditions?: FlowSchemaCondition[] | undefined;
}
export interface GroupSubject {
  name: string;
}
export interface LimitResponse {
  type: LimitResponseType;
  queuing?: QueuingConfiguration | undefined;
}
export type LimitResponseType = string;
export interface LimitedPriorityLevelConfiguration {
  nominalConcurrencyShares?: number | undefined;
  limitResponse?: LimitResponse | undefined;
  lendablePercent?: number | undefined;
  borrowingLimitPercent?: number | undefined;
}
export interface NonResourcePolicyRule {
  verbs: string[];
  nonResourceURLs: string[];
}
export interface PolicyRulesWithSubjects {
  subjects: Subject[];
  resourceRules?: ResourcePolicyRule[] | undefined;
  nonResourceRules?: NonResourcePolicyRule[] | undefined;
}
export interface PriorityLevelConfiguration {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: PriorityLevelConfigurationSpec;
  status?: PriorityLevelConfigurationStatus | undefined;
}
export interface PriorityLevelConfigurationCondition {
  type?: PriorityLevelConfigurationConditionType | undefined;
  status?: ConditionStatus | undefined;
  lastTransitionTime?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}
export type PriorityLevelConfigurationConditionType = string;
export interface PriorityLevelConfigurationList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: PriorityLevelConfiguration[];
}
export interface PriorityLevelConfigurationReference {
  name: string;
}
export interface PriorityLevelConfigurationSpec {
  type: PriorityLevelEnablement;
  limited?: LimitedPriorityLevelConfiguration | undefined;
  exempt?: ExemptPriorityLevelConfiguration | undefined;
}
export interface PriorityLevelConfigurationStatus {
  conditions?: PriorityLevelConfigurationCondition[] | undefined;
}
export type PriorityLevelEnablement = string;
export interface QueuingConfiguration {
  queues: number;
  handSize: number;
  queueLengthLimit: number;
}
export interface ResourcePolicyRule {
  verbs: string[];
  apiGroups: string[];
  resources: string[];
  clusterScope?: boolean | undefined;
  namespaces: string[];
}
export interface ServiceAccountSubject {
  namespace: string;
  name: string;
}
export interface Subject {
  kind: SubjectKind;
  user?: UserSubject | undefined;
  group?: GroupSubject | undefined;
  serviceAccount?: ServiceAccountSubject | undefined;
}
export type SubjectKind = string;
export interface UserSubject {
  name: string;
}
