/** Per kind: how its objects are named and who validates them; a kind not listed is validated by the field table. */
import { type FieldError, invalid } from '../field-error.ts';
import type { CustomResourceDefinition } from '../gen/types/apiextensions-v1.ts';
import type { PodTemplateSpec } from '../gen/types/core-v1.ts';
import type { KubeObject } from '../object.ts';
import {
  NO_DEFINITION_TOOLS,
  validateDefinition,
  validateDefinitionStatus,
  validateDefinitionUpdate,
} from '../structural/definition/definition.ts';
import { applyDefinitionDefaults } from '../structural/definition/definition-defaults.ts';
import { definitionName } from '../structural/definition/names.ts';
import type { TypeName } from '../type-table.ts';
import { COMMON_PARTS, type PartValidator } from '../validation/by-table.ts';
import { type Check, dns1123Label, pathSegmentName } from '../validation/names.ts';
import type { ValidationOptions } from '../validation.ts';
import * as policy from './admission-policy-validation.ts';
import { validateApiService, validateApiServiceStatus } from './apiservice-validation.ts';
import { validateAutoscaler, validateAutoscalerStatus } from './autoscaler-validation.ts';
import * as certificate from './certificate-validation.ts';
import * as cluster from './cluster-validation.ts';
import * as core from './core-validation.ts';
import * as device from './device-claim-validation.ts';
import * as flowcontrol from './flowcontrol-validation.ts';
import { validateJobStatusUpdate } from './job-status-validation.ts';
import * as job from './job-validation.ts';
import * as network from './network-validation.ts';
import * as volume from './persistent-volume-validation.ts';
import * as podUpdate from './pod-update-validation.ts';
import { validateNewPod, validatePod, validatePodTemplate } from './pod-validation.ts';
import * as quota from './quota-validation.ts';
import { validateResourceSlice, validateResourceSliceUpdate } from './resource-slice-validation.ts';
import * as scheduling from './scheduling-validation.ts';
import * as service from './service-validation.ts';
import * as storage from './storage-validation.ts';
import { validateWebhooks } from './webhook-validation.ts';
import * as counts from './workload-status-validation.ts';
import * as workload from './workload-validation.ts';

type Update = (next: KubeObject, previous: KubeObject) => FieldError[];

export interface Validator {
  /** Default: DNS-1123 subdomain. */
  readonly name?: Check;
  /** Absent: by the field table. Metadata is validated before. `previous` on updates: some rules spare what was there. */
  readonly object?: (object: KubeObject, options: ValidationOptions, previous?: KubeObject) => FieldError[];
  /** Beside `object`, for new objects only. */
  readonly create?: (object: KubeObject) => FieldError[];
  /** Beside `object`, main endpoint. */
  readonly update?: Update;
  readonly subresources?: Readonly<Record<string, Update>>;
}

/** The table's key is the promise that objects have type T. */
function validator<T extends KubeObject>(v: {
  name?: Check;
  object?: (object: T, options: ValidationOptions, previous?: T) => FieldError[];
  update?: (next: T, previous: T) => FieldError[];
  create?: (object: T) => FieldError[];
  subresources?: Record<string, (next: T, previous: T) => FieldError[]>;
}): Validator {
  return v as unknown as Validator;
}

const NOTHING = (): FieldError[] => [];

