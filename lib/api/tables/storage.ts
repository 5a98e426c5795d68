/** Rows of volumes, storage classes, devices, autoscalers and flow control. Source: kubernetes/pkg/printers/internalversion/printers.go. */
import { Kinds } from '../gen/kinds.ts';
import type {
  HorizontalPodAutoscaler,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from '../gen/types/autoscaling-v2.ts';
import type { DeepReadonly } from '../object.ts';
import { NONE, orUnset, type Printer, printer } from './printer.ts';

const ACCESS_MODES: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};
const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';
const DEFAULT_CLASS_BETA = 'storageclass.beta.kubernetes.io/is-default-class';

/** In a fixed order, doubles removed: `RWO,ROX`. */
function accessModes(modes: readonly string[] | undefined): string {
  return Object.entries(ACCESS_MODES)
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(',');
}

const volumes: readonly Printer[] = [
  printer(Kinds.persistentvolumes, 'persistentVolume', (o, c) => {
    const claim = o.spec?.claimRef;
    return [
      o.metadata.name,
      o.spec?.capacity?.['storage'] ?? '',
      accessModes(o.spec?.accessModes),
      o.spec?.persistentVolumeReclaimPolicy ?? '',
      o.metadata.deletionTimestamp ? 'Terminating' : (o.status?.phase ?? ''),
      claim === undefined ? '' : `${claim.namespace ?? ''}/${claim.name ?? ''}`,
      o.spec?.storageClassName ?? '',
      orUnset(o.spec?.volumeAttributesClassName),
      o.status?.reason ?? '',
      c.age(o.metadata.creationTimestamp),
      orUnset(o.spec?.volumeMode),
    ];
  }),
  printer(Kinds.persistentvolumeclaims, 'persistentVolumeClaim', (o, c) => {
    const bound = (o.spec?.volumeName ?? '') !== '';
    return [
      o.metadata.name,
      o.metadata.deletionTimestamp ? 'Terminating' : (o.status?.phase ?? ''),
      o.spec?.volumeName ?? '',
      bound ? (o.status?.capacity?.['storage'] ?? '0') : '',
      bound ? accessModes(o.status?.accessModes) : '',
      o.metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? o.spec?.storageClassName ?? '',
      orUnset(o.spec?.volumeAttributesClassName),
      c.age(o.metadata.creationTimestamp),
      orUnset(o.spec?.volumeMode),
    ];
  }),
  printer(Kinds.storageclasses, 'storageClass', (o, c) => {
    const { annotations } = o.metadata;
    const isDefault = annotations?.[DEFAULT_CLASS] === 'true' || annotations?.[DEFAULT_CLASS_BETA] === 'true';
    return [
      isDefault ? `${o.metadata.name} (default)` : o.metadata.name,
      o.provisioner,
      o.reclaimPolicy ?? 'Delete',
      o.volumeBindingMode ?? 'Immediate',
      o.allowVolumeExpansion ?? false,
      c.age(o.metadata.creationTimestamp),
    ];
  }),
  printer(Kinds.volumeattributesclasses, 'volumeAttributesClass', (o, c) => [
    o.metadata.name,
    o.driverName,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.volumeattachments, 'volumeAttachment', (o, c) => [
    o.metadata.name,
    o.spec.attacher,
    o.spec.source.persistentVolumeName ?? '',
    o.spec.nodeName,
    o.status?.attached ?? false,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.csinodes, 'csiNode', (o, c) => [
    o.metadata.name,
    // null where none was given: the list must be there, and Go says it so.
    o.spec.drivers?.length ?? 0,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.csidrivers, 'csiDriver', (o) => [
    o.metadata.name,
    o.spec.attachRequired ?? true,
    o.spec.podInfoOnMount ?? false,
    o.spec.storageCapacity ?? false,
  ]),
  printer(Kinds.csistoragecapacities, 'csiStorageCapacity', (o) => [
    o.metadata.name,
    o.storageClassName,
    o.capacity ?? '',
  ]),
];

const devices: readonly Printer[] = [
  printer(Kinds.deviceclasses, 'deviceClass', (o, c) => [o.metadata.name, c.age(o.metadata.creationTimestamp)]),
  printer(Kinds.resourceclaimtemplates, 'resourceClaimTemplate', (o, c) => [
    o.metadata.name,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.resourceclaims, 'resourceClaim', (o, c) => {
    const states = [
      ...(o.metadata.deletionTimestamp ? ['deleted'] : []),
      ...(o.status?.allocation === undefined ? [] : ['allocated']),
      ...((o.status?.reservedFor ?? []).length > 0 ? ['reserved'] : []),
    ];
    return [o.metadata.name, states.join(',') || 'pending', c.age(o.metadata.creationTimestamp)];
  }),
  printer(Kinds.resourceslices, 'nodeResourceSlice', (o, c) => [
    o.metadata.name,
    o.spec.nodeName ?? '',
    o.spec.driver,
    o.spec.pool.name,
    c.age(o.metadata.creationTimestamp),
  ]),
];

export const otherPrinters: readonly Printer[] = [
  ...volumes,
  ...devices,
  printer(Kinds.horizontalpodautoscalers, 'horizontalPodAutoscaler', (o, c) => [
    o.metadata.name,
    `${o.spec?.scaleTargetRef.kind}/${o.spec?.scaleTargetRef.name}`,
    hpaTargets(o),
    o.spec?.minReplicas === undefined ? '<unset>' : `${o.spec.minReplicas}`,
    o.spec?.maxReplicas ?? 0,
    o.status?.currentReplicas ?? 0,
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.horizontalpodautoscalersV1, 'horizontalPodAutoscaler', (o, c) => {
    const now = o.status?.currentCPUUtilizationPercentage;
    const target = o.spec?.targetCPUUtilizationPercentage;
    return [
      o.metadata.name,
      `${o.spec?.scaleTargetRef.kind}/${o.spec?.scaleTargetRef.name}`,
      target === undefined ? NONE : `cpu: ${now === undefined ? '<unknown>' : `${now}%`}/${target}%`,
      o.spec?.minReplicas === undefined ? '<unset>' : `${o.spec.minReplicas}`,
      o.spec?.maxReplicas ?? 0,
      o.status?.currentReplicas ?? 0,
      c.age(o.metadata.creationTimestamp),
    ];
  }),
  printer(Kinds.flowschemas, 'flowSchema', (o, c) => {
    const dangling = o.status?.conditions?.find((x) => x.type === 'Dangling');
    return [
      o.metadata.name,
      o.spec?.priorityLevelConfiguration.name ?? '',
      `${o.spec?.matchingPrecedence ?? 0}`,
      o.spec?.distinguisherMethod?.type ?? NONE,
      c.age(o.metadata.creationTimestamp),
      dangling?.status ?? '?',
    ];
  }),
  printer(Kinds.prioritylevelconfigurations, 'priorityLevel', (o, c) => {
    const { limited, exempt } = o.spec ?? {};
    const queuing = limited?.limitResponse?.queuing;
    return [
      o.metadata.name,
      o.spec?.type ?? '',
      `${limited?.nominalConcurrencyShares ?? exempt?.nominalConcurrencyShares ?? NONE}`,
      `${queuing?.queues ?? NONE}`,
      `${queuing?.handSize ?? NONE}`,
      `${queuing?.queueLengthLimit ?? NONE}`,
      c.age(o.metadata.creationTimestamp),
    ];
  }),
];

/** At most two metrics are spelled out: `cpu: 12%/80%, memory: 20Mi/1Gi + 1 more...` */
function hpaTargets(hpa: DeepReadonly<HorizontalPodAutoscaler>): string {
  const specs = hpa.spec?.metrics ?? [];
  if (specs.length === 0) return NONE;
  const texts = specs.map((spec, i) => metricText(spec, hpa.status?.currentMetrics?.[i]));
  const shown = texts.slice(0, 2).join(', ');
  return texts.length > 2 ? `${shown} + ${texts.length - 2} more...` : shown;
}

function metricText(spec: DeepReadonly<MetricSpec>, status: DeepReadonly<MetricStatus> | undefined): string {
  switch (spec.type) {
    case 'Resource':
      return `${spec.resource?.name}: ${ratio(spec.resource?.target, status?.resource?.current)}`;
    case 'ContainerResource':
      return `${spec.containerResource?.name}: ${ratio(spec.containerResource?.target, status?.containerResource?.current)}`;
    case 'Pods':
      return ratio(spec.pods?.target, status?.pods?.current);
    case 'Object':
      return ratio(spec.object?.target, status?.object?.current);
    case 'External':
      return ratio(spec.external?.target, status?.external?.current);
    default:
      return '<unknown type>';
  }
}

function ratio(
  target: DeepReadonly<MetricTarget> | undefined,
  current: DeepReadonly<MetricValueStatus> | undefined,
): string {
  if (target?.averageUtilization !== undefined)
    return `${current?.averageUtilization === undefined ? '<unknown>' : `${current.averageUtilization}%`}/${target.averageUtilization}%`;
  if (target?.averageValue !== undefined)
    return `${current?.averageValue ?? '<unknown>'}/${target.averageValue}${target.type === 'AverageValue' ? '' : ' (avg)'}`;
  return `${current?.value ?? '<unknown>'}/${target?.value ?? '<auto>'}`;
}
