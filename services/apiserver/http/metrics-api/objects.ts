/** NodeMetrics and PodMetrics from what nodes measured. Pure. Source: kubernetes-sigs/metrics-server pkg/api/{node,pod}.go. */
import type { DeepReadonly, Node, NodeMetrics, Pod, PodMetrics } from '#lib/api';
import { goDuration, timeText } from '#lib/base';
import type { NodeStats, UsageSample } from '#lib/client';

const API_VERSION = 'metrics.k8s.io/v1beta1';

/** undefined: not measured yet. */
export function nodeMetricsOf(
  node: DeepReadonly<Node>,
  stats: NodeStats | undefined,
  nowMs: number,
): NodeMetrics | undefined {
  const usage = stats?.node;
  if (usage === undefined) return undefined;
  const { name, labels } = node.metadata;
  return {
    apiVersion: API_VERSION,
    kind: 'NodeMetrics',
    metadata: metadataOf({ name, labels }, nowMs),
    ...timesOf([usage]),
    usage: usageText(usage),
  };
}

/** undefined: not running, not measured yet, or measured when its name was another pod's. */
export function podMetricsOf(
  pod: DeepReadonly<Pod>,
  stats: NodeStats | undefined,
  nowMs: number,
): PodMetrics | undefined {
  const { name, namespace, labels, uid, annotations } = pod.metadata;
  if (pod.status?.phase !== 'Running') return undefined;
  /* A static pod has its own uid on the node; its image here says which. */
  const ownUid = annotations?.['kubernetes.io/config.mirror'] ?? uid;
  const found = stats?.pods.find((p) => p.uid === ownUid && p.name === name && p.namespace === namespace);
  if (found === undefined || found.containers.length === 0) return undefined;
  return {
    apiVersion: API_VERSION,
    kind: 'PodMetrics',
    metadata: metadataOf({ name, namespace, labels }, nowMs),
    ...timesOf(found.containers.map((x) => x.usage)),
    containers: found.containers.map((x) => ({ name: x.name, usage: usageText(x.usage) })),
  };
}

/** The window of a pod is that of its container with the oldest reading, as metrics-server's. */
function timesOf(usages: readonly UsageSample[]): { timestamp: string; window: string } {
  const [oldest] = usages.toSorted((a, b) => a.timestampMs - b.timestampMs);
  return { timestamp: timeText(oldest?.timestampMs ?? 0), window: goDuration(oldest?.windowMs ?? 0) };
}

function usageText(u: UsageSample): Record<string, string> {
  return { cpu: `${Math.round(u.cpuNanoCores)}n`, memory: `${Math.ceil(u.workingSetBytes / 1024)}Ki` };
}

function metadataOf(
  o: { name: string; namespace?: string | undefined; labels?: Readonly<Record<string, string>> | undefined },
  nowMs: number,
): NodeMetrics['metadata'] {
  return {
    name: o.name,
    ...(o.namespace === undefined ? {} : { namespace: o.namespace }),
    creationTimestamp: timeText(nowMs),
    ...(o.labels === undefined ? {} : { labels: { ...o.labels } }),
  };
}
