// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface PriorityClass {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  value: number;
  globalDefault?: boolean | undefined;
  description?: string | undefined;
  preemptionPolicy?: corev1.PreemptionPolicy | undefined;
}
export interface PriorityClassList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: PriorityClass[];
}
