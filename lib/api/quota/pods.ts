/** Pods in quotas. Source: pkg/quota/v1/evaluator/core/pods.go. */
import type { Container, Pod, PodAffinityTerm } from '../gen/types/core-v1.ts';
import { qosClassOf } from '../kinds/pod-qos.ts';
import type { DeepReadonly } from '../object.ts';
import { hasPodResources, podLimits, podRequests } from '../pod-resources.ts';
import type { Quantity } from '../quantity.ts';
import { type Amounts, amountsOf, isSameAmounts } from '../resource-amounts.ts';
import {
  matchesValue,
  ONE,
  type QuotaChange,
  type QuotaEvaluator,
  type QuotaObject,
  type ScopeRequirement,
} from './evaluator.ts';

type ReadPod = DeepReadonly<Pod>;

const COUNT = 'count/pods';
const COMPUTE = ['cpu', 'memory', 'ephemeral-storage'] as const;
const NAMES = new Set([COUNT, 'pods', ...COMPUTE.flatMap((r) => [r, `requests.${r}`, `limits.${r}`])]);
/** Kubernetes' own mistake, kept: a quota of these makes every container say them. */
const MUST_BE_SAID = new Set(['cpu', 'memory'].flatMap((r) => [r, `requests.${r}`, `limits.${r}`]));
const HUGE_PAGES = 'hugepages-';
const DEVICE_CLASS = 'deviceclass.resource.kubernetes.io/';
/** What is really in use counts while a resize is under way. */
const IN_USE = { usesStatus: true, hasOverhead: true };

export const podEvaluator: QuotaEvaluator = {
  counts: (name) =>
    NAMES.has(name) || name.startsWith(HUGE_PAGES) || name.startsWith(`requests.${HUGE_PAGES}`) || isExtended(name),
  handles: ({ operation, subresource, object, previous }: QuotaChange) => {
    if (subresource === 'resize') return operation === 'UPDATE';
    if (subresource !== '') return false;
    return (
      operation === 'CREATE' ||
      (previous !== undefined && isTerminating(podOf(previous)) !== isTerminating(podOf(object)))
    );
  },
  usage: (object, nowMs) => usage(podOf(object), nowMs),
  matchesScope: (requirement, object) => matchesScope(requirement, podOf(object)),
  missing: (limited, object) => missing(limited, podOf(object)),
  mayFree: (previous, next, nowMs) => {
    const [a, b] = [podOf(previous), podOf(next)];
    if (isTerminating(a) !== isTerminating(b)) return true;
    if (isCharged(a, nowMs) !== isCharged(b, nowMs)) return true;
    return !isSameAmounts(usage(a, nowMs), usage(b, nowMs));
  },
};

function podOf(object: QuotaObject): ReadPod {
  return object as ReadPod;
}

/** `requests.example.com/gpu`: of extended resources only requests can be limited. */
function isExtended(name: string): boolean {
  if (!name.startsWith('requests.')) return false;
  return name.startsWith(`requests.${DEVICE_CLASS}`) || (name.includes('/') && !name.includes('kubernetes.io/'));
}

/** count/pods is every stored pod, `pods` and all amounts only those that have not ended. */
function usage(pod: ReadPod, nowMs: number): Amounts {
  if (!isCharged(pod, nowMs)) return new Map([[COUNT, ONE]]);
  return new Map([[COUNT, ONE], ...computeUsage(podRequests(pod, IN_USE), podLimits(pod, IN_USE))]);
}

function computeUsage(requests: Amounts, limits: Amounts): Map<string, Quantity> {
  const out = new Map<string, Quantity>([['pods', ONE]]);
  for (const name of COMPUTE) {
    const request = requests.get(name);
    const limit = limits.get(name);
    if (request !== undefined) out.set(name, request).set(`requests.${name}`, request);
    if (limit !== undefined) out.set(`limits.${name}`, limit);
  }
  for (const [name, request] of requests) {
    if (name.startsWith(HUGE_PAGES)) out.set(name, request).set(`requests.${name}`, request);
    else if (isExtended(`requests.${name}`)) out.set(`requests.${name}`, request);
  }
  return out;
}

/** A pod on a lost node would be charged for ever: not beyond its grace. */
function isCharged(pod: ReadPod, nowMs: number): boolean {
  if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return false;
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return true;
  return nowMs <= Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

function isTerminating(pod: ReadPod): boolean {
  return (pod.spec.activeDeadlineSeconds ?? -1) >= 0;
}

function matchesScope(requirement: ScopeRequirement, pod: ReadPod): boolean {
  switch (requirement.scopeName) {
    case 'Terminating':
      return isTerminating(pod);
    case 'NotTerminating':
      return !isTerminating(pod);
    case 'BestEffort':
      return isBestEffort(pod);
    case 'NotBestEffort':
      return !isBestEffort(pod);
    case 'PriorityClass':
      return matchesValue(requirement, pod.spec.priorityClassName || undefined);
    case 'CrossNamespacePodAffinity':
      return affinityTerms(pod).some((t) => (t.namespaces ?? []).length > 0 || t.namespaceSelector !== undefined);
    default:
      return false;
  }
}

function isBestEffort(pod: ReadPod): boolean {
  return qosClassOf(pod.spec) === 'BestEffort';
}

function affinityTerms(pod: ReadPod): DeepReadonly<PodAffinityTerm>[] {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  return [podAffinity, podAntiAffinity].flatMap((a) => [
    ...(a?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(a?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((p) => p.podAffinityTerm),
  ]);
}

/** `must specify cpu for: a,b; memory for: a`. */
function missing(limited: readonly string[], pod: ReadPod): string | undefined {
  if (hasPodResources(pod)) return undefined;
  const required = limited.filter((name) => MUST_BE_SAID.has(name)).sort();
  const containers = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])];
  const texts = required.flatMap((name) => {
    const silent = containers.filter((c) => !says(c, name)).map((c) => c.name);
    return silent.length === 0 ? [] : [`${name} for: ${[...new Set(silent)].sort().join(',')}`];
  });
  return texts.length === 0 ? undefined : `must specify ${texts.join('; ')}`;
}

function says(container: DeepReadonly<Container>, name: string): boolean {
  const { requests, limits } = container.resources ?? {};
  return computeUsage(amountsOf(requests), amountsOf(limits)).has(name);
}
