/** A control plane in this process over a memory store, with what tests want to do to it and to see of it. */
import type {
  DeepReadonly,
  Deployment,
  EndpointSlice,
  Endpoints,
  Event,
  KindRef,
  KubeObject,
  Namespace,
  Node,
  Pod,
  ReplicaSet,
  Service,
} from '#lib/api';
import { isConditionTrue, Kinds } from '#lib/api';
import { type Ctx, createLogger, isKind, realClock, realRandom, Scope, silentLogger } from '#lib/base';
import { type Client, InProcessClient } from '#lib/client';
import { InformerFactory, mutableCopy } from '#lib/controller';
import { MemoryStore } from '#lib/store';
import { startApiServer } from '../../../services/apiserver/main.ts';
import { startControllers } from '../../../services/controllers/main.ts';
import { startScheduler } from '../../../services/scheduler/main.ts';
import { FakeKubelet } from './fake-kubelet.ts';
import { Way } from './way.ts';

const LEASE_SECONDS = 3;

export interface DeployOptions {
  readonly replicas: number;
  readonly namespace?: string;
  readonly maxSurge?: number;
  readonly maxUnavailable?: number;
  readonly revisionHistoryLimit?: number;
  readonly cpu?: string;
}

export class FakeCluster implements AsyncDisposable {
  readonly #scope: Scope;
  readonly #client: Client;
  readonly #c: Ctx;
  readonly #informers: InformerFactory;
  readonly #kubelet: FakeKubelet;

  readonly #startLed: () => Promise<AsyncDisposable>;
  #led: AsyncDisposable | undefined;
  #way = new Way();

  private constructor(scope: Scope, client: Client, c: Ctx, startLed: () => Promise<AsyncDisposable>) {
    this.#startLed = startLed;
    this.#scope = scope;
    this.#client = client;
    this.#c = c;
    this.#informers = new InformerFactory({ client, clock: realClock, random: realRandom, log: c.log });
    this.#kubelet = new FakeKubelet(client, this.#informers, c, LEASE_SECONDS);
    scope.own(this.#informers);
    scope.own(this.#kubelet);
  }

  static async start(o: { nodes: number }): Promise<FakeCluster> {
    const scope = new Scope('fake cluster');
    const level = process.env['BERTH_TEST_LOG'];
    const log = level ? createLogger({ component: 'test', level }) : silentLogger;
    const c: Ctx = { signal: scope.signal, clock: realClock, log };
    const common = { clock: realClock, random: realRandom, log };
    const api = scope.own(
      await startApiServer({
        ...common,
        store: new MemoryStore({ clock: realClock }),
        listen: [],
        config: { serviceCidr: '10.43.0.0/16', advertise: { address: '192.0.2.1', port: 6443 }, freeze: true },
      }),
    );
    const as = (name: string): Client =>
      new InProcessClient({ handler: api.handler, user: { name, groups: ['system:masters'] } });
    const way = new Way();
    const cluster = new FakeCluster(scope, way.guard(as('admin')), c, async () => {
      const led = new Scope('led');
      const config = { caPem: 'the CA', nodeGraceMs: LEASE_SECONDS * 1000 };
      const client = way.guard(as('system:kube-controller-manager'));
      led.own(await startControllers({ ...common, client, config }));
      led.own(await startScheduler({ ...common, client: way.guard(as('system:kube-scheduler')) }));
      return led;
    });
    cluster.#way = way;
    await cluster.lead();
    scope.defer(() => cluster.stepDown());
    cluster.#kubelet.start();
    for (let i = 0; i < o.nodes; i++) await cluster.addNode(`node-${i}`);
    return cluster;
  }

  /** Starts controllers and scheduler, as a new leader does. */
  async lead(): Promise<void> {
    this.#led = await this.#startLed();
  }

  async stepDown(): Promise<void> {
    const led = this.#led;
    this.#led = undefined;
    await led?.[Symbol.asyncDispose]();
  }

  /** Nobody reaches the API any more, watches included, until `mend`. */
  cut(): void {
    this.#way.isCut = true;
  }

  mend(): void {
    this.#way.isCut = false;
  }

  get client(): Client {
    return this.#client;
  }

  get ctx(): Ctx {
    return this.#c;
  }

  set holdTermination(hold: boolean) {
    this.#kubelet.holdTermination = hold;
  }

  release(): void {
    this.#kubelet.holdTermination = false;
    this.#kubelet.revisit();
  }

  addNode(name: string, o: { cpu?: string } = {}): Promise<void> {
    return this.#kubelet.addNode(name, o);
  }

  silence(name: string): void {
    this.#kubelet.silence(name);
  }

  speak(name: string): Promise<void> {
    return this.#kubelet.speak(name);
  }

  async deleteNode(name: string): Promise<void> {
    this.#kubelet.forgetNode(name);
    await this.#client.delete(Kinds.nodes, { namespace: '', name }, {}, this.#c);
  }

  async deploy(name: string, o: DeployOptions): Promise<void> {
    const rollingUpdate = {
      ...(o.maxSurge === undefined ? {} : { maxSurge: o.maxSurge }),
      ...(o.maxUnavailable === undefined ? {} : { maxUnavailable: o.maxUnavailable }),
    };
    const resources = { requests: { cpu: o.cpu ?? '50m' } };
    await this.#client.create<Deployment>(
      Kinds.deployments,
      {
        metadata: { name, namespace: o.namespace ?? 'default' },
        spec: {
          replicas: o.replicas,
          selector: { matchLabels: { app: name } },
          strategy: { type: 'RollingUpdate', rollingUpdate },
          ...(o.revisionHistoryLimit === undefined ? {} : { revisionHistoryLimit: o.revisionHistoryLimit }),
          template: {
            metadata: { name: '', labels: { app: name } },
            spec: { containers: [{ name: 'main', image: 'web:1', resources }] },
          },
        },
      },
      this.#c,
    );
  }

  async service(name: string, namespace = 'default'): Promise<void> {
    const spec = { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] };
    await this.#client.create<Service>(Kinds.services, { metadata: { name, namespace }, spec }, this.#c);
  }

