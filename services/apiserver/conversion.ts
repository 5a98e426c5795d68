/**
 * Versions of one stored object: events.k8s.io/v1 events are core events, autoscaling/v1 autoscalers are v2 ones. All other
 * kinds have one version. What an older version cannot say travels in annotations, so that reading and writing back in it
 * loses nothing. Source: pkg/apis/events/v1/conversion.go, pkg/apis/autoscaling/v1/conversion.go.
 */
import { apiVersionOf, type DeepReadonly, type KindInfo, type KubeObject } from '#lib/api';
import { type Cached, encodeStored } from './cache/cached.ts';

type Fields = Record<string, unknown>;

interface Converter {
  toStored(o: Fields): Fields;
  fromStored(o: Fields): Fields;
}

/** By `group/version/resource` of the version that is not stored. */
const CONVERTERS: Readonly<Record<string, Converter>> = {
  'events.k8s.io/v1/events': { toStored: coreEvent, fromStored: newEvent },
  'autoscaling/v1/horizontalpodautoscalers': { toStored: autoscalerV2, fromStored: autoscalerV1 },
};

export function isConverted(info: KindInfo, stored: KindInfo): boolean {
  return info.group !== stored.group || info.version !== stored.version;
}

/** Takes the draft over. */
export function toStored(info: KindInfo, stored: KindInfo, object: KubeObject): KubeObject {
  if (!isConverted(info, stored)) return object;
  const fields = converterOf(info)?.toStored(object as unknown as Fields) ?? object;
  return { ...fields, metadata: metadataOf(fields), apiVersion: apiVersionOf(stored), kind: stored.kind };
}

export function fromStored(
  info: KindInfo,
  stored: KindInfo,
  object: DeepReadonly<KubeObject>,
): DeepReadonly<KubeObject> {
  if (!isConverted(info, stored)) return object;
  const fields = converterOf(info)?.fromStored(object as unknown as Fields) ?? object;
  return { ...fields, metadata: metadataOf(fields), apiVersion: apiVersionOf(info), kind: info.kind };
}

/** With bytes of its own: those that are stored are of another version. */
export function cachedFromStored(info: KindInfo, stored: KindInfo, cached: Cached): Cached {
  if (!isConverted(info, stored)) return cached;
  const object = fromStored(info, stored, cached.object);
  return { ...cached, object, bytes: encodeStored(object as KubeObject) };
}

function converterOf(info: KindInfo): Converter | undefined {
  return CONVERTERS[`${info.group}/${info.version}/${info.resource}`];
}

function metadataOf(o: object): KubeObject['metadata'] {
  return (o as KubeObject).metadata;
}

/** [events.k8s.io name, core name]; all other fields are called the same. */
const EVENT_FIELDS: readonly (readonly [string, string])[] = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
];
const TO_CORE = new Map(EVENT_FIELDS);
const FROM_CORE = new Map(EVENT_FIELDS.map(([a, b]) => [b, a]));

function coreEvent(o: Fields): Fields {
  return renamed(o, TO_CORE);
}

function newEvent(o: Fields): Fields {
  return renamed(o, FROM_CORE);
}

function renamed(o: Fields, names: ReadonlyMap<string, string>): Fields {
  return Object.fromEntries(Object.entries(o).map(([k, v]) => [names.get(k) ?? k, v]));
}

const METRICS = 'autoscaling.alpha.kubernetes.io/metrics';
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior';
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions';
const CURRENT_METRICS = 'autoscaling.alpha.kubernetes.io/current-metrics';

interface Metric {
  type?: string;
  resource?: { name?: string; target?: { type?: string; averageUtilization?: number }; current?: Fields };
}

