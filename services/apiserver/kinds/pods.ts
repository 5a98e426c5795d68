/** Pods leave gracefully: only a pod that never got a node, or has ended, goes at once. Source: core/pod/strategy.go. */
import type { DeepReadonly, KubeObject, Pod } from '#lib/api';
import type { ResourceHooks } from '../hooks.ts';

const DEFAULT_GRACE_SECONDS = 30;

export const podHooks: ResourceHooks = {
  graceSeconds(object: DeepReadonly<KubeObject>, asked: number | undefined): number {
    const pod = object as DeepReadonly<Pod>;
    const seconds = asked ?? pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
    if (pod.spec?.nodeName === undefined || pod.spec.nodeName === '') return 0;
    if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return 0;
    return seconds < 0 ? 1 : seconds;
  },
};
