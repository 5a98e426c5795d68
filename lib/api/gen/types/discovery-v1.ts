// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export type AddressType = string;
export interface Endpoint {
  addresses: string[];
  conditions?: EndpointConditions | undefined;
  hostname?: string | undefined;
  targetRef?: corev1.ObjectReference | undefined;
  deprecatedTopology?: Record<string, string> | undefined;
  nodeName?: string | undefined;
  zone?: string | undefined;
  hints?: EndpointHints | undefined;
}
export interface EndpointConditions {
  ready?: boolean | undefined;
  serving?: boolean | undefined;
  terminating?: boolean | undefined;
}
export interface EndpointHints {
  forZones?: ForZone[] | undefined;
  forNodes?: ForNode[] | undefined;
}
export interface EndpointPort {
  name?: string | undefined;
  protocol?: corev1.Protocol | undefined;
  port?: number | undefined;
  appProtocol?: string | undefined;
}
export interface EndpointSlice {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  addressType: AddressType;
  endpoints: Endpoint[];
  ports: EndpointPort[];
}
export interface EndpointSliceList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: EndpointSlice[];
}
export interface ForNode {
  name: string;
}
export interface ForZone {
  name: string;
}
