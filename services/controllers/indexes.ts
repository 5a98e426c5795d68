/** The informer indexes that several controllers share; one name means one function in the whole process. */
import type { DeepReadonly, KubeObject, Pod } from '#lib/api';
import { controllerOf } from '#lib/api';

export const BY_CONTROLLER = 'controller';
export const BY_NODE = 'node';

/** The uid of the controlling owner, or `orphansOf(namespace)` for objects that have none. */
export const controllerIndex = {
  [BY_CONTROLLER]: (o: DeepReadonly<KubeObject>): readonly string[] => [
    controllerOf(o)?.uid ?? orphansOf(o.metadata.namespace ?? ''),
  ],
};

export const nodeIndex = {
  [BY_NODE]: (pod: DeepReadonly<Pod>): readonly string[] => (pod.spec.nodeName ? [pod.spec.nodeName] : []),
};

export function orphansOf(namespace: string): string {
  return `orphans of ${namespace}`;
}
