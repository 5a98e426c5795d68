/**
 * Nodes without containers: registers Nodes, renews their Leases, says that bound pods run, and removes deleted ones. What
 * gateway and agents do, as seen from the API.
 */
import type { DeepReadonly, Lease, Node, Pod } from '#lib/api';
import { Kinds, keyOf } from '#lib/api';
import { type Ctx, isKind, microTimeText, Scope, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import type { InformerFactory } from '#lib/controller';

const LEASE_NAMESPACE = 'kube-node-lease';
const HEARTBEAT_MS = 500;

export class FakeKubelet implements AsyncDisposable {
  readonly #client: Client;
  readonly #c: Ctx;
  readonly #scope = new Scope('fake kubelet');
  readonly #silent = new Set<string>();
  readonly #nodes = new Set<string>();
  readonly #informers: InformerFactory;
  readonly #leaseSeconds: number;
  #ips = 0;
  holdTermination = false;

  constructor(client: Client, informers: InformerFactory, c: Ctx, leaseSeconds: number) {
    this.#client = client;
    this.#informers = informers;
    this.#c = c;
    this.#leaseSeconds = leaseSeconds;
  }

  start(): void {
    const pods = this.#informers.informer(Kinds.pods);
    this.#scope.own(pods.subscribe((_previous, next) => next && this.#onPod(next)));
    this.#scope.spawn('heartbeats', async (signal) => {
      for (; ; await this.#c.clock.sleep(HEARTBEAT_MS, signal))
        for (const name of this.#nodes) if (!this.#silent.has(name)) await this.#renew(name).catch(() => undefined);
    });
  }

  async addNode(name: string, o: { cpu?: string } = {}): Promise<void> {
    const metadata = { name, labels: { 'kubernetes.io/hostname': name } };
    await this.#client.create<Node>(Kinds.nodes, { metadata, spec: {} }, this.#c);
    await this.#renew(name);
    this.#nodes.add(name);
    await this.#report(name, o.cpu ?? '8');
  }

  silence(name: string): void {
    this.#silent.add(name);
  }

  /** The node is heard again, says that it is ready, and lets go of what was deleted meanwhile. */
  async speak(name: string): Promise<void> {
    this.#silent.delete(name);
    await this.#renew(name);
    await this.#report(name, '8');
    this.revisit();
  }

  forgetNode(name: string): void {
    this.#nodes.delete(name);
  }

  revisit(): void {
    for (const pod of this.#informers.informer(Kinds.pods).list()) this.#onPod(pod);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }

  #onPod(pod: DeepReadonly<Pod>): void {
    const node = pod.spec.nodeName;
    if (!node || !this.#nodes.has(node) || this.#silent.has(node)) return;
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (!this.holdTermination) this.#spawn(() => this.#remove(pod));
    } else if (pod.status?.phase !== 'Running') this.#spawn(() => this.#run(pod));
  }

  #spawn(fn: () => Promise<void>): void {
    this.#scope.spawn('pod', async () => {
      await fn().catch((e: unknown) => {
        if (!isKind(e, 'NotFound') && !isKind(e, 'Conflict') && !this.#scope.signal.aborted) throw e;
      });
    });
  }

  async #run(pod: DeepReadonly<Pod>): Promise<void> {
    const now = timeText(this.#c.clock.now());
    const own = ['ContainersReady', 'Ready'];
    const kept = (pod.status?.conditions ?? []).filter((x) => !own.includes(x.type));
    const conditions = [...kept, ...own.map((type) => ({ type, status: 'True', lastTransitionTime: now }))];
    const n = ++this.#ips;
    const status = { ...pod.status, phase: 'Running', podIP: `10.42.${n >> 8}.${n & 255}`, conditions };
    await this.#client.update<Pod>(Kinds.pods, { ...pod, status }, this.#c, { subresource: 'status' });
  }

  async #remove(pod: DeepReadonly<Pod>): Promise<void> {
    const options = { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } };
    await this.#client.delete(Kinds.pods, keyOf(pod), options, this.#c);
  }

  async #report(name: string, cpu: string): Promise<void> {
    for (;;) {
      const node = await this.#client.get(Kinds.nodes, { namespace: '', name }, this.#c);
      const now = timeText(this.#c.clock.now());
      const conditions = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready'].map((type) => ({
        type,
        status: type === 'Ready' ? 'True' : 'False',
        reason: 'Fake',
        message: '',
        lastHeartbeatTime: now,
        lastTransitionTime: now,
      }));
      const allocatable = { cpu, memory: '32Gi', pods: '250' };
      const addresses = [{ type: 'InternalIP', address: `192.0.2.${name.length}` }];
      try {
        const status = { ...node.status, conditions, allocatable, capacity: allocatable, addresses };
        await this.#client.update<Node>(Kinds.nodes, { ...node, status }, this.#c, { subresource: 'status' });
        return;
      } catch (e) {
        if (!isKind(e, 'Conflict')) throw e;
      }
    }
  }

  async #renew(name: string): Promise<void> {
    const key = { namespace: LEASE_NAMESPACE, name };
    const renewTime = microTimeText(this.#c.clock.now());
    const spec = { holderIdentity: name, leaseDurationSeconds: this.#leaseSeconds, renewTime };
    try {
      const known = await this.#client.get<Lease>(Kinds.leases, key, this.#c);
      await this.#client.update<Lease>(Kinds.leases, { ...known, spec }, this.#c);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      await this.#client.create<Lease>(Kinds.leases, { metadata: key, spec }, this.#c);
    }
  }
}
