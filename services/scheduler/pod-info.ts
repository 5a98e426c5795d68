/** A pod with what scheduling asks of it again and again, worked out once. Pure. */
import type { DeepReadonly, Pod } from '#lib/api';
import { controllerOf, type LabelMatcher, matcherOf } from '#lib/api';
import { type Amounts, podRequests, SCORED_CPU_MILLI, SCORED_MEMORY_BYTES } from './resources.ts';

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** One term of pod affinity or anti-affinity, ready to be asked. */
export interface PodTerm {
  readonly topologyKey: string;
  readonly matcher: LabelMatcher;
  /** Empty with no namespace matcher = the pod's own namespace. */
  readonly namespaces: ReadonlySet<string>;
  readonly namespaceMatcher: LabelMatcher | undefined;
  /** 0 for a required term. */
  readonly weight: number;
}

export interface PodInfo {
  readonly pod: DeepReadonly<Pod>;
  readonly uid: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly priority: number;
  readonly requests: Amounts;
  /** For scores: containers without requests count for something. */
  readonly scoredCpuMilli: number;
  readonly scoredMemoryBytes: number;
  readonly hostPorts: readonly HostPort[];
  /** The controller's uid, '' without one: pods of one owner are spread. */
  readonly ownerUid: string;
  readonly affinity: readonly PodTerm[];
  readonly antiAffinity: readonly PodTerm[];
  readonly preferred: readonly PodTerm[];
  /** On its way out: it holds its resources, but does not count for spreading. */
  readonly isTerminating: boolean;
}

export function podInfoOf(pod: DeepReadonly<Pod>): PodInfo {
  const requests = podRequests(pod);
  const affinity = pod.spec.affinity?.podAffinity;
  const anti = pod.spec.affinity?.podAntiAffinity;
  return {
    pod,
    uid: pod.metadata.uid ?? '',
    namespace: pod.metadata.namespace ?? '',
    labels: pod.metadata.labels,
    priority: pod.spec.priority ?? 0,
    requests,
    scoredCpuMilli: scored(pod, 'cpu', SCORED_CPU_MILLI, requests),
    scoredMemoryBytes: scored(pod, 'memory', SCORED_MEMORY_BYTES, requests),
    hostPorts: hostPortsOf(pod),
    ownerUid: controllerOf(pod)?.uid ?? '',
    affinity: (affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => term(pod, t, 0)),
    antiAffinity: (anti?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => term(pod, t, 0)),
    preferred: [
      ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((w) =>
        term(pod, w.podAffinityTerm, w.weight),
      ),
      ...(anti?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((w) =>
        term(pod, w.podAffinityTerm, -w.weight),
      ),
    ],
    isTerminating: pod.metadata.deletionTimestamp !== undefined,
  };
}

function scored(pod: DeepReadonly<Pod>, name: string, least: number, requests: Amounts): number {
  const without = pod.spec.containers.filter((c) => c.resources?.requests?.[name] === undefined).length;
  return (requests.get(name) ?? 0) + (pod.spec.resources?.requests?.[name] === undefined ? without * least : 0);
}

function hostPortsOf(pod: DeepReadonly<Pod>): readonly HostPort[] {
  const ports: HostPort[] = [];
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const c of [...pod.spec.containers, ...sidecars])
    for (const p of c.ports ?? []) {
      const port = p.hostPort ?? (pod.spec.hostNetwork === true ? p.containerPort : 0);
      if (port > 0) ports.push({ ip: p.hostIP || '0.0.0.0', protocol: p.protocol ?? 'TCP', port });
    }
  return ports;
}

type Term = NonNullable<
  NonNullable<
    NonNullable<DeepReadonly<Pod>['spec']['affinity']>['podAffinity']
  >['requiredDuringSchedulingIgnoredDuringExecution']
>[number];

function term(pod: DeepReadonly<Pod>, t: Term, weight: number): PodTerm {
  const expressions = [...(t.labelSelector?.matchExpressions ?? [])];
  for (const [keys, operator] of [
    [t.matchLabelKeys, 'In'],
    [t.mismatchLabelKeys, 'NotIn'],
  ] as const)
    for (const key of keys ?? []) {
      const value = pod.metadata.labels?.[key];
      if (value !== undefined) expressions.push({ key, operator, values: [value] });
    }
  return {
    topologyKey: t.topologyKey,
    matcher: matcherOf(t.labelSelector && { ...t.labelSelector, matchExpressions: expressions }),
    namespaces: new Set(
      (t.namespaces ?? []).length === 0 && !t.namespaceSelector ? [pod.metadata.namespace ?? ''] : t.namespaces,
    ),
    namespaceMatcher: t.namespaceSelector && matcherOf(t.namespaceSelector),
    weight,
  };
}
