/**
 * One serial decision loop per pod uid: sync -> terminating -> finished, never back. The loop observes, asks `plan`, starts
 * the actions and reports; actions run beside it (one at a time per container, one for the sandbox) and wake it when done,
 * so that a slow pull never delays a stop. All writes are idempotent: a crash between any two lines is healed by the next
 * agent, which finds containers, sandbox and pod.json on disk.
 */
import { assertNever, type Ctx, Scope, timeText, toStatusError } from '#lib/base';
import type { ContainerId, ContainerState } from '../runtime/runtime.ts';
import type { AdoptedPod } from './adopted.ts';
import { ContainerActions } from './container-actions.ts';
import { ContainerMemory, newMemory, promiseWithResolve } from './container-memory.ts';
import type { PodDeps } from './deps.ts';
import {
  type Action,
  type Attempt,
  containersOf,
  type PodFailure,
  type PodObject,
  type PodObservation,
  type RoledContainer,
} from './model.ts';
import { MINIMUM_GRACE_S, plan, remainingGrace } from './plan.ts';
import { type PodEvents, podEvents } from './pod-events.ts';
import { containersToRenew } from './renewal.ts';
import { SandboxActions } from './sandbox-actions.ts';
import type { Slots } from './slots.ts';
import { lastStateAttempt } from './status.ts';
import { StatusReporter } from './status-reporter.ts';
import { removePodFiles } from './steps/sandbox.ts';

export interface WorkerOptions {
  readonly adopted?: AdoptedPod | undefined;
  readonly slots: Slots;
  readonly onFinished: (uid: string) => void;
}

export class PodWorker implements AsyncDisposable {
  readonly uid: string;
  readonly #d: PodDeps;
  readonly #o: WorkerOptions;
  readonly #scope: Scope;
  /** Aborted when the pod is to end: pulls and starts under way stop. */
  readonly #starting: Scope;
  readonly #events: PodEvents;
  readonly #reporter: StatusReporter;
  readonly #actions: ContainerActions;
  readonly #sandbox: SandboxActions;
  readonly #containers = new Map<string, ContainerMemory>();
  readonly #startedAtMs: number;
  #pod: PodObject;
  #phase: 'sync' | 'terminating' | 'finished' = 'sync';
  #failure: PodFailure | undefined;
  #wake: (() => void) | undefined;
  #dirty = true;

  constructor(d: PodDeps, pod: PodObject, o: WorkerOptions) {
    this.uid = pod.metadata.uid ?? '';
    this.#d = d;
    this.#o = o;
    this.#pod = pod;
    this.#scope = new Scope(`pod ${pod.metadata.namespace}/${pod.metadata.name}`);
    this.#starting = new Scope('starting', this.#scope.signal);
    this.#startedAtMs = pod.status?.startTime === undefined ? d.clock.now() : Date.parse(pod.status.startTime);
    this.#events = podEvents(d, () => this.#pod);
    this.#reporter = new StatusReporter(d, pod, () => this.kick());
    const host = { pod: () => this.#pod, events: this.#events, slots: o.slots, kick: () => this.kick() };
    this.#actions = new ContainerActions(d, host);
    this.#sandbox = new SandboxActions(d, { ...host, scope: this.#scope, onReady: ({ id }) => this.#renew(id) });
    for (const { spec } of containersOf(pod)) this.#containers.set(spec.name, newMemory(pod, spec.name, d.clock.now()));
    if (o.adopted !== undefined) this.#adopt(o.adopted);
  }

  get pod(): PodObject {
    return this.#pod;
  }

  start(): void {
    this.#scope.spawn(
      'loop',
      (signal) => this.#loop(signal),
      (e) => this.#d.log.error({ err: e, uid: this.uid }, 'pod worker failed'),
    );
  }

