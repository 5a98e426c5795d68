/**
 * Node selector terms: of a pod's node affinity, and of the nodes from which a volume can be reached. Pure.
 * Source: k8s.io/component-helpers scheduling/corev1/nodeaffinity.
 */
import type { NodeSelectorRequirement, NodeSelectorTerm } from '../gen/types/core-v1.ts';
import type { DeepReadonly } from '../object.ts';

export interface SelectableNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** One of the terms must match; a selector without terms matches nothing. */
export function matchesNodeSelector(terms: readonly DeepReadonly<NodeSelectorTerm>[], n: SelectableNode): boolean {
  return terms.some((t) => matchesNodeTerm(t, n));
}

export function matchesNodeTerm(t: DeepReadonly<NodeSelectorTerm>, n: SelectableNode): boolean {
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
