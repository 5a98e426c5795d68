/** The small workloads of these tests: what they apply, and how they read an effect back with a second client. */
import { stringify } from 'yaml';
import { type DeepReadonly, type Deployment, Kinds, type Pod } from '#lib/api';
import { isKind } from '#lib/base';
import { pushSample } from '../../cli/up/sample.ts';
import { eventually, run, type TestCluster } from '../harness/cluster.ts';

export const IMAGE = 'berth/hello:1';

/** Pushes the sample's image (busybox with a web server) and names it as pods of this cluster do. */
export async function pushHello(cluster: TestCluster): Promise<string> {
  const image = `${cluster.registry}/${IMAGE}`;
  await pushSample(image, cluster.ctx);
  return image;
}

export interface WebOptions {
  readonly name: string;
  readonly namespace: string;
  readonly image: string;
  readonly replicas?: number;
  readonly spec?: Record<string, unknown>;
  readonly podSpec?: Record<string, unknown>;
  readonly container?: Record<string, unknown>;
}

export function deployment(o: WebOptions): Record<string, unknown> {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: o.name, namespace: o.namespace },
    spec: {
      replicas: o.replicas ?? 1,
      selector: { matchLabels: { app: o.name } },
      template: {
        metadata: { labels: { app: o.name } },
        spec: {
          terminationGracePeriodSeconds: 3,
          containers: [{ name: 'web', image: o.image, ...o.container }],
          ...o.podSpec,
        },
      },
      ...o.spec,
    },
  };
}

export interface PodOptions {
  readonly name: string;
  readonly namespace: string;
  readonly image: string;
  readonly script?: string;
  readonly spec?: Record<string, unknown>;
  readonly labels?: Record<string, string>;
}

/** A pod of one container `main` that runs a shell script. */
export function scriptPod(o: PodOptions): Record<string, unknown> {
  const command = o.script === undefined ? {} : { command: ['sh', '-c', o.script] };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: o.name, namespace: o.namespace, ...(o.labels === undefined ? {} : { labels: o.labels }) },
    spec: {
      terminationGracePeriodSeconds: 1,
      restartPolicy: 'Never',
      containers: [{ name: 'main', image: o.image, ...command }],
      ...o.spec,
    },
  };
}

export function toYaml(...manifests: readonly unknown[]): string {
  return manifests.map((m) => stringify(m)).join('---\n');
}

/** `kubectl apply -f -`; extra arguments come first. */
export function applyText(cluster: TestCluster, yaml: string, ...args: string[]) {
  return run('kubectl', ['apply', ...args, '-f', '-'], cluster.env, 60_000, yaml);
}

export async function applyOk(cluster: TestCluster, ...manifests: readonly unknown[]): Promise<string> {
  const r = await applyText(cluster, toYaml(...manifests));
  if (r.code !== 0) throw new Error(`kubectl apply: ${r.stdout}${r.stderr}`);
  return r.stdout;
}

export function getDeployment(
  cluster: TestCluster,
  namespace: string,
  name: string,
): Promise<DeepReadonly<Deployment>> {
  return cluster.client.get(Kinds.deployments, { namespace, name }, cluster.ctx);
}

export async function podsOf(
  cluster: TestCluster,
  namespace: string,
  labelSelector?: string,
): Promise<readonly DeepReadonly<Pod>[]> {
  return (await cluster.client.list(Kinds.pods, { namespace, labelSelector }, cluster.ctx)).items;
}

export function getPod(cluster: TestCluster, namespace: string, name: string): Promise<DeepReadonly<Pod>> {
  return cluster.client.get(Kinds.pods, { namespace, name }, cluster.ctx);
}

export function isReady(pod: DeepReadonly<Pod>): boolean {
  return (
    pod.metadata.deletionTimestamp === undefined &&
    (pod.status?.conditions ?? []).some((x) => x.type === 'Ready' && x.status === 'True')
  );
}

/** Exactly `count` pods are there, all Ready. */
export function readyPods(
  cluster: TestCluster,
  namespace: string,
  selector: string,
  count: number,
): Promise<readonly DeepReadonly<Pod>[]> {
  return eventually(`${count} ready pods ${selector}`, 40_000, async () => {
    const pods = await podsOf(cluster, namespace, selector);
    return pods.length === count && pods.every(isReady) ? pods : undefined;
  });
}

export function podInPhase(
  cluster: TestCluster,
  namespace: string,
  name: string,
  phase: string,
): Promise<DeepReadonly<Pod>> {
  return eventually(`pod ${name} ${phase}`, 40_000, async () => {
    const pod = await getPod(cluster, namespace, name);
    return pod.status?.phase === phase ? pod : undefined;
  });
}

/** Undefined instead of NotFound. */
export async function orGone<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}
