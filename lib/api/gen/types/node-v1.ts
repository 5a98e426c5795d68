// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface Overhead {
  podFixed?: corev1.ResourceList | undefined;
}
export interface RuntimeClass {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  handler: string;
  overhead?: Overhead | undefined;
  scheduling?: Scheduling | undefined;
}
export interface RuntimeClassList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: RuntimeClass[];
}
export interface Scheduling {
  nodeSelector?: Record<string, string> | undefined;
  tolerations?: corev1.Toleration[] | undefined;
}
