/**
 * Topology spread constraints: hard ones as a filter, soft ones as a score. Pods that state none, but have an owner or a
 * Service, are spread over hosts and zones. Source: kubernetes plugins/podtopologyspread.
 */
import type { DeepReadonly, TopologySpreadConstraint } from '#lib/api';
import { matcherOf, matcherOfMap } from '#lib/api';
import type { ClusterSnapshot, FilterPlugin, ScorePlugin } from '../framework.ts';
import { FITS } from '../framework.ts';
import type { NodeInfo } from '../node-info.ts';
import type { PodInfo } from '../pod-info.ts';
import { matchesNode } from './node-affinity.ts';
import { isTolerated } from './taints.ts';

const SKEWED = ["node(s) didn't match pod topology spread constraints"];
const LACKS_LABEL = ["node(s) didn't match pod topology spread constraints (missing required label)"];
const HOST = 'kubernetes.io/hostname';
const ZONE = 'topology.kubernetes.io/zone';

export const spread: FilterPlugin = {
  name: 'PodTopologySpread',
  wakesOn: new Set(['node-added', 'node-changed', 'pod-assigned', 'pod-relabelled', 'pod-removed']),
  prepare(p, s) {
    const hard = (p.pod.spec.topologySpreadConstraints ?? []).filter((c) => c.whenUnsatisfiable === 'DoNotSchedule');
    if (hard.length === 0) return undefined;
    const checks = hard.map((c) => hardCheck(c, p, s, hard));
    return (n) => {
      for (const check of checks) {
        const why = check(n);
        if (why.length > 0) return why;
      }
      return FITS;
    };
  },
};

export const spreadScore: ScorePlugin = {
  name: 'PodTopologySpread',
  weight: 2,
  normalize: 'to-max-reversed',
  prepare(p, s, feasible) {
    const own = p.pod.spec.topologySpreadConstraints ?? [];
    const soft = own.filter((c) => c.whenUnsatisfiable === 'ScheduleAnyway');
    if (own.length > 0 && soft.length === 0) return undefined;
    const parts =
      own.length > 0
        ? soft.map((c) => crowding(c.topologyKey, c.maxSkew, feasible, counterOf(c, p)))
        : defaultParts(p, s, feasible);
    if (parts.length === 0) return undefined;
    return (n) => Math.round(parts.reduce((sum, part) => sum + part(n), 0));
  },
};

function hardCheck(
  c: DeepReadonly<TopologySpreadConstraint>,
  p: PodInfo,
  s: ClusterSnapshot,
  all: readonly DeepReadonly<TopologySpreadConstraint>[],
): (n: NodeInfo) => readonly string[] {
  const count = counterOf(c, p);
  const domains = new Map<string, number>();
  for (const n of s.nodes) {
    const value = n.labels[c.topologyKey];
    if (value === undefined || !all.every((x) => n.labels[x.topologyKey] !== undefined) || !counts(c, p, n)) continue;
    domains.set(value, (domains.get(value) ?? 0) + count(n));
  }
  // Fewer domains than asked for: an empty one is imagined.
  const least = domains.size < (c.minDomains ?? 1) ? 0 : Math.min(...domains.values());
  const self = selectorOf(c, p).matches(p.labels) ? 1 : 0;
  return (n) => {
    const value = n.labels[c.topologyKey];
    if (value === undefined) return LACKS_LABEL;
    return (domains.get(value) ?? 0) + self - (domains.size === 0 ? 0 : least) > c.maxSkew ? SKEWED : FITS;
  };
}

/** Whether the node takes part in the reckoning. */
function counts(c: DeepReadonly<TopologySpreadConstraint>, p: PodInfo, n: NodeInfo): boolean {
  if ((c.nodeAffinityPolicy ?? 'Honor') === 'Honor' && !matchesNode(p.pod, n)) return false;
  if (c.nodeTaintsPolicy !== 'Honor') return true;
  return n.taints.every((t) => t.effect === 'PreferNoSchedule' || isTolerated(t, p.pod.spec.tolerations));
}

function selectorOf(c: DeepReadonly<TopologySpreadConstraint>, p: PodInfo): ReturnType<typeof matcherOf> {
  const same = (c.matchLabelKeys ?? []).flatMap((key) => {
    const value = p.labels?.[key];
    return value === undefined ? [] : [{ key, operator: 'In', values: [value] }];
  });
  const selector = c.labelSelector;
  return matcherOf(selector && { ...selector, matchExpressions: [...(selector.matchExpressions ?? []), ...same] });
}

function counterOf(c: DeepReadonly<TopologySpreadConstraint>, p: PodInfo): (n: NodeInfo) => number {
  const matcher = selectorOf(c, p);
  return (n) => countPods(n, (x) => x.namespace === p.namespace && !x.isTerminating && matcher.matches(x.labels));
}

/** The owner's other pods; for a pod without an owner those that the same Services select. */
function defaultParts(p: PodInfo, s: ClusterSnapshot, feasible: readonly NodeInfo[]): ((n: NodeInfo) => number)[] {
  const count = defaultCounter(p, s);
  if (!count) return [];
  const hosts = crowding(HOST, 3, feasible, count);
  return feasible.some((n) => n.labels[ZONE] !== undefined) ? [hosts, crowding(ZONE, 5, feasible, count)] : [hosts];
}

function defaultCounter(p: PodInfo, s: ClusterSnapshot): ((n: NodeInfo) => number) | undefined {
  if (p.ownerUid !== '') return (n) => n.countOfOwner(p.ownerUid);
  const matchers = s
    .services(p.namespace)
    .filter((v) => Object.keys(v.spec.selector ?? {}).length > 0)
    .map((v) => matcherOfMap(v.spec.selector ?? {}))
    .filter((m) => m.matches(p.labels));
  if (matchers.length === 0) return undefined;
  return (n) =>
    countPods(n, (x) => x.namespace === p.namespace && !x.isTerminating && matchers.every((m) => m.matches(x.labels)));
}

function countPods(n: NodeInfo, isMeant: (p: PodInfo) => boolean): number {
  let count = 0;
  for (const x of n.pods.values()) if (isMeant(x)) count++;
  return count;
}

/** How full the node's domain is, weighted so that a key with few domains counts about as much as one with many. */
function crowding(
  key: string,
  maxSkew: number,
  feasible: readonly NodeInfo[],
  count: (n: NodeInfo) => number,
): (n: NodeInfo) => number {
  const domains = new Map<string, number>();
  const domainOf = (n: NodeInfo): string | undefined => n.labels[key] ?? (key === HOST ? n.name : undefined);
  for (const n of feasible) {
    const value = domainOf(n);
    if (value !== undefined) domains.set(value, (domains.get(value) ?? 0) + count(n));
  }
  const weight = Math.log(domains.size + 2);
  const worst = Math.max(0, ...domains.values());
  return (n) => {
    const value = domainOf(n);
    return (value === undefined ? worst : (domains.get(value) ?? 0)) * weight + maxSkew - 1;
  };
}
