/** Starting, stopping and probing the containers of one pod: what the worker's plan asks for, with failures remembered. */
import { type Ctx, messageOf } from '#lib/base';
import type { ContainerId } from '../runtime/runtime.ts';
import type { ContainerMemory } from './container-memory.ts';
import type { PodDeps } from './deps.ts';
import { runHandler } from './hooks.ts';
import { type Attempt, type ContainerSpec, type PodObject, podText, type RoledContainer } from './model.ts';
import type { PodEvents } from './pod-events.ts';
import { type EarlierResults, Prober } from './probes.ts';
import { backOffOfNext, type RestartPolicy, restartDelayMs, restarts, retryDelayMs, runsAgain } from './restart.ts';
import type { Slots } from './slots.ts';
import { forgetAttempt, type StartRequest, startContainer } from './steps/container.ts';
import { StartFailure } from './steps/image.ts';
import type { Sandbox } from './steps/sandbox.ts';
import { Stop } from './steps/stop.ts';

/** Upstream has none: as long as a timer can be. */
const POST_START_LIMIT_MS = 2 ** 31 - 1;
const PULL_BACKOFF_SHOWN_AFTER_MS = 1500;
const START_ERROR_CODE = 128;

export interface ActionHost {
  readonly pod: () => PodObject;
  readonly events: PodEvents;
  readonly slots: Slots;
  readonly kick: () => void;
}

export class ContainerActions {
  readonly #d: PodDeps;
  readonly #host: ActionHost;

  constructor(d: PodDeps, host: ActionHost) {
    this.#d = d;
    this.#host = host;
  }

