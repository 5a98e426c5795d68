/**
 * One serial decision loop per pod uid: sync -> terminating -> finished, never back. The loop observes, asks `plan`, starts
 * the actions and reports; actions run beside it (one at a time per container, one for the sandbox) and wake it when done,
 * so that a slow pull never delays a stop. All writes are idempotent: a crash between any two lines is healed by the next
 * agent, which finds containers, sandbox and pod.json on disk.
 */
import { assertNever, type Ctx, Scope, timeText, toStatusError, Wake } from '#lib/base';
import type { ContainerId, ContainerState } from '../runtime/runtime.ts';
import type { AdoptedPod } from './adopted.ts';
import { ContainerActions } from './container-actions.ts';
import { promiseWithResolve } from './container-memory.ts';
import type { PodDeps } from './deps.ts';
import {
  type Action,
  type Attempt,
  containersOf,
  type PodFailure,
  type PodObject,
  type PodObservation,
  type Resources,
  wordsOf,
} from './model.ts';
import { MINIMUM_GRACE_S, plan, remainingGrace } from './plan.ts';
import { PodContainers } from './pod-containers.ts';
import { type PodEvents, podEvents } from './pod-events.ts';
import { containersToRenew } from './renewal.ts';
import { PodResize } from './resize.ts';
import { SandboxActions } from './sandbox-actions.ts';
import type { Slots } from './slots.ts';
import { defaultWaitingReason, lastStateAttempt } from './status.ts';
import { StatusReporter } from './status-reporter.ts';
import { removePodFiles } from './steps/sandbox.ts';

export interface WorkerOptions {
  readonly adopted?: AdoptedPod | undefined;
  readonly slots: Slots;
  /** Another version of the pod holds now: a newer one of the API's, or one that was resized. */
  readonly onChanged: (before: PodObject) => void;
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
  readonly #resize: PodResize;
  readonly #containers: PodContainers;
  readonly #startedAtMs: number;
  #pod: PodObject;
  #phase: 'sync' | 'terminating' | 'finished' = 'sync';
  #failure: PodFailure | undefined;
  readonly #wake = new Wake();

