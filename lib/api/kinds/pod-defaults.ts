/**
 * Defaults of pods and pod templates. Source: pkg/apis/core/v1/defaults.go; serviceAccount/serviceAccountName mirror each
 * other as pkg/apis/core/v1/conversion.go does.
 */
import type {
  Container,
  HostPathVolumeSource,
  HTTPGetAction,
  ImageVolumeSource,
  ObjectFieldSelector,
  Pod,
  PodSpec,
  Probe,
  ResourceRequirements,
  Volume,
} from '../gen/types/core-v1.ts';
import { compareQuantity, formatQuantity, milliQuantityOf, milliValue, parseQuantity } from '../quantity.ts';
import { type DefaultsTable, on } from './defaults-table.ts';

export const POD_DEFAULTS: DefaultsTable = {
  'core/v1.Pod': on<Pod>(defaultPod),
  'core/v1.PodSpec': on<PodSpec>(defaultPodSpec),
  'core/v1.Container': on<Container>(defaultContainer),
  'core/v1.EphemeralContainer': on<Container>(defaultContainer),
  'core/v1.Volume': on<Volume>(defaultVolume),
  'core/v1.ImageVolumeSource': on<ImageVolumeSource>((v) => {
    if (!v.pullPolicy) v.pullPolicy = pullPolicyOf(v.reference ?? '');
  }),
  'core/v1.Probe': on<Probe>((p) => {
    p.timeoutSeconds ||= 1;
    p.periodSeconds ||= 10;
    p.successThreshold ||= 1;
    p.failureThreshold ||= 3;
  }),
  'core/v1.HTTPGetAction': on<HTTPGetAction>((a) => {
    a.path ||= '/';
    a.scheme ||= 'HTTP';
  }),
  'core/v1.ObjectFieldSelector': on<ObjectFieldSelector>((s) => {
    s.apiVersion ||= 'v1';
  }),
  'core/v1.SecretVolumeSource': on<{ defaultMode?: number }>(defaultMode),
  'core/v1.ConfigMapVolumeSource': on<{ defaultMode?: number }>(defaultMode),
  'core/v1.DownwardAPIVolumeSource': on<{ defaultMode?: number }>(defaultMode),
  'core/v1.ProjectedVolumeSource': on<{ defaultMode?: number }>(defaultMode),
  'core/v1.ServiceAccountTokenProjection': on<{ expirationSeconds?: number }>((s) => {
    s.expirationSeconds ??= 3600;
  }),
  'core/v1.HostPathVolumeSource': on<HostPathVolumeSource>((v) => {
    v.type ??= '';
  }),
  'core/v1.ResourceRequirements': on<ResourceRequirements>((r) => {
    roundToMilli(r.limits);
    roundToMilli(r.requests);
  }),
};

/** Only on pods, not on templates: requests default to limits; host ports of the host network. */
function defaultPod(pod: Pod): void {
  const { spec } = pod;
  for (const c of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    if (c.resources?.limits !== undefined) c.resources.requests = { ...c.resources.limits, ...c.resources.requests };
    if (spec.hostNetwork) for (const port of c.ports ?? []) port.hostPort ||= port.containerPort;
  }
  if (spec.resources?.limits !== undefined)
    spec.resources.requests = { ...spec.resources.limits, ...spec.resources.requests };
  spec.enableServiceLinks ??= true;
}

function defaultPodSpec(spec: PodSpec): void {
  spec.dnsPolicy ||= 'ClusterFirst';
  spec.restartPolicy ||= 'Always';
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ||= 'default-scheduler';
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
}

function defaultContainer(c: Container): void {
  c.imagePullPolicy ||= pullPolicyOf(c.image ?? '');
  c.terminationMessagePath ||= '/dev/termination-log';
  c.terminationMessagePolicy ||= 'File';
}

/** A volume without a source is an emptyDir. */
function defaultVolume(v: Volume): void {
  for (const [key, source] of Object.entries(v)) if (key !== 'name' && source !== undefined && source !== null) return;
  v.emptyDir = {};
}

const IMAGE =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?\/)?[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*(?::([\w][\w.-]{0,127}))?(@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?$/;

/** Always for :latest, written or meant; IfNotPresent for another tag, a digest, or a name that cannot be parsed. */
function pullPolicyOf(image: string): string {
  const m = IMAGE.exec(image);
  if (m === null) return 'IfNotPresent';
  const tag = m[1] ?? (m[2] === undefined ? 'latest' : '');
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function defaultMode(v: { defaultMode?: number }): void {
  v.defaultMode ??= 0o644;
}

/** Amounts finer than a thousandth are rounded up. */
export function roundToMilli(list: Record<string, string> | undefined): void {
  for (const [name, text] of Object.entries(list ?? {})) {
    if (list === undefined || !/[nueE.]/.test(text)) continue;
    const exact = parseQuantity(text);
    const rounded = milliQuantityOf(milliValue(exact));
    if (compareQuantity(exact, rounded) !== 0) list[name] = formatQuantity(rounded);
  }
}
