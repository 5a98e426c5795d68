/** Taints and tolerations. Source: kubernetes plugins/tainttoleration, component-helpers corev1 ToleratesTaint. */
import type { DeepReadonly, Taint, Toleration } from '#lib/api';
import type { FilterPlugin, ScorePlugin } from '../framework.ts';
import { FITS } from '../framework.ts';

export const taints: FilterPlugin = {
  name: 'TaintToleration',
  wakesOn: new Set(['node-added', 'node-changed']),
  prepare(p) {
    const tolerations = p.pod.spec.tolerations;
    return (n) => {
      for (const t of n.taints)
        if ((t.effect === 'NoSchedule' || t.effect === 'NoExecute') && !isTolerated(t, tolerations))
          return [`node(s) had untolerated taint {${t.key}: ${t.value ?? ''}}`];
      return FITS;
    };
  },
};

export const taintScore: ScorePlugin = {
  name: 'TaintToleration',
  weight: 3,
  normalize: 'to-max-reversed',
  prepare(p, _s, feasible) {
    if (!feasible.some((n) => n.taints.some((t) => t.effect === 'PreferNoSchedule'))) return undefined;
    const tolerations = p.pod.spec.tolerations?.filter((t) => !t.effect || t.effect === 'PreferNoSchedule');
    return (n) => n.taints.filter((t) => t.effect === 'PreferNoSchedule' && !isTolerated(t, tolerations)).length;
  },
};

export function isTolerated(
  taint: DeepReadonly<Taint>,
  tolerations: readonly DeepReadonly<Toleration>[] | undefined,
): boolean {
  return (tolerations ?? []).some((t) => tolerates(t, taint));
}

function tolerates(t: DeepReadonly<Toleration>, taint: DeepReadonly<Taint>): boolean {
  if (t.effect && t.effect !== taint.effect) return false;
  const operator = t.operator || 'Equal';
  if (t.key && t.key !== taint.key) return false;
  // An empty key tolerates every taint, with Exists only.
  if (!t.key && operator !== 'Exists') return false;
  return operator === 'Exists' || (t.value ?? '') === (taint.value ?? '');
}