  /** Starts the next attempt; a failure becomes the container's waiting reason with a back-off. */
  async start(
    c: RoledContainer,
    m: ContainerMemory,
    o: Pick<StartRequest, 'attempt' | 'round' | 'sandbox' | 'turn' | 'attemptOf'>,
    ctx: Ctx,
  ): Promise<void> {
    const { events } = this.#host;
    const pod = this.#host.pod();
    try {
      if (m.latest !== undefined && m.previous !== undefined) {
        await this.discard(m.previous.id, ctx);
        await forgetAttempt(this.#d, pod, c.spec.name, m.previous);
        m.previous = undefined;
      }
      const backOff = backOffOfNext(m.observe().latest, c.spec.image ?? '');
      const request = { ...o, pod: this.#host.pod, role: c.role, spec: c.spec, backOff, events };
      const attempt = await startContainer(this.#d, request, this.#host.slots, ctx);
      m.began(attempt, c.spec);
      if (c.role === 'app') this.#d.startTimes?.began(pod, c.spec.name, attempt.state.startedAtMs);
      const now = await this.#d.runtime.state(attempt.id, ctx);
      if (now?.phase === 'exited' && m.latest?.state.phase === 'running') {
        m.exited(now);
        this.tellBackOff(c, m);
      } else {
        this.probe(c.spec, m, o.sandbox.podIp, undefined);
        if (!m.postStarted) m.hook = this.#postStart(c.spec, m, o.sandbox.podIp, ctx);
      }
    } catch (e) {
      if (ctx.signal.aborted) return;
      this.#failed(c, o, m, e);
    }
  }

  /** The container has ended and its next attempt will wait: says so when the wait begins. */
  tellBackOff(c: RoledContainer, m: ContainerMemory): void {
    const pod = this.#host.pod();
    const { latest } = m;
    const { name, image = '' } = c.spec;
    if (latest?.state.phase !== 'exited' || restartDelayMs(latest, image) === 0) return;
    if (!runsAgain((pod.spec.restartPolicy ?? 'Always') as RestartPolicy, c, latest)) return;
    this.#host.events.warning('BackOff', `Back-off restarting failed container ${name} in pod ${podText(pod)}`, name);
  }

  #failed(
    { spec, role }: RoledContainer,
    o: { attempt: number; sandbox: Sandbox },
    m: ContainerMemory,
    e: unknown,
  ): void {
    const reason = e instanceof StartFailure ? e.reason : 'CreateContainerError';
    const policy = (this.#host.pod().spec.restartPolicy ?? 'Always') as RestartPolicy;
    if (reason === 'RunContainerError' && !restarts(policy, { spec, role }, START_ERROR_CODE)) {
      m.began(this.#startError(spec, o, messageOf(e)), spec);
      this.#host.kick();
      return;
    }
    if (reason !== 'ErrImagePull') this.#host.events.warning('Failed', `Error: ${messageOf(e)}`, spec.name);
    m.waiting = { reason, message: messageOf(e) };
    m.retryAtMs = this.#d.clock.now() + retryDelayMs(m.failures++);
    this.#d.log.info(
      { err: e, container: spec.name, pod: this.#host.pod().metadata.name },
      'a container could not start',
    );
    if (reason !== 'ErrImagePull') return;
    this.#d.clock.after(
      PULL_BACKOFF_SHOWN_AFTER_MS,
      () => {
        if (m.waiting?.reason !== 'ErrImagePull') return;
        const message = `Back-off pulling image "${spec.image ?? ''}": ${messageOf(e)}`;
        m.waiting = { reason: 'ImagePullBackOff', message };
        this.#host.events.normal('BackOff', `Back-off pulling image "${spec.image ?? ''}"`, spec.name);
        this.#host.kick();
      },
      { unref: true },
    );
  }

  /** A program that cannot be run and will not be tried again has ended. Source: containerd (exit 128, StartError). */
  #startError(spec: ContainerSpec, o: { attempt: number; sandbox: Sandbox }, message: string): Attempt {
    const nowMs = this.#d.clock.now();
    const times = { startedAtMs: nowMs, finishedAtMs: nowMs };
    return {
      id: this.#d.random.hex(32) as ContainerId,
      attempt: o.attempt,
      backOff: 0,
      sandbox: o.sandbox.id,
      state: { phase: 'exited', exitCode: START_ERROR_CODE, signal: 0, oomKilled: false, lost: false, ...times },
      image: spec.image ?? '',
      imageId: '',
      stopSignal: '',
      startError: message,
    };
  }

  async #postStart(spec: ContainerSpec, m: ContainerMemory, podIp: string, ctx: Ctx): Promise<void> {
    const hook = spec.lifecycle?.postStart;
    const attempt = m.latest;
    if (hook === undefined || attempt === undefined) return;
    const target = { container: spec, attempt, podIp, purpose: 'lifecycle' } as const;
    const result = await runHandler(this.#d, hook, target, POST_START_LIMIT_MS, ctx);
    /* Cut off by the pod's end, it has neither succeeded nor failed. */
    if (ctx.signal.aborted || m.latest?.id !== attempt.id || m.latest.state.phase !== 'running') return;
    m.postStarted = true;
    if (!result.ok) {
      this.#host.events.warning('FailedPostStartHook', `PostStartHook failed: ${result.message}`, spec.name);
      m.endRequested = { reason: 'FailedPostStartHook' };
    }
    this.#host.kick();
  }

  /** Probes the latest attempt until it ends. */
  probe(spec: ContainerSpec, m: ContainerMemory, podIp: string, earlier: EarlierResults | undefined): void {
    const attempt = m.latest;
    if (attempt === undefined) return;
    const isCurrent = (): boolean => m.latest?.id === attempt.id && m.latest.state.phase === 'running';
    const prober = new Prober(this.#d, { container: spec, attempt, podIp, purpose: 'probe' }, this.#host.events, {
      started: () => {
        if (!isCurrent()) return;
        m.started = true;
        this.#host.kick();
      },
      ready: (isReady) => {
        if (!isCurrent() || m.ready === isReady) return;
        m.ready = isReady;
        this.#host.kick();
      },
      unhealthy: (reason, graceSeconds) => {
        if (!isCurrent()) return;
        m.endRequested = { reason, graceSeconds };
        this.#host.kick();
      },
    });
    m.prober = prober;
    prober.start({ clock: this.#d.clock, log: this.#d.log }, earlier);
  }

  async stop(
    spec: ContainerSpec,
    m: ContainerMemory,
    o: { graceSeconds: number; reason: string; podIp: string },
    ctx: Ctx,
  ): Promise<void> {
    const attempt = m.latest;
    if (attempt?.state.phase !== 'running') return;
    const stop = new Stop(this.#d, {
      spec,
      attempt,
      podIp: o.podIp,
      graceSeconds: o.graceSeconds,
      reason: o.reason,
      preStop: !m.preStopBegan,
      events: this.#host.events,
      ended: m.ended.promise,
    });
    m.stop = stop;
    try {
      /* An end that came in the moment of the start, before anybody listened, or a record that was taken away. */
      const now = await this.#d.runtime.state(attempt.id, ctx);
      if (now?.phase !== 'running') {
        m.exited(now ?? this.#lost(attempt.state.startedAtMs));
        return;
      }
      m.preStopBegan = true;
      await stop.run(ctx);
    } finally {
      m.stop = undefined;
    }
  }

  #lost(startedAtMs: number): Attempt['state'] {
    const end = { exitCode: 137, signal: 0, oomKilled: false, lost: true };
    return { phase: 'exited', ...end, startedAtMs, finishedAtMs: this.#d.clock.now() };
  }

  /** Record and root of an attempt that nobody needs any more. */
  async discard(id: ContainerId, ctx: Ctx): Promise<void> {
    await this.#d.runtime.remove(id, ctx);
    await this.#d.images.removeRoot(id, ctx);
  }
}
