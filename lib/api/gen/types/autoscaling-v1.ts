// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface ContainerResourceMetricSource {
  name: corev1.ResourceName;
  targetAverageUtilization?: number | undefined;
  targetAverageValue?: string | undefined;
  container: string;
}
export interface ContainerResourceMetricStatus {
  name: corev1.ResourceName;
  currentAverageUtilization?: number | undefined;
  currentAverageValue: string;
  container: string;
}
export interface CrossVersionObjectReference {
  kind: string;
  name: string;
  apiVersion?: string | undefined;
}
export interface ExternalMetricSource {
  metricName: string;
  metricSelector?: metav1.LabelSelector | undefined;
  targetValue?: string | undefined;
  targetAverageValue?: string | undefined;
}
export interface ExternalMetricStatus {
  metricName: string;
  metricSelector?: metav1.LabelSelector | undefined;
  currentValue: string;
  currentAverageValue?: string | undefined;
}
export interface HorizontalPodAutoscaler {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: HorizontalPodAutoscalerSpec;
  status?: HorizontalPodAutoscalerStatus | undefined;
}
export interface HorizontalPodAutoscalerCondition {
  type: HorizontalPodAutoscalerConditionType;
  status: corev1.ConditionStatus;
  lastTransitionTime?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}
export type HorizontalPodAutoscalerConditionType = string;
export interface HorizontalPodAutoscalerList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: HorizontalPodAutoscaler[];
}
export interface HorizontalPodAutoscalerSpec {
  scaleTargetRef: CrossVersionObjectReference;
  minReplicas?: number | undefined;
  maxReplicas: number;
  targetCPUUtilizationPercentage?: number | undefined;
}
export interface HorizontalPodAutoscalerStatus {
  observedGeneration?: number | undefined;
  lastScaleTime?: string | undefined;
  currentReplicas: number;
  desiredReplicas: number;
  currentCPUUtilizationPercentage?: number | undefined;
}
export type MetricSourceType = string;
export interface MetricSpec {
  type: MetricSourceType;
  object?: ObjectMetricSource | undefined;
  pods?: PodsMetricSource | undefined;
  resource?: ResourceMetricSource | undefined;
  containerResource?: ContainerResourceMetricSource | undefined;
  external?: ExternalMetricSource | undefined;
}
export interface MetricStatus {
  type: MetricSourceType;
  object?: ObjectMetricStatus | undefined;
  pods?: PodsMetricStatus | undefined;
  resource?: ResourceMetricStatus | undefined;
  containerResource?: ContainerResourceMetricStatus | undefined;
  external?: ExternalMetricStatus | undefined;
}
export interface ObjectMetricSource {
  target: CrossVersionObjectReference;
  metricName: string;
  targetValue: string;
  selector?: metav1.LabelSelector | undefined;
  averageValue?: string | undefined;
}
export interface ObjectMetricStatus {
  target: CrossVersionObjectReference;
  metricName: string;
  currentValue: string;
  selector?: metav1.LabelSelector | undefined;
  averageValue?: string | undefined;
}
export interface PodsMetricSource {
  metricName: string;
  targetAverageValue: string;
  selector?: metav1.LabelSelector | undefined;
}
export interface PodsMetricStatus {
  metricName: string;
  currentAverageValue: string;
  selector?: metav1.LabelSelector | undefined;
}
export interface ResourceMetricSource {
  name: corev1.ResourceName;
  targetAverageUtilization?: number | undefined;
  targetAverageValue?: string | undefined;
}
export interface ResourceMetricStatus {
  name: corev1.ResourceName;
  currentAverageUtilization?: number | undefined;
  currentAverageValue: string;
}
export interface Scale {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: ScaleSpec;
  status?: ScaleStatus | undefined;
}
export interface ScaleSpec {
  replicas?: number | undefined;
}
export interface ScaleStatus {
  replicas: number;
  selector?: string | undefined;
}
