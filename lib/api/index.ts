export { TableTypes } from './cel-types.ts';
export type { CustomBehavior } from './custom-behavior.ts';
export { applyDefaults, applyTypeDefaults } from './defaults.ts';
export { answersDeletedObject } from './deletion.ts';
export { aggregateOpenApi, remoteSwagger, type SwaggerPart } from './documents/aggregate-swagger.ts';
export {
  type ApiServiceRank,
  aggregateDiscovery,
  apiServiceName,
  builtInRank,
  compareVersions,
  type RemoteGroupVersion,
  resourcesOfList,
} from './documents/api-services.ts';
export { type AggregatedVersion, type Discovery, discoveryOf } from './documents/discovery.ts';
export { type OpenApi, type OpenApiDocument, openApiOf } from './documents/openapi.ts';
export { SWAGGER_PROTOBUF, SWAGGER_PROTOBUF_ASKED } from './documents/swagger-protobuf.ts';
export { semanticEqual } from './equality.ts';
export * as fieldErrors from './field-error.ts';
export { errorBody, type FieldError, type FieldErrorType, goQuote, invalidError } from './field-error.ts';
export { FieldReader, type Fields, readConfiguration } from './field-reader.ts';
export { type FieldMatcher, type FieldRequirement, fieldRequirements, parseFieldSelector } from './field-selector.ts';
export { Kinds } from './gen/kinds.ts';
export type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhook,
  MutatingWebhookConfiguration,
  RuleWithOperations,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
  WebhookClientConfig,
} from './gen/types/admissionregistration-v1.ts';
export type { CustomResourceDefinition } from './gen/types/apiextensions-v1.ts';
export type { APIService, APIServiceCondition } from './gen/types/apiregistration-v1.ts';
export type {
  Deployment,
  DeploymentSpec,
  DeploymentStatus,
  ReplicaSet,
  ReplicaSetSpec,
  ReplicaSetStatus,
} from './gen/types/apps-v1.ts';
export type { TokenRequest, TokenReview, TokenReviewStatus } from './gen/types/authentication-v1.ts';
export type {
  LocalSubjectAccessReview,
  ResourceAttributes,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  SubjectAccessReviewSpec,
} from './gen/types/authorization-v1.ts';
export type { CertificateSigningRequest } from './gen/types/certificates-v1.ts';
export type { Lease } from './gen/types/coordination-v1.ts';
export type * from './gen/types/core-v1.ts';
export type { EndpointSlice } from './gen/types/discovery-v1.ts';
export type {
  FlowSchema,
  FlowSchemaCondition,
  FlowSchemaSpec,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  PriorityLevelConfigurationSpec,
  ResourcePolicyRule,
} from './gen/types/flowcontrol-v1.ts';
export type { Condition, LabelSelector, ObjectMeta, OwnerReference, Status } from './gen/types/meta-v1.ts';
export type { NodeMetrics, PodMetrics } from './gen/types/metrics-v1beta1.ts';
export type { Ingress, IngressClass } from './gen/types/networking-v1.ts';
export type { RuntimeClass } from './gen/types/node-v1.ts';
export type { PodDisruptionBudget } from './gen/types/policy-v1.ts';
export type {
  AggregationRule,
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from './gen/types/rbac-v1.ts';
export type {
  CSIDriver,
  CSINode,
  CSINodeDriver,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from './gen/types/storage-v1.ts';
export { isJsonWithinDepth, isValueWithinDepth, JSON_DEPTH_MAX } from './json-depth.ts';
export { findDuplicateFields } from './json-duplicates.ts';
export { type JsonPath, parseJsonPath } from './jsonpath.ts';
export { type QosClass, qosClassOf } from './kinds/pod-qos.ts';
export { isEndpointIp } from './kinds/service-validation.ts';
export { validateScale } from './kinds/workload-validation.ts';
export {
  ageText,
  type ConditionLike,
  controllerOf,
  durationText,
  getCondition,
  isConditionTrue,
  isControlledBy,
  newControllerRef,
  setCondition,
} from './meta.ts';
export { METRICS_KINDS, NODE_METRICS, POD_METRICS } from './metrics-kinds.ts';
export * from './object.ts';
export { type ApplyOptions, applyServerSide, type TrackOptions, trackUpdate } from './patch/apply.ts';
export { mergeConfiguration } from './patch/configuration.ts';
export { applyJsonPatch, FailedTest } from './patch/json.ts';
export { applyMergePatch } from './patch/merge.ts';
export { applyStrategicMergePatch } from './patch/strategic.ts';
export { setOwn } from './patch/value.ts';
export { hasPodResources, type PodResourcesOptions, podLimits, podRequests } from './pod-resources.ts';
export { decodeProtobuf, encodeProtobuf, isProtobuf } from './protobuf.ts';
export { BackWriter, BYTES as WIRE_BYTES, Reader as WireReader, VARINT as WIRE_VARINT } from './protobuf-wire.ts';
export {
  addQuantity,
  compareQuantity,
  formatQuantity,
  milliQuantityOf,
  milliValue,
  parseQuantity,
  type Quantity,
  quantityOf,
  quantityToNumber,
  quantityValue,
  subQuantity,
  tryParseQuantity,
} from './quantity.ts';
export { charged, chargeFor, givenBack } from './quota/charge.ts';
export { isInScope, type QuotaChange, type QuotaEvaluator } from './quota/evaluator.ts';
export { quotaEvaluatorOf } from './quota/evaluators.ts';
export {
  allKinds,
  type KindInfo,
  kindByGvk,
  kindByResource,
  kindInfo,
  type Subresource,
  schemaOf,
} from './registry.ts';
export {
  type Amounts,
  addAmounts,
  amountsOf,
  amountsText,
  isSameAmounts,
  maskAmounts,
  maxAmounts,
  resourceListOf,
  subtractToZero,
  withoutZeros,
} from './resource-amounts.ts';
export { canonicalObject, decodeAny, decodeObject, decodeType, type FieldValidation } from './schema.ts';
export {
  isLabelValue,
  isQualifiedName,
  type LabelMatcher,
  matcherOf,
  matcherOfMap,
  parseLabelSelector,
} from './selector.ts';
export {
  capacityOfVolume,
  claimNameOf,
  classOfClaim,
  classOfVolume,
  HOSTNAME_LABEL,
  hostOfVolume,
  isBoundTo,
  isDelayed,
  isFullyBound,
  isLocalVolume,
  isOwnedByPod,
  isToBeErased,
  LOCAL_PROVISIONER,
  NO_PROVISIONER,
  nodeHost,
  PROVISIONER_FINALIZER,
  requestOfClaim,
  STORAGE_PATH_ANNOTATION,
  StorageAnnotations,
  withClaim,
} from './storage/claims.ts';
export { attachmentName, hexOfVolume, isAttachRequired, uniqueVolumeName } from './storage/csi.ts';
export { findVolume, isReachableFrom, isSameMode, type MatchOptions, mismatchOf } from './storage/match.ts';
export { matchesNodeSelector, matchesNodeTerm, type SelectableNode } from './storage/node-selector.ts';
export { prepareCreate, prepareUpdate } from './strategy.ts';
export * from './structural/index.ts';
export { partialMetadata, type TableOptions, tableOf } from './tables/table.ts';
export { type FieldInfo, type TypeInfo, type TypeName, type TypeRef, typeOf } from './type-table.ts';
export { validateAnnotations, validateLabels } from './validation/metadata.ts';
export { validateDomainPrefixedPath } from './validation/names.ts';
export { type ValidationOptions, validateCreate, validateUpdate } from './validation.ts';
export { readYaml, writeYaml, type YamlDocument } from './yaml.ts';
