// Made by tools/generate-api.ts from the fact tables; do not edit.
import { ref } from '../object.ts';
import type * as admissionregistrationv1 from './types/admissionregistration-v1.ts';
import type * as apiextensionsv1 from './types/apiextensions-v1.ts';
import type * as apiregistrationv1 from './types/apiregistration-v1.ts';
import type * as appsv1 from './types/apps-v1.ts';
import type * as autoscalingv1 from './types/autoscaling-v1.ts';
import type * as autoscalingv2 from './types/autoscaling-v2.ts';
import type * as batchv1 from './types/batch-v1.ts';
import type * as certificatesv1 from './types/certificates-v1.ts';
import type * as coordinationv1 from './types/coordination-v1.ts';
import type * as corev1 from './types/core-v1.ts';
import type * as discoveryv1 from './types/discovery-v1.ts';
import type * as eventsv1 from './types/events-v1.ts';
import type * as flowcontrolv1 from './types/flowcontrol-v1.ts';
import type * as networkingv1 from './types/networking-v1.ts';
import type * as nodev1 from './types/node-v1.ts';
import type * as policyv1 from './types/policy-v1.ts';
import type * as rbacv1 from './types/rbac-v1.ts';
import type * as resourcev1 from './types/resource-v1.ts';
import type * as schedulingv1 from './types/scheduling-v1.ts';
import type * as storagev1 from './types/storage-v1.ts';

