/**
 * Joins informers, queue, snapshot, plugins and binder. Nothing polls: an informer event puts a pod into the queue and the
 * loop runs in the same turn of the event loop. A turn ends after 8 ms of work, so that the process stays responsive.
 */
import type { DeepReadonly, Namespace, Node, Pod, Service } from '#lib/api';
import type { Clock, Ctx, Logger, Random } from '#lib/base';
import { isKind, messageOf, Scope } from '#lib/base';
import type { Informer } from '#lib/controller';
import { isEqualJson } from '#lib/controller';
import type { Binder } from './bind.ts';
import type { Decision, Profile } from './framework.ts';
import type { AttemptResult, PendingPods, SchedulerMetrics } from './metrics.ts';
import { podInfoOf } from './pod-info.ts';
import type { PodVolumes, Reservation } from './pod-volumes.ts';
import { SchedulingQueue, type Waiting } from './queue.ts';
import { schedule, unschedulableText } from './schedule.ts';
import { Snapshot } from './snapshot.ts';

const TURN_MS = 8;
const BINDINGS_MAX = 512;

export interface SchedulerCaches {
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly services: Informer<Service>;
  readonly namespaces: Informer<Namespace>;
}

export interface SchedulerOptions {
  readonly caches: SchedulerCaches;
  readonly volumes: PodVolumes;
  readonly binder: Binder;
  readonly profile: Profile;
  /** Pods that name another scheduler are left alone. */
  readonly schedulerName: string;
  readonly metrics?: SchedulerMetrics | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export class Scheduler implements AsyncDisposable {
  readonly #o: SchedulerOptions;
  readonly #scope = new Scope('scheduler');
  readonly #queue: SchedulingQueue;
  readonly #snapshot: Snapshot;
  #isSynced = false;
  #isKicked = false;
  #bindings = 0;

  constructor(o: SchedulerOptions) {
    this.#o = o;
    this.#queue = new SchedulingQueue(o.clock, () => this.#kick());
    this.#snapshot = new Snapshot(o.caches.services, o.caches.namespaces, o.volumes);
  }

  start(): void {
    const { caches, log, volumes } = this.#o;
    this.#scope.own(this.#queue);
    this.#scope.own(volumes);
    volumes.start(() => this.#queue.wake('storage-changed'));
    this.#scope.own(caches.nodes.subscribe((previous, next) => this.#onNode(previous, next)));
    this.#scope.own(caches.pods.subscribe((previous, next) => this.#onPod(previous, next)));
    this.#scope.own(caches.namespaces.subscribe((previous, next) => this.#onNamespace(previous, next)));
    this.#scope.spawn(
      'sync',
      async (signal) => {
        for (const i of Object.values(caches)) await i.synced(signal);
        await volumes.synced(signal);
        this.#isSynced = true;
        this.#kick();
      },
      (e) => log.error({ err: e }, 'scheduler stopped'),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope[Symbol.asyncDispose]();
  }

  get pending(): PendingPods {
    const queue = this.#queue;
    return { active: queue.count('active'), backoff: queue.count('backoff'), unschedulable: queue.count('parked') };
  }

  #onNode(previous: DeepReadonly<Node> | undefined, next: DeepReadonly<Node> | undefined): void {
    if (!next) {
      if (previous) this.#snapshot.removeNode(previous.metadata.name);
      return;
    }
    this.#snapshot.setNode(next);
    if (!previous) this.#queue.wake('node-added');
    else if (mayHelp(previous, next)) this.#queue.wake('node-changed');
  }

  #onNamespace(previous: DeepReadonly<Namespace> | undefined, next: DeepReadonly<Namespace> | undefined): void {
    if (!isEqualJson(previous?.metadata.labels, next?.metadata.labels)) this.#queue.wake('namespace-changed');
  }

