/** Watches the nodes' Leases, judges silence, and keeps conditions, taints and their pods' readiness accordingly. */
import type { DeepReadonly, Lease, Node, Pod, PodCondition } from '#lib/api';
import { Kinds } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf, Scope } from '#lib/base';
import type { Controller, EventRecorder, Informer, Outcome, Reconciler } from '#lib/controller';
import { changesOf, DONE, forEachLimited, objectsOf, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { BY_NODE, nodeIndex } from '../indexes.ts';
import { instantOf } from '../instant.ts';
import { Heartbeats } from './heartbeats.ts';
import { plan } from './plan.ts';
import { restored, unready } from './pod-readiness.ts';

export const LEASE_NAMESPACE = 'kube-node-lease';
const PROBE_MS = 1_000;
const PROBE_TIMEOUT_MS = 2_000;
const WIDTH = 32;
export const DEFAULT_GRACE_MS = 5_000;

export interface NodeLifecycle extends AsyncDisposable {
  /** Whether this process itself has found the node silent: only then are its pods evicted for it. */
  isSilent(node: string): boolean;
}

export function startNodeLifecycleController(deps: Deps): NodeLifecycle {
  const scope = new Scope('node lifecycle');
  const reconciler = new NodeReconciler(deps);
  const { nodes, leases } = reconciler;
  const controller: Controller = scope.own(
    startController({
      ...deps,
      name: 'node-lifecycle',
      reconciler,
      workers: 4,
      sources: [
        objectsOf(nodes),
        changesOf(leases, (_previous, lease) =>
          lease?.metadata.namespace === LEASE_NAMESPACE && reconciler.sawLease(lease) ? [lease.metadata.name] : [],
        ),
      ],
    }),
  );
  const enqueueAll = (): void => {
    for (const n of nodes.list()) controller.enqueue(n.metadata.name);
  };
  reconciler.onFlip = enqueueAll;
  scope.spawn('probe', async (signal) => {
    await nodes.synced(signal);
    await leases.synced(signal);
    await probe(deps, reconciler.heartbeats, enqueueAll, signal);
  });
  return { isSilent: (node) => reconciler.isSilent(node), [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
}

/** One linearizable read a second: what it answers does not matter, that it is answered does. */
async function probe(deps: Deps, heartbeats: Heartbeats, onReopened: () => void, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  for (; !signal.aborted; await clock.sleep(PROBE_MS, signal)) {
    const limit = new AbortController();
    const timer = clock.after(PROBE_TIMEOUT_MS, () => limit.abort(new Error('no answer in time')));
    const onAbort = (): void => limit.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const c: Ctx = { signal: limit.signal, clock, log };
      await deps.client.get(Kinds.namespaces, { namespace: '', name: LEASE_NAMESPACE }, c).catch((e: unknown) => {
        if (!isKind(e, 'NotFound')) throw e;
      });
      if (heartbeats.probed()) onReopened();
    } catch (e) {
      if (!signal.aborted) log.debug({ err: messageOf(e) }, 'the API does not answer: no node is judged meanwhile');
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
    }
  }
}

class NodeReconciler implements Reconciler {
  readonly heartbeats: Heartbeats;
  readonly nodes: Informer<Node>;
  readonly leases: Informer<Lease>;
  /** Called when a node falls silent or is heard again: the share of silent nodes has changed. */
  onFlip: () => void = () => undefined;
  readonly #deps: Deps;
  readonly #pods: Informer<Pod>;
  readonly #events: EventRecorder;
  readonly #silent = new Set<string>();
  #wasCutOff = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.heartbeats = new Heartbeats(deps.clock, deps.config.nodeGraceMs ?? DEFAULT_GRACE_MS);
    this.nodes = deps.informers.informer(Kinds.nodes);
    this.leases = deps.informers.informer(Kinds.leases);
    this.#pods = deps.informers.informer(Kinds.pods, { indexes: nodeIndex });
    this.#events = deps.recorder('node-controller');
  }

  sawLease(lease: DeepReadonly<Lease>): boolean {
    return this.heartbeats.sawLease(lease.metadata.name, lease);
  }

  isSilent(node: string): boolean {
    return this.#silent.has(node) && this.heartbeats.verdict(node).type === 'silent';
  }

  async reconcile(name: string, c: Ctx): Promise<Outcome> {
    const node = this.nodes.get({ namespace: '', name });
    if (!node) {
      this.heartbeats.forget(name);
      if (this.#silent.delete(name)) this.onFlip();
      return DONE;
    }
    this.heartbeats.sawNode(name);
    await this.#confirm(name, c);
    const verdict = this.heartbeats.verdict(name);
    const isSilent = verdict.type === 'silent';
    if (isSilent !== this.#silent.has(name)) {
      if (isSilent) this.#silent.add(name);
      else this.#silent.delete(name);
      if (isSilent) this.#events.event(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
      this.onFlip();
    }
    const isCutOff = this.#isCutOff();
    // The outage has just ended: what was judged above no longer holds, so it is judged anew.
    if (this.#silent.has(name) !== isSilent) return { afterMs: 1 };
    await this.#apply(node, { isSilent, isCutOff }, c);
    return verdict.type === 'silent' ? DONE : { afterMs: Math.max(verdict.untilMs - c.clock.monotonic(), 1) };
  }

  /**
   * Whether most nodes are silent. When that ends, the nodes return one after the other, and those that have not yet are no
   * lost ones: all have a whole grace period from then on.
   */
  #isCutOff(): boolean {
    const isCutOff = this.#silent.size * 2 > this.nodes.list().length;
    const isOver = this.#wasCutOff && !isCutOff;
    this.#wasCutOff = isCutOff;
    if (isOver) {
      this.heartbeats.listenAnew();
      this.#silent.clear();
      this.onFlip();
    }
    return isCutOff;
  }

  /** Before a node is called silent the API is asked once more: the informer may be behind. */
  async #confirm(name: string, c: Ctx): Promise<void> {
    if (this.#silent.has(name) || this.heartbeats.verdict(name).type !== 'silent') return;
    try {
      this.sawLease(await this.#deps.client.get(Kinds.leases, { namespace: LEASE_NAMESPACE, name }, c));
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
    }
  }

  async #apply(node: DeepReadonly<Node>, o: { isSilent: boolean; isCutOff: boolean }, c: Ctx): Promise<void> {
    const { client, clock } = this.#deps;
    const { conditions, taints, pods } = plan({ node, ...o }, instantOf(clock));
    let latest = node;
    if (conditions) {
      const status = { ...node.status, conditions };
      latest = await client.update<Node>(Kinds.nodes, { ...node, status }, c, { subresource: 'status' });
    }
    if (taints) await client.update<Node>(Kinds.nodes, { ...latest, spec: { ...latest.spec, taints } }, c);
    if (pods === 'leave') return;
    const change = pods === 'unready' ? unready : restored;
    await forEachLimited(this.#pods.byIndex(BY_NODE, node.metadata.name), WIDTH, async (pod) => {
      const next = change(pod, instantOf(clock));
      if (!next) return;
      await this.#writePod(pod, next, c);
      if (pods === 'unready') this.#events.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready');
    });
  }

  async #writePod(pod: DeepReadonly<Pod>, conditions: readonly DeepReadonly<PodCondition>[], c: Ctx): Promise<void> {
    try {
      const status = { ...pod.status, conditions };
      await this.#deps.client.update<Pod>(Kinds.pods, { ...pod, status }, c, { subresource: 'status' });
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
    }
  }
}
