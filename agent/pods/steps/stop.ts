/**
 * Ends one running attempt: preStop (inside the grace), stop signal, the rest of the grace, SIGKILL. The deadline may be
 * moved forward while it runs (a second delete with a shorter grace).
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_container.go (killContainer).
 */
import { type Ctx, isKind, raceAbort, Scope } from '#lib/base';
import type { PodDeps } from '../deps.ts';
import { type Handler, type HandlerResult, runHandler } from '../hooks.ts';
import type { Attempt, ContainerSpec } from '../model.ts';
import { MINIMUM_GRACE_S } from '../plan.ts';
import type { PodEvents } from '../pod-events.ts';

export interface StopRequest {
  readonly spec: ContainerSpec;
  readonly attempt: Attempt;
  readonly podIp: string;
  readonly graceSeconds: number;
  readonly reason: string;
  readonly preStop: boolean;
  readonly events: PodEvents;
  /** Resolves when the attempt has ended. */
  readonly ended: Promise<void>;
}

/** A stop in progress. A preStop hook runs on until the deadline. */
export class Stop {
  readonly #d: PodDeps;
  readonly #r: StopRequest;
  #deadlineMs: number;
  #wake: (() => void) | undefined;

  constructor(d: PodDeps, r: StopRequest) {
    this.#d = d;
    this.#r = r;
    this.#deadlineMs = d.clock.monotonic() + r.graceSeconds * 1000;
  }

  /** Moves the deadline forward, never back; false when it comes as early already. */
  shorten(graceSeconds: number): boolean {
    const next = this.#d.clock.monotonic() + graceSeconds * 1000;
    if (next >= this.#deadlineMs) return false;
    this.#deadlineMs = next;
    this.#wake?.();
    return true;
  }

  async run(c: Ctx): Promise<void> {
    const { spec, attempt, events, preStop } = this.#r;
    events.normal('Killing', this.#r.reason, spec.name);
    const hook = spec.lifecycle?.preStop;
    if (preStop && hook !== undefined) {
      await this.#preStop(hook, c);
      this.#deadlineMs = Math.max(this.#deadlineMs, this.#d.clock.monotonic() + MINIMUM_GRACE_S * 1000);
    }
    await this.#signal(c);
    if (await this.#inTime(this.#r.ended, c)) return;
    await this.#d.runtime.kill(attempt.id, 'SIGKILL', { all: true }, c);
    await raceAbort(this.#r.ended, c.signal);
  }

  async #preStop(hook: Handler, c: Ctx): Promise<void> {
    const { spec: container, attempt, podIp, events } = this.#r;
    await using scope = new Scope('preStop', c.signal);
    const left = Math.max(this.#deadlineMs - this.#d.clock.monotonic(), 0);
    let result: HandlerResult | undefined;
    const target = { container, attempt, podIp, purpose: 'lifecycle' } as const;
    const run = runHandler(this.#d, hook, target, left, { ...c, signal: scope.signal });
    const inTime = await this.#inTime(Promise.race([run.then((r) => (result = r)), this.#r.ended]), c);
    const failure = inTime ? result?.ok === false && result.message : 'preStop hook used up the grace period';
    if (typeof failure === 'string')
      events.warning('FailedPreStopHook', `PreStopHook failed: ${failure}`, container.name);
  }

  /** The image names its stop signal, and may name one that this machine does not know. */
  async #signal(c: Ctx): Promise<void> {
    const { spec, attempt } = this.#r;
    const signal = spec.lifecycle?.stopSignal ?? attempt.stopSignal;
    try {
      await this.#d.runtime.kill(attempt.id, signal, {}, c);
    } catch (e) {
      if (!isKind(e, 'Invalid')) throw e;
      c.log.info({ err: e, container: attempt.id }, 'an unknown stop signal: SIGTERM is sent');
      await this.#d.runtime.kill(attempt.id, 'SIGTERM', {}, c);
    }
  }

  /** Whether `done` resolves before the deadline, which may move meanwhile. */
  async #inTime(done: Promise<unknown>, c: Ctx): Promise<boolean> {
    let isDone = false;
    const end = done.then(() => {
      isDone = true;
    });
    for (;;) {
      const left = this.#deadlineMs - this.#d.clock.monotonic();
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      using _timer = this.#d.clock.after(left, () => this.#wake?.());
      await raceAbort(Promise.race([end, woken]), c.signal);
      if (isDone) return true;
      if (this.#deadlineMs <= this.#d.clock.monotonic()) return false;
    }
  }
}
