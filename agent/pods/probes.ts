/**
 * Probes of one running attempt: startup first, then liveness and readiness side by side. Counts successes and failures
 * against the thresholds and tells the worker; it never acts on the container itself.
 * Source: kubernetes pkg/kubelet/prober/worker.go; defaults: pkg/apis/core/v1/defaults.go.
 */
import type { DeepReadonly, Probe } from '#lib/api';
import { type Ctx, messageOf, Scope } from '#lib/base';
import type { PodDeps } from './deps.ts';
import { type HandlerResult, type HandlerTarget, runHandler, type SteadyHandler, steadyHandler } from './hooks.ts';
import type { PodEvents } from './pod-events.ts';

export interface ProbeSink {
  started(): void;
  ready(isReady: boolean): void;
  /** Liveness or startup passed its failure threshold: end the container. */
  unhealthy(reason: string, graceSeconds: number | undefined): void;
}

/** What an earlier agent found of a container that still runs. */
export interface EarlierResults {
  readonly started: boolean;
  readonly ready: boolean;
}

type ProbeType = 'Startup' | 'Liveness' | 'Readiness';

export class Prober implements AsyncDisposable {
  readonly #d: PodDeps;
  readonly #target: HandlerTarget;
  readonly #events: PodEvents;
  readonly #sink: ProbeSink;
  readonly #scope: Scope;
  /** Of the probes that end a container. */
  readonly #killing: Scope;

  constructor(d: PodDeps, target: HandlerTarget, events: PodEvents, sink: ProbeSink) {
    this.#d = d;
    this.#target = target;
    this.#events = events;
    this.#sink = sink;
    this.#scope = new Scope(`probes ${target.container.name}`);
    this.#killing = new Scope('startup and liveness', this.#scope.signal);
  }

