// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface Event {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  eventTime: string;
  series?: EventSeries | undefined;
  reportingController?: string | undefined;
  reportingInstance?: string | undefined;
  action?: string | undefined;
  reason?: string | undefined;
  regarding?: corev1.ObjectReference | undefined;
  related?: corev1.ObjectReference | undefined;
  note?: string | undefined;
  type?: string | undefined;
  deprecatedSource?: corev1.EventSource | undefined;
  deprecatedFirstTimestamp?: string | undefined;
  deprecatedLastTimestamp?: string | undefined;
  deprecatedCount?: number | undefined;
}
export interface EventList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: Event[];
}
export interface EventSeries {
  count: number;
  lastObservedTime: string;
}
