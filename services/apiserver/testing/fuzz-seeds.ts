/** One valid object of those kinds that have rules of their own, so that a fuzzed request gets past validation often enough. */
import { apiVersionOf, type KindInfo } from '#lib/api';

const POD = {
  containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }], env: [{ name: 'E', value: 'v' }] }],
};
const LABELS = { app: 'a' };
const TEMPLATE = { metadata: { labels: LABELS }, spec: POD };
const SELECTOR = { matchLabels: LABELS };
const JOB = { template: { spec: { ...POD, restartPolicy: 'Never' } } };
const RULES = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }];
const SUBJECTS = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'jane' }];
const ROLE = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };
const CLAIM = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
const WEBHOOK = {
  name: 'a.b.c',
  clientConfig: { url: 'https://127.0.0.1:1/x' },
  rules: [{ apiGroups: ['none.example'], apiVersions: ['*'], operations: ['CREATE'], resources: ['*'] }],
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
};
const ATTRIBUTES = { resource: 'pods', verb: 'get', namespace: 'default' };

const SEEDS: ReadonlyMap<string, object> = new Map<string, object>([
  ['configmaps', { data: { a: 'b' }, binaryData: { c: 'AA==' } }],
  ['secrets', { stringData: { a: 'b' } }],
  ['pods', { spec: POD }],
  ['podtemplates', { template: TEMPLATE }],
  ['services', { spec: { ports: [{ port: 80 }], selector: LABELS } }],
  ['endpoints', { subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] }],
  ['serviceaccounts', {}],
  ['namespaces', {}],
  ['nodes', {}],
  ['events', { involvedObject: { namespace: 'default', kind: 'Pod', name: 'a' }, reason: 'r', message: 'm' }],
  ['limitranges', { spec: { limits: [{ type: 'Container', max: { cpu: '1' } }] } }],
  ['resourcequotas', { spec: { hard: { pods: '100' } } }],
  ['replicationcontrollers', { spec: { replicas: 0, selector: LABELS, template: TEMPLATE } }],
  ['persistentvolumeclaims', { spec: CLAIM }],
  [
    'persistentvolumes',
    { spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } } },
  ],
  ['deployments', { spec: { selector: SELECTOR, template: TEMPLATE } }],
  ['replicasets', { spec: { selector: SELECTOR, template: TEMPLATE } }],
  ['statefulsets', { spec: { selector: SELECTOR, template: TEMPLATE, serviceName: 's' } }],
  ['daemonsets', { spec: { selector: SELECTOR, template: TEMPLATE } }],
  ['controllerrevisions', { revision: 1, data: { a: 1 } }],
  ['jobs', { spec: JOB }],
  ['cronjobs', { spec: { schedule: '* * * * *', jobTemplate: { spec: JOB } } }],
  [
    'horizontalpodautoscalers',
    { spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'a' } } },
  ],
  ['ingresses', { spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } }],
  ['ingressclasses', { spec: { controller: 'a.b/c' } }],
  ['networkpolicies', { spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }] } }],
  ['poddisruptionbudgets', { spec: { minAvailable: 1, selector: SELECTOR } }],
  ['roles', { rules: RULES }],
  ['clusterroles', { rules: RULES }],
  ['rolebindings', { subjects: SUBJECTS, roleRef: ROLE }],
  ['clusterrolebindings', { subjects: SUBJECTS, roleRef: ROLE }],
  ['leases', { spec: { holderIdentity: 'x', leaseDurationSeconds: 10 } }],
  ['priorityclasses', { value: 10 }],
  ['runtimeclasses', { handler: 'crun' }],
  ['storageclasses', { provisioner: 'a.b/c' }],
  [
    'endpointslices',
    { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 80, name: 'p' }] },
  ],
  ['validatingwebhookconfigurations', { webhooks: [WEBHOOK] }],
  ['mutatingwebhookconfigurations', { webhooks: [WEBHOOK] }],
  [
    'validatingadmissionpolicies',
    {
      spec: {
        matchConstraints: { resourceRules: WEBHOOK.rules },
        validations: [{ expression: 'object.metadata.name != "x"' }],
      },
    },
  ],
  [
    'flowschemas',
    {
      spec: {
        matchingPrecedence: 9_999,
        priorityLevelConfiguration: { name: 'global-default' },
        rules: [
          {
            subjects: [{ kind: 'User', user: { name: 'nobody' } }],
            nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }],
          },
        ],
      },
    },
  ],
  [
    'customresourcedefinitions',
    {
      metadata: { name: 'as.example.org' },
      spec: {
        group: 'example.org',
        names: { plural: 'as', kind: 'A' },
        scope: 'Namespaced',
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: { spec: { type: 'object', 'x-kubernetes-validations': [{ rule: 'self == self' }] } },
              },
            },
          },
        ],
      },
    },
  ],
  ['tokenreviews', { spec: { token: 'x.y.z' } }],
  ['subjectaccessreviews', { spec: { user: 'jane', resourceAttributes: ATTRIBUTES } }],
  ['selfsubjectaccessreviews', { spec: { resourceAttributes: ATTRIBUTES } }],
  ['localsubjectaccessreviews', { spec: { user: 'jane', resourceAttributes: ATTRIBUTES } }],
  ['selfsubjectrulesreviews', { spec: { namespace: 'default' } }],
  ['bindings', { target: { kind: 'Node', name: 'a' } }],
]);

/** undefined: none is kept here. */
export function seedOf(kind: KindInfo): object | undefined {
  const seed = SEEDS.get(kind.resource);
  if (seed === undefined) return undefined;
  const metadata = { name: 'a', ...(kind.namespaced ? { namespace: 'default' } : {}) };
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata, ...seed };
}
