/** Rows of nodes, namespaces, events, configuration and access kinds. Source: kubernetes/pkg/printers/internalversion/printers.go. */
import { Kinds } from '../gen/kinds.ts';
import type { CertificateSigningRequest } from '../gen/types/certificates-v1.ts';
import type { Node, ResourceQuota } from '../gen/types/core-v1.ts';
import type { RoleRef, Subject } from '../gen/types/rbac-v1.ts';
import { ageText, durationText, getCondition, isConditionTrue } from '../meta.ts';
import type { DeepReadonly } from '../object.ts';
import { type CellContext, NONE, orNone, ownColumns, type Printer, printer } from './printer.ts';

const ROLE_LABEL = 'node-role.kubernetes.io/';

const eventPrinters: readonly Printer[] = [
  printer(Kinds.events, 'event', (o, c) =>
    eventCells(
      {
        name: o.metadata.name,
        type: o.type,
        reason: o.reason,
        message: o.message,
        subject: o.involvedObject,
        source: [o.source?.component, o.source?.host],
        reporter: [o.reportingComponent, o.reportingInstance],
        first: o.firstTimestamp || o.eventTime,
        last: o.series?.lastObservedTime ?? o.lastTimestamp,
        count: o.series?.count ?? o.count,
      },
      c,
    ),
  ),
  printer(Kinds.eventsV1Events, 'event', (o, c) =>
    eventCells(
      {
        name: o.metadata.name,
        type: o.type,
        reason: o.reason,
        message: o.note,
        subject: o.regarding ?? {},
        source: [o.deprecatedSource?.component, o.deprecatedSource?.host],
        reporter: [o.reportingController, o.reportingInstance],
        first: o.deprecatedFirstTimestamp || o.eventTime,
        last: o.series?.lastObservedTime ?? o.deprecatedLastTimestamp,
        count: o.series?.count ?? o.deprecatedCount,
      },
      c,
    ),
  ),
];

interface EventFacts {
  readonly name: string;
  readonly type: string | undefined;
  readonly reason: string | undefined;
  readonly message: string | undefined;
  readonly subject: {
    readonly kind?: string | undefined;
    readonly name?: string | undefined;
    readonly fieldPath?: string | undefined;
  };
  readonly source: readonly (string | undefined)[];
  readonly reporter: readonly (string | undefined)[];
  readonly first: string | undefined;
  readonly last: string | undefined;
  readonly count: number | undefined;
}

function eventCells(e: EventFacts, c: CellContext): unknown[] {
  const first = ageText(c.nowMs, e.first);
  const kind = (e.subject.kind ?? '').toLowerCase();
  const from = e.source[0] ? e.source : e.reporter;
  return [
    e.last ? ageText(c.nowMs, e.last) : first,
    e.type ?? '',
    e.reason ?? '',
    e.subject.name ? `${kind}/${e.subject.name}` : kind,
    e.subject.fieldPath ?? '',
    from.filter((x) => x !== undefined && x !== '').join(', '),
    (e.message ?? '').trim(),
    first,
    e.count || 1,
    e.name,
  ];
}

const accessPrinters: readonly Printer[] = [
  printer(Kinds.rolebindings, 'roleBindings', (o, c) => [o.metadata.name, ...bindingCells(o, c)]),
  printer(Kinds.clusterrolebindings, 'clusterRoleBindings', (o, c) => [o.metadata.name, ...bindingCells(o, c)]),
  printer(Kinds.certificatesigningrequests, 'certificateSigningRequest', (o, c) => [
    o.metadata.name,
    c.age(o.metadata.creationTimestamp),
    o.spec.signerName,
    o.spec.username ?? '',
    o.spec.expirationSeconds === undefined ? NONE : durationText(o.spec.expirationSeconds * 1000),
    csrConditions(o),
  ]),
];

function bindingCells(
  o: DeepReadonly<{
    roleRef: RoleRef;
    subjects?: Subject[] | undefined;
    metadata: { creationTimestamp?: string | undefined };
  }>,
  c: CellContext,
): string[] {
  const names = (kind: string): string =>
    (o.subjects ?? [])
      .filter((s) => s.kind === kind)
      .map((s) => (kind === 'ServiceAccount' ? `${s.namespace ?? ''}/${s.name}` : s.name))
      .join(', ');
  return [
    `${o.roleRef.kind}/${o.roleRef.name}`,
    c.age(o.metadata.creationTimestamp),
    names('User'),
    names('Group'),
    names('ServiceAccount'),
  ];
}

function csrConditions(csr: DeepReadonly<CertificateSigningRequest>): string {
  const types = (csr.status?.conditions ?? []).map((x) => x.type);
  if (types.length === 0) return 'Pending';
  const shown: string[] = types.filter((t) => t === 'Approved' || t === 'Denied' || t === 'Failed');
  if (csr.status?.certificate) shown.push('Issued');
  return shown.join(',');
}

