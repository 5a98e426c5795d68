/**
 * Least allocated: room left on the node after the pod. Balanced: cpu and memory used to a similar share.
 * Source: kubernetes noderesources/{least_allocated,balanced_allocation}.go.
 */
import type { ScorePlugin } from '../framework.ts';
import type { NodeInfo } from '../node-info.ts';
import type { PodInfo } from '../pod-info.ts';

export const leastAllocated: ScorePlugin = {
  name: 'NodeResourcesFit',
  weight: 1,
  normalize: 'none',
  prepare: (p) => (n) => {
    const free = sharesAfter(p, n).map((used) => Math.floor(100 * Math.max(1 - used, 0)));
    return free.length === 0 ? 0 : Math.floor(free.reduce((a, b) => a + b, 0) / free.length);
  },
};

export const balanced: ScorePlugin = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  normalize: 'none',
  prepare: (p) => (n) => {
    const used = sharesAfter(p, n).map((x) => Math.min(x, 1));
    if (used.length === 0) return 0;
    const mean = used.reduce((a, b) => a + b, 0) / used.length;
    const deviation = Math.sqrt(used.reduce((a, b) => a + (b - mean) ** 2, 0) / used.length);
    return Math.floor((1 - deviation) * 100);
  },
};

/** The used share of cpu and of memory with the pod on the node; a resource the node does not have is left out. */
function sharesAfter(p: PodInfo, n: NodeInfo): number[] {
  const cpu = n.allocatable.get('cpu') ?? 0;
  const memory = n.allocatable.get('memory') ?? 0;
  const shares: number[] = [];
  if (cpu > 0) shares.push((n.scoredCpuMilli + p.scoredCpuMilli) / cpu);
  if (memory > 0) shares.push((n.scoredMemoryBytes + p.scoredMemoryBytes) / memory);
  return shares;
}
