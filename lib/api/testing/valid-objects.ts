/** A small valid object of every kind that is stored, without names, for tests: what the server must take as it is. */
import type { TypeName } from '../type-table.ts';

const POD_SPEC = { containers: [{ name: 'a', image: 'x' }] };
const LABELS = { app: 'a' };
const TEMPLATE = { metadata: { labels: LABELS }, spec: POD_SPEC };
const SELECTOR = { matchLabels: LABELS };
const ONCE_TEMPLATE = { spec: { ...POD_SPEC, restartPolicy: 'Never' } };
const WORKLOAD = { spec: { selector: SELECTOR, template: TEMPLATE } };
const ROLE_REF = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };
const BINDING = { roleRef: ROLE_REF, subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'u' }] };
const RULES = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }];
const POLICY_RULES = [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }];
const WEBHOOKS = [
  {
    name: 'a.example.com',
    clientConfig: { url: 'https://example.com/x' },
    rules: POLICY_RULES,
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  },
];
const DEVICES = { requests: [{ name: 'r', exactly: { deviceClassName: 'c.example.com' } }] };
const CSR = `-----BEGIN CERTIFICATE REQUEST-----
MIHfMIGGAgEAMCQxEjAQBgNVBAoTCXNvbWVncm91cDEOMAwGA1UEAxMFbG91aXMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASLh8w1gnU8ZtM2RrrB9aYC
-----END CERTIFICATE REQUEST-----
`;

