/**
 * The pressure that a node is under, as all parts of the agent see it: its conditions, and which pods it still takes.
 * Source: kubernetes pkg/kubelet/eviction/eviction_manager.go (Admit), pkg/kubelet/nodestatus/setters.go.
 */
import type { NodeCondition } from '#lib/api';
import type { PodFailure, PodObject } from '../pods/model.ts';
import { qosClassOf } from '../pods/resources.ts';
import { isCriticalPod } from './ranking.ts';
import { NO_PRESSURE, type PressureCondition, type PressureState } from './thresholds.ts';

export const EVICTED = 'Evicted';
const MEMORY_TAINT = 'node.kubernetes.io/memory-pressure';

/** Type, then reason and message while it holds and while it does not. */
const CONDITIONS: readonly (readonly [PressureCondition, string, string, string, string])[] = [
  [
    'MemoryPressure',
    'KubeletHasInsufficientMemory',
    'kubelet has insufficient memory available',
    'KubeletHasSufficientMemory',
    'kubelet has sufficient memory available',
  ],
  [
    'DiskPressure',
    'KubeletHasDiskPressure',
    'kubelet has disk pressure',
    'KubeletHasNoDiskPressure',
    'kubelet has no disk pressure',
  ],
  [
    'PIDPressure',
    'KubeletHasInsufficientPID',
    'kubelet has insufficient PID available',
    'KubeletHasSufficientPID',
    'kubelet has sufficient PID available',
  ],
];

export class NodePressure {
  state: PressureState = NO_PRESSURE;

  /** As the node's status has them. */
  conditions(now: string): NodeCondition[] {
    return CONDITIONS.map(([type, reason, message, noReason, noMessage]) => {
      const holds = this.state.conditions.includes(type);
      const words = holds ? { reason, message } : { reason: noReason, message: noMessage };
      return { type, status: holds ? 'True' : 'False', ...words, lastHeartbeatTime: now, lastTransitionTime: now };
    });
  }

  /** Why the node does not take a pod that is new to it. */
  admit(pod: PodObject): PodFailure | undefined {
    const { conditions } = this.state;
    if (conditions.length === 0 || isCriticalPod(pod)) return undefined;
    const isMemoryOnly = conditions.every((c) => c === 'MemoryPressure');
    if (isMemoryOnly && (qosClassOf(pod) !== 'BestEffort' || toleratesMemoryPressure(pod))) return undefined;
    const message = `The node had condition: [${conditions.join(' ')}]. `;
    return { reason: EVICTED, message, isRejection: true };
  }
}

function toleratesMemoryPressure(pod: PodObject): boolean {
  return (pod.spec.tolerations ?? []).some((t) => {
    if (t.effect && t.effect !== 'NoSchedule') return false;
    if (t.operator === 'Exists') return !t.key || t.key === MEMORY_TAINT;
    return t.key === MEMORY_TAINT && (t.operator || 'Equal') === 'Equal' && (t.value ?? '') === '';
  });
}
