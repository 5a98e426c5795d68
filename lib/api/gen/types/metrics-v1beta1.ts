// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface ContainerMetrics {
  name: string;
  usage: corev1.ResourceList;
}
export interface NodeMetrics {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  timestamp: string;
  window: string;
  usage: corev1.ResourceList;
}
export interface NodeMetricsList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: NodeMetrics[];
}
export interface PodMetrics {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  timestamp: string;
  window: string;
  containers: ContainerMetrics[];
}
export interface PodMetricsList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: PodMetrics[];
}