  #onPod(previous: DeepReadonly<Pod> | undefined, next: DeepReadonly<Pod> | undefined): void {
    const pod = next ?? previous;
    if (!pod) return;
    const uid = pod.metadata.uid ?? '';
    if (!next || next.spec.nodeName || isFinished(next)) {
      this.#queue.remove(uid);
      const held = holdsResources(previous) || this.#snapshot.isAssumed(uid);
      if (!next || isFinished(next)) this.#o.volumes.podGone(uid);
      if (!next) this.#snapshot.removePod(uid);
      else if (!previous || !isSameForScheduling(previous, next)) this.#snapshot.setPod(next);
      const holds = holdsResources(next);
      if (held && !holds) this.#queue.wake('pod-removed');
      // Our own too: what was assumed is told to those who wait for it once the API shows it.
      else if (holds && !holdsResources(previous)) this.#queue.wake('pod-assigned');
      else if (holds && !isEqualJson(previous?.metadata.labels, next?.metadata.labels))
        this.#queue.wake('pod-relabelled');
      return;
    }
    if (!this.#isOurs(next)) this.#queue.remove(uid);
    else if (this.#snapshot.isAssumed(uid)) return;
    else if (previous && this.#queue.has(uid) && isSameForScheduling(previous, next))
      this.#queue.refresh(podInfoOf(next));
    else this.#queue.add(podInfoOf(next));
  }

  #isOurs(pod: DeepReadonly<Pod>): boolean {
    return (
      (pod.spec.schedulerName || this.#o.schedulerName) === this.#o.schedulerName &&
      pod.metadata.deletionTimestamp === undefined &&
      (pod.spec.schedulingGates ?? []).length === 0
    );
  }

  #kick(): void {
    if (this.#isKicked || !this.#isSynced || this.#scope.signal.aborted) return;
    this.#isKicked = true;
    queueMicrotask(() => {
      this.#isKicked = false;
      this.#turn();
    });
  }

  #turn(): void {
    const { clock } = this.#o;
    const endMs = clock.monotonic() + TURN_MS;
    while (!this.#scope.signal.aborted && this.#bindings < BINDINGS_MAX) {
      const waiting = this.#queue.pop();
      if (!waiting) return;
      this.#decide(waiting);
      if (clock.monotonic() >= endMs) {
        clock.after(0, () => this.#kick());
        return;
      }
    }
  }

  #decide(waiting: Waiting): void {
    const { info } = waiting;
    const decision = this.#decisionFor(waiting);
    this.#o.metrics?.decided(this.#o.clock.monotonic() - waiting.lastTryMs);
    if (decision?.type !== 'bind') this.#attempted(waiting, decision === undefined ? 'error' : 'unschedulable');
    if (decision === undefined) return;
    if (decision.type === 'bind') {
      const node = this.#snapshot.node(decision.node);
      const volumes = node === undefined ? undefined : this.#o.volumes.reserve(info, node);
      this.#snapshot.assume(info, decision.node);
      this.#bindings++;
      this.#scope.spawn('bind', (signal) => this.#bind(waiting, decision.node, volumes, signal));
    } else {
      this.#queue.park(waiting, decision.refusedBy);
      this.#scope.spawn('tell', (signal) => this.#tell(waiting, decision, signal));
    }
  }

  /** undefined when no decision could be made: one pod that a plugin cannot bear must not keep the others waiting. */
  #decisionFor(waiting: Waiting): Decision | undefined {
    const { info } = waiting;
    try {
      return schedule(info, this.#snapshot, this.#o.profile, (bound) => this.#o.random.below(bound));
    } catch (e) {
      const { name, namespace } = info.pod.metadata;
      this.#o.log.error({ name, namespace, err: e }, 'a pod could not be scheduled for a mistake in the scheduler');
      this.#queue.failed(waiting);
      return undefined;
    }
  }

  async #bind(waiting: Waiting, node: string, volumes: Reservation | undefined, signal: AbortSignal): Promise<void> {
    const { pod, uid } = waiting.info;
    const { name, namespace } = pod.metadata;
    try {
      if (volumes !== undefined) await this.#bindVolumes(volumes, signal);
      await this.#o.binder.bind(pod, node, this.#ctx(signal));
      this.#attempted(waiting, 'scheduled');
      this.#o.log.debug({ name, namespace, node }, 'pod bound');
    } catch (e) {
      if (signal.aborted) return;
      this.#attempted(waiting, 'error');
      this.#snapshot.forget(uid);
      this.#queue.wake('pod-removed');
      const latest = this.#o.caches.pods.get({ namespace: namespace ?? '', name });
      if (isKind(e, 'NotFound') || latest?.metadata.uid !== uid || latest.spec.nodeName || !this.#isOurs(latest))
        return;
      this.#o.log.warn({ name, namespace, node, err: messageOf(e) }, 'binding failed, trying again');
      this.#queue.failed({ ...waiting, info: podInfoOf(latest) });
    } finally {
      this.#bindings--;
      this.#kick();
    }
  }

  /** Volumes may take minutes to come: who waits for them keeps no other pod from being bound. */
  async #bindVolumes(volumes: Reservation, signal: AbortSignal): Promise<void> {
    this.#bindings--;
    this.#kick();
    try {
      await this.#o.volumes.bind(volumes, this.#ctx(signal));
    } finally {
      this.#bindings++;
      this.#o.volumes.release(volumes);
    }
  }

  #attempted(waiting: Waiting, result: AttemptResult): void {
    const { metrics, clock, schedulerName } = this.#o;
    metrics?.attempted(result, schedulerName, clock.monotonic() - waiting.lastTryMs);
  }

  #tell(waiting: Waiting, d: Extract<Decision, { type: 'unschedulable' }>, signal: AbortSignal): Promise<void> {
    return this.#o.binder.tellUnschedulable(waiting.info.pod, unschedulableText(d), this.#ctx(signal));
  }

  #ctx(signal: AbortSignal): Ctx {
    return { signal, clock: this.#o.clock, log: this.#o.log };
  }
}

function isFinished(pod: DeepReadonly<Pod>): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

function holdsResources(pod: DeepReadonly<Pod> | undefined): boolean {
  return pod?.spec.nodeName !== undefined && pod.spec.nodeName !== '' && !isFinished(pod);
}

/** Whether nothing changed that plugins or sums look at; a status report is by far the most frequent change. */
function isSameForScheduling(a: DeepReadonly<Pod>, b: DeepReadonly<Pod>): boolean {
  return (
    a.metadata.uid === b.metadata.uid &&
    a.metadata.deletionTimestamp === b.metadata.deletionTimestamp &&
    isFinished(a) === isFinished(b) &&
    isEqualJson(a.metadata.labels, b.metadata.labels) &&
    isEqualJson(a.spec, b.spec)
  );
}

/** Whether a node changed in a way that could make it take a pod that it refused. */
function mayHelp(a: DeepReadonly<Node>, b: DeepReadonly<Node>): boolean {
  return (
    (a.spec?.unschedulable === true && b.spec?.unschedulable !== true) ||
    !isEqualJson(a.spec?.taints, b.spec?.taints) ||
    !isEqualJson(a.metadata.labels, b.metadata.labels) ||
    !isEqualJson(a.status?.allocatable, b.status?.allocatable)
  );
}
