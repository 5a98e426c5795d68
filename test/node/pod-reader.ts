/** Pods of one cluster's namespace `default`, read and waited for: by the API, and past it by their log files. */
import type { ContainerStatus, DeepReadonly, Pod, PodCondition } from '#lib/api';
import { applyOk, getPod, orGone, scriptPod } from '../e2e/workload.ts';
import { logLines } from '../faults/host.ts';
import { eventually, type TestCluster } from '../harness/cluster.ts';

export const NS = 'default';
/** Ends at once when it is asked to. */
export const OBEYS = "trap 'exit 0' TERM; sleep 100000 & wait";
export const REFUSES = "trap '' TERM; sleep 100000 & wait";

export class PodReader {
  readonly #cluster: TestCluster;
  readonly #image: string;

  constructor(cluster: TestCluster, image: string) {
    this.#cluster = cluster;
    this.#image = image;
  }

  /** A container that runs a shell script. */
  sh(name: string, script: string, more: object = {}): object {
    return { name, image: this.#image, command: ['sh', '-c', script], ...more };
  }

  pod(name: string, containers: readonly object[], spec: object = {}, metadata: object = {}): Record<string, unknown> {
    const pod = scriptPod({
      name,
      namespace: NS,
      image: this.#image,
      spec: { restartPolicy: 'Always', containers, ...spec },
    });
    return { ...pod, metadata: { name, namespace: NS, ...metadata } };
  }

  apply(...manifests: readonly unknown[]): Promise<string> {
    return applyOk(this.#cluster, ...manifests);
  }

  read(name: string): Promise<DeepReadonly<Pod>> {
    return getPod(this.#cluster, NS, name);
  }

  async status(name: string, container: string): Promise<DeepReadonly<ContainerStatus>> {
    return containerStatus(await this.read(name), container);
  }

  /** The pod once `holds` of it. */
  until(
    name: string,
    what: string,
    holds: (pod: DeepReadonly<Pod>) => boolean,
    limitMs = 30_000,
  ): Promise<DeepReadonly<Pod>> {
    return eventually(`${name}: ${what}`, limitMs, async () => {
      const pod = await this.read(name);
      return holds(pod) ? pod : undefined;
    });
  }

  ready(name: string, limitMs = 30_000): Promise<DeepReadonly<Pod>> {
    return this.until(name, 'ready', (p) => condition(p, 'Ready')?.status === 'True', limitMs);
  }

  phase(name: string, phase: string, limitMs = 30_000): Promise<DeepReadonly<Pod>> {
    return this.until(name, phase, (p) => p.status?.phase === phase, limitMs);
  }

  async gone(name: string, limitMs = 30_000): Promise<void> {
    await eventually(`${name} is gone`, limitMs, async () => (await orGone(this.read(name))) === undefined);
  }

  /** What its containers have written, the agent's own way to serve it left aside. */
  async lines(name: string): Promise<string[]> {
    const { metadata } = await this.read(name);
    return logLines(this.#cluster, { namespace: NS, name, uid: metadata.uid ?? '' });
  }

  async events(name: string): Promise<string> {
    const found = await this.#cluster.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`);
    return found.stdout;
  }
}

export function containerStatus(pod: DeepReadonly<Pod>, container: string): DeepReadonly<ContainerStatus> {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const found = [...containerStatuses, ...initContainerStatuses].find((s) => s.name === container);
  if (found === undefined) throw new Error(`pod ${pod.metadata.name} has no status of ${container}`);
  return found;
}

export function condition(pod: DeepReadonly<Pod>, type: string): DeepReadonly<PodCondition> | undefined {
  return pod.status?.conditions?.find((c) => c.type === type);
}
