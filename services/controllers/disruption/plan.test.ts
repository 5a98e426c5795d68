import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Pod, PodDisruptionBudget } from '#lib/api';
import { type Observed, plan } from './plan.ts';

const NOW = Date.parse('2026-01-01T00:10:00Z');

function pod(name: string, o: { ready?: boolean; going?: boolean } = {}): DeepReadonly<Pod> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...(o.going === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
    spec: { containers: [] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: o.ready === false ? 'False' : 'True' }] },
  } as unknown as DeepReadonly<Pod>;
}

function counts(
  spec: NonNullable<PodDisruptionBudget['spec']>,
  o: Partial<Observed> & { status?: object } = {},
): unknown {
  const budget = {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'b', generation: 2 },
    spec,
    ...(o.status === undefined ? {} : { status: o.status }),
  } as unknown as PodDisruptionBudget;
  const pods = o.pods ?? [pod('a'), pod('b'), pod('c')];
  const planned = plan({
    budget,
    pods,
    scale: o.scale ?? { replicas: 4 },
    nowMs: NOW,
    nowText: '2026-01-01T00:10:00Z',
  });
  const s = planned.status;
  return s === undefined
    ? undefined
    : [s.expectedPods, s.desiredHealthy, s.currentHealthy, s.disruptionsAllowed, s.conditions?.[0]?.reason];
}

describe('status of a PodDisruptionBudget (disruption.go)', () => {
  test('a number counts pods; percentages and maxUnavailable count what the controllers want', () => {
    expect(counts({ minAvailable: 2 })).toEqual([3, 2, 3, 1, 'SufficientPods']);
    expect(counts({ minAvailable: '30%' })).toEqual([4, 2, 3, 1, 'SufficientPods']);
    expect(counts({ maxUnavailable: 1 })).toEqual([4, 3, 3, 0, 'InsufficientPods']);
    expect(counts({ maxUnavailable: '30%' })).toEqual([4, 2, 3, 1, 'SufficientPods']);
    expect(counts({})).toEqual([0, 0, 3, 0, 'InsufficientPods']);
    expect(counts({ minAvailable: 0 }, { pods: [] })).toEqual([0, 0, 0, 0, 'InsufficientPods']);
  });

  test('only ready pods that stay are healthy; an eviction under way is not, until it is forgotten', () => {
    const pods = [pod('a'), pod('b', { ready: false }), pod('c', { going: true }), pod('d')];
    expect(counts({ minAvailable: 1 }, { pods })).toEqual([4, 1, 2, 1, 'SufficientPods']);
    const status = { disruptedPods: { a: '2026-01-01T00:09:00Z' } };
    expect(counts({ minAvailable: 1 }, { pods, status })).toEqual([4, 1, 1, 0, 'InsufficientPods']);
    const old = { disruptedPods: { a: '2026-01-01T00:07:00Z' } };
    expect(counts({ minAvailable: 1 }, { pods, status: old })).toEqual([4, 1, 2, 1, 'SufficientPods']);
  });

  test('when nobody can say how many there should be, none may go; the generation stays unobserved', () => {
    const scale = { problem: 'found no controller ref for pod "a"' };
    expect(counts({ maxUnavailable: 1 }, { scale })).toEqual([0, 0, 0, 0, 'SyncFailed']);
    expect(counts({ minAvailable: 1 }, { scale })).toEqual([3, 1, 3, 2, 'SufficientPods']);
  });

  test('what is right already is not written', () => {
    const budget = {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'b', generation: 1 },
      spec: { minAvailable: 1 },
    } as unknown as PodDisruptionBudget;
    const facts = { pods: [pod('a'), pod('b')], scale: { replicas: 2 }, nowMs: NOW, nowText: '2026-01-01T00:10:00Z' };
    const { status } = plan({ ...facts, budget });
    expect(plan({ ...facts, budget: { ...budget, status } as PodDisruptionBudget }).status).toBeUndefined();
  });
});
