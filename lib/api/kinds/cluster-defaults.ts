/**
 * Defaults of networking, RBAC, storage, admission registration and the other cluster-wide groups.
 * Source: pkg/apis/{networking,rbac,storage,scheduling,admissionregistration,authentication,apiextensions,apiregistration,resource}/v1/defaults.go.
 */
import type { RuleWithOperations } from '../gen/types/admissionregistration-v1.ts';
import type { CustomResourceDefinition } from '../gen/types/apiextensions-v1.ts';
import type { NetworkPolicy } from '../gen/types/networking-v1.ts';
import type { Subject } from '../gen/types/rbac-v1.ts';
import type { CSIDriver, StorageClass } from '../gen/types/storage-v1.ts';
import { applyDefinitionDefaults } from '../structural/definition/definition-defaults.ts';
import { type DefaultsTable, on } from './defaults-table.ts';

const RBAC_GROUP = 'rbac.authorization.k8s.io';

interface Shares {
  nominalConcurrencyShares?: number;
  lendablePercent?: number;
}

interface Webhook {
  failurePolicy?: string;
  matchPolicy?: string;
  namespaceSelector?: object;
  objectSelector?: object;
  timeoutSeconds?: number;
}

export const CLUSTER_DEFAULTS: DefaultsTable = {
  'networking/v1.NetworkPolicyPort': on<{ protocol?: string }>((p) => {
    p.protocol ??= 'TCP';
  }),
  'networking/v1.NetworkPolicy': on<NetworkPolicy>(({ spec }) => {
    if ((spec.policyTypes?.length ?? 0) > 0) return;
    spec.policyTypes = (spec.egress?.length ?? 0) > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  }),
  'networking/v1.IngressClassParametersReference': on<{ scope?: string }>((p) => {
    p.scope ??= 'Cluster';
  }),
  'rbac/v1.RoleRef': on<{ apiGroup?: string }>((ref) => {
    ref.apiGroup ||= RBAC_GROUP;
  }),
  'rbac/v1.Subject': on<Subject>((s) => {
    if (s.kind === 'User' || s.kind === 'Group') s.apiGroup ||= RBAC_GROUP;
  }),
  'storage/v1.StorageClass': on<StorageClass>((c) => {
    c.reclaimPolicy ??= 'Delete';
    c.volumeBindingMode ??= 'Immediate';
  }),
  'storage/v1.CSIDriver': on<CSIDriver>(({ spec }) => {
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
    if ((spec.volumeLifecycleModes?.length ?? 0) === 0) spec.volumeLifecycleModes = ['Persistent'];
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
  }),
  'scheduling/v1.PriorityClass': on<{ preemptionPolicy?: string }>((c) => {
    c.preemptionPolicy ??= 'PreemptLowerPriority';
  }),
  'admissionregistration/v1.ValidatingWebhook': on<Webhook>(defaultWebhook),
  'admissionregistration/v1.MutatingWebhook': on<Webhook & { reinvocationPolicy?: string }>((w) => {
    defaultWebhook(w);
    w.reinvocationPolicy ??= 'Never';
  }),
  'admissionregistration/v1.RuleWithOperations': on<RuleWithOperations>(defaultRule),
  'admissionregistration/v1.NamedRuleWithOperations': on<RuleWithOperations>(defaultRule),
  'admissionregistration/v1.ServiceReference': on<{ port?: number }>(defaultHttpsPort),
  'apiregistration/v1.ServiceReference': on<{ port?: number }>(defaultHttpsPort),
  'apiextensions/v1.ServiceReference': on<{ port?: number }>(defaultHttpsPort),
  'admissionregistration/v1.MatchResources': on<Webhook>((m) => {
    m.matchPolicy ??= 'Equivalent';
    m.namespaceSelector ??= {};
    m.objectSelector ??= {};
  }),
  'admissionregistration/v1.ValidatingAdmissionPolicySpec': on<Webhook>((s) => {
    s.failurePolicy ??= 'Fail';
  }),
  'admissionregistration/v1.MutatingAdmissionPolicySpec': on<Webhook>((s) => {
    s.failurePolicy ??= 'Fail';
  }),
  'authentication/v1.TokenRequestSpec': on<{ expirationSeconds?: number | null }>((s) => {
    s.expirationSeconds ??= 3600;
  }),
  'apiextensions/v1.CustomResourceDefinition': on<CustomResourceDefinition>((crd) => {
    Object.assign(crd, applyDefinitionDefaults(crd));
  }),
  'flowcontrol/v1.FlowSchemaSpec': on<{ matchingPrecedence?: number }>((s) => {
    s.matchingPrecedence ||= 1000;
  }),
  'flowcontrol/v1.ExemptPriorityLevelConfiguration': on<Shares>((l) => {
    l.nominalConcurrencyShares ??= 0;
    l.lendablePercent ??= 0;
  }),
  'flowcontrol/v1.LimitedPriorityLevelConfiguration': on<Shares>((l) => {
    l.nominalConcurrencyShares ??= 30;
    l.lendablePercent ??= 0;
  }),
  'flowcontrol/v1.QueuingConfiguration': on<{ queues?: number; handSize?: number; queueLengthLimit?: number }>((q) => {
    q.handSize ||= 8;
    q.queues ||= 64;
    q.queueLengthLimit ||= 50;
  }),
  'resource/v1.ExactDeviceRequest': on<{ allocationMode?: string; count?: number }>(defaultDeviceCount),
  'resource/v1.DeviceSubRequest': on<{ allocationMode?: string; count?: number }>(defaultDeviceCount),
};

function defaultWebhook(w: Webhook): void {
  w.failurePolicy ??= 'Fail';
  w.matchPolicy ??= 'Equivalent';
  w.namespaceSelector ??= {};
  w.objectSelector ??= {};
  w.timeoutSeconds ??= 10;
}

function defaultRule(r: RuleWithOperations): void {
  r.scope ??= '*';
}

function defaultHttpsPort(r: { port?: number }): void {
  r.port ??= 443;
}

function defaultDeviceCount(r: { allocationMode?: string; count?: number }): void {
  r.allocationMode ||= 'ExactCount';
  if (r.allocationMode === 'ExactCount') r.count ||= 1;
}
