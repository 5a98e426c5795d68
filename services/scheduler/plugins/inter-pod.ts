/**
 * Pod affinity and anti-affinity. Required anti-affinity of pods that already run holds for newcomers too. The first pod of
 * a group that wants to be with itself may start anywhere. Source: kubernetes plugins/interpodaffinity.
 */
import type { ClusterSnapshot, FilterPlugin, ScorePlugin } from '../framework.ts';
import { FITS } from '../framework.ts';
import type { NodeInfo } from '../node-info.ts';
import type { PodInfo, PodTerm } from '../pod-info.ts';

const NO_AFFINITY = ["node(s) didn't match pod affinity rules"];
const ANTI_AFFINITY = ["node(s) didn't match pod anti-affinity rules"];
const EXISTING_ANTI_AFFINITY = ["node(s) didn't satisfy existing pods anti-affinity rules"];

/** topology key -> value -> number of pods, or weight. */
type Tally = Map<string, Map<string, number>>;

export const interPod: FilterPlugin = {
  name: 'InterPodAffinity',
  wakesOn: new Set([
    'node-added',
    'node-changed',
    'pod-assigned',
    'pod-relabelled',
    'pod-removed',
    'namespace-changed',
  ]),
  prepare(p, s) {
    const refused = refusedByExisting(p, s);
    if (refused.size === 0 && p.affinity.length === 0 && p.antiAffinity.length === 0) return undefined;
    const near = tallyOf(p.affinity, s, (x) => p.affinity.every((t) => concerns(t, p, x, s)));
    const mayBeFirst = near.size === 0 && p.affinity.every((t) => concerns(t, p, p, s));
    const far = p.antiAffinity.map((t) => ({ t, tally: tallyOf([t], s, (x) => concerns(t, p, x, s)) }));
    return (n) => {
      for (const t of p.affinity) {
        const value = n.labels[t.topologyKey];
        if (value === undefined) return NO_AFFINITY;
        if (!mayBeFirst && !near.get(t.topologyKey)?.get(value)) return NO_AFFINITY;
      }
      for (const { t, tally } of far) if (has(tally, t.topologyKey, n)) return ANTI_AFFINITY;
      for (const key of refused.keys()) if (has(refused, key, n)) return EXISTING_ANTI_AFFINITY;
      return FITS;
    };
  },
};

export const interPodScore: ScorePlugin = {
  name: 'InterPodAffinity',
  weight: 2,
  normalize: 'to-range',
  prepare(p, s) {
    const weights: Tally = new Map();
    for (const n of s.nodes) {
      if (p.preferred.length > 0)
        for (const x of n.pods.values())
          for (const t of p.preferred) if (concerns(t, p, x, s)) note(weights, t.topologyKey, n, t.weight);
      for (const x of n.podsWithTerms.values()) {
        for (const t of x.preferred) if (concerns(t, x, p, s)) note(weights, t.topologyKey, n, t.weight);
        // Required affinity of others draws a little too (hardPodAffinityWeight 1).
        for (const t of x.affinity) if (concerns(t, x, p, s)) note(weights, t.topologyKey, n, 1);
      }
    }
    if (weights.size === 0) return undefined;
    return (n) => {
      let sum = 0;
      for (const [key, values] of weights) sum += values.get(n.labels[key] ?? '') ?? 0;
      return sum;
    };
  },
};

function refusedByExisting(p: PodInfo, s: ClusterSnapshot): Tally {
  const refused: Tally = new Map();
  for (const n of s.nodes)
    for (const x of n.podsWithTerms.values())
      for (const t of x.antiAffinity) if (concerns(t, x, p, s)) note(refused, t.topologyKey, n, 1);
  return refused;
}

function tallyOf(terms: readonly PodTerm[], s: ClusterSnapshot, isMeant: (x: PodInfo) => boolean): Tally {
  const tally: Tally = new Map();
  if (terms.length === 0) return tally;
  for (const n of s.nodes)
    for (const x of n.pods.values()) if (isMeant(x)) for (const t of terms) note(tally, t.topologyKey, n, 1);
  return tally;
}

/** Whether `x` is one of the pods that the term of `owner` speaks of. */
function concerns(t: PodTerm, owner: PodInfo, x: PodInfo, s: ClusterSnapshot): boolean {
  if (!t.matcher.matches(x.labels)) return false;
  if (t.namespaces.has(x.namespace)) return true;
  if (!t.namespaceMatcher) return t.namespaces.size === 0 && x.namespace === owner.namespace;
  return t.namespaceMatcher.isEmpty || t.namespaceMatcher.matches(s.namespaceLabels(x.namespace));
}

function note(tally: Tally, key: string, n: NodeInfo, weight: number): void {
  const value = n.labels[key];
  if (value === undefined) return;
  const values = tally.get(key) ?? new Map<string, number>();
  values.set(value, (values.get(value) ?? 0) + weight);
  tally.set(key, values);
}

function has(tally: Tally, key: string, n: NodeInfo): boolean {
  const value = n.labels[key];
  return value !== undefined && (tally.get(key)?.get(value) ?? 0) > 0;
}
