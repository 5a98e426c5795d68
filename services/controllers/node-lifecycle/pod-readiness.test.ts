import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Pod, PodCondition } from '#lib/api';
import { instant } from '../instant.ts';
import { restored, unready } from './pod-readiness.ts';

const NOW = instant(1_700_000_000_000);

function pod(conditions: readonly DeepReadonly<PodCondition>[], gates: string[] = []): DeepReadonly<Pod> {
  const readinessGates = gates.map((conditionType) => ({ conditionType }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [], readinessGates },
    status: { conditions },
  };
}

const containers = { type: 'ContainersReady', status: 'True' };
const ready = { type: 'Ready', status: 'True', lastTransitionTime: 'before' };

describe('pod readiness over a silence', () => {
  test('taken away and given back', () => {
    const away = unready(pod([containers, ready]), NOW) ?? [];
    expect(away[1]).toEqual({ type: 'Ready', status: 'False', reason: 'NodeNotReady', lastTransitionTime: NOW.text });
    expect(unready(pod(away), NOW)).toBeUndefined();
    expect(restored(pod(away), NOW)?.[1]).toEqual({ type: 'Ready', status: 'True', lastTransitionTime: NOW.text });
  });

  test('not given back when it was not ours, or the node says otherwise, or a gate is closed', () => {
    const own = { type: 'Ready', status: 'False', reason: 'ContainersNotReady' };
    expect(restored(pod([containers, own]), NOW)).toBeUndefined();
    const ours = { type: 'Ready', status: 'False', reason: 'NodeNotReady' };
    expect(restored(pod([{ ...containers, status: 'False' }, ours]), NOW)).toBeUndefined();
    expect(restored(pod([containers, ours], ['gate']), NOW)).toBeUndefined();
    expect(restored(pod([containers, ours, { type: 'gate', status: 'True' }], ['gate']), NOW)).toBeDefined();
  });
});
