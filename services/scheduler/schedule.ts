/**
 * One pod, one look at the cluster, one decision. Pure: chance comes from outside, for ties.
 * Source: kubernetes pkg/scheduler/schedule_one.go.
 */
import type { ClusterSnapshot, Decision, FilterPlugin, Profile, Reasons, ScorePlugin } from './framework.ts';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';

export const SCORE_MAX = 100;

/** `draw(bound)` gives an integer in [0, bound). */
export function schedule(p: PodInfo, s: ClusterSnapshot, profile: Profile, draw: (bound: number) => number): Decision {
  const filters: { plugin: FilterPlugin; ask: (n: NodeInfo) => Reasons }[] = [];
  for (const plugin of profile.filters) {
    const ask = plugin.prepare(p, s);
    if (ask === undefined) continue;
    if (typeof ask !== 'function')
      return {
        type: 'unschedulable',
        reasons: new Map(),
        refused: ask.refused,
        nodeCount: s.nodes.length,
        refusedBy: [plugin],
      };
    filters.push({ plugin, ask });
  }
  const feasible: NodeInfo[] = [];
  const reasons = new Map<string, number>();
  const refusedBy = new Set<FilterPlugin>();
  for (const node of s.nodes) {
    let isFeasible = true;
    for (const { plugin, ask } of filters) {
      const why = ask(node);
      if (why.length === 0) continue;
      for (const reason of why) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      refusedBy.add(plugin);
      isFeasible = false;
      break;
    }
    if (isFeasible) feasible.push(node);
  }
  const [only] = feasible;
  if (!only) return { type: 'unschedulable', reasons, nodeCount: s.nodes.length, refusedBy: [...refusedBy] };
  return { type: 'bind', node: feasible.length === 1 ? only.name : best(p, s, profile, feasible, draw).name };
}

function best(
  p: PodInfo,
  s: ClusterSnapshot,
  profile: Profile,
  feasible: readonly NodeInfo[],
  draw: (bound: number) => number,
): NodeInfo {
  const totals = new Array<number>(feasible.length).fill(0);
  for (const plugin of profile.scores) {
    const score = plugin.prepare(p, s, feasible);
    if (!score) continue;
    const scores = normalized(plugin.normalize, feasible.map(score));
    for (let i = 0; i < totals.length; i++) totals[i] = (totals[i] ?? 0) + plugin.weight * (scores[i] ?? 0);
  }
  const top = Math.max(...totals);
  const winners = feasible.filter((_, i) => totals[i] === top);
  return winners[draw(winners.length)] ?? (feasible[0] as NodeInfo);
}

export function normalized(how: ScorePlugin['normalize'], raw: readonly number[]): readonly number[] {
  const max = Math.max(...raw);
  const min = Math.min(...raw);
  switch (how) {
    case 'none':
      return raw;
    case 'to-max':
      return raw.map((x) => (max === 0 ? 0 : Math.floor((SCORE_MAX * x) / max)));
    case 'to-max-reversed':
      return raw.map((x) => (max === 0 ? SCORE_MAX : Math.floor((SCORE_MAX * (max + min - x)) / max)));
    case 'to-range':
      return raw.map((x) => (max === min ? 0 : Math.floor((SCORE_MAX * (x - min)) / (max - min))));
  }
}

/** As `kubectl describe pod` shows it. */
export function unschedulableText(d: Extract<Decision, { type: 'unschedulable' }>): string {
  if (d.nodeCount === 0) return 'no nodes available to schedule pods';
  if (d.refused !== undefined) return `0/${d.nodeCount} nodes are available: ${d.refused}.`;
  const parts = [...d.reasons].map(([reason, count]) => `${count} ${reason}`).toSorted();
  return `0/${d.nodeCount} nodes are available: ${parts.join(', ')}.`;
}
