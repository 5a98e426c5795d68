/** Defaults of the core kinds other than pods. Source: pkg/apis/core/v1/defaults.go. */
import type {
  LimitRangeItem,
  Namespace,
  NodeStatus,
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  ReplicationController,
  Secret,
  Service,
} from '../gen/types/core-v1.ts';
import type { EndpointPort } from '../gen/types/discovery-v1.ts';
import { type DefaultsTable, on } from './defaults-table.ts';
import { roundToMilli } from './pod-defaults.ts';

const NAME_LABEL = 'kubernetes.io/metadata.name';
const AFFINITY_TIMEOUT_SECONDS = 10_800;

export const CORE_DEFAULTS: DefaultsTable = {
  'core/v1.Namespace': on<Namespace>((ns) => {
    if (ns.metadata.name) ns.metadata.labels = { ...ns.metadata.labels, [NAME_LABEL]: ns.metadata.name };
  }),
  'core/v1.NamespaceStatus': on<{ phase?: string }>((s) => {
    s.phase ||= 'Active';
  }),
  'core/v1.NodeStatus': on<NodeStatus>((s) => {
    roundToMilli(s.capacity);
    roundToMilli(s.allocatable);
    if (s.capacity !== undefined) s.allocatable ??= { ...s.capacity };
  }),
  'core/v1.Secret': on<Secret>(defaultSecret),
  'core/v1.Service': on<Service>(defaultService),
  'core/v1.EndpointPort': on<{ protocol?: string }>((p) => {
    p.protocol ||= 'TCP';
  }),
  'discovery/v1.EndpointPort': on<EndpointPort>((p) => {
    p.name ??= '';
    p.protocol ??= 'TCP';
  }),
  'core/v1.PersistentVolume': on<PersistentVolume>((pv) => {
    pv.status = { ...pv.status, phase: pv.status?.phase || 'Pending' };
    pv.spec.persistentVolumeReclaimPolicy ||= 'Retain';
    pv.spec.volumeMode ??= 'Filesystem';
  }),
  'core/v1.PersistentVolumeClaim': on<PersistentVolumeClaim>((claim) => {
    claim.status = { ...claim.status, phase: claim.status?.phase || 'Pending' };
  }),
  'core/v1.PersistentVolumeClaimSpec': on<PersistentVolumeClaimSpec>((spec) => {
    spec.volumeMode ??= 'Filesystem';
  }),
  'core/v1.VolumeResourceRequirements': on<{ limits?: Record<string, string>; requests?: Record<string, string> }>(
    (r) => {
      roundToMilli(r.limits);
      roundToMilli(r.requests);
    },
  ),
  'core/v1.ReplicationController': on<ReplicationController>((rc) => {
    const labels = rc.spec.template?.metadata?.labels;
    if (labels === undefined) return;
    if (isEmpty(rc.spec.selector)) rc.spec.selector = { ...labels };
    if (isEmpty(rc.metadata.labels)) rc.metadata.labels = { ...labels };
  }),
  'core/v1.LimitRangeItem': on<LimitRangeItem>((item) => {
    for (const list of [item.max, item.min, item.default, item.defaultRequest, item.maxLimitRequestRatio])
      roundToMilli(list);
    if (item.type !== 'Container') return;
    const limits = { ...item.max, ...item.default };
    const requests = { ...item.min, ...limits, ...item.defaultRequest };
    if (!isEmpty(limits)) item.default = limits;
    if (!isEmpty(requests)) item.defaultRequest = requests;
  }),
};

function isEmpty(map: object | undefined): boolean {
  return map === undefined || Object.keys(map).length === 0;
}

/** stringData is write-only: it goes into data. */
function defaultSecret(secret: Secret): void {
  secret.type ||= 'Opaque';
  const { stringData } = secret;
  if (stringData === undefined) return;
  secret.data = { ...secret.data };
  for (const [key, text] of Object.entries(stringData)) secret.data[key] = Buffer.from(text, 'utf8').toString('base64');
  delete secret.stringData;
}

function defaultService({ spec, status }: Service): void {
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP' && typeof spec.sessionAffinityConfig?.clientIP?.timeoutSeconds !== 'number')
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: AFFINITY_TIMEOUT_SECONDS } };
  spec.type ||= 'ClusterIP';
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '') port.targetPort = port.port;
  }
  const isExternal =
    spec.type === 'LoadBalancer' ||
    spec.type === 'NodePort' ||
    (spec.type === 'ClusterIP' && (spec.externalIPs?.length ?? 0) > 0);
  if (isExternal) spec.externalTrafficPolicy ||= 'Cluster';
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster';
  if (spec.type !== 'LoadBalancer') return;
  spec.allocateLoadBalancerNodePorts ??= true;
  for (const ingress of status?.loadBalancer?.ingress ?? []) if (ingress.ip) ingress.ipMode ??= 'VIP';
}
