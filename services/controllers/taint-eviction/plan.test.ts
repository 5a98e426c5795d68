import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Pod, Toleration } from '#lib/api';
import { instant } from '../instant.ts';
import { plan } from './plan.ts';

const AT = 1_700_000_000_000;
const taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: instant(AT).text };

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
    expect(plan(pod([tolerate(30)], AT + 5_000), [taint])).toEqual({ type: 'leave', atMs: AT + 35_000 });
    expect(plan(pod([tolerate(30)]), [taint, other])).toEqual({ type: 'leave', atMs: AT - 60_000 });
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
