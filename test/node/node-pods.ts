/** One node for one test file: pods that run a script, applied together and read side by side, and images with odd configurations. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DeepReadonly, Kinds, type Node, type Pod } from '#lib/api';
import { realRandom } from '#lib/base';
import { DistributionClient, type PackEntry, type PackOptions, packImage, parseReference, pushPacked } from '#lib/oci';
import { nodeHome } from '../../cli/layout.ts';
import { applyOk, getPod, isReady, pushHello, scriptPod } from '../e2e/workload.ts';
import { signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';

export const NS = 'default';
/** Ends at once when it is told to. */
export const IDLES = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const PATIENCE_MS = 40_000;

export interface Waiting {
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
}

export class NodePods {
  readonly cluster: TestCluster;
  readonly image: string;
  readonly node: string;
  readonly home: string;

  constructor(cluster: TestCluster, image: string) {
    this.cluster = cluster;
    this.image = image;
    this.node = cluster.layout.nodes[0]?.name ?? '';
    this.home = nodeHome(cluster.layout, this.node);
  }

  static async open(name: string): Promise<NodePods> {
    const cluster = await startCluster({ name });
    return new NodePods(cluster, await pushHello(cluster));
  }

  /** Never restarted, of one container `main`. */
  pod(name: string, script: string, container: object = {}, spec: object = {}): Record<string, unknown> {
    const main = { name: 'main', image: this.image, command: ['sh', '-c', script], ...container };
    return scriptPod({ name, namespace: NS, image: this.image, spec: { containers: [main], ...spec } });
  }

  apply(...manifests: readonly unknown[]): Promise<string> {
    return applyOk(this.cluster, ...manifests);
  }

  read(name: string): Promise<DeepReadonly<Pod>> {
    return getPod(this.cluster, NS, name);
  }

  ready(name: string): Promise<DeepReadonly<Pod>> {
    return this.#when(`${name} is ready`, name, isReady);
  }

  ended(name: string): Promise<DeepReadonly<Pod>> {
    return this.#when(`${name} ends`, name, (p) => ['Succeeded', 'Failed'].includes(p.status?.phase ?? ''));
  }

  /** Of its first container, once it waits for a reason that `is`. */
  async waiting(name: string, is: RegExp): Promise<Waiting> {
    const at = (p: DeepReadonly<Pod>) => p.status?.containerStatuses?.[0]?.state?.waiting;
    return at(await this.#when(`${name} waits for ${is}`, name, (p) => is.test(at(p)?.reason ?? ''))) ?? {};
  }

  /** All that it has said when it has ended. */
  async said(name: string, ...more: string[]): Promise<string> {
    await this.ended(name);
    return (await this.logs(name, ...more)).trim();
  }

  async logs(name: string, ...more: string[]): Promise<string> {
    return (await this.cluster.kubectl('logs', name, ...more)).stdout;
  }

  async exec(name: string, script: string): Promise<string> {
    const r = await this.cluster.kubectl('exec', name, '--', 'sh', '-c', script);
    return `${r.stdout}${r.stderr}`;
  }

  /** `reason message` of each, oldest first. */
  async events(name: string): Promise<string[]> {
    const events = await this.cluster.client.list(Kinds.events, { namespace: NS }, this.cluster.ctx);
    return events.items
      .filter((e) => e.involvedObject?.name === name)
      .sort((a, b) => (a.firstTimestamp ?? '').localeCompare(b.firstTimestamp ?? ''))
      .map((e) => `${e.reason ?? ''} ${e.message ?? ''}`);
  }

  event(name: string, is: RegExp): Promise<string> {
    return eventually(`an event ${is} of ${name}`, PATIENCE_MS, async () =>
      (await this.events(name)).find((e) => is.test(e)),
    );
  }

  /** The image of these tests with this configuration, and these files beside busybox. Its name. */
  async push(name: string, config: PackOptions['config'], entries: readonly PackEntry[] = []): Promise<string> {
    return pushImage(`${this.cluster.registry}/${name}`, config, entries, this.cluster);
  }

  get nodeObject(): Promise<DeepReadonly<Node>> {
    return this.cluster.client.get(Kinds.nodes, { namespace: '', name: this.node }, this.cluster.ctx);
  }

  /** The next agent has begun. */
  async restartAgent(how: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const agent = `agent-${this.node}`;
    const before = await signal(this.cluster, agent, how);
    await eventually('the next agent', 30_000, async () => {
      const { pid } = await tended(this.cluster, agent);
      return pid !== 0 && pid !== before;
    });
  }

  inHome(...names: string[]): string {
    return join(this.home, ...names);
  }

  async #when(what: string, name: string, is: (p: DeepReadonly<Pod>) => boolean): Promise<DeepReadonly<Pod>> {
    let last: DeepReadonly<Pod> | undefined;
    try {
      return await eventually(what, PATIENCE_MS, async () => {
        last = await this.read(name);
        return is(last) ? last : undefined;
      });
    } catch (e) {
      throw new Error(`${what}: ${JSON.stringify(last?.status?.containerStatuses ?? last?.status)}`, { cause: e });
    }
  }
}

export async function pushImage(
  reference: string,
  config: PackOptions['config'],
  entries: readonly PackEntry[],
  { ctx }: Pick<TestCluster, 'ctx'>,
): Promise<string> {
  const image = await packImage({
    entries: [
      { type: 'file', path: 'bin/busybox', data: await readFile('/bin/busybox'), mode: 0o755 },
      ...['sh', 'cat', 'echo', 'id', 'sleep', 'true'].map(
        (a): PackEntry => ({ type: 'symlink', path: `bin/${a}`, target: 'busybox' }),
      ),
      ...entries,
    ],
    config: { env: ['PATH=/bin'], ...config },
  });
  const { host, repository, tag } = parseReference(reference);
  await using client = new DistributionClient({ random: realRandom });
  await pushPacked(client.repository(host, repository), tag ?? 'latest', image, ctx);
  return reference;
}