  constructor(d: PodDeps, pod: PodObject, o: WorkerOptions) {
    this.uid = pod.metadata.uid ?? '';
    this.#d = d;
    this.#o = o;
    this.#scope = new Scope(`pod ${pod.metadata.namespace}/${pod.metadata.name}`);
    this.#starting = new Scope('starting', this.#scope.signal);
    this.#startedAtMs = pod.status?.startTime === undefined ? d.clock.now() : Date.parse(pod.status.startTime);
    this.#events = podEvents(d, () => this.#pod);
    this.#reporter = new StatusReporter(d, pod, () => this.kick());
    const host = { pod: () => this.#pod, events: this.#events, slots: o.slots, kick: () => this.kick() };
    this.#actions = new ContainerActions(d, host);
    this.#sandbox = new SandboxActions(d, { ...host, scope: this.#scope, onReady: ({ id }) => this.#renew(id) });
    this.#resize = new PodResize(
      d,
      pod,
      { ...host, onAllocated: () => this.#allocated(this.#resize.decide()) },
      o.adopted,
    );
    this.#pod = pod;
    this.#pod = this.#resize.decide();
    this.#containers = new PodContainers(this.#pod, d.clock.now());
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

  /** A newer version of the API object. A status of ours in it is no reason to try again now; labels are one for variables made of them. */
  update(wanted: PodObject): void {
    const { generation } = wanted.metadata;
    const isSame = generation !== undefined && generation === this.#pod.metadata.generation;
    if (isSame && wordsOf(wanted) !== wordsOf(this.#pod)) this.#containers.retryConfig();
    const pod = this.#resize.update(wanted);
    this.#allocated(pod);
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#terminate();
      this.#containers.shortenStops(remainingGrace(pod, this.#d.clock.now()));
    }
    if (!isSame) this.retryNow();
  }

  #allocated(pod: PodObject): void {
    const before = this.#pod;
    this.#containers.update(before, pod);
    this.#pod = pod;
    this.#o.onChanged(before);
    this.kick();
  }

  /** The API object is gone: end everything now, whatever grace it had. */
  removed(): void {
    const deletionTimestamp = timeText(this.#d.clock.now());
    this.#pod = {
      ...this.#pod,
      metadata: { ...this.#pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: 0 },
    };
    this.#terminate();
    this.#containers.shortenStops(MINIMUM_GRACE_S);
    this.kick();
  }

  /** Something this pod waits for (a ConfigMap, a Secret) changed: forget the back-off of failures. */
  retryNow(): void {
    this.#sandbox.retryNow();
    this.#containers.retryConfig();
    this.kick();
  }

  /** A secret that the pod names for pulls came or changed. */
  pullSecretChanged(): void {
    this.#containers.retryPulls();
    this.kick();
  }

  /** Of whatever pod: all hear of each, so one that is not concerned has nothing to do. */
  exited(id: ContainerId, state: ContainerState & { phase: 'exited' }): void {
    for (const [name, m] of this.#containers.entries()) {
      if (m.latest?.id !== id || m.latest.state.phase === 'exited') continue;
      m.exited(state);
      const container = containersOf(this.#pod).find((c) => c.spec.name === name);
      if (this.#phase === 'sync' && container !== undefined) this.#actions.tellBackOff(container, m);
      this.kick();
    }
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
    return this.#containers.get(container)?.waiting?.reason ?? defaultWaitingReason(this.#pod);
  }

  get podIp(): string | undefined {
    const { seen } = this.#sandbox;
    return seen.phase === 'ready' ? seen.podIp : undefined;
  }

  /** Whether its volumes are on this node, made and not yet being removed. */
  get hasVolumes(): boolean {
    return this.#sandbox.hasVolumes;
  }

  /** Ends the pod as Failed. One that ends already gets no more than the failure's grace; false when that changes nothing. */
  fail(failure: PodFailure): boolean {
    if (this.#phase !== 'sync' || this.#failure !== undefined || this.#reporter.terminal !== undefined)
      return failure.graceSeconds !== undefined && this.#containers.shortenStops(failure.graceSeconds);
    this.#failure = failure;
    this.#starting.abort();
    this.#events.warning(failure.reason, failure.message);
    this.kick();
    return true;
  }

  kick(): void {
    this.#wake.kick();
  }

  /** Stops deciding; containers run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const m of this.#containers.values()) await m.prober?.[Symbol.asyncDispose]();
    this.#reporter.close();
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
    this.#containers.adopt(a, this.#pod);
    const running = [...a.attempts.values()].find((x) => x.latest.state.phase === 'running');
    const podIp = this.#pod.spec.hostNetwork ? this.#d.settings.nodeIp : a.podIp;
    if (running === undefined || podIp === undefined) {
      this.#sandbox.adoptRemains({ isHeld: a.podIp !== undefined });
      return;
    }
    this.#sandbox.adopt(running.latest.sandbox, podIp);
    this.#probeAdopted(podIp);
  }

  /** What ended in an earlier sandbox may not count in this one. */
  #renew(sandboxId: string): void {
    const names = containersToRenew(this.#pod, this.#observe(), sandboxId);
    this.#containers.renew(names);
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
      this.#wake.clear();
      this.#resize.look(this.#pod, this.#observe());
      const next = plan(this.#pod, this.#observe(), { terminating: this.#phase !== 'sync', nowMs: c.clock.now() });
      for (const a of next.actions) this.#act(a, c);
      if (this.#reporter.report(this.#pod, this.#observe(), this.#phase !== 'sync')) this.#wake.kick();
      if (this.#reporter.terminal !== undefined) this.#release();
      await this.#wake.sleepUntil(next.wakeAtMs, c);
    }
  }

  #observe(): PodObservation {
    const containers = this.#containers.observe(this.#pod);
    const { terminal } = this.#reporter;
    return {
      sandbox: this.#sandbox.seen,
      containers,
      failure: this.#failure,
      startedAtMs: this.#startedAtMs,
      terminal,
      resize: this.#resize.seen,
      restartDelayMaxMs: this.#d.settings.restartDelayMaxMs,
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
      case 'resize':
        this.#sandbox.task('resize', () => this.#actuate(c));
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
    return this.#sandbox.isBusy || this.#containers.isBusy;
  }

  #release(): void {
    this.#d.allocations.release(this.uid);
    this.#d.cpus?.release(this.uid);
    this.#d.devices?.release(this.uid);
  }

  async #makeSandbox(): Promise<void> {
    const starting = this.#ctx(this.#starting.signal);
    const failure = (await this.#d.cpus?.allocate(this.#pod)) ?? (await this.#d.devices?.allocate(this.#pod, starting));
    if (failure !== undefined) return void this.fail(failure);
    const isReady = await this.#sandbox.make(starting);
    if (isReady && this.podIp !== undefined) this.#probeAdopted(this.podIp);
  }

  async #actuate(c: Ctx): Promise<void> {
    const { sandbox } = this.#sandbox;
    if (sandbox === undefined) return;
    const told = (a: Attempt, resources: Resources): void => {
      for (const m of this.#containers.values()) m.resized(a.id, resources);
    };
    await this.#resize.actuate(this.#pod, this.#observe(), sandbox.cgroup, told, c);
  }

  /** Every trace of the pod goes, then the control plane is told. */
  async #finish(c: Ctx): Promise<void> {
    await this.#reporter.reportEnd(() => [this.#pod, this.#observe()]);
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
    this.#release();
    this.#phase = 'finished';
    this.#o.onFinished(this.uid);
  }

  #start(name: string, attempt: number): void {
    const m = this.#containers.get(name);
    const found = containersOf(this.#pod).find((c) => c.spec.name === name);
    const { sandbox } = this.#sandbox;
    if (m === undefined || m.busy || found === undefined || sandbox === undefined || this.#phase !== 'sync') return;
    m.busy = true;
    const turn = this.#containers.turnOf(found, this.#pod);
    const round = this.#containers.roundOf(this.#pod);
    const attemptOf = (container: string): Attempt | undefined => this.attempt(container);
    const begun = promiseWithResolve();
    m.begun = begun.promise;
    this.#scope.spawn(`start ${name}`, async () => {
      try {
        await this.#actions.start(
          found,
          m,
          { attempt, round, sandbox, turn, attemptOf },
          this.#ctx(this.#starting.signal),
        );
      } finally {
        m.busy = false;
        void Promise.race([m.hook, m.ended.promise]).then(() => begun.resolve());
        this.kick();
      }
    });
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
