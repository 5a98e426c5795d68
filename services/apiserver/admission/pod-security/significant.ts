/** Which changes of a pod are judged, and what of other kinds is judged as a pod. Source: pod-security-admission/admission/admission.go. */
import type { DeepReadonly, KindInfo, KubeObject, Pod } from '#lib/api';
import type { AnyContainer, PodMetadata, Spec } from './check.ts';

/** Subresources of pods that change nothing a policy asks about. */
const IGNORED_SUBRESOURCES = new Set([
  'exec',
  'attach',
  'binding',
  'eviction',
  'log',
  'portforward',
  'proxy',
  'status',
]);

export function isJudgedSubresource(subresource: string): boolean {
  return !IGNORED_SUBRESOURCES.has(subresource);
}

/** Of a running pod little may change: only other images, or new ephemeral containers, need a new judgement. */
export function isSignificantUpdate(pod: DeepReadonly<Pod>, previous: DeepReadonly<Pod>): boolean {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const before = previous.spec;
  if (haveOtherImages(containers, before?.containers ?? [])) return true;
  if (haveOtherImages(initContainers, before?.initContainers ?? [])) return true;
  return ephemeralContainers.some((c) => {
    const known = before?.ephemeralContainers?.find((x) => x.name === c.name);
    return known === undefined || known.image !== c.image;
  });
}

function haveOtherImages(now: readonly AnyContainer[], before: readonly AnyContainer[]): boolean {
  return now.length !== before.length || now.some((c, i) => c.image !== before[i]?.image);
}

interface Template {
  readonly metadata?: PodMetadata | undefined;
  readonly spec?: Spec | undefined;
}

/** Where the kinds that make pods keep the pod's template. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  '/replicationcontrollers': ['spec', 'template'],
  '/podtemplates': ['template'],
  'apps/replicasets': ['spec', 'template'],
  'apps/deployments': ['spec', 'template'],
  'apps/statefulsets': ['spec', 'template'],
  'apps/daemonsets': ['spec', 'template'],
  'batch/jobs': ['spec', 'template'],
  'batch/cronjobs': ['spec', 'jobTemplate', 'spec', 'template'],
};

export function makesPods(kind: KindInfo): boolean {
  return Object.hasOwn(TEMPLATES, `${kind.group}/${kind.resource}`);
}

/** undefined when the object has no template (a ReplicationController may lack one). */
export function templateOf(kind: KindInfo, object: DeepReadonly<KubeObject>): Template | undefined {
  let at: unknown = object;
  for (const field of TEMPLATES[`${kind.group}/${kind.resource}`] ?? []) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[field];
  }
  return typeof at === 'object' && at !== null ? (at as Template) : undefined;
}