export const VALIDATORS: Readonly<Record<TypeName, Validator>> = {
  'apiextensions/v1.CustomResourceDefinition': validator<CustomResourceDefinition>({
    object: (crd, { definitions: tools = NO_DEFINITION_TOOLS }, previous) =>
      previous === undefined
        ? validateDefinition(crd, tools)
        : validateDefinitionUpdate(crd, applyDefinitionDefaults(previous), tools),
    create: ({ metadata, spec }) =>
      definitionName(spec)(metadata.name)
        .filter((text) => text.includes('spec.names.plural'))
        .map((text) => invalid('metadata.name', metadata.name, text)),
    subresources: { status: validateDefinitionStatus },
  }),
  'core/v1.Pod': validator({
    object: validatePod,
    create: validateNewPod,
    update: podUpdate.validatePodUpdate,
    subresources: {
      status: podUpdate.validatePodStatusUpdate,
      ephemeralcontainers: (next, previous) => [
        ...validatePod(next),
        ...podUpdate.validateEphemeralUpdate(next, previous),
      ],
      resize: (next, previous) => [...validatePod(next), ...podUpdate.validateResize(next, previous)],
    },
  }),
  'core/v1.PodTemplate': validator<KubeObject & { template: PodTemplateSpec }>({
    object: (o) => validatePodTemplate(o.template, 'template'),
  }),
  'core/v1.ConfigMap': validator({ object: core.validateConfigMap, update: core.validateConfigMapUpdate }),
  'core/v1.Secret': validator({ object: core.validateSecret, update: core.validateSecretUpdate }),
  'core/v1.Namespace': validator({ name: dns1123Label, object: core.validateNamespace }),
  'core/v1.Node': validator({ object: core.validateNode, update: core.validateNodeUpdate }),
  'core/v1.Event': validator({ object: core.validateEvent }),
  'events/v1.Event': validator({ object: NOTHING }),
  'core/v1.ServiceAccount': validator({ object: NOTHING }),
  'core/v1.Binding': validator({ object: core.validateBinding }),
  'core/v1.Service': validator({
    // KEP-5311: may begin with a digit.
    name: dns1123Label,
    object: service.validateService,
    update: service.validateServiceUpdate,
  }),
  'core/v1.Endpoints': validator({ object: service.validateEndpoints }),
  'core/v1.ReplicationController': validator({
    object: workload.validateReplicationController,
    subresources: { status: counts.validateReplicaSetStatus },
  }),
  'core/v1.PersistentVolume': validator({
    object: volume.validatePersistentVolume,
    update: volume.validatePersistentVolumeUpdate,
  }),
  'core/v1.PersistentVolumeClaim': validator({
    object: volume.validateClaim,
    update: volume.validateClaimUpdate,
    subresources: { status: volume.validateClaimStatus },
  }),
  'core/v1.ResourceQuota': validator({
    object: quota.validateQuota,
    update: quota.validateQuotaUpdate,
    subresources: { status: quota.validateQuotaStatus },
  }),
  'core/v1.LimitRange': validator({ object: quota.validateLimitRange }),
  'discovery/v1.EndpointSlice': validator({
    object: service.validateEndpointSlice,
    update: service.validateEndpointSliceUpdate,
  }),
  'coordination/v1.Lease': validator({ object: core.validateLease }),
  'apps/v1.Deployment': validator({
    object: workload.validateDeployment,
    update: workload.validateSelectorUpdate,
    subresources: { status: counts.validateDeploymentStatus },
  }),
  'apps/v1.ReplicaSet': validator({
    object: workload.validateReplicaSet,
    update: workload.validateSelectorUpdate,
    subresources: { status: counts.validateReplicaSetStatus },
  }),
  'apps/v1.DaemonSet': validator({
    object: workload.validateDaemonSet,
    update: workload.validateSelectorUpdate,
    subresources: { status: counts.validateDaemonSetStatus },
  }),
  'apps/v1.StatefulSet': validator({
    name: dns1123Label,
    object: workload.validateStatefulSet,
    update: workload.validateStatefulSetUpdate,
    subresources: { status: counts.validateStatefulSetStatus },
  }),
  'apps/v1.ControllerRevision': validator({
    object: workload.validateControllerRevision,
    create: workload.validateNewControllerRevision,
    update: workload.validateControllerRevisionUpdate,
  }),
  'batch/v1.Job': validator({
    object: job.validateJob,
    update: job.validateJobUpdate,
    subresources: { status: validateJobStatusUpdate },
  }),
  'batch/v1.CronJob': validator({ object: job.validateCronJob, create: job.validateNewCronJob }),
  'rbac/v1.Role': validator({ name: pathSegmentName, object: cluster.validateRole }),
  'rbac/v1.ClusterRole': validator({ name: pathSegmentName, object: cluster.validateRole }),
  'rbac/v1.RoleBinding': validator({
    name: pathSegmentName,
    object: cluster.validateRoleBinding,
    update: cluster.validateRoleBindingUpdate,
  }),
  'rbac/v1.ClusterRoleBinding': validator({
    name: pathSegmentName,
    object: cluster.validateRoleBinding,
    update: cluster.validateRoleBindingUpdate,
  }),
  'scheduling/v1.PriorityClass': validator({
    object: scheduling.validatePriorityClass,
    update: scheduling.validatePriorityClassUpdate,
  }),
  'policy/v1.PodDisruptionBudget': validator({
    object: scheduling.validateDisruptionBudget,
    subresources: { status: scheduling.validateDisruptionBudgetStatus },
  }),
  'node/v1.RuntimeClass': validator({
    object: scheduling.validateRuntimeClass,
    update: scheduling.validateRuntimeClassUpdate,
  }),
  'autoscaling/v2.HorizontalPodAutoscaler': validator({
    object: validateAutoscaler,
    subresources: { status: validateAutoscalerStatus },
  }),
  'networking/v1.Ingress': validator({
    object: network.validateIngress,
    create: network.validateNewIngress,
    subresources: { status: network.validateIngressStatus },
  }),
  'networking/v1.IngressClass': validator({
    object: network.validateIngressClass,
    update: network.validateIngressClassUpdate,
  }),
  'networking/v1.NetworkPolicy': validator({ object: network.validateNetworkPolicy }),
  'networking/v1.IPAddress': validator({
    name: network.ipAddressName,
    object: network.validateIpAddress,
    update: network.validateIpAddressUpdate,
  }),
  'networking/v1.ServiceCIDR': validator({
    object: network.validateServiceCidr,
    update: network.validateServiceCidrUpdate,
  }),
  'storage/v1.StorageClass': validator({
    object: storage.validateStorageClass,
    update: storage.validateStorageClassUpdate,
  }),
  'storage/v1.VolumeAttributesClass': validator({
    object: storage.validateAttributesClass,
    update: storage.validateAttributesClassUpdate,
  }),
  'storage/v1.CSIDriver': validator({ object: storage.validateCsiDriver, update: storage.validateCsiDriverUpdate }),
  'storage/v1.CSINode': validator({ object: storage.validateCsiNode, update: storage.validateCsiNodeUpdate }),
  'storage/v1.CSIStorageCapacity': validator({
    object: storage.validateStorageCapacity,
    update: storage.validateStorageCapacityUpdate,
  }),
  'storage/v1.VolumeAttachment': validator({
    object: storage.validateAttachment,
    update: storage.validateAttachmentUpdate,
    subresources: { status: storage.validateAttachment },
  }),
  'certificates/v1.CertificateSigningRequest': validator({
    name: certificate.certificateRequestName,
    object: certificate.validateCertificateRequest,
    update: certificate.updateRules.main,
    subresources: { status: certificate.updateRules.status, approval: certificate.updateRules.approval },
  }),
  'flowcontrol/v1.FlowSchema': validator({
    object: flowcontrol.validateFlowSchema,
    subresources: { status: flowcontrol.validateFlowStatus },
  }),
  'flowcontrol/v1.PriorityLevelConfiguration': validator({
    object: flowcontrol.validatePriorityLevel,
    subresources: { status: flowcontrol.validateFlowStatus },
  }),
  'admissionregistration/v1.ValidatingWebhookConfiguration': validator({ object: validateWebhooks }),
  'admissionregistration/v1.MutatingWebhookConfiguration': validator({ object: validateWebhooks }),
  'admissionregistration/v1.ValidatingAdmissionPolicy': validator({
    object: policy.validateValidatingPolicy,
    subresources: { status: policy.validateValidatingPolicyStatus },
  }),
  'admissionregistration/v1.MutatingAdmissionPolicy': validator({ object: policy.validateMutatingPolicy }),
  'admissionregistration/v1.ValidatingAdmissionPolicyBinding': validator({ object: policy.validateValidatingBinding }),
  'admissionregistration/v1.MutatingAdmissionPolicyBinding': validator({ object: policy.validateMutatingBinding }),
  'apiregistration/v1.APIService': validator({
    name: pathSegmentName,
    object: validateApiService,
    subresources: { status: validateApiServiceStatus },
  }),
  'resource/v1.ResourceClaim': validator({ object: device.validateResourceClaim, update: device.validateSpecUpdate }),
  'resource/v1.ResourceClaimTemplate': validator({
    object: device.validateClaimTemplate,
    update: device.validateSpecUpdate,
  }),
  'resource/v1.DeviceClass': validator({ object: device.validateDeviceClass }),
  'resource/v1.ResourceSlice': validator({ object: validateResourceSlice, update: validateResourceSliceUpdate }),
};

/** Validators of parts that occur in kinds validated by the table. */
export const PARTS: Readonly<Record<TypeName, PartValidator>> = {
  ...COMMON_PARTS,
  'core/v1.PodTemplateSpec': (v, path) => validatePodTemplate(v as PodTemplateSpec, path),
};
