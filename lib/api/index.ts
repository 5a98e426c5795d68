export { Kinds } from './gen/kinds.ts';
export type {
  Deployment,
  DeploymentSpec,
  DeploymentStatus,
  ReplicaSet,
  ReplicaSetSpec,
  ReplicaSetStatus,
} from './gen/types/apps-v1.ts';
export type { Lease } from './gen/types/coordination-v1.ts';
export type * from './gen/types/core-v1.ts';
export type { EndpointSlice } from './gen/types/discovery-v1.ts';
export type { Condition, LabelSelector, ObjectMeta, OwnerReference, Status } from './gen/types/meta-v1.ts';
export * from './object.ts';
