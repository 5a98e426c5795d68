/** What a worker remembers of one container between two plans; the mutable counterpart of ContainerObservation. */
import { endedBefore } from './ephemeral.ts';
import type {
  Attempt,
  ContainerObservation,
  ContainerSpec,
  EndRequest,
  PodObject,
  Resources,
  WaitingReason,
} from './model.ts';
import type { Prober } from './probes.ts';
import type { Stop } from './steps/stop.ts';

export class ContainerMemory {
  latest: Attempt | undefined;
  previous: Attempt | undefined;
  waiting: WaitingReason | undefined;
  retryAtMs = 0;
  failures = 0;
  started = false;
  ready = false;
  postStarted = false;
  /** The preStop hook of `latest` has begun: a stop that failed is tried again without it. */
  preStopBegan = false;
  firstAttempt = 0;
  /** `latest` has ended and does not count any more, as if its record were gone: the pod begins from its initial state. */
  isRenewed = false;
  endRequested: EndRequest | undefined;
  /** A start or stop is under way: the plan's further wishes for this container wait. */
  busy = false;
  /** Settles when the start under way is over, its postStart hook included: what comes after it in the spec waits. */
  begun: Promise<void> = Promise.resolve();
  /** The postStart hook of `latest`, never rejected. */
  hook: Promise<void> = Promise.resolve();
  stop: Stop | undefined;
  prober: Prober | undefined;
  /** Resolves when `latest` has ended. */
  ended: PromiseWithResolve = promiseWithResolve();

  observe(): ContainerObservation {
    const { latest, previous, waiting, retryAtMs, started, ready, postStarted, endRequested, firstAttempt } = this;
    const seen = { latest, previous, waiting, retryAtMs, started, ready, postStarted, endRequested, firstAttempt };
    if (!this.isRenewed || latest === undefined) return seen;
    return { ...seen, latest: undefined, previous: latest, firstAttempt: latest.attempt + 1 };
  }

  /** A new attempt runs. */
  began(attempt: Attempt, spec: ContainerSpec): void {
    if (this.latest !== undefined) this.previous = this.latest;
    this.latest = attempt;
    this.isRenewed = false;
    this.waiting = undefined;
    this.retryAtMs = 0;
    this.failures = 0;
    this.started = spec.startupProbe === undefined;
    this.ready = spec.readinessProbe === undefined;
    this.postStarted = spec.lifecycle?.postStart === undefined;
    this.preStopBegan = false;
    this.hook = Promise.resolve();
    this.endRequested = undefined;
    this.ended = promiseWithResolve();
    if (attempt.state.phase === 'exited') this.ended.resolve();
  }

  /** Its cgroup has these now. */
  resized(id: string, resources: Resources): void {
    if (this.latest?.id === id) this.latest = { ...this.latest, resources };
  }

  /** The failures were those of another image, or of other credentials. */
  forgetFailures(): void {
    this.retryAtMs = 0;
    this.failures = 0;
  }

  /** The first word counts: the end of an attempt may be heard of twice. */
  exited(state: Attempt['state']): void {
    if (this.latest?.state.phase !== 'running') return;
    const { reason, replace } = this.endRequested ?? {};
    this.latest = { ...this.latest, state, killReason: reason, isReplaced: replace };
    this.started = false;
    this.ready = false;
    this.endRequested = undefined;
    void this.prober?.[Symbol.asyncDispose]();
    this.prober = undefined;
    this.ended.resolve();
  }
}

export interface PromiseWithResolve {
  readonly promise: Promise<void>;
  resolve(): void;
}

export function promiseWithResolve(): PromiseWithResolve {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}

/** Attempts that only the API remembers count: restartCount never goes back, an ephemeral container does not run again. */
export function newMemory(pod: PodObject, name: string, nowMs: number): ContainerMemory {
  const memory = new ContainerMemory();
  memory.latest = endedBefore(pod, name, nowMs);
  if (memory.latest !== undefined) memory.ended.resolve();
  const all = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const known = all.find((s) => s.name === name);
  if (known?.containerID !== undefined && known.containerID !== '') memory.firstAttempt = known.restartCount + 1;
  return memory;
}
