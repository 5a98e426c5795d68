/**
 * Ends one running attempt: preStop (inside the grace), stop signal, the rest of the grace, SIGKILL. The deadline may be
 * moved forward while it runs (a second delete with a shorter grace).
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_container.go (killContainer).
 */
import { type Ctx, isKind, raceAbort } from '#lib/base';
import type { PodDeps } from '../deps.ts';
import { runHandler } from '../hooks.ts';
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

/** A stop in progress: shorten() moves its deadline forward, never back. */
export class Stop {
  readonly #cut = new AbortController();
  readonly #d: PodDeps;
  readonly #r: StopRequest;
  #deadlineMs: number;
  #wake: (() => void) | undefined;

  constructor(d: PodDeps, r: StopRequest) {
    this.#d = d;
    this.#r = r;
    this.#deadlineMs = d.clock.monotonic() + r.graceSeconds * 1000;
  }

  shorten(graceSeconds: number): void {
    const next = this.#d.clock.monotonic() + graceSeconds * 1000;
    if (next >= this.#deadlineMs) return;
    this.#deadlineMs = next;
    this.#cut.abort();
    this.#wake?.();
  }

  async run(c: Ctx): Promise<void> {
    const { spec, attempt, events, preStop } = this.#r;
    events.normal('Killing', this.#r.reason, spec.name);
    const hook = spec.lifecycle?.preStop;
    if (preStop && hook !== undefined) {
      const signal = AbortSignal.any([c.signal, this.#cut.signal]);
      const left = Math.max(this.#deadlineMs - this.#d.clock.monotonic(), 0);
      const run = runHandler(this.#d, hook, { container: spec, attempt, podIp: this.#r.podIp }, left, { ...c, signal });
      const limit = this.#d.clock
        .sleep(left, signal)
        .then(() => ({ ok: false, message: 'preStop hook used up the grace period' }));
      const result = await Promise.race([
        run,
        limit.catch(() => ({ ok: true, message: '' })),
        this.#r.ended.then(() => ({ ok: true, message: '' })),
      ]);
      if (!result.ok) events.warning('FailedPreStopHook', `PreStopHook failed: ${result.message}`, spec.name);
      this.#deadlineMs = Math.max(this.#deadlineMs, this.#d.clock.monotonic() + MINIMUM_GRACE_S * 1000);
    }
    await this.#d.runtime.kill(attempt.id, spec.lifecycle?.stopSignal ?? attempt.stopSignal, {}, c);
    if (await this.#endsInTime(c)) return;
    await this.#d.runtime.kill(attempt.id, 'SIGKILL', { all: true }, c);
    await raceAbort(this.#r.ended, c.signal);
  }

  async #endsInTime(c: Ctx): Promise<boolean> {
    let ended = false;
    const end = this.#r.ended.then(() => {
      ended = true;
    });
    while (!ended) {
      const left = this.#deadlineMs - this.#d.clock.monotonic();
      if (left <= 0) return false;
      const limit = new AbortController();
      const moved = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const sleep = this.#d.clock.sleep(left, AbortSignal.any([limit.signal, c.signal])).catch((e: unknown) => {
        if (c.signal.aborted && !isKind(e, 'Cancelled')) throw e;
      });
      await Promise.race([end, moved, sleep]);
      limit.abort();
      await sleep;
    }
    return true;
  }
}
