/**
 * One serial decision loop per pod uid: sync -> terminating -> finished, never back. The loop observes, asks `plan`, starts
 * the actions and reports; actions run beside it (one at a time per container, one for the sandbox) and wake it when done,
 * so that a slow pull never delays a stop. All writes are idempotent: a crash between any two lines is healed by the next
 * agent, which finds containers, sandbox and pod.json on disk.
 */
import { assertNever, type Ctx, messageOf, Scope, toStatusError } from '#lib/base';
import type { ContainerId, ContainerState } from '../runtime/runtime.ts';
import { ContainerActions } from './container-actions.ts';
import { ContainerMemory, newMemory } from './container-memory.ts';
import type { PodDeps } from './deps.ts';
import {
  type Action,
  type Attempt,
  containersOf,
  type PodFailure,
  type PodObject,
  type PodObservation,
  type SandboxObservation,
} from './model.ts';
import { plan, remainingGrace } from './plan.ts';
import { type PodEvents, podEvents } from './pod-events.ts';
import type { Slots } from './slots.ts';
import { StatusReporter } from './status-reporter.ts';
import {
  MountFailure,
  makeSandbox,
  podCgroup,
  podFolder,
  podHostname,
  removePodFiles,
  removeSandbox,
  type Sandbox,
} from './steps/sandbox.ts';

export interface AdoptedPod {
  readonly attempts: ReadonlyMap<string, { readonly latest: Attempt; readonly previous: Attempt | undefined }>;
  /** The address still held, when the sandbox lives. */
  readonly podIp: string | undefined;
}

export interface WorkerOptions {
  readonly adopted?: AdoptedPod | undefined;
  readonly slots: Slots;
  readonly onFinished: (uid: string) => void;
}

