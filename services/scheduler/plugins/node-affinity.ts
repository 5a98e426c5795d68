/** nodeSelector and node affinity. Source: kubernetes plugins/nodeaffinity, component-helpers nodeaffinity. */
import type { DeepReadonly, NodeSelectorRequirement, NodeSelectorTerm, Pod } from '#lib/api';
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
    return (n) => preferred.reduce((sum, t) => sum + (matchesTerm(t.preference, n) ? t.weight : 0), 0);
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
  return required === undefined || required.nodeSelectorTerms.some((t) => matchesTerm(t, n));
}

function matchesTerm(t: DeepReadonly<NodeSelectorTerm>, n: NodeInfo): boolean {
  const expressions = t.matchExpressions ?? [];
  const fields = t.matchFields ?? [];
  // A term without requirements matches nothing.
  if (expressions.length === 0 && fields.length === 0) return false;
  return (
    expressions.every((r) => matchesRequirement(r, n.labels[r.key])) &&
    fields.every((r) => matchesRequirement(r, r.key === 'metadata.name' ? n.name : undefined))
  );
}

function matchesRequirement(r: DeepReadonly<NodeSelectorRequirement>, value: string | undefined): boolean {
  const values = r.values ?? [];
  switch (r.operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return compares(value, values[0], (a, b) => a > b);
    case 'Lt':
      return compares(value, values[0], (a, b) => a < b);
    default:
      return false;
  }
}

function compares(a: string | undefined, b: string | undefined, test: (a: bigint, b: bigint) => boolean): boolean {
  const number = /^-?\d{1,19}$/;
  return a !== undefined && b !== undefined && number.test(a) && number.test(b) && test(BigInt(a), BigInt(b));
}
