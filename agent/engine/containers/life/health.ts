/** Asks containers after their health while they run: one probe at a time for each, the next after the last has ended. */
import { type Ctx, goDuration, isKind, messageOf, type Random } from '#lib/base';
import type { ContainerId, Runtime, StreamSession } from '../../../runtime/runtime.ts';
import type { ContainerRecord } from '../../parts.ts';
import {
  type Health,
  healthAfter,
  nextProbeMs,
  type ProbePlan,
  type ProbeResult,
  probePlan,
  STARTING,
} from './health-state.ts';
import type { HealthWatch } from './ports.ts';
import type { Running } from './state.ts';

const OUTPUT_BYTES_MAX = 4096;
const START_TIMEOUT_MS = 30_000;
export const RESTART_LABEL = 'berth.restart-unhealthy';

export interface HealthPorts {
  readonly runtime: Pick<Runtime, 'exec'>;
  readonly random: Random;
  readonly c: Ctx;
  /** A record as it is now: its name may have changed. */
  recordOf(id: ContainerId): ContainerRecord | undefined;
  emit(record: ContainerRecord, action: string, attributes?: Readonly<Record<string, string>>): void;
  /** It became unhealthy and wants to be started anew. */
  restart(id: ContainerId): void;
}

export class HealthMonitors implements HealthWatch {
  readonly #p: HealthPorts;
  readonly #known = new Map<ContainerId, { health: Health; stop: AbortController; startedAtMs: number }>();

  constructor(p: HealthPorts) {
    this.#p = p;
  }

  /** Of the present run, or the last one; undefined without a healthcheck. */
  of(id: ContainerId): Health | undefined {
    return this.#known.get(id)?.health;
  }

  begin(record: ContainerRecord, run: Running): void {
    const plan = probePlan(record.config);
    if (plan === undefined) return;
    const before = this.#known.get(record.id);
    before?.stop.abort();
    const isSame = before?.startedAtMs === run.startedAtMs;
    const stop = new AbortController();
    this.#known.set(record.id, { health: isSame ? before.health : STARTING, stop, startedAtMs: run.startedAtMs });
    this.#watch(record.id, plan, AbortSignal.any([stop.signal, this.#p.c.signal])).catch((err: unknown) => {
      if (!stop.signal.aborted && !this.#p.c.signal.aborted)
        this.#p.c.log.error({ err, container: record.id }, 'the healthcheck of a container has stopped');
    });
  }

  /** Whom nobody asks is unhealthy. Source: moby daemon/container/health.go (CloseMonitorChannel). */
  hold(id: ContainerId): void {
    const known = this.#known.get(id);
    if (known === undefined || known.stop.signal.aborted) return;
    known.stop.abort();
    known.health = { ...known.health, status: 'unhealthy' };
  }

  end(id: ContainerId): void {
    this.hold(id);
  }

  forget(id: ContainerId): void {
    this.hold(id);
    this.#known.delete(id);
  }

  async #watch(id: ContainerId, plan: ProbePlan, signal: AbortSignal): Promise<void> {
    const { clock } = this.#p.c;
    for (;;) {
      const known = this.#known.get(id);
      if (known === undefined) return;
      await clock.sleep(nextProbeMs(plan, known.health, clock.now() - known.startedAtMs), signal);
      const result = await this.#probe(id, plan, signal);
      signal.throwIfAborted();
      this.#take(id, plan, result);
    }
  }

  #take(id: ContainerId, plan: ProbePlan, result: ProbeResult): void {
    const known = this.#known.get(id);
    const record = this.#p.recordOf(id);
    if (known === undefined || record === undefined) return;
    const before = known.health.status;
    known.health = healthAfter(known.health, result, plan, known.startedAtMs);
    const { status } = known.health;
    if (status === before) return;
    this.#p.emit(record, `health_status: ${status}`);
    if (status === 'unhealthy' && record.config.Labels[RESTART_LABEL] === 'true') this.#p.restart(id);
  }

  async #probe(id: ContainerId, plan: ProbePlan, signal: AbortSignal): Promise<ProbeResult> {
    const { clock, log } = this.#p.c;
    const startMs = clock.now();
    const done = (exitCode: number, output: string): ProbeResult => ({ startMs, endMs: clock.now(), exitCode, output });
    const execId = this.#p.random.hex(32);
    const tell = (action: string, more: Readonly<Record<string, string>> = {}): void => {
      const record = this.#p.recordOf(id);
      if (record !== undefined) this.#p.emit(record, action, { execID: execId, ...more });
    };
    tell(`exec_create: ${plan.argv.join(' ')}`);
    const slow = new AbortController();
    const startTimer = clock.after(START_TIMEOUT_MS, () => slow.abort());
    try {
      const c = { clock, log, signal: AbortSignal.any([signal, slow.signal]) };
      const session = await this.#p.runtime.exec(id, { argv: plan.argv, tty: false, stdin: false }, c);
      startTimer.cancel();
      tell(`exec_start: ${plan.argv.join(' ')}`);
      await using running = session;
      const output = collected(running);
      const exitCode = await this.#ended(running, plan.timeoutMs, signal);
      if (exitCode !== undefined) tell('exec_die', { exitCode: String(exitCode) });
      if (exitCode !== undefined) return done(exitCode, await output.all);
      const said = output.sofar();
      return done(-1, `Health check exceeded timeout (${goDuration(plan.timeoutMs)})${said === '' ? '' : `: ${said}`}`);
    } catch (e) {
      if (slow.signal.aborted) return done(-1, `timed out starting health check for container ${id}`);
      return done(isKind(e, 'Invalid') ? 126 : -1, messageOf(e));
    } finally {
      startTimer.cancel();
    }
  }

  /** undefined: too late. Leaving disposes of the session, which ends the probe. */
  async #ended(session: StreamSession, timeoutMs: number, signal: AbortSignal): Promise<number | undefined> {
    const late = new AbortController();
    const both = AbortSignal.any([signal, late.signal]);
    const timeout = this.#p.c.clock.sleep(timeoutMs, both).then(
      () => undefined,
      () => undefined,
    );
    try {
      return await Promise.race([session.exit, timeout]);
    } finally {
      late.abort();
      session.exit.catch(() => undefined);
    }
  }
}

/** The first 4096 bytes of both outputs. */
function collected(s: StreamSession): { readonly all: Promise<string>; sofar(): string } {
  const pieces: Buffer[] = [];
  let size = 0;
  const take = (piece: Buffer): void => {
    const part = piece.subarray(0, OUTPUT_BYTES_MAX - size);
    size += part.length;
    if (part.length > 0) pieces.push(part);
  };
  const text = (): string => Buffer.concat(pieces).toString();
  const ends = [s.stdout, s.stderr].map(
    (stream) =>
      new Promise<void>((resolve) => {
        stream
          .on('data', take)
          .once('end', resolve)
          .once('close', resolve)
          .once('error', () => resolve());
      }),
  );
  return { all: Promise.all(ends).then(text), sofar: text };
}