  /** A newer version of the API object. */
  update(pod: PodObject): void {
    const images = new Map(containersOf(this.#pod).map(({ spec }) => [spec.name, spec.image]));
    this.#pod = pod;
    for (const { spec } of containersOf(pod)) {
      const m = this.#containers.get(spec.name);
      if (m === undefined) this.#containers.set(spec.name, new ContainerMemory());
      else if (images.get(spec.name) !== spec.image) m.forgetFailures();
    }
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#terminate();
      const grace = remainingGrace(pod, this.#d.clock.now());
      for (const m of this.#containers.values()) m.stop?.shorten(grace);
    }
    this.retryNow();
  }

  /** The API object is gone: end everything now, whatever grace it had. */
  removed(): void {
    const deletionTimestamp = timeText(this.#d.clock.now());
    this.#pod = {
      ...this.#pod,
      metadata: { ...this.#pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: 0 },
    };
    this.#terminate();
    for (const m of this.#containers.values()) m.stop?.shorten(MINIMUM_GRACE_S);
    this.kick();
  }

  /** Something this pod waits for (a ConfigMap, a Secret) changed: forget the back-off of failures. */
  retryNow(): void {
    this.#sandbox.retryNow();
    for (const m of this.#containers.values()) if (m.waiting?.reason === 'CreateContainerConfigError') m.retryAtMs = 0;
    this.kick();
  }

  /** A secret that the pod names for pulls came or changed. */
  pullSecretChanged(): void {
    const reasons = ['ErrImagePull', 'ImagePullBackOff'];
    for (const m of this.#containers.values()) if (reasons.includes(m.waiting?.reason ?? '')) m.forgetFailures();
    this.kick();
  }

  exited(id: ContainerId, state: ContainerState & { phase: 'exited' }): void {
    for (const [name, m] of this.#containers) {
      if (m.latest?.id !== id || m.latest.state.phase === 'exited') continue;
      m.exited(state);
      const container = containersOf(this.#pod).find((c) => c.spec.name === name);
      if (this.#phase === 'sync' && container !== undefined) this.#actions.tellBackOff(container, m);
    }
    this.kick();
  }

  /** The latest attempt of a container. */
  attempt(container: string): Attempt | undefined {
    return this.#containers.get(container)?.latest;
  }

  /** The attempt of a container's last state, which `logs --previous` reads. */
  previousAttempt(container: string): Attempt | undefined {
    const m = this.#containers.get(container);
    if (m === undefined) return undefined;
    return lastStateAttempt(this.#pod, container, m.observe(), { terminating: this.#phase !== 'sync' });
  }

  /** Resolves when the container's latest attempt has ended. */
  ended(container: string): Promise<void> {
    return this.#containers.get(container)?.ended.promise ?? Promise.resolve();
  }

  waitingReason(container: string): string {
    return this.#containers.get(container)?.waiting?.reason ?? 'ContainerCreating';
  }

  get podIp(): string | undefined {
    const { seen } = this.#sandbox;
    return seen.phase === 'ready' ? seen.podIp : undefined;
  }

  /** Whether its volumes are on this node, made and not yet being removed. */
  get hasVolumes(): boolean {
    return this.#sandbox.seen.phase === 'ready';
  }

  /** Ends the pod as Failed, unless it has ended or is about to. */
  fail(failure: PodFailure): void {
    if (this.#phase !== 'sync' || this.#failure !== undefined || this.#reporter.terminal !== undefined) return;
    this.#failure = failure;
    this.#starting.abort();
    this.#events.warning(failure.reason, failure.eventMessage ?? failure.message);
    this.kick();
  }

  kick(): void {
    this.#dirty = true;
    this.#wake?.();
  }

  /** Stops deciding; containers run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const m of this.#containers.values()) await m.prober?.[Symbol.asyncDispose]();
    await this.#starting[Symbol.asyncDispose]();
    await this.#scope[Symbol.asyncDispose]();
  }

  #terminate(): void {
    if (this.#phase !== 'sync') return;
    this.#phase = 'terminating';
    this.#starting.abort();
    for (const m of this.#containers.values()) m.prober?.stopLiveness();
  }

  #adopt(a: AdoptedPod): void {
    for (const [name, { latest, previous }] of a.attempts) {
      const m = this.#containers.get(name) ?? new ContainerMemory();
      this.#containers.set(name, m);
      m.previous = previous;
      const spec = containersOf(this.#pod).find((c) => c.spec.name === name)?.spec;
      if (spec !== undefined) m.began(latest, spec);
      else m.latest = latest;
      m.previous = previous;
      m.postStarted = true;
      const { containerStatuses = [], initContainerStatuses = [] } = this.#pod.status ?? {};
      const known = [...containerStatuses, ...initContainerStatuses].find(
        (s) => s.containerID === `berth://${latest.id}`,
      );
      m.started ||= known?.started ?? false;
      m.ready ||= known?.ready ?? false;
      if (latest.state.phase === 'exited') m.ended.resolve();
    }
    const running = [...a.attempts.values()].find((x) => x.latest.state.phase === 'running');
    const podIp = this.#pod.spec.hostNetwork ? this.#d.settings.nodeIp : a.podIp;
    if (running === undefined || podIp === undefined) {
      this.#sandbox.adoptRemains();
      return;
    }
    this.#sandbox.adopt(running.latest.sandbox, podIp);
    this.#probeAdopted(podIp);
  }

  /** What ended in an earlier sandbox may not count in this one. */
  #renew(sandboxId: string): void {
    const names = containersToRenew(this.#pod, this.#observe(), sandboxId);
    for (const [name, m] of this.#containers) if (names.includes(name)) m.isRenewed = true;
    if (names.length > 0)
      this.#events.normal('SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
  }

  /** Containers that run and that nobody probes yet: an earlier agent started them. */
  #probeAdopted(podIp: string): void {
    for (const { spec } of containersOf(this.#pod)) {
      const m = this.#containers.get(spec.name);
      if (m?.latest?.state.phase === 'running' && m.prober === undefined)
        this.#actions.probe(spec, m, podIp, { started: m.started, ready: m.ready });
    }
  }

  #ctx(signal: AbortSignal): Ctx {
    return { signal, clock: this.#d.clock, log: this.#d.log };
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const c = this.#ctx(signal);
    if (this.#pod.metadata.deletionTimestamp !== undefined) this.#terminate();
    while (this.#phase !== 'finished') {
      this.#dirty = false;
      const next = plan(this.#pod, this.#observe(), { terminating: this.#phase !== 'sync', nowMs: c.clock.now() });
      for (const a of next.actions) this.#act(a, c);
      if (this.#reporter.report(this.#pod, this.#observe(), this.#phase !== 'sync')) this.#dirty = true;
      if (!this.#dirty) await this.#sleep(next.wakeAtMs, c);
    }
  }

  async #sleep(wakeAtMs: number | undefined, c: Ctx): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const onAbort = (): void => this.#wake?.();
    c.signal.addEventListener('abort', onAbort, { once: true });
    const timer =
      wakeAtMs === undefined ? undefined : c.clock.after(Math.max(wakeAtMs - c.clock.now(), 1), () => this.#wake?.());
    await woken;
    timer?.cancel();
    c.signal.removeEventListener('abort', onAbort);
    c.signal.throwIfAborted();
  }

  #observe(): PodObservation {
    const containers = Object.fromEntries([...this.#containers].map(([name, m]) => [name, m.observe()]));
    const { terminal } = this.#reporter;
    return {
      sandbox: this.#sandbox.seen,
      containers,
      failure: this.#failure,
      startedAtMs: this.#startedAtMs,
      terminal,
    };
  }

  #act(a: Action, c: Ctx): void {
    switch (a.do) {
      case 'fail':
        this.fail(a.failure);
        break;
      case 'makeSandbox':
        this.#sandbox.task('makeSandbox', () => this.#makeSandbox());
        break;
      case 'removeSandbox':
        if (!this.#anyBusy()) this.#sandbox.task('removeSandbox', () => this.#sandbox.remove(c));
        break;
      case 'finish':
        if (!this.#anyBusy() && this.#sandbox.seen.phase === 'absent')
          this.#sandbox.task('finish', () => this.#finish(c));
        break;
      case 'start':
        this.#start(a.container, a.attempt);
        break;
      case 'stop':
        this.#stop(a, c);
        break;
      default:
        assertNever(a);
    }
  }

  #anyBusy(): boolean {
    return this.#sandbox.isBusy || [...this.#containers.values()].some((m) => m.busy);
  }

  async #makeSandbox(): Promise<void> {
    const isReady = await this.#sandbox.make(this.#ctx(this.#starting.signal));
    if (isReady && this.podIp !== undefined) this.#probeAdopted(this.podIp);
  }

  /** Every trace of the pod goes, then the control plane is told. */
  async #finish(c: Ctx): Promise<void> {
    this.#reporter.report(this.#pod, this.#observe(), true);
    await this.#reporter.settled();
    this.#reporter.report(this.#pod, this.#observe(), true);
    for (const m of this.#containers.values()) {
      for (const a of [m.latest, m.previous]) if (a !== undefined) await this.#actions.discard(a.id, c);
    }
    await this.#sandbox.ensureRemoved(c);
    await removePodFiles(this.#d, this.#pod, c);
    this.#d.session.reportPodRemoved({
      namespace: this.#pod.metadata.namespace ?? '',
      name: this.#pod.metadata.name,
      uid: this.uid,
    });
    this.#phase = 'finished';
    this.#o.onFinished(this.uid);
  }

  #start(name: string, attempt: number): void {
    const m = this.#containers.get(name);
    const found = containersOf(this.#pod).find((c) => c.spec.name === name);
    const { sandbox } = this.#sandbox;
    if (m === undefined || m.busy || found === undefined || sandbox === undefined || this.#phase !== 'sync') return;
    m.busy = true;
    const turn = this.#turn(found);
    const attemptOf = (container: string): Attempt | undefined => this.attempt(container);
    const begun = promiseWithResolve();
    m.begun = begun.promise;
    this.#scope.spawn(`start ${name}`, async () => {
      try {
        await this.#actions.start(found, m, { attempt, sandbox, turn, attemptOf }, this.#ctx(this.#starting.signal));
      } finally {
        m.busy = false;
        void Promise.race([m.hook, m.ended.promise]).then(() => begun.resolve());
        this.kick();
      }
    });
  }

  /**
   * Containers start in the order of the spec, a postStart hook holds back the next: a proxy's may wait until it serves.
   * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_manager.go (SyncPod).
   */
  #turn(c: RoledContainer): Promise<unknown> {
    const all = containersOf(this.#pod).filter((x) => x.role !== 'ephemeral');
    const before =
      c.role === 'ephemeral'
        ? []
        : all.slice(
            0,
            all.findIndex((x) => x.spec.name === c.spec.name),
          );
    return Promise.all(before.map((x) => this.#containers.get(x.spec.name)?.begun));
  }

  #stop(a: Extract<Action, { do: 'stop' }>, c: Ctx): void {
    const m = this.#containers.get(a.container);
    const spec = containersOf(this.#pod).find((x) => x.spec.name === a.container)?.spec;
    if (m === undefined || m.busy || spec === undefined) return;
    m.busy = true;
    if (a.replace === true) m.endRequested = { reason: a.reason, replace: true };
    this.#scope.spawn(`stop ${a.container}`, async () => {
      try {
        await this.#actions.stop(spec, m, { ...a, podIp: this.podIp ?? '' }, c);
      } catch (e) {
        if (toStatusError(e).kind !== 'Cancelled') {
          this.#d.log.warn({ err: e, uid: this.uid, container: a.container }, 'stopping a container failed');
          await c.clock.sleep(1000, c.signal);
        }
      } finally {
        m.busy = false;
        this.kick();
      }
    });
  }
}
