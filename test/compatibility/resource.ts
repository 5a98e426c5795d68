/** What a probe needs to know of one resource: where it is, what Kubernetes says it can do, and good objects of it. */
import { type KindInfo, type KindRef, type KubeObject, kindByResource } from '#lib/api';
import { NAMES, VALID } from '../../lib/api/testing/valid-objects.ts';

export interface Resource {
  readonly kind: KindRef;
  readonly verbs: readonly string[];
  readonly subresources: readonly { readonly name: string; readonly verbs: readonly string[] }[];
  /** A good object, of another name for each n; undefined: of this kind nothing is created. */
  readonly object: ((n: number) => KubeObject) | undefined;
  /** What a writer of the status says, first by an update, then by a patch. */
  readonly status: readonly [object, object];
  /** What is said of it; absent: what roles.ts says. */
  readonly state?: string;
}

export const NAMESPACE = 'default';

export function builtIn(info: KindInfo): Resource {
  const value = VALID[info.schema];
  const { verbs, subresources } = info;
  const object = (n: number): KubeObject => {
    const name = NAMES[info.schema]?.(n) ?? `probe-${n}`;
    const metadata = { name, ...(info.namespaced ? { namespace: NAMESPACE } : {}) };
    return { metadata, ...structuredClone(value), ...(SPECIFIC[info.schema]?.(n) ?? {}) } as KubeObject;
  };
  const status = STATUS[info.schema] ?? [condition('Update'), condition('Patch')];
  return { kind: info, verbs, subresources, object: value === undefined ? undefined : object, status };
}

export function builtInKind(group: string, version: string, resource: string): KindInfo {
  const found = kindByResource(group, version, resource);
  if (found === undefined) throw new Error(`no ${resource} in ${group}/${version}`);
  return found;
}

export function keyOf(kind: KindRef, object: KubeObject): { namespace: string; name: string } {
  return { namespace: kind.namespaced ? NAMESPACE : '', name: object.metadata.name };
}

function condition(message: string): object {
  const lastTransitionTime = '2026-01-02T03:04:05Z';
  return { conditions: [{ type: 'Probed', status: 'True', reason: 'Probed', message, lastTransitionTime }] };
}

/** Kinds whose name stands in their spec too: the second one is another thing. */
const SPECIFIC: Readonly<Record<string, (n: number) => { metadata?: object; spec?: object }>> = {
  'apiextensions/v1.CustomResourceDefinition': (n) => ({
    metadata: { name: `probe${n}s.probed.example.com` },
    spec: {
      group: 'probed.example.com',
      scope: 'Namespaced',
      names: { plural: `probe${n}s`, kind: `Probe${n}` },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  }),
  'apiregistration/v1.APIService': (n) => ({
    metadata: { name: `v${n}.probed.example.com` },
    spec: {
      group: 'probed.example.com',
      version: `v${n}`,
      groupPriorityMinimum: 1000,
      versionPriority: 15,
      service: { namespace: NAMESPACE, name: 's', port: 443 },
      insecureSkipTLSVerify: true,
    },
  }),
};

const COUNTED = { currentNumberScheduled: 1, desiredNumberScheduled: 1, numberMisscheduled: 0, numberReady: 0 };
const BUDGET = { currentHealthy: 1, desiredHealthy: 1, expectedPods: 1, disruptionsAllowed: 0 };

/** Those that have no conditions, or need more than them. */
const STATUS: Readonly<Record<string, readonly [object, object]>> = {
  'core/v1.PersistentVolume': [{ message: 'update' }, { message: 'patch' }],
  'core/v1.ResourceQuota': [{ used: { 'count/bindings': '1' } }, { used: { 'count/bindings': '2' } }],
  'core/v1.ReplicationController': [{ replicas: 1 }, { replicas: 2 }],
  'apps/v1.DaemonSet': [
    { ...COUNTED, numberReady: 1 },
    { ...COUNTED, numberReady: 2 },
  ],
  'autoscaling/v1.HorizontalPodAutoscaler': [{ currentReplicas: 1 }, { currentReplicas: 2 }],
  'autoscaling/v2.HorizontalPodAutoscaler': [
    { currentReplicas: 1, desiredReplicas: 1, ...condition('Update') },
    { desiredReplicas: 2 },
  ],
  'batch/v1.CronJob': [{ lastScheduleTime: '2026-01-02T03:04:05Z' }, { lastScheduleTime: '2026-01-02T03:05:05Z' }],
  'networking/v1.Ingress': [
    { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
    { loadBalancer: { ingress: [{ ip: '192.0.2.2' }] } },
  ],
  'policy/v1.PodDisruptionBudget': [BUDGET, { currentHealthy: 2 }],
  'storage/v1.VolumeAttachment': [{ attached: true }, { attached: false }],
  'resource/v1.ResourceClaim': [
    { reservedFor: [{ resource: 'pods', name: 'a', uid: 'u' }] },
    { reservedFor: [{ resource: 'pods', name: 'b', uid: 'v' }] },
  ],
};
