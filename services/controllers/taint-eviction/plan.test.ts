import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Node, Pod, Taint, Toleration } from '#lib/api';
import { instant } from '../instant.ts';
import { plan as planMarked } from './plan.ts';
import { TaintTimes } from './since.ts';

const AT = 1_700_000_000_000;
const taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: instant(AT).text };

const plan = (p: DeepReadonly<Pod>, taints: readonly DeepReadonly<Taint>[]) =>
  planMarked(
    p,
    taints.map((t) => ({ taint: t, sinceMs: AT })),
  );

function pod(tolerations: Toleration[], arrivedMs = AT - 60_000): DeepReadonly<Pod> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', creationTimestamp: instant(arrivedMs).text },
    spec: { containers: [], tolerations },
  };
}

const tolerate = (seconds?: number): Toleration => ({
  key: taint.key,
  operator: 'Exists',
  effect: 'NoExecute',
  ...(seconds === undefined ? {} : { tolerationSeconds: seconds }),
});

describe('taint eviction plan', () => {
  test('table', () => {
    expect(plan(pod([]), [])).toEqual({ type: 'stay' });
    expect(plan(pod([]), [taint])).toEqual({ type: 'leave', atMs: AT });
    expect(plan(pod([tolerate()]), [taint])).toEqual({ type: 'stay' });
    expect(plan(pod([tolerate(3)]), [taint])).toEqual({ type: 'leave', atMs: AT + 3_000 });
    expect(plan(pod([tolerate(30), tolerate(3), tolerate()]), [taint])).toEqual({ type: 'leave', atMs: AT + 3_000 });
    expect(plan(pod([{ operator: 'Exists' }]), [taint])).toEqual({ type: 'stay' });
    expect(plan(pod([tolerate(-1)]), [taint])).toEqual({ type: 'leave', atMs: AT });
    expect(plan(pod([{ ...tolerate(), effect: 'NoSchedule' }]), [taint])).toEqual({ type: 'leave', atMs: AT });
  });

  test('the soonest of several taints; a pod that came later counts from then', () => {
    const other = { key: 'maintenance', value: 'yes', effect: 'NoExecute' };
    expect(plan(pod([tolerate(30)], AT + 5_000), [taint])).toEqual({ type: 'leave', atMs: AT + 35_999 });
    expect(plan(pod([tolerate(30)]), [taint, other])).toEqual({ type: 'leave', atMs: AT });
    const both = [tolerate(30), { key: 'maintenance', operator: 'Equal', value: 'yes', tolerationSeconds: 120 }];
    expect(plan(pod(both), [taint, other])).toEqual({ type: 'leave', atMs: AT + 30_000 });
  });

  test('a pod that is going stays as it is', () => {
    const going = pod([]);
    expect(plan({ ...going, metadata: { ...going.metadata, deletionTimestamp: 'now' } }, [taint])).toEqual({
      type: 'stay',
    });
  });
});

describe('taint times', () => {
  const node = (...taints: Taint[]): DeepReadonly<Node> => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n' },
    spec: { taints },
  });
  const bare: Taint = { key: 'maintenance', effect: 'NoExecute' };
  const since = (t: TaintTimes, n: DeepReadonly<Node>, atMs: number): number[] => t.saw(n, atMs).map((m) => m.sinceMs);

  test('a taint counts from when it was seen to come, whatever it says of itself, and anew when it comes again', () => {
    const times = new TaintTimes();
    expect(since(times, node(), AT)).toEqual([]);
    expect(since(times, node(bare), AT + 5_500)).toEqual([AT + 5_500]);
    expect(since(times, node(bare, taint), AT + 9_000)).toEqual([AT + 5_500, AT + 9_000]);
    expect(since(times, node(), AT + 10_000)).toEqual([]);
    expect(since(times, node(bare), AT + 20_000)).toEqual([AT + 20_000]);
  });

  test('one that was there before counts from what it says, at the latest; one that says nothing from now', () => {
    expect(since(new TaintTimes(), node(taint), AT + 60_000)).toEqual([AT + 999]);
    expect(since(new TaintTimes(), node(taint), AT + 300)).toEqual([AT + 300]);
    expect(since(new TaintTimes(), node(bare), AT + 60_000)).toEqual([AT + 60_000]);
  });
});
