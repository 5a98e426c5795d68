/** What the caches show of one Deployment. */
import type { Deployment, ObjectKey, Pod, ReplicaSet } from '#lib/api';
import type { Informer } from '#lib/controller';
import { BY_CONTROLLER, orphansOf } from '../indexes.ts';
import type { Observed } from './plan.ts';

export interface Caches {
  readonly deployments: Informer<Deployment>;
  readonly sets: Informer<ReplicaSet>;
  readonly pods: Informer<Pod>;
}

export function observe(key: ObjectKey, caches: Caches): Observed | undefined {
  const deployment = caches.deployments.get(key);
  if (!deployment) return undefined;
  return {
    deployment,
    owned: caches.sets.byIndex(BY_CONTROLLER, deployment.metadata.uid ?? ''),
    orphans: caches.sets.byIndex(BY_CONTROLLER, orphansOf(key.namespace)),
    podsOf: (rs) => caches.pods.byIndex(BY_CONTROLLER, rs.metadata.uid ?? ''),
  };
}
