/** nodeSelector and node affinity. Source: kubernetes plugins/nodeaffinity, component-helpers nodeaffinity. */
import { type DeepReadonly, matchesNodeSelector, matchesNodeTerm, type Pod } from '#lib/api';
import type { FilterPlugin, ScorePlugin } from '../framework.ts';
import { FITS } from '../framework.ts';
import type { NodeInfo } from '../node-info.ts';

const REASON = ["node(s) didn't match Pod's node affinity/selector"];

export const nodeAffinity: FilterPlugin = {
  name: 'NodeAffinity',
  wakesOn: new Set(['node-added', 'node-changed']),
  prepare(p) {
    if (!hasRequirements(p.pod)) return undefined;
    return (n) => (matchesNode(p.pod, n) ? FITS : REASON);
  },
};

export const nodeAffinityScore: ScorePlugin = {
  name: 'NodeAffinity',
  weight: 2,
  normalize: 'to-max',
  prepare(p) {
    const preferred = p.pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (preferred.length === 0) return undefined;
    return (n) => preferred.reduce((sum, t) => sum + (matchesNodeTerm(t.preference, n) ? t.weight : 0), 0);
  },
};

function hasRequirements(pod: DeepReadonly<Pod>): boolean {
  return (
    Object.keys(pod.spec.nodeSelector ?? {}).length > 0 ||
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution !== undefined
  );
}

/** nodeSelector AND one of the required terms. */
export function matchesNode(pod: DeepReadonly<Pod>, n: NodeInfo): boolean {
  for (const [k, v] of Object.entries(pod.spec.nodeSelector ?? {})) if (n.labels[k] !== v) return false;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || matchesNodeSelector(required.nodeSelectorTerms, n);
}