  /** `earlier`: the container ran before this agent: the first probes are spread over the period. */
  start(c: Pick<Ctx, 'clock' | 'log'>, earlier: EarlierResults | undefined): void {
    const { startupProbe, livenessProbe, readinessProbe } = this.#target.container;
    if (startupProbe === undefined && livenessProbe === undefined && readinessProbe === undefined) return;
    this.#wasReady = earlier?.ready ?? false;
    const isAdopted = earlier !== undefined;
    this.#scope.spawn('probes', async (signal) => {
      if (startupProbe !== undefined && earlier?.started !== true) {
        const ok = await this.#hasStarted(startupProbe, { ...c, signal: this.#killing.signal });
        if (!ok) return;
        this.#sink.started();
      }
      if (livenessProbe !== undefined)
        this.#killing.spawn('liveness', (s) => this.#watch('Liveness', livenessProbe, isAdopted, { ...c, signal: s }));
      if (readinessProbe !== undefined) await this.#watch('Readiness', readinessProbe, isAdopted, { ...c, signal });
    });
  }

  /** The pod goes away: whether it lives is no question any more. Source: prober_manager.go (StopLivenessAndStartup). */
  stopLiveness(): void {
    this.#killing.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await this.#killing[Symbol.asyncDispose]();
  }

  async #hasStarted(p: DeepReadonly<Probe>, c: Ctx): Promise<boolean> {
    try {
      return await this.#untilDecided(p, c);
    } catch (e) {
      if (c.signal.aborted) return false;
      throw e;
    }
  }

  /** Startup: true at the first success, false after failureThreshold failures. */
  async #untilDecided(p: DeepReadonly<Probe>, c: Ctx): Promise<boolean> {
    const periodMs = (p.periodSeconds ?? 10) * 1000;
    await c.clock.sleep((p.initialDelaySeconds ?? 0) * 1000, c.signal);
    let nextMs = c.clock.monotonic();
    for (let failures = 0; ; ) {
      const result = await this.#once('Startup', p, c);
      if (result === true) return true;
      if (result === false) failures++;
      if (failures >= (p.failureThreshold ?? 3)) {
        this.#sink.unhealthy(
          `Container ${this.#target.container.name} failed startup probe, will be restarted`,
          p.terminationGracePeriodSeconds,
        );
        return false;
      }
      nextMs = Math.max(nextMs + periodMs, c.clock.monotonic());
      await c.clock.sleep(nextMs - c.clock.monotonic(), c.signal);
    }
  }

  async #watch(type: 'Liveness' | 'Readiness', p: DeepReadonly<Probe>, adopted: boolean, c: Ctx): Promise<void> {
    const periodMs = (p.periodSeconds ?? 10) * 1000;
    if (adopted) await c.clock.sleep(periodMs * this.#d.random.next(), c.signal);
    else await c.clock.sleep((p.initialDelaySeconds ?? 0) * 1000, c.signal);
    let run = 0;
    let last: boolean | undefined;
    let nextMs = c.clock.monotonic();
    let steady: SteadyHandler | undefined;
    for (;;) {
      const asked = steady === undefined ? undefined : await this.#askOn(type, p, steady, nextMs, c);
      const ok = asked === undefined ? await this.#once(type, p, c) : asked.ok;
      if (asked !== undefined) nextMs = asked.atMs;
      if (ok === undefined) {
        nextMs = Math.max(nextMs + periodMs, c.clock.monotonic());
        await c.clock.sleep(nextMs - c.clock.monotonic(), c.signal);
        continue;
      }
      run = ok === last ? run + 1 : 1;
      last = ok;
      const threshold = ok ? (p.successThreshold ?? 1) : (p.failureThreshold ?? 3);
      if (run >= threshold) {
        if (type === 'Readiness') this.#sink.ready(ok);
        else if (!ok) {
          this.#sink.unhealthy(
            `Container ${this.#target.container.name} failed liveness probe, will be restarted`,
            p.terminationGracePeriodSeconds,
          );
          return;
        }
      }
      const quick = type === 'Readiness' && !ok && run < 20 && periodMs > 100 && last === false && !this.#wasReady;
      nextMs = quick
        ? c.clock.monotonic() + Math.min(100 * 2 ** run, periodMs)
        : Math.max(nextMs + periodMs, c.clock.monotonic());
      if (ok) this.#wasReady = true;
      /* One that did not succeed when it was asked here is no matter of the prober's. */
      const isRefused = steady !== undefined && asked === undefined;
      steady = ok && run >= threshold && !isRefused ? this.#steadyHandler(p) : undefined;
      if (steady === undefined) await c.clock.sleep(nextMs - c.clock.monotonic(), c.signal);
    }
  }

  #steadyHandler(p: DeepReadonly<Probe>): SteadyHandler | undefined {
    return this.#d.steadyProber === undefined ? undefined : steadyHandler(p, this.#target);
  }

  /** From `nextMs` on until it does not succeed, and what it said then; undefined: it must be asked from here. */
  async #askOn(
    type: ProbeType,
    p: DeepReadonly<Probe>,
    { target, verdict }: SteadyHandler,
    nextMs: number,
    c: Ctx,
  ): Promise<{ readonly ok: boolean; readonly atMs: number } | undefined> {
    const times = { periodMs: (p.periodSeconds ?? 10) * 1000, timeoutMs: (p.timeoutSeconds ?? 1) * 1000 };
    const probe = { ...target, ...times, firstInMs: nextMs - c.clock.monotonic() };
    const end = await this.#d.steadyProber?.watch(probe, c).catch(async (e: unknown) => {
      c.signal.throwIfAborted();
      c.log.warn({ err: messageOf(e), container: this.#target.container.name }, 'the agent asks a probe itself');
      /* The same happens to all others. */
      await c.clock.sleep(times.periodMs * this.#d.random.next(), c.signal);
      return undefined;
    });
    const result = end === undefined ? undefined : verdict(end);
    if (end === undefined || result === undefined) return undefined;
    this.#tell(type, result);
    return { ok: result.ok, atMs: c.clock.monotonic() - end.agoMs };
  }

  /** Before the first success of readiness the next try comes sooner than the period: a container is ready when it is. */
  #wasReady = false;

  /** undefined: the probe could not be made; it counts neither as success nor as failure. */
  async #once(type: ProbeType, p: DeepReadonly<Probe>, c: Ctx): Promise<boolean | undefined> {
    const result = await runHandler(this.#d, p, this.#target, (p.timeoutSeconds ?? 1) * 1000, c);
    if (c.signal.aborted) throw c.signal.reason;
    if (result.errored === true) {
      const message = `${type} probe errored and resulted in unknown state: ${result.message}`;
      this.#events.warning('Unhealthy', message, this.#target.container.name);
      return undefined;
    }
    this.#tell(type, result);
    return result.ok;
  }

  #tell(type: ProbeType, { ok, message }: HandlerResult): void {
    if (ok || (type === 'Readiness' && !this.#wasReady && this.#quiet())) return;
    this.#events.warning('Unhealthy', `${type} probe failed: ${message}`, this.#target.container.name);
  }

  /** The first failures within a second of the start are no news. */
  #quiet(): boolean {
    const { state } = this.#target.attempt;
    return this.#d.clock.now() - state.startedAtMs < 1000;
  }
}
