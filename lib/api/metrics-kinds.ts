/**
 * metrics.k8s.io/v1beta1, which this server answers itself and stores nothing of. Not among `allKinds`: these are no
 * kinds of the API's storage. Source: k8s.io/metrics/pkg/apis/metrics/v1beta1; kubernetes-sigs/metrics-server pkg/api.
 */
import type { NodeMetrics, PodMetrics } from './gen/types/metrics-v1beta1.ts';
import type { KindInfo } from './registry.ts';

const COMMON = {
  group: 'metrics.k8s.io',
  version: 'v1beta1',
  singular: '',
  shortNames: [],
  categories: [],
  verbs: ['get', 'list'],
  subresources: [],
  hasStatus: false,
  hasGeneration: false,
} as const;

export const NODE_METRICS: KindInfo<NodeMetrics> = {
  ...COMMON,
  kind: 'NodeMetrics',
  resource: 'nodes',
  namespaced: false,
  schema: 'metrics/v1beta1.NodeMetrics',
};

export const POD_METRICS: KindInfo<PodMetrics> = {
  ...COMMON,
  kind: 'PodMetrics',
  resource: 'pods',
  namespaced: true,
  schema: 'metrics/v1beta1.PodMetrics',
};

export const METRICS_KINDS: readonly KindInfo[] = [NODE_METRICS, POD_METRICS];