/** The kinds left out: requests that are answered, not stored. A function takes the object's name where it must appear. */
export const VALID: Readonly<Record<TypeName, object>> = {
  'core/v1.ConfigMap': { data: { a: 'b' } },
  'core/v1.Endpoints': { subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] },
  'core/v1.Event': { involvedObject: { namespace: 'default', kind: 'Pod', name: 'p' }, reason: 'R', type: 'Normal' },
  'core/v1.LimitRange': { spec: { limits: [{ type: 'Container', max: { cpu: '1' } }] } },
  'core/v1.Namespace': {},
  'core/v1.Node': { spec: { podCIDR: '10.42.0.0/24', podCIDRs: ['10.42.0.0/24'] } },
  'core/v1.PersistentVolumeClaim': {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  },
  'core/v1.PersistentVolume': {
    spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/v' } },
  },
  'core/v1.Pod': { spec: POD_SPEC },
  'core/v1.PodTemplate': { template: TEMPLATE },
  'core/v1.ReplicationController': { spec: { selector: LABELS, template: TEMPLATE } },
  'core/v1.ResourceQuota': { spec: { hard: { 'count/bindings': '5' } } },
  'core/v1.Secret': { data: { a: 'YQ==' } },
  'core/v1.ServiceAccount': {},
  'core/v1.Service': { spec: { selector: LABELS, ports: [{ port: 80 }] } },
  'apps/v1.ControllerRevision': { data: { a: 1 }, revision: 1 },
  'apps/v1.DaemonSet': WORKLOAD,
  'apps/v1.Deployment': WORKLOAD,
  'apps/v1.ReplicaSet': WORKLOAD,
  'apps/v1.StatefulSet': { spec: { ...WORKLOAD.spec, serviceName: 's' } },
  'events/v1.Event': {
    eventTime: '2024-01-02T03:04:05.000001Z',
    reportingController: 'c',
    reportingInstance: 'i',
    action: 'a',
    reason: 'R',
    type: 'Normal',
    regarding: { namespace: 'default', kind: 'Pod', name: 'p' },
  },
  'autoscaling/v2.HorizontalPodAutoscaler': {
    spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, maxReplicas: 3 },
  },
  'autoscaling/v1.HorizontalPodAutoscaler': {
    spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, maxReplicas: 3 },
  },
  'batch/v1.CronJob': { spec: { schedule: '*/5 * * * *', jobTemplate: { spec: { template: ONCE_TEMPLATE } } } },
  'batch/v1.Job': { spec: { template: ONCE_TEMPLATE } },
  'certificates/v1.CertificateSigningRequest': {
    spec: { request: Buffer.from(CSR).toString('base64'), signerName: 'example.com/s', usages: ['client auth'] },
  },
  'networking/v1.IngressClass': { spec: { controller: 'example.com/c' } },
  'networking/v1.Ingress': { spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } },
  'networking/v1.IPAddress': { spec: { parentRef: { resource: 'services', namespace: 'default', name: 's' } } },
  'networking/v1.NetworkPolicy': { spec: { podSelector: SELECTOR } },
  'networking/v1.ServiceCIDR': { spec: { cidrs: ['10.99.0.0/16'] } },
  'policy/v1.PodDisruptionBudget': { spec: { minAvailable: 1, selector: SELECTOR } },
  'rbac/v1.ClusterRoleBinding': BINDING,
  'rbac/v1.ClusterRole': { rules: RULES },
  'rbac/v1.RoleBinding': BINDING,
  'rbac/v1.Role': { rules: RULES },
  'storage/v1.CSIDriver': { spec: {} },
  'storage/v1.CSINode': { spec: { drivers: [{ name: 'd', nodeID: 'n' }] } },
  'storage/v1.CSIStorageCapacity': { storageClassName: 's' },
  'storage/v1.StorageClass': { provisioner: 'example.com/p' },
  'storage/v1.VolumeAttachment': {
    spec: { attacher: 'example.com', nodeName: 'n', source: { persistentVolumeName: 'v' } },
  },
  'storage/v1.VolumeAttributesClass': { driverName: 'example.com', parameters: { a: 'b' } },
  'admissionregistration/v1.MutatingAdmissionPolicy': {
    spec: {
      matchConstraints: { resourceRules: POLICY_RULES },
      mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }],
      reinvocationPolicy: 'Never',
    },
  },
  'admissionregistration/v1.MutatingAdmissionPolicyBinding': { spec: { policyName: 'p' } },
  'admissionregistration/v1.MutatingWebhookConfiguration': { webhooks: WEBHOOKS },
  'admissionregistration/v1.ValidatingAdmissionPolicy': {
    spec: { matchConstraints: { resourceRules: POLICY_RULES }, validations: [{ expression: 'true' }] },
  },
  'admissionregistration/v1.ValidatingAdmissionPolicyBinding': {
    spec: { policyName: 'p', validationActions: ['Deny'] },
  },
  'admissionregistration/v1.ValidatingWebhookConfiguration': { webhooks: WEBHOOKS },
  'scheduling/v1.PriorityClass': { value: 5 },
  'coordination/v1.Lease': { spec: { holderIdentity: 'h' } },
  'node/v1.RuntimeClass': { handler: 'h' },
  'discovery/v1.EndpointSlice': { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [] },
  'resource/v1.DeviceClass': { spec: {} },
  'resource/v1.ResourceClaim': { spec: { devices: DEVICES } },
  'resource/v1.ResourceClaimTemplate': { spec: { spec: { devices: DEVICES } } },
  'resource/v1.ResourceSlice': {
    spec: {
      driver: 'd.example.com',
      nodeName: 'n',
      pool: { name: 'p', generation: 1, resourceSliceCount: 1 },
      devices: [{ name: 'd' }],
    },
  },
  'flowcontrol/v1.FlowSchema': { spec: { priorityLevelConfiguration: { name: 'global-default' } } },
  'flowcontrol/v1.PriorityLevelConfiguration': {
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: 1, limitResponse: { type: 'Reject' } } },
  },
  'apiextensions/v1.CustomResourceDefinition': {
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'foos', singular: 'foo', kind: 'Foo' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  },
  'apiregistration/v1.APIService': {
    spec: {
      group: 'x.example.com',
      version: 'v1',
      groupPriorityMinimum: 1000,
      versionPriority: 15,
      service: { namespace: 'default', name: 's', port: 443 },
      insecureSkipTLSVerify: true,
    },
  },
};

/** Names that say what the object is; of all others any will do. */
export const NAMES: Readonly<Record<TypeName, (n: number) => string>> = {
  'networking/v1.IPAddress': (n) => `10.77.${n >> 8}.${n & 255}`,
  'apiextensions/v1.CustomResourceDefinition': () => 'foos.example.com',
  'apiregistration/v1.APIService': () => 'v1.x.example.com',
};
