// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as corev1 from './core-v1.ts';
import type * as metav1 from './meta-v1.ts';

export interface HTTPIngressPath {
  path?: string | undefined;
  pathType?: PathType | undefined;
  backend: IngressBackend;
}
export interface HTTPIngressRuleValue {
  paths: HTTPIngressPath[];
}
export interface IPAddress {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: IPAddressSpec;
}
export interface IPAddressList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: IPAddress[];
}
export interface IPAddressSpec {
  parentRef?: ParentReference | undefined;
}
export interface IPBlock {
  cidr: string;
  except?: string[] | undefined;
}
export interface Ingress {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: IngressSpec;
  status?: IngressStatus | undefined;
}
export interface IngressBackend {
  service?: IngressServiceBackend | undefined;
  resource?: corev1.TypedLocalObjectReference | undefined;
}
export interface IngressClass {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: IngressClassSpec;
}
export interface IngressClassList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: IngressClass[];
}
export interface IngressClassParametersReference {
  apiGroup?: string | undefined;
  kind: string;
  name: string;
  scope?: string | undefined;
  namespace?: string | undefined;
}
export interface IngressClassSpec {
  controller?: string | undefined;
  parameters?: IngressClassParametersReference | undefined;
}
export interface IngressList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: Ingress[];
}
export interface IngressLoadBalancerIngress {
  ip?: string | undefined;
  hostname?: string | undefined;
  ports?: IngressPortStatus[] | undefined;
}
export interface IngressLoadBalancerStatus {
  ingress?: IngressLoadBalancerIngress[] | undefined;
}
export interface IngressPortStatus {
  port: number;
  protocol: corev1.Protocol;
  error?: string | undefined;
}
export interface IngressRule extends IngressRuleValue {
  host?: string | undefined;
}
export interface IngressRuleValue {
  http?: HTTPIngressRuleValue | undefined;
}
export interface IngressServiceBackend {
  name: string;
  port?: ServiceBackendPort | undefined;
}
export interface IngressSpec {
  ingressClassName?: string | undefined;
  defaultBackend?: IngressBackend | undefined;
  tls?: IngressTLS[] | undefined;
  rules?: IngressRule[] | undefined;
}
export interface IngressStatus {
  loadBalancer?: IngressLoadBalancerStatus | undefined;
}
export interface IngressTLS {
  hosts?: string[] | undefined;
  secretName?: string | undefined;
}
export interface NetworkPolicy {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: NetworkPolicySpec;
}
export interface NetworkPolicyEgressRule {
  ports?: NetworkPolicyPort[] | undefined;
  to?: NetworkPolicyPeer[] | undefined;
}
export interface NetworkPolicyIngressRule {
  ports?: NetworkPolicyPort[] | undefined;
  from?: NetworkPolicyPeer[] | undefined;
}
export interface NetworkPolicyList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: NetworkPolicy[];
}
export interface NetworkPolicyPeer {
  podSelector?: metav1.LabelSelector | undefined;
  namespaceSelector?: metav1.LabelSelector | undefined;
  ipBlock?: IPBlock | undefined;
}
export interface NetworkPolicyPort {
  protocol?: corev1.Protocol | undefined;
  port?: number | string | undefined;
  endPort?: number | undefined;
}
export interface NetworkPolicySpec {
  podSelector: metav1.LabelSelector;
  ingress?: NetworkPolicyIngressRule[] | undefined;
  egress?: NetworkPolicyEgressRule[] | undefined;
  policyTypes?: PolicyType[] | undefined;
}
export interface ParentReference {
  group?: string | undefined;
  resource?: string | undefined;
  namespace?: string | undefined;
  name?: string | undefined;
}
export type PathType = string;
export type PolicyType = string;
export interface ServiceBackendPort {
  name?: string | undefined;
  number?: number | undefined;
}
export interface ServiceCIDR {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: ServiceCIDRSpec;
  status?: ServiceCIDRStatus | undefined;
}
export interface ServiceCIDRList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: ServiceCIDR[];
}
export interface ServiceCIDRSpec {
  cidrs?: string[] | undefined;
}
export interface ServiceCIDRStatus {
  conditions?: metav1.Condition[] | undefined;
}
