// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export interface APIGroupDiscovery {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  versions?: APIVersionDiscovery[] | undefined;
}
export interface APIGroupDiscoveryList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: APIGroupDiscovery[];
}
export interface APIResourceDiscovery {
  resource: string;
  responseKind?: metav1.GroupVersionKind | undefined;
  scope: ResourceScope;
  singularResource: string;
  verbs: string[];
  shortNames?: string[] | undefined;
  categories?: string[] | undefined;
  subresources?: APISubresourceDiscovery[] | undefined;
}
export interface APISubresourceDiscovery {
  subresource: string;
  responseKind?: metav1.GroupVersionKind | undefined;
  acceptedTypes?: metav1.GroupVersionKind[] | undefined;
  verbs: string[];
}
export interface APIVersionDiscovery {
  version: string;
  resources?: APIResourceDiscovery[] | undefined;
  freshness?: DiscoveryFreshness | undefined;
}
export type DiscoveryFreshness = string;
export type ResourceScope = string;
