// Made by tools/generate-api.ts from the fact tables; do not edit.


export interface APIGroup {
  apiVersion: string;
  kind: string;
  name: string;
  versions: GroupVersionForDiscovery[];
  preferredVersion?: GroupVersionForDiscovery | undefined;
  serverAddressByClientCIDRs?: ServerAddressByClientCIDR[] | undefined;
}
export interface APIGroupList {
  apiVersion: string;
  kind: string;
  groups: APIGroup[];
}
export interface APIResource {
  name: string;
  singularName: string;
  namespaced: boolean;
  group?: string | undefined;
  version?: string | undefined;
  kind: string;
  verbs: Verbs;
  shortNames?: string[] | undefined;
  categories?: string[] | undefined;
  storageVersionHash?: string | undefined;
}
export interface APIResourceList {
  apiVersion: string;
  kind: string;
  groupVersion: string;
  resources: APIResource[];
}
export interface APIVersions {
  apiVersion: string;
  kind: string;
  versions: string[];
  serverAddressByClientCIDRs: ServerAddressByClientCIDR[];
}
export interface ApplyOptions {
  apiVersion: string;
  kind: string;
  dryRun?: string[] | undefined;
  force: boolean;
  fieldManager: string;
}
export type CauseType = string;
export interface Condition {
  type: string;
  status: ConditionStatus;
  observedGeneration?: number | undefined;
  lastTransitionTime: string;
  reason: string;
  message: string;
}
export type ConditionStatus = string;
export interface CreateOptions {
  apiVersion: string;
  kind: string;
  dryRun?: string[] | undefined;
  fieldManager?: string | undefined;
  fieldValidation?: string | undefined;
}
export interface DeleteOptions {
  apiVersion: string;
  kind: string;
  gracePeriodSeconds?: number | undefined;
  preconditions?: Preconditions | undefined;
  orphanDependents?: boolean | undefined;
  propagationPolicy?: DeletionPropagation | undefined;
  dryRun?: string[] | undefined;
  ignoreStoreReadErrorWithClusterBreakingPotential?: boolean | undefined;
}
export type DeletionPropagation = string;
export type Duration = string;
export type FieldSelectorOperator = string;
export interface FieldSelectorRequirement {
  key: string;
  operator: FieldSelectorOperator;
  values?: string[] | undefined;
}
export type FieldsV1 = Record<string, unknown>;
export interface GetOptions {
  apiVersion: string;
  kind: string;
  resourceVersion?: string | undefined;
}
export interface GroupKind {
  group: string;
  kind: string;
}
export interface GroupResource {
  group: string;
  resource: string;
}
export interface GroupVersion {
  group: string;
  version: string;
}
export interface GroupVersionForDiscovery {
  groupVersion: string;
  version: string;
}
export interface GroupVersionKind {
  group: string;
  version: string;
  kind: string;
}
export interface GroupVersionResource {
  group: string;
  version: string;
  resource: string;
}
export type IncludeObjectPolicy = string;
export interface LabelSelector {
  matchLabels?: Record<string, string> | undefined;
  matchExpressions?: LabelSelectorRequirement[] | undefined;
}
export type LabelSelectorOperator = string;
export interface LabelSelectorRequirement {
  key: string;
  operator: LabelSelectorOperator;
  values?: string[] | undefined;
}
export interface List {
  apiVersion: string;
  kind: string;
  metadata: ListMeta;
  items: unknown[];
}
export interface ListMeta {
  selfLink?: string | undefined;
  resourceVersion?: string | undefined;
  continue?: string | undefined;
  remainingItemCount?: number | undefined;
  shardInfo?: ShardInfo | undefined;
}
export interface ListOptions {
  apiVersion: string;
  kind: string;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  watch?: boolean | undefined;
  allowWatchBookmarks?: boolean | undefined;
  resourceVersion?: string | undefined;
  resourceVersionMatch?: ResourceVersionMatch | undefined;
  timeoutSeconds?: number | undefined;
  limit?: number | undefined;
  continue?: string | undefined;
  sendInitialEvents?: boolean | undefined;
  shardSelector?: string | undefined;
}
export interface ManagedFieldsEntry {
  manager?: string | undefined;
  operation?: ManagedFieldsOperationType | undefined;
  apiVersion?: string | undefined;
  time?: string | undefined;
  fieldsType?: string | undefined;
  fieldsV1?: Record<string, unknown> | undefined;
  subresource?: string | undefined;
}
export type ManagedFieldsOperationType = string;
export type MicroTime = string;
export interface ObjectMeta {
  name: string;
  generateName?: string | undefined;
  namespace?: string | undefined;
  selfLink?: string | undefined;
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  generation?: number | undefined;
  creationTimestamp?: string | undefined;
  deletionTimestamp?: string | undefined;
  deletionGracePeriodSeconds?: number | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  ownerReferences?: OwnerReference[] | undefined;
  finalizers?: string[] | undefined;
  managedFields?: ManagedFieldsEntry[] | undefined;
}
export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean | undefined;
  blockOwnerDeletion?: boolean | undefined;
}
export interface PartialObjectMetadata {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}
export interface PartialObjectMetadataList {
  apiVersion: string;
  kind: string;
  metadata: ListMeta;
  items: PartialObjectMetadata[];
}
export interface Patch {

}
export interface PatchOptions {
  apiVersion: string;
  kind: string;
  dryRun?: string[] | undefined;
  force?: boolean | undefined;
  fieldManager?: string | undefined;
  fieldValidation?: string | undefined;
}
export interface Preconditions {
  uid?: string | undefined;
  resourceVersion?: string | undefined;
}
export type ResourceVersionMatch = string;
export interface RootPaths {
  paths: string[];
}
export type RowConditionType = string;
export interface ServerAddressByClientCIDR {
  clientCIDR: string;
  serverAddress: string;
}
export interface ShardInfo {
  selector: string;
}
export interface Status {
  apiVersion: string;
  kind: string;
  metadata: ListMeta;
  status?: string | undefined;
  message?: string | undefined;
  reason?: StatusReason | undefined;
  details?: StatusDetails | undefined;
  code?: number | undefined;
}
export interface StatusCause {
  reason?: CauseType | undefined;
  message?: string | undefined;
  field?: string | undefined;
}
export interface StatusDetails {
  name?: string | undefined;
  group?: string | undefined;
  kind?: string | undefined;
  uid?: string | undefined;
  causes?: StatusCause[] | undefined;
  retryAfterSeconds?: number | undefined;
}
export type StatusReason = string;
export interface Table {
  apiVersion: string;
  kind: string;
  metadata: ListMeta;
  columnDefinitions: TableColumnDefinition[];
  rows: TableRow[];
}
export interface TableColumnDefinition {
  name: string;
  type: string;
  format: string;
  description: string;
  priority: number;
}
export interface TableOptions {
  apiVersion: string;
  kind: string;
  includeObject?: IncludeObjectPolicy | undefined;
}
export interface TableRow {
  cells: unknown[];
  conditions?: TableRowCondition[] | undefined;
  object?: unknown | undefined;
}
export interface TableRowCondition {
  type: RowConditionType;
  status: ConditionStatus;
  reason?: string | undefined;
  message?: string | undefined;
}
export type Time = string;
export interface Timestamp {
  seconds: number;
  nanos: number;
}
export interface TypeMeta {
  kind?: string | undefined;
  apiVersion?: string | undefined;
}
export interface UpdateOptions {
  apiVersion: string;
  kind: string;
  dryRun?: string[] | undefined;
  fieldManager?: string | undefined;
  fieldValidation?: string | undefined;
}
export type Verbs = string[];
export interface WatchEvent {
  type: string;
  object: unknown;
}
