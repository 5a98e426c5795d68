// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export type CompletionMode = string;
export type ConcurrencyPolicy = string;
export interface CronJob {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: CronJobSpec;
  status?: CronJobStatus | undefined;
}
export interface CronJobList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: CronJob[];
}
export interface CronJobSpec {
  schedule: string;
  timeZone?: string | undefined;
  startingDeadlineSeconds?: number | undefined;
  concurrencyPolicy?: ConcurrencyPolicy | undefined;
  suspend?: boolean | undefined;
  jobTemplate: JobTemplateSpec;
  successfulJobsHistoryLimit?: number | undefined;
  failedJobsHistoryLimit?: number | undefined;
}
export interface CronJobStatus {
  active?: corev1.ObjectReference[] | undefined;
  lastScheduleTime?: string | undefined;
  lastSuccessfulTime?: string | undefined;
}
export interface Job {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: JobSpec;
  status?: JobStatus | undefined;
}
export interface JobCondition {
  type: JobConditionType;
  status: corev1.ConditionStatus;
  lastProbeTime?: string | undefined;
  lastTransitionTime?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}
export type JobConditionType = string;
export interface JobList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: Job[];
}
export interface JobSpec {
  parallelism?: number | undefined;
  completions?: number | undefined;
  activeDeadlineSeconds?: number | undefined;
  podFailurePolicy?: PodFailurePolicy | undefined;
  successPolicy?: SuccessPolicy | undefined;
  backoffLimit?: number | undefined;
  backoffLimitPerIndex?: number | undefined;
  maxFailedIndexes?: number | undefined;
  selector?: metav1.LabelSelector | undefined;
  manualSelector?: boolean | undefined;
  template: corev1.PodTemplateSpec;
  ttlSecondsAfterFinished?: number | undefined;
  completionMode?: CompletionMode | undefined;
  suspend?: boolean | undefined;
  podReplacementPolicy?: PodReplacementPolicy | undefined;
  managedBy?: string | undefined;
}
export interface JobStatus {
  conditions?: JobCondition[] | undefined;
  startTime?: string | undefined;
  completionTime?: string | undefined;
  active?: number | undefined;
  succeeded?: number | undefined;
  failed?: number | undefined;
  terminating?: number | undefined;
  completedIndexes?: string | undefined;
  failedIndexes?: string | undefined;
  uncountedTerminatedPods?: UncountedTerminatedPods | undefined;
  ready?: number | undefined;
}
export interface JobTemplateSpec {
  metadata?: metav1.ObjectMeta | undefined;
  spec?: JobSpec | undefined;
}
export interface PodFailurePolicy {
  rules: PodFailurePolicyRule[];
}
export type PodFailurePolicyAction = string;
export type PodFailurePolicyOnExitCodesOperator = string;
export interface PodFailurePolicyOnExitCodesRequirement {
  containerName?: string | undefined;
  operator: PodFailurePolicyOnExitCodesOperator;
  values: number[];
}
export interface PodFailurePolicyOnPodConditionsPattern {
  type: corev1.PodConditionType;
  status: corev1.ConditionStatus;
}
export interface PodFailurePolicyRule {
  action: PodFailurePolicyAction;
  onExitCodes?: PodFailurePolicyOnExitCodesRequirement | undefined;
  onPodConditions?: PodFailurePolicyOnPodConditionsPattern[] | undefined;
}
export type PodReplacementPolicy = string;
export interface SuccessPolicy {
  rules: SuccessPolicyRule[];
}
export interface SuccessPolicyRule {
  succeededIndexes?: string | undefined;
  succeededCount?: number | undefined;
}
export interface UncountedTerminatedPods {
  succeeded?: string[] | undefined;
  failed?: string[] | undefined;
}