  async change(name: string, edit: (d: Deployment) => void): Promise<void> {
    await this.#edit(Kinds.deployments, 'default', name, edit);
  }

  setImage(name: string, image: string): Promise<void> {
    return this.change(name, (d) => {
      const [container] = d.spec.template.spec?.containers ?? [];
      if (container) container.image = image;
    });
  }

  relabel(pod: string, labels: Record<string, string>): Promise<void> {
    return this.#edit<Pod>(Kinds.pods, 'default', pod, (p) => {
      p.metadata.labels = labels;
    });
  }

  async delete(name: string, propagationPolicy: 'Background' | 'Foreground' | 'Orphan'): Promise<void> {
    await this.#client.delete(Kinds.deployments, { namespace: 'default', name }, { propagationPolicy }, this.#c);
  }

  async namespace(name: string): Promise<void> {
    await this.#client.create<Namespace>(Kinds.namespaces, { metadata: { name }, spec: {} }, this.#c);
  }

  async deleteNamespace(name: string): Promise<void> {
    await this.#client.delete(Kinds.namespaces, { namespace: '', name }, {}, this.#c);
  }

  async hasNamespace(name: string): Promise<boolean> {
    return (await this.#find(Kinds.namespaces, '', name)) !== undefined;
  }

  async hasServiceAccount(namespace: string): Promise<boolean> {
    return (await this.#find(Kinds.serviceaccounts, namespace, 'default')) !== undefined;
  }

  async rootCa(namespace: string): Promise<string | undefined> {
    return (await this.#find(Kinds.configmaps, namespace, 'kube-root-ca.crt'))?.data?.['ca.crt'];
  }

  deployment(name: string, namespace = 'default'): Promise<DeepReadonly<Deployment> | undefined> {
    return this.#find(Kinds.deployments, namespace, name);
  }

  async pods(namespace = 'default'): Promise<readonly DeepReadonly<Pod>[]> {
    return (await this.#client.list(Kinds.pods, { namespace }, this.#c)).items;
  }

  async replicaSets(namespace = 'default'): Promise<readonly DeepReadonly<ReplicaSet>[]> {
    return (await this.#client.list(Kinds.replicasets, { namespace }, this.#c)).items;
  }

  async nodes(): Promise<readonly DeepReadonly<Node>[]> {
    return (await this.#client.list(Kinds.nodes, {}, this.#c)).items;
  }

  async events(): Promise<readonly DeepReadonly<Event>[]> {
    return (await this.#client.list<Event>(Kinds.events, { namespace: 'default' }, this.#c)).items;
  }

  async slices(service: string): Promise<readonly DeepReadonly<EndpointSlice>[]> {
    const labelSelector = `kubernetes.io/service-name=${service}`;
    return (
      await this.#client.list<EndpointSlice>(Kinds.endpointslices, { namespace: 'default', labelSelector }, this.#c)
    ).items;
  }

  endpoints(service: string): Promise<DeepReadonly<Endpoints> | undefined> {
    return this.#find<Endpoints>(Kinds.endpoints, 'default', service);
  }

  isReady(pod: DeepReadonly<Pod>): boolean {
    return isConditionTrue(pod.status?.conditions, 'Ready');
  }

  /** As `kubectl rollout status` waits. */
  async untilRolledOut(name: string, namespace = 'default'): Promise<DeepReadonly<Deployment>> {
    return this.eventually(async () => {
      const d = await this.deployment(name, namespace);
      const s = d?.status ?? {};
      const wanted = d?.spec.replicas ?? 1;
      const isDone =
        (s.observedGeneration ?? 0) >= (d?.metadata.generation ?? 0) &&
        s.updatedReplicas === wanted &&
        s.replicas === wanted &&
        s.availableReplicas === wanted;
      if (!d || !isDone) throw new Error(`${name} is not rolled out: ${JSON.stringify({ wanted, ...s })}`);
      return d;
    });
  }

  /** The extremes of active and ready pods of an app, from every change that the API tells. */
  watchCounts(app: string): { stop(): { mostPods: number; leastReady: number } } {
    const pods = new Map<string, DeepReadonly<Pod>>();
    let [mostPods, leastReady] = [0, Number.POSITIVE_INFINITY];
    let isComplete = false;
    const subscription = this.#informers.informer(Kinds.pods).subscribe((previous, next) => {
      if ((next ?? previous)?.metadata.labels?.['app'] !== app) return;
      if (next && next.metadata.deletionTimestamp === undefined) pods.set(next.metadata.uid ?? '', next);
      else pods.delete((next ?? previous)?.metadata.uid ?? '');
      mostPods = Math.max(mostPods, pods.size);
      if (isComplete) leastReady = Math.min(leastReady, [...pods.values()].filter((p) => this.isReady(p)).length);
    });
    isComplete = true;
    const stop = () => {
      subscription[Symbol.dispose]();
      return { mostPods, leastReady };
    };
    return { stop };
  }

  /** Whether pods of two images ever existed side by side. */
  watchImages(app: string): { stop(): { mixed: boolean } } {
    const pods = new Map<string, string>();
    let mixed = false;
    const subscription = this.#informers.informer(Kinds.pods).subscribe((previous, next) => {
      const pod = next ?? previous;
      if (pod?.metadata.labels?.['app'] !== app) return;
      if (next) pods.set(next.metadata.uid ?? '', next.spec.containers[0]?.image ?? '');
      else pods.delete(pod.metadata.uid ?? '');
      if (new Set(pods.values()).size > 1) mixed = true;
    });
    const stop = () => {
      subscription[Symbol.dispose]();
      return { mixed };
    };
    return { stop };
  }

  sleep(ms: number): Promise<void> {
    return realClock.sleep(ms, this.#c.signal);
  }

  /** Until `check` does not throw; then its last failure. */
  async eventually<T>(check: () => Promise<T>, limitMs = 15_000): Promise<T> {
    const endMs = realClock.monotonic() + limitMs;
    for (;;) {
      try {
        return await check();
      } catch (e) {
        if (realClock.monotonic() > endMs) throw e;
      }
      await this.sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }

  async #find<T extends KubeObject>(
    kind: KindRef<T>,
    namespace: string,
    name: string,
  ): Promise<DeepReadonly<T> | undefined> {
    try {
      return await this.#client.get(kind, { namespace, name }, this.#c);
    } catch (e) {
      if (isKind(e, 'NotFound')) return undefined;
      throw e;
    }
  }

  async #edit<T extends KubeObject>(
    kind: KindRef<T>,
    namespace: string,
    name: string,
    edit: (o: T) => void,
  ): Promise<void> {
    for (;;) {
      const copy = mutableCopy<T>(await this.#client.get(kind, { namespace, name }, this.#c));
      edit(copy);
      try {
        await this.#client.update<T>(kind, copy as DeepReadonly<T>, this.#c);
        return;
      } catch (e) {
        if (!isKind(e, 'Conflict')) throw e;
      }
    }
  }
}