const SANDBOX_RETRY_MAX_MS = 60_000;

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
  readonly #containers = new Map<string, ContainerMemory>();
  readonly #startedAtMs: number;
  #pod: PodObject;
  #phase: 'sync' | 'terminating' | 'finished' = 'sync';
  #sandboxSeen: SandboxObservation = { phase: 'absent' };
  #sandbox: Sandbox | undefined;
  #sandboxBusy = false;
  /** False until this worker has removed it: an earlier agent may have left one. */
  #sandboxRemoved = false;
  #sandboxFailures = 0;
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
    this.#actions = new ContainerActions(d, {
      pod: () => this.#pod,
      events: this.#events,
      slots: o.slots,
      kick: () => this.kick(),
    });
    for (const { spec } of containersOf(pod)) this.#containers.set(spec.name, newMemory(pod, spec.name));
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
    this.#pod = pod;
    for (const { spec } of containersOf(pod))
      if (!this.#containers.has(spec.name)) this.#containers.set(spec.name, new ContainerMemory());
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#terminate();
      const grace = remainingGrace(pod, this.#d.clock.now());
      for (const m of this.#containers.values()) m.stop?.shorten(grace);
    }
    this.retryNow();
  }

  /** The API object is gone: end everything now. */
  removed(): void {
    this.#terminate();
    for (const m of this.#containers.values()) m.stop?.shorten(2);
    this.kick();
  }

  /** Something this pod waits for (a ConfigMap, a Secret) changed: forget the back-off of failures. */
  retryNow(): void {
    if (this.#sandboxSeen.phase === 'failed') this.#sandboxSeen = { ...this.#sandboxSeen, retryAtMs: 0 };
    for (const m of this.#containers.values()) if (m.waiting?.reason === 'CreateContainerConfigError') m.retryAtMs = 0;
    this.kick();
  }

  exited(id: ContainerId, state: ContainerState & { phase: 'exited' }): void {
    for (const [name, m] of this.#containers) {
      if (m.latest?.id !== id || m.latest.state.phase === 'exited') continue;
      m.exited(state);
      const container = containersOf(this.#pod).find((c) => c.spec.name === name);
      if (this.#phase === 'sync' && container !== undefined) this.#actions.tellBackOff(container, m);
      void m.prober?.[Symbol.asyncDispose]();
      m.prober = undefined;
    }
    this.kick();
  }

  /** The attempt of a container for streams and logs; `previous` = the one before the latest. */
  attempt(container: string, previous: boolean): Attempt | undefined {
    const m = this.#containers.get(container);
    return previous ? m?.previous : m?.latest;
  }

  /** Resolves when the container's latest attempt has ended. */
  ended(container: string): Promise<void> {
    return this.#containers.get(container)?.ended.promise ?? Promise.resolve();
  }

  waitingReason(container: string): string {
    return this.#containers.get(container)?.waiting?.reason ?? 'ContainerCreating';
  }

  /** Whether a container id belongs to this pod (running, ended, or being started). */
  owns(id: string): boolean {
    for (const m of this.#containers.values()) if (m.busy || m.latest?.id === id || m.previous?.id === id) return true;
    return false;
  }

  get podIp(): string | undefined {
    return this.#sandboxSeen.phase === 'ready' ? this.#sandboxSeen.podIp : undefined;
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
      const known = this.#pod.status?.containerStatuses?.find(
        (s) => s.name === name && s.containerID === `berth://${latest.id}`,
      );
      m.started ||= known?.started ?? false;
      m.ready ||= known?.ready ?? false;
      if (latest.state.phase === 'exited') m.ended.resolve();
    }
    const anyRuns = [...a.attempts.values()].some((x) => x.latest.state.phase === 'running');
    if (!anyRuns || a.podIp === undefined) return;
    this.#sandbox = {
      podIp: a.podIp,
      folder: podFolder(this.#d, this.uid),
      cgroup: podCgroup(this.#d, this.#pod),
      hostname: podHostname(this.#d, this.#pod),
    };
    this.#sandboxSeen = { phase: 'ready', podIp: a.podIp, readyAtMs: this.#d.clock.now() };
    for (const { spec } of containersOf(this.#pod)) {
      const m = this.#containers.get(spec.name);
      if (m?.latest?.state.phase === 'running') this.#actions.probe(spec, m, a.podIp, { adopted: true });
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
    return { sandbox: this.#sandboxSeen, containers, failure: this.#failure, startedAtMs: this.#startedAtMs, terminal };
  }

  #act(a: Action, c: Ctx): void {
    switch (a.do) {
      case 'fail':
        this.#failure = a.failure;
        this.#starting.abort();
        this.#events.warning(a.failure.reason, a.failure.message);
        this.#dirty = true;
        break;
      case 'makeSandbox':
        this.#sandboxTask('makeSandbox', () => this.#makeSandbox());
        break;
      case 'removeSandbox':
        if (!this.#anyBusy()) this.#sandboxTask('removeSandbox', () => this.#removeSandbox(c));
        break;
      case 'finish':
        if (!this.#anyBusy() && this.#sandboxSeen.phase === 'absent')
          this.#sandboxTask('finish', () => this.#finish(c));
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
    return this.#sandboxBusy || [...this.#containers.values()].some((m) => m.busy);
  }

  #sandboxTask(name: string, fn: () => Promise<void>): void {
    if (this.#sandboxBusy) return;
    this.#sandboxBusy = true;
    const run = async (): Promise<void> => {
      try {
        await fn();
      } catch (e) {
        if (toStatusError(e).kind === 'Cancelled') return;
        this.#d.log.warn({ err: e, uid: this.uid }, `${name} failed`);
        await this.#d.clock.sleep(
          Math.min(200 * 2 ** this.#sandboxFailures++, SANDBOX_RETRY_MAX_MS),
          this.#scope.signal,
        );
      } finally {
        this.#sandboxBusy = false;
        this.kick();
      }
    };
    this.#scope.spawn(name, run);
  }

  async #makeSandbox(): Promise<void> {
    const c = this.#ctx(this.#starting.signal);
    this.#sandboxRemoved = false;
    try {
      this.#sandbox = await this.#o.slots.use(() => makeSandbox(this.#d, this.#pod, c), c);
      this.#sandboxFailures = 0;
      this.#sandboxSeen = { phase: 'ready', podIp: this.#sandbox.podIp, readyAtMs: c.clock.now() };
    } catch (e) {
      const message = messageOf(e);
      const kind = toStatusError(e).kind;
      if (kind === 'Cancelled') {
        this.#sandboxSeen = { phase: 'failed', message, retryAtMs: 0 };
        return;
      }
      if (e instanceof MountFailure) this.#events.warning('FailedMount', message);
      else this.#events.warning('FailedCreatePodSandBox', `Failed to create pod sandbox: ${message}`);
      const retryAtMs = c.clock.now() + Math.min(1000 * 2 ** this.#sandboxFailures++, SANDBOX_RETRY_MAX_MS);
      this.#sandboxSeen = { phase: 'failed', message, retryAtMs };
    }
  }

  async #removeSandbox(c: Ctx): Promise<void> {
    await removeSandbox(this.#d, this.#pod, c);
    this.#sandbox = undefined;
    this.#sandboxRemoved = true;
    this.#sandboxSeen = { phase: 'absent' };
  }

  /** Every trace of the pod goes, then the control plane is told. */
  async #finish(c: Ctx): Promise<void> {
    this.#reporter.report(this.#pod, this.#observe(), true);
    for (const m of this.#containers.values()) {
      for (const a of [m.latest, m.previous]) if (a !== undefined) await this.#actions.discard(a.id, c);
    }
    if (!this.#sandboxRemoved) await removeSandbox(this.#d, this.#pod, c);
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
    if (m === undefined || m.busy || found === undefined || this.#sandbox === undefined || this.#phase !== 'sync')
      return;
    const sandbox = this.#sandbox;
    m.busy = true;
    this.#scope.spawn(`start ${name}`, async () => {
      try {
        await this.#actions.start(found, m, { attempt, sandbox }, this.#ctx(this.#starting.signal));
      } finally {
        m.busy = false;
        this.kick();
      }
    });
  }

  #stop(a: Extract<Action, { do: 'stop' }>, c: Ctx): void {
    const m = this.#containers.get(a.container);
    const spec = containersOf(this.#pod).find((x) => x.spec.name === a.container)?.spec;
    if (m === undefined || m.busy || spec === undefined) return;
    m.busy = true;
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