export const clusterPrinters: readonly Printer[] = [
  ...eventPrinters,
  ...accessPrinters,
  printer(Kinds.nodes, 'node', (o, c) => {
    const info = o.status?.nodeInfo;
    return [
      o.metadata.name,
      nodeStatus(o),
      orNone(nodeRoles(o).join(',')),
      c.age(o.metadata.creationTimestamp),
      info?.kubeletVersion ?? '',
      nodeAddress(o, 'InternalIP'),
      nodeAddress(o, 'ExternalIP'),
      info?.osImage || '<unknown>',
      info?.kernelVersion || '<unknown>',
      info?.containerRuntimeVersion || '<unknown>',
    ];
  }),
  printer(Kinds.namespaces, 'namespace', (o, c) => [
    o.metadata.name,
    o.status?.phase ?? '',
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.configmaps, 'configMap', (o, c) => [
    o.metadata.name,
    Object.keys(o.data ?? {}).length + Object.keys(o.binaryData ?? {}).length,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.secrets, 'secret', (o, c) => [
    o.metadata.name,
    o.type ?? '',
    Object.keys(o.data ?? {}).length,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.serviceaccounts, 'serviceAccount', (o, c) => [o.metadata.name, c.age(o.metadata.creationTimestamp)]),
  printer(Kinds.leases, 'lease', (o, c) => [
    o.metadata.name,
    o.spec?.holderIdentity ?? '',
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.resourcequotas, 'resourceQuota', (o, c) => [
    o.metadata.name,
    quotaText(o, false),
    quotaText(o, true),
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.priorityclasses, 'priorityClass', (o, c) => [
    o.metadata.name,
    o.value,
    o.globalDefault ?? false,
    c.age(o.metadata.creationTimestamp),
    o.preemptionPolicy ?? 'PreemptLowerPriority',
  ]),
  printer(Kinds.runtimeclasses, 'runtimeClass', (o, c) => [
    o.metadata.name,
    o.handler,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.componentstatuses, 'componentStatus', (o) => {
    const healthy = getCondition(o.conditions, 'Healthy');
    const text = healthy === undefined ? 'Unknown' : healthy.status === 'True' ? 'Healthy' : 'Unhealthy';
    return [o.metadata.name, text, healthy?.message ?? '', healthy?.error ?? ''];
  }),
  printer(Kinds.apiservices, ownColumns('Service', 'Available', 'Age'), (o, c) => {
    const service = o.spec?.service;
    const available = getCondition(o.status?.conditions, 'Available');
    const reason = available?.reason === undefined || available.status === 'True' ? '' : ` (${available.reason})`;
    return [
      o.metadata.name,
      service === undefined ? 'Local' : `${service.namespace ?? ''}/${service.name ?? ''}`,
      `${available?.status ?? 'Unknown'}${reason}`,
      c.age(o.metadata.creationTimestamp),
    ];
  }),
  printer(Kinds.mutatingwebhookconfigurations, 'mutatingWebhook', (o, c) => [
    o.metadata.name,
    o.webhooks?.length ?? 0,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.validatingwebhookconfigurations, 'validatingWebhook', (o, c) => [
    o.metadata.name,
    o.webhooks?.length ?? 0,
    c.age(o.metadata.creationTimestamp),
  ]),
];

function nodeStatus(node: DeepReadonly<Node>): string {
  const ready = getCondition(node.status?.conditions, 'Ready');
  const text = ready === undefined ? 'Unknown' : isConditionTrue([ready], 'Ready') ? 'Ready' : 'NotReady';
  return node.spec?.unschedulable ? `${text},SchedulingDisabled` : text;
}

function nodeRoles(node: DeepReadonly<Node>): string[] {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    const role = key.startsWith(ROLE_LABEL) ? key.slice(ROLE_LABEL.length) : key === 'kubernetes.io/role' ? value : '';
    if (role !== '') roles.add(role);
  }
  return [...roles].sort();
}

function nodeAddress(node: DeepReadonly<Node>, type: string): string {
  return orNone(node.status?.addresses?.find((a) => a.type === type)?.address);
}

/** `cpu: 1/2, memory: 1Gi/4Gi`: what is used of what is allowed, for requests and counts or for limits. */
function quotaText(quota: DeepReadonly<ResourceQuota>, limits: boolean): string {
  const { hard = {}, used = {} } = quota.status ?? {};
  return Object.keys(hard)
    .filter((name) => name.startsWith('limits.') === limits)
    .sort()
    .map((name) => `${name}: ${used[name] ?? '0'}/${hard[name]}`)
    .join(', ');
}
