// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export interface Eviction {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  deleteOptions?: metav1.DeleteOptions | undefined;
}
export interface PodDisruptionBudget {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: PodDisruptionBudgetSpec;
  status?: PodDisruptionBudgetStatus | undefined;
}
export interface PodDisruptionBudgetList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: PodDisruptionBudget[];
}
export interface PodDisruptionBudgetSpec {
  minAvailable?: number | string | undefined;
  selector?: metav1.LabelSelector | undefined;
  maxUnavailable?: number | string | undefined;
  unhealthyPodEvictionPolicy?: UnhealthyPodEvictionPolicyType | undefined;
}
export interface PodDisruptionBudgetStatus {
  observedGeneration?: number | undefined;
  disruptedPods?: Record<string, string> | undefined;
  disruptionsAllowed: number;
  currentHealthy: number;
  desiredHealthy: number;
  expectedPods: number;
  conditions?: metav1.Condition[] | undefined;
}
export type UnhealthyPodEvictionPolicyType = string;