/** One KindRef per stored resource of the stable Kubernetes API. */
export const Kinds = {
  componentstatuses: ref<corev1.ComponentStatus>({ group: '', version: 'v1', kind: 'ComponentStatus', resource: 'componentstatuses', namespaced: false }),
  configmaps: ref<corev1.ConfigMap>({ group: '', version: 'v1', kind: 'ConfigMap', resource: 'configmaps', namespaced: true }),
  endpoints: ref<corev1.Endpoints>({ group: '', version: 'v1', kind: 'Endpoints', resource: 'endpoints', namespaced: true }),
  events: ref<corev1.Event>({ group: '', version: 'v1', kind: 'Event', resource: 'events', namespaced: true }),
  limitranges: ref<corev1.LimitRange>({ group: '', version: 'v1', kind: 'LimitRange', resource: 'limitranges', namespaced: true }),
  namespaces: ref<corev1.Namespace>({ group: '', version: 'v1', kind: 'Namespace', resource: 'namespaces', namespaced: false }),
  nodes: ref<corev1.Node>({ group: '', version: 'v1', kind: 'Node', resource: 'nodes', namespaced: false }),
  persistentvolumeclaims: ref<corev1.PersistentVolumeClaim>({ group: '', version: 'v1', kind: 'PersistentVolumeClaim', resource: 'persistentvolumeclaims', namespaced: true }),
  persistentvolumes: ref<corev1.PersistentVolume>({ group: '', version: 'v1', kind: 'PersistentVolume', resource: 'persistentvolumes', namespaced: false }),
  pods: ref<corev1.Pod>({ group: '', version: 'v1', kind: 'Pod', resource: 'pods', namespaced: true }),
  podtemplates: ref<corev1.PodTemplate>({ group: '', version: 'v1', kind: 'PodTemplate', resource: 'podtemplates', namespaced: true }),
  replicationcontrollers: ref<corev1.ReplicationController>({ group: '', version: 'v1', kind: 'ReplicationController', resource: 'replicationcontrollers', namespaced: true }),
  resourcequotas: ref<corev1.ResourceQuota>({ group: '', version: 'v1', kind: 'ResourceQuota', resource: 'resourcequotas', namespaced: true }),
  secrets: ref<corev1.Secret>({ group: '', version: 'v1', kind: 'Secret', resource: 'secrets', namespaced: true }),
  serviceaccounts: ref<corev1.ServiceAccount>({ group: '', version: 'v1', kind: 'ServiceAccount', resource: 'serviceaccounts', namespaced: true }),
  services: ref<corev1.Service>({ group: '', version: 'v1', kind: 'Service', resource: 'services', namespaced: true }),
  apiservices: ref<apiregistrationv1.APIService>({ group: 'apiregistration.k8s.io', version: 'v1', kind: 'APIService', resource: 'apiservices', namespaced: false }),
  controllerrevisions: ref<appsv1.ControllerRevision>({ group: 'apps', version: 'v1', kind: 'ControllerRevision', resource: 'controllerrevisions', namespaced: true }),
  daemonsets: ref<appsv1.DaemonSet>({ group: 'apps', version: 'v1', kind: 'DaemonSet', resource: 'daemonsets', namespaced: true }),
  deployments: ref<appsv1.Deployment>({ group: 'apps', version: 'v1', kind: 'Deployment', resource: 'deployments', namespaced: true }),
  replicasets: ref<appsv1.ReplicaSet>({ group: 'apps', version: 'v1', kind: 'ReplicaSet', resource: 'replicasets', namespaced: true }),
  statefulsets: ref<appsv1.StatefulSet>({ group: 'apps', version: 'v1', kind: 'StatefulSet', resource: 'statefulsets', namespaced: true }),
  eventsV1Events: ref<eventsv1.Event>({ group: 'events.k8s.io', version: 'v1', kind: 'Event', resource: 'events', namespaced: true }),
  horizontalpodautoscalers: ref<autoscalingv2.HorizontalPodAutoscaler>({ group: 'autoscaling', version: 'v2', kind: 'HorizontalPodAutoscaler', resource: 'horizontalpodautoscalers', namespaced: true }),
  horizontalpodautoscalersV1: ref<autoscalingv1.HorizontalPodAutoscaler>({ group: 'autoscaling', version: 'v1', kind: 'HorizontalPodAutoscaler', resource: 'horizontalpodautoscalers', namespaced: true }),
  cronjobs: ref<batchv1.CronJob>({ group: 'batch', version: 'v1', kind: 'CronJob', resource: 'cronjobs', namespaced: true }),
  jobs: ref<batchv1.Job>({ group: 'batch', version: 'v1', kind: 'Job', resource: 'jobs', namespaced: true }),
  certificatesigningrequests: ref<certificatesv1.CertificateSigningRequest>({ group: 'certificates.k8s.io', version: 'v1', kind: 'CertificateSigningRequest', resource: 'certificatesigningrequests', namespaced: false }),
  ingressclasses: ref<networkingv1.IngressClass>({ group: 'networking.k8s.io', version: 'v1', kind: 'IngressClass', resource: 'ingressclasses', namespaced: false }),
  ingresses: ref<networkingv1.Ingress>({ group: 'networking.k8s.io', version: 'v1', kind: 'Ingress', resource: 'ingresses', namespaced: true }),
  ipaddresses: ref<networkingv1.IPAddress>({ group: 'networking.k8s.io', version: 'v1', kind: 'IPAddress', resource: 'ipaddresses', namespaced: false }),
  networkpolicies: ref<networkingv1.NetworkPolicy>({ group: 'networking.k8s.io', version: 'v1', kind: 'NetworkPolicy', resource: 'networkpolicies', namespaced: true }),
  servicecidrs: ref<networkingv1.ServiceCIDR>({ group: 'networking.k8s.io', version: 'v1', kind: 'ServiceCIDR', resource: 'servicecidrs', namespaced: false }),
  poddisruptionbudgets: ref<policyv1.PodDisruptionBudget>({ group: 'policy', version: 'v1', kind: 'PodDisruptionBudget', resource: 'poddisruptionbudgets', namespaced: true }),
  clusterrolebindings: ref<rbacv1.ClusterRoleBinding>({ group: 'rbac.authorization.k8s.io', version: 'v1', kind: 'ClusterRoleBinding', resource: 'clusterrolebindings', namespaced: false }),
  clusterroles: ref<rbacv1.ClusterRole>({ group: 'rbac.authorization.k8s.io', version: 'v1', kind: 'ClusterRole', resource: 'clusterroles', namespaced: false }),
  rolebindings: ref<rbacv1.RoleBinding>({ group: 'rbac.authorization.k8s.io', version: 'v1', kind: 'RoleBinding', resource: 'rolebindings', namespaced: true }),
  roles: ref<rbacv1.Role>({ group: 'rbac.authorization.k8s.io', version: 'v1', kind: 'Role', resource: 'roles', namespaced: true }),
  csidrivers: ref<storagev1.CSIDriver>({ group: 'storage.k8s.io', version: 'v1', kind: 'CSIDriver', resource: 'csidrivers', namespaced: false }),
  csinodes: ref<storagev1.CSINode>({ group: 'storage.k8s.io', version: 'v1', kind: 'CSINode', resource: 'csinodes', namespaced: false }),
  csistoragecapacities: ref<storagev1.CSIStorageCapacity>({ group: 'storage.k8s.io', version: 'v1', kind: 'CSIStorageCapacity', resource: 'csistoragecapacities', namespaced: true }),
  storageclasses: ref<storagev1.StorageClass>({ group: 'storage.k8s.io', version: 'v1', kind: 'StorageClass', resource: 'storageclasses', namespaced: false }),
  volumeattachments: ref<storagev1.VolumeAttachment>({ group: 'storage.k8s.io', version: 'v1', kind: 'VolumeAttachment', resource: 'volumeattachments', namespaced: false }),
  volumeattributesclasses: ref<storagev1.VolumeAttributesClass>({ group: 'storage.k8s.io', version: 'v1', kind: 'VolumeAttributesClass', resource: 'volumeattributesclasses', namespaced: false }),
  mutatingadmissionpolicies: ref<admissionregistrationv1.MutatingAdmissionPolicy>({ group: 'admissionregistration.k8s.io', version: 'v1', kind: 'MutatingAdmissionPolicy', resource: 'mutatingadmissionpolicies', namespaced: false }),
  mutatingadmissionpolicybindings: ref<admissionregistrationv1.MutatingAdmissionPolicyBinding>({ group: 'admissionregistration.k8s.io', version: 'v1', kind: 'MutatingAdmissionPolicyBinding', resource: 'mutatingadmissionpolicybindings', namespaced: false }),
  mutatingwebhookconfigurations: ref<admissionregistrationv1.MutatingWebhookConfiguration>({ group: 'admissionregistration.k8s.io', version: 'v1', kind: 'MutatingWebhookConfiguration', resource: 'mutatingwebhookconfigurations', namespaced: false }),
  validatingadmissionpolicies: ref<admissionregistrationv1.ValidatingAdmissionPolicy>({ group: 'admissionregistration.k8s.io', version: 'v1', kind: 'ValidatingAdmissionPolicy', resource: 'validatingadmissionpolicies', namespaced: false }),
  validatingadmissionpolicybindings: ref<admissionregistrationv1.ValidatingAdmissionPolicyBinding>({ group: 'admissionregistration.k8s.io', version: 'v1', kind: 'ValidatingAdmissionPolicyBinding', resource: 'validatingadmissionpolicybindings', namespaced: false }),
  validatingwebhookconfigurations: ref<admissionregistrationv1.ValidatingWebhookConfiguration>({ group: 'admissionregistration.k8s.io', version: 'v1', kind: 'ValidatingWebhookConfiguration', resource: 'validatingwebhookconfigurations', namespaced: false }),
  customresourcedefinitions: ref<apiextensionsv1.CustomResourceDefinition>({ group: 'apiextensions.k8s.io', version: 'v1', kind: 'CustomResourceDefinition', resource: 'customresourcedefinitions', namespaced: false }),
  priorityclasses: ref<schedulingv1.PriorityClass>({ group: 'scheduling.k8s.io', version: 'v1', kind: 'PriorityClass', resource: 'priorityclasses', namespaced: false }),
  leases: ref<coordinationv1.Lease>({ group: 'coordination.k8s.io', version: 'v1', kind: 'Lease', resource: 'leases', namespaced: true }),
  runtimeclasses: ref<nodev1.RuntimeClass>({ group: 'node.k8s.io', version: 'v1', kind: 'RuntimeClass', resource: 'runtimeclasses', namespaced: false }),
  endpointslices: ref<discoveryv1.EndpointSlice>({ group: 'discovery.k8s.io', version: 'v1', kind: 'EndpointSlice', resource: 'endpointslices', namespaced: true }),
  deviceclasses: ref<resourcev1.DeviceClass>({ group: 'resource.k8s.io', version: 'v1', kind: 'DeviceClass', resource: 'deviceclasses', namespaced: false }),
  resourceclaims: ref<resourcev1.ResourceClaim>({ group: 'resource.k8s.io', version: 'v1', kind: 'ResourceClaim', resource: 'resourceclaims', namespaced: true }),
  resourceclaimtemplates: ref<resourcev1.ResourceClaimTemplate>({ group: 'resource.k8s.io', version: 'v1', kind: 'ResourceClaimTemplate', resource: 'resourceclaimtemplates', namespaced: true }),
  resourceslices: ref<resourcev1.ResourceSlice>({ group: 'resource.k8s.io', version: 'v1', kind: 'ResourceSlice', resource: 'resourceslices', namespaced: false }),
  flowschemas: ref<flowcontrolv1.FlowSchema>({ group: 'flowcontrol.apiserver.k8s.io', version: 'v1', kind: 'FlowSchema', resource: 'flowschemas', namespaced: false }),
  prioritylevelconfigurations: ref<flowcontrolv1.PriorityLevelConfiguration>({ group: 'flowcontrol.apiserver.k8s.io', version: 'v1', kind: 'PriorityLevelConfiguration', resource: 'prioritylevelconfigurations', namespaced: false }),
} as const;
