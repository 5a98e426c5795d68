/** Events of one pod, as `kubectl describe pod` shows them; the gateway folds repetitions into a count. */
import { timeText } from '#lib/base';
import type { PodDeps } from './deps.ts';
import type { PodObject } from './model.ts';

export interface PodEvents {
  normal(reason: string, message: string, container?: string): void;
  warning(reason: string, message: string, container?: string): void;
}

export function podEvents(d: PodDeps, pod: () => PodObject): PodEvents {
  const emit = (type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void => {
    const p = pod();
    const now = timeText(d.clock.now());
    d.session.event({
      metadata: { namespace: p.metadata.namespace ?? 'default' },
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        namespace: p.metadata.namespace ?? 'default',
        name: p.metadata.name,
        uid: p.metadata.uid ?? '',
        ...(container === undefined ? {} : { fieldPath: fieldPathOf(p, container) }),
      },
      reason,
      message: message.slice(0, 1024),
      type,
      source: { component: 'berth-agent', host: d.settings.nodeName },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
      reportingComponent: 'berth-agent',
      reportingInstance: d.settings.nodeName,
    });
  };
  return {
    normal: (reason, message, container) => emit('Normal', reason, message, container),
    warning: (reason, message, container) => emit('Warning', reason, message, container),
  };
}

function fieldPathOf(pod: PodObject, container: string): string {
  const within = (list: readonly { readonly name: string }[] | undefined): boolean =>
    list?.some((x) => x.name === container) ?? false;
  if (within(pod.spec.initContainers)) return `spec.initContainers{${container}}`;
  if (within(pod.spec.ephemeralContainers)) return `spec.ephemeralContainers{${container}}`;
  return `spec.containers{${container}}`;
}