function autoscalerV2(o: Fields): Fields {
  const { annotations, kept } = takeAnnotations(o, [METRICS, BEHAVIOR, CONDITIONS, CURRENT_METRICS]);
  const { targetCPUUtilizationPercentage: percent, ...spec } = (o['spec'] ?? {}) as Fields;
  const { currentCPUUtilizationPercentage: current, ...status } = (o['status'] ?? {}) as Fields;
  const cpu = (key: 'target' | 'current', value: Fields): Metric => ({
    type: 'Resource',
    resource: { name: 'cpu', [key]: value },
  });
  const metrics = [
    ...(percent === undefined ? [] : [cpu('target', { type: 'Utilization', averageUtilization: percent })]),
    ...((kept[METRICS] as Metric[] | undefined) ?? []),
  ];
  const currentMetrics = [
    ...(current === undefined ? [] : [cpu('current', { averageUtilization: current })]),
    ...((kept[CURRENT_METRICS] as Metric[] | undefined) ?? []),
  ];
  return {
    ...o,
    metadata: { ...withoutAnnotations(o['metadata'] as Fields), ...annotations },
    spec: { ...spec, ...(metrics.length > 0 ? { metrics } : {}), ...optional('behavior', kept[BEHAVIOR]) },
    ...(o['status'] === undefined
      ? {}
      : {
          status: {
            ...status,
            ...(currentMetrics.length > 0 ? { currentMetrics } : {}),
            ...optional('conditions', kept[CONDITIONS]),
          },
        }),
  };
}

function autoscalerV1(o: Fields): Fields {
  const { metrics: metricsOrNull, behavior, ...spec } = (o['spec'] ?? {}) as Fields;
  const { currentMetrics: currentOrNull, conditions, ...status } = (o['status'] ?? {}) as Fields;
  // Go writes an absent list of these as null.
  const metrics = (metricsOrNull ?? []) as readonly Metric[];
  const currentMetrics = (currentOrNull ?? []) as readonly Metric[];
  const cpu = metrics.find((m) => isCpu(m) && m.resource?.target?.type === 'Utilization');
  const currentCpu = currentMetrics.find(isCpu);
  const others = metrics.filter((m) => m !== cpu);
  const otherCurrent = currentMetrics.filter((m) => m !== currentCpu);
  const metadata = o['metadata'] as Fields & { annotations?: Record<string, string> };
  const annotations = {
    ...metadata.annotations,
    ...(others.length > 0 ? { [METRICS]: JSON.stringify(others) } : {}),
    ...(otherCurrent.length > 0 ? { [CURRENT_METRICS]: JSON.stringify(otherCurrent) } : {}),
    ...(behavior === undefined || behavior === null ? {} : { [BEHAVIOR]: JSON.stringify(behavior) }),
    ...(conditions === undefined || conditions === null ? {} : { [CONDITIONS]: JSON.stringify(conditions) }),
  };
  const current = (currentCpu?.resource?.current as { averageUtilization?: number } | undefined)?.averageUtilization;
  return {
    ...o,
    metadata: { ...metadata, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) },
    spec: { ...spec, ...optional('targetCPUUtilizationPercentage', cpu?.resource?.target?.averageUtilization) },
    ...(o['status'] === undefined
      ? {}
      : { status: { ...status, ...optional('currentCPUUtilizationPercentage', current) } }),
  };
}

function isCpu(m: Metric): boolean {
  return m.type === 'Resource' && m.resource?.name === 'cpu';
}

function optional(name: string, value: unknown): Fields {
  return value === undefined ? {} : { [name]: value };
}

/** The parsed values of our annotations, and the metadata fields without them. */
function takeAnnotations(o: Fields, names: readonly string[]): { annotations: Fields; kept: Fields } {
  const all = (o['metadata'] as { annotations?: Record<string, string> }).annotations ?? {};
  const kept: Fields = {};
  const rest: Record<string, string> = {};
  for (const [key, value] of Object.entries(all)) {
    if (!names.includes(key)) rest[key] = value;
    else kept[key] = parsed(value);
  }
  const isEmpty = Object.keys(rest).length === 0;
  return { annotations: isEmpty ? {} : { annotations: rest }, kept };
}

function withoutAnnotations({ annotations: _, ...metadata }: Fields): Fields {
  return metadata;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A client wrote something else under our name: dropped, as Kubernetes does.
    return undefined;
  }
}
