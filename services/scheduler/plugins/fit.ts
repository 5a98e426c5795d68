/** Requests against what is allocatable, the number of pods included. Source: kubernetes noderesources/fit.go. */
import type { FilterPlugin } from '../framework.ts';
import { FITS } from '../framework.ts';

export const fit: FilterPlugin = {
  name: 'NodeResourcesFit',
  wakesOn: new Set(['node-added', 'node-changed', 'pod-removed']),
  prepare(p) {
    const wanted = [...p.requests].filter(([, amount]) => amount > 0);
    return (n) => {
      const reasons: string[] = [];
      if (n.pods.size + 1 > (n.allocatable.get('pods') ?? 0)) reasons.push('Too many pods');
      for (const [name, amount] of wanted)
        if (amount > (n.allocatable.get(name) ?? 0) - (n.requested.get(name) ?? 0))
          reasons.push(`Insufficient ${name}`);
      return reasons.length === 0 ? FITS : reasons;
    };
  },
};
