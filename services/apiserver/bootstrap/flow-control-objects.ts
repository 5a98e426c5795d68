/**
 * The FlowSchemas and PriorityLevelConfigurations that every cluster has. Mandatory ones are always as here; suggested ones
 * may be changed (annotation `apf.kubernetes.io/autoupdate-spec: "false"`).
 * Source: k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go.
 */
import {
  apiVersionOf,
  type FlowSchema,
  type FlowSchemaSpec,
  Kinds,
  type PolicyRulesWithSubjects,
  type PriorityLevelConfiguration,
  type PriorityLevelConfigurationSpec,
  type ResourcePolicyRule,
} from '#lib/api';

type Subject = PolicyRulesWithSubjects['subjects'][number];

export const AUTO_UPDATE = 'apf.kubernetes.io/autoupdate-spec';

const NODES = groups('system:nodes');
const EVERYONE = groups('system:unauthenticated', 'system:authenticated');
const LOCKING_VERBS = ['get', 'create', 'update'];
const MANAGER = 'system:kube-controller-manager';
const SCHEDULER = 'system:kube-scheduler';

export function mandatoryLevels(): PriorityLevelConfiguration[] {
  return [
    level('exempt', { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } }),
    level('catch-all', {
      type: 'Limited',
      limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: 'Reject' } },
    }),
  ];
}

export function mandatorySchemas(): FlowSchema[] {
  return [
    schema('exempt', 'exempt', { precedence: 1, rules: [everything(groups('system:masters'))] }),
    schema('catch-all', 'catch-all', { precedence: 10_000, by: 'ByUser', rules: [everything(EVERYONE)] }),
  ];
}

export function suggestedLevels(): PriorityLevelConfiguration[] {
  return [
    queued('system', { shares: 30, lendable: 33, queues: 64, handSize: 6 }),
    queued('node-high', { shares: 40, lendable: 25, queues: 64, handSize: 6 }),
    queued('leader-election', { shares: 10, lendable: 0, queues: 16, handSize: 4 }),
    queued('workload-high', { shares: 40, lendable: 50, queues: 128, handSize: 6 }),
    queued('workload-low', { shares: 100, lendable: 90, queues: 128, handSize: 6 }),
    queued('global-default', { shares: 20, lendable: 50, queues: 128, handSize: 6 }),
  ];
}

export function suggestedSchemas(): FlowSchema[] {
  const leases = resourceRule(LOCKING_VERBS, 'coordination.k8s.io', ['leases']);
  const endpoints = resourceRule(LOCKING_VERBS, '', ['endpoints']);
  const nodeRules = [
    { ...resourceRule(['*'], '', ['nodes', 'nodes/status']), clusterScope: true },
    resourceRule(['*'], 'coordination.k8s.io', ['leases']),
  ];
  const endpointAccounts = accounts('endpoint-controller', 'endpointslicemirroring-controller');
  const locking = [...users(MANAGER, SCHEDULER), ...accounts('*')];
  const probes = { verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] };
  return [
    schema('system-nodes', 'system', { precedence: 500, by: 'ByUser', rules: [everything(NODES)] }),
    schema('system-node-high', 'node-high', {
      precedence: 400,
      by: 'ByUser',
      rules: [{ subjects: NODES, resourceRules: nodeRules }],
    }),
    schema('probes', 'exempt', { precedence: 2, rules: [{ subjects: EVERYONE, nonResourceRules: [probes] }] }),
    schema('system-leader-election', 'leader-election', {
      precedence: 100,
      by: 'ByUser',
      rules: [{ subjects: locking, resourceRules: [leases] }],
    }),
    schema('workload-leader-election', 'leader-election', {
      precedence: 200,
      by: 'ByUser',
      rules: [{ subjects: accounts('*'), resourceRules: [leases] }],
    }),
    schema('endpoint-controller', 'workload-high', {
      precedence: 150,
      by: 'ByUser',
      rules: [{ subjects: [...users(MANAGER), ...endpointAccounts], resourceRules: [endpoints] }],
    }),
    schema('kube-controller-manager', 'workload-high', {
      precedence: 800,
      by: 'ByNamespace',
      rules: [everything(users(MANAGER))],
    }),
    schema('kube-scheduler', 'workload-high', {
      precedence: 800,
      by: 'ByNamespace',
      rules: [everything(users(SCHEDULER))],
    }),
    schema('kube-system-service-accounts', 'workload-high', {
      precedence: 900,
      by: 'ByNamespace',
      rules: [everything(accounts('*'))],
    }),
    schema('service-accounts', 'workload-low', {
      precedence: 9_000,
      by: 'ByUser',
      rules: [everything(groups('system:serviceaccounts'))],
    }),
    schema('global-default', 'global-default', { precedence: 9_900, by: 'ByUser', rules: [everything(EVERYONE)] }),
  ];
}

function queued(
  name: string,
  o: { shares: number; lendable: number; queues: number; handSize: number },
): PriorityLevelConfiguration {
  const queuing = { queues: o.queues, handSize: o.handSize, queueLengthLimit: 50 };
  return level(name, {
    type: 'Limited',
    limited: {
      nominalConcurrencyShares: o.shares,
      lendablePercent: o.lendable,
      limitResponse: { type: 'Queue', queuing },
    },
  });
}

function level(name: string, spec: PriorityLevelConfigurationSpec): PriorityLevelConfiguration {
  const { kind } = Kinds.prioritylevelconfigurations;
  const metadata = { name, annotations: { [AUTO_UPDATE]: 'true' } };
  return { apiVersion: apiVersionOf(Kinds.prioritylevelconfigurations), kind, metadata, spec };
}

function schema(
  name: string,
  levelName: string,
  o: { precedence: number; by?: 'ByUser' | 'ByNamespace'; rules: PolicyRulesWithSubjects[] },
): FlowSchema {
  const spec: FlowSchemaSpec = {
    priorityLevelConfiguration: { name: levelName },
    matchingPrecedence: o.precedence,
    ...(o.by === undefined ? {} : { distinguisherMethod: { type: o.by } }),
    rules: o.rules,
  };
  const metadata = { name, annotations: { [AUTO_UPDATE]: 'true' } };
  return { apiVersion: apiVersionOf(Kinds.flowschemas), kind: Kinds.flowschemas.kind, metadata, spec };
}

function everything(subjects: Subject[]): PolicyRulesWithSubjects {
  return {
    subjects,
    resourceRules: [{ ...resourceRule(['*'], '*', ['*']), clusterScope: true }],
    nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
  };
}

function resourceRule(verbs: string[], group: string, resources: string[]): ResourcePolicyRule {
  return { verbs, apiGroups: [group], resources, namespaces: ['*'] };
}

function groups(...names: string[]): Subject[] {
  return names.map((name) => ({ kind: 'Group', group: { name } }));
}

function users(...names: string[]): Subject[] {
  return names.map((name) => ({ kind: 'User', user: { name } }));
}

/** Of kube-system. */
function accounts(...names: string[]): Subject[] {
  return names.map((name) => ({ kind: 'ServiceAccount', serviceAccount: { namespace: 'kube-system', name } }));
}
