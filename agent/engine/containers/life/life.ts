/**
 * One container: its state and everything that changes it, one at a time (`#serial`), so that starts, stops, kills and removals of
 * many clients at once are safe. What waits for a process to end waits outside the queue, so that a kill reaches a container
 * that somebody is stopping. Source: moby daemon/{start,stop,kill,delete,monitor,restart,pause}.go.
 */
import { allEnded, messageOf, type Timer } from '#lib/base';
import type { ContainerId } from '../../../runtime/runtime.ts';
import { conflict, EngineError } from '../../http/contract.ts';
import type { ContainerRecord } from '../../parts.ts';
import type { LifeHost, StoredContainer } from './ports.ts';
import { restartDelay, startsAtOpen } from './restart.ts';
import { SIGKILL, type StopOptions, signalOf, stopPlan } from './signals.ts';
import { startFailure } from './start-error.ts';
import {
  checkedNext,
  type Exited,
  isRunning,
  type LifeState,
  type Running,
  runOf,
  statusOf,
  whyNotRemoved,
} from './state.ts';
import { type Condition, Waiters, type WaitResult } from './waiters.ts';

const KILL_TIMEOUT_MS = 10_000;
/** Before a kill, where the stop signal could not be sent. */
const UNSENT_MS = 2_000;

export class Life {
  readonly id: ContainerId;
  readonly #host: LifeHost;
  readonly #waiters = new Waiters();
  #stored: StoredContainer;
  #state: LifeState;
  #turn: Promise<void> = Promise.resolve();
  #isRemoving = false;
  /** A user wants it down: its next end is its last. */
  #isEnding = false;
  #restartsUnderWay = 0;
  #isClosed = false;
  /** Nothing was made for a start, or it is taken away. */
  #isReleased = false;
  #lastDelayMs = 0;
  #timer: Timer | undefined;

  constructor(host: LifeHost, stored: StoredContainer, state: LifeState) {
    this.#host = host;
    this.id = stored.record.id;
    this.#stored = stored;
    this.#state = state;
  }

  get record(): ContainerRecord {
    return this.#stored.record;
  }

  get state(): LifeState {
    return this.#state;
  }

  get status(): ReturnType<typeof statusOf> {
    return statusOf(this.#state, this.#isRemoving);
  }

  get exitCode(): number {
    const run = runOf(this.#state);
    return this.record.startExitCode ?? (run?.phase === 'exited' ? run.exitCode : 0);
  }

  /** Throws the EngineError of a start that failed. */
  start(): Promise<'started' | 'unchanged'> {
    return this.#serial(async () => {
      if (this.#state.phase === 'paused') throw conflict('cannot start a paused container, try unpause instead');
      if (isRunning(this.#state)) return 'unchanged';
      this.#refuseRemoving();
      await this.#run('user');
      return 'started';
    });
  }

  async stop(o: StopOptions): Promise<'stopped' | 'unchanged'> {
    if (!isRunning(this.#state)) return 'unchanged';
    const plan = stopPlan(this.record.config, o);
    let { waitMs } = plan;
    try {
      await this.#signal(plan.signal, true);
    } catch (e) {
      if (isRunning(this.#state))
        this.#host.c.log.warn({ err: e, container: this.id }, 'the stop signal cannot be sent');
      waitMs = Math.min(waitMs ?? UNSENT_MS, UNSENT_MS);
    }
    if (!(await this.#stopsWithin(waitMs)))
      await this.kill().catch((e: unknown) => {
        if (isRunning(this.#state)) throw e; // else it has ended in this moment
      });
    this.#emit('stop');
    return 'stopped';
  }

  /** SIGKILL; returns when it has ended. */
  async kill(): Promise<void> {
    await this.#signal(SIGKILL, true);
    if (!(await this.#stopsWithin(KILL_TIMEOUT_MS)))
      throw new EngineError(500, 'tried to kill container, but did not receive an exit event');
  }

  /** Returns when it is sent. */
  signal(number: number): Promise<void> {
    const own = this.record.config.StopSignal;
    return this.#signal(number, !own || number === SIGKILL || signalOf(own) === number);
  }

  async restart(o: StopOptions): Promise<void> {
    this.#restartsUnderWay++;
    try {
      await this.stop(o);
      await this.start();
    } finally {
      this.#restartsUnderWay--;
    }
    this.#emit('restart');
  }

  pause(): Promise<void> {
    return this.#serial(async () => {
      const run = this.#process();
      if (this.#state.phase === 'paused') throw conflict(`Container ${this.id} is already paused`);
      await this.#host.freezer.freeze(this.#host.cgroupOf(this.record), this.#host.c);
      this.#go({ phase: 'paused', run });
      this.#host.health.hold(this.id);
      this.#emit('pause');
    });
  }

  unpause(): Promise<void> {
    return this.#serial(async () => {
      this.#process();
      if (this.#state.phase !== 'paused') throw conflict(`Container ${this.id} is not paused`);
      await this.#thaw(this.#state.run);
    });
  }

  /** Throws 409 while another removal is under way, and for one that runs unless `force`. */
  async remove(o: { readonly force: boolean; readonly volumes: boolean }): Promise<void> {
    const what = `cannot remove container "/${this.record.name}"`;
    if (this.#state.phase === 'gone') return;
    if (this.#isRemoving) throw conflict(`removal of container ${this.record.name} is already in progress`);
    this.#isRemoving = true;
    try {
      /* Again when a start came before it. */
      do {
        if (isRunning(this.#state) && !o.force) throw conflict(`${what}: ${whyNotRemoved(this.#state)}`);
        if (isRunning(this.#state))
          await this.kill().catch((e: unknown) => {
            if (isRunning(this.#state))
              throw new EngineError(500, `${what}: could not kill container: ${messageOf(e)}`);
          });
      } while (!(await this.#serial(() => this.#discard(o.volumes))));
    } finally {
      this.#isRemoving = false;
    }
  }

  /** Changes the record by `change`, then `apply`s it; a throw leaves it as it was. */
  update(
    change: (now: ContainerRecord) => ContainerRecord,
    apply?: (now: ContainerRecord) => Promise<void>,
  ): Promise<void> {
    return this.#serial(async () => {
      if (this.#isRemoving || this.#state.phase === 'dead' || this.#state.phase === 'gone')
        throw conflict('container is marked for removal and cannot be "update"');
      const next = change(this.record);
      if (next === this.record) return;
      await apply?.(next);
      await this.#save({ record: next }, true);
    });
  }

  wait(condition: Condition, signal: AbortSignal): Promise<WaitResult> {
    const now = { exitCode: this.exitCode, error: this.record.error };
    if (this.#state.phase === 'gone') return Promise.resolve(now);
    if (condition === 'removed') return this.#waiters.next('removal', signal);
    if (condition === 'not-running' && !isRunning(this.#state)) return Promise.resolve(now);
    return this.#waiters.next('stop', signal);
  }

  /** The runtime says so. */
  exited(run: Exited): Promise<void> {
    return this.#serial(async () => {
      if (this.#state.phase !== 'running' && this.#state.phase !== 'paused') return;
      await this.#ended(run, this.#state.run);
    });
  }

  /** Once, when the engine has opened: what an earlier agent was at is brought to its end, and what should run is started. */
  async resume(): Promise<void> {
    const { c, steps } = this.#host;
    const { record, removal, hasRun } = this.#stored;
    if (removal !== undefined) return this.remove({ force: true, volumes: removal.volumes });
    if (this.#state.phase === 'running' || this.#state.phase === 'paused') {
      await this.#serial(async () => {
        await steps.adopt(record, c);
        if (this.#state.phase === 'running') this.#host.health.begin(record, this.#state.run);
      });
      return;
    }
    await this.#serial(() => this.#release());
    const { hostConfig, isStoppedByUser, restartCount } = record;
    const ended = { exitCode: this.exitCode, isStoppedByUser, restartCount, hasRun };
    if (startsAtOpen(hostConfig.RestartPolicy, ended))
      await this.#serial(async () => {
        if (!isRunning(this.#state) && !this.#isRemoving) await this.#run('policy');
      });
    else if (hostConfig.AutoRemove === true) await this.remove({ force: true, volumes: true });
  }

  /** The engine closes; the container goes on. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#host.health.end(this.id);
    return this.#turn;
  }

  async #run(by: 'user' | 'policy'): Promise<void> {
    const { c, runtime, steps, store } = this.#host;
    const [before, last] = [this.#state, runOf(this.#state)];
    const { startExitCode: _, ...record } = this.record;
    const own = by === 'user' ? { restartCount: 0, isStoppedByUser: false } : {};
    const finishedAtMs = last?.phase === 'exited' ? last.finishedAtMs : record.finishedAtMs;
    if (by === 'user') this.#lastDelayMs = 0;
    this.#isEnding = false;
    if (last !== undefined || !this.#stored.hasRun || record.error !== '' || this.record.startExitCode !== undefined)
      await this.#save({ record: { ...record, error: '', ...own, finishedAtMs }, hasRun: true }, false);
    let run: Running;
    try {
      if (last !== undefined) await runtime.remove(this.id, c);
      this.#isReleased = false;
      const request = await steps.prepare(this.record, c);
      [run] = await allEnded([runtime.start(request, c), store.sync(this.id)]);
    } catch (e) {
      throw await this.#startFailed(e, before);
    }
    this.#go({ phase: 'running', run });
    this.#emit('start');
    this.#host.health.begin(this.record, run);
  }

  async #startFailed(e: unknown, before: LifeState): Promise<EngineError> {
    const { exitCode, error } = startFailure(e);
    await this.#release();
    await this.#host.runtime.remove(this.id, this.#host.c).catch((err: unknown) => {
      this.#host.c.log.warn({ err, container: this.id }, 'what a failed start left cannot be removed');
    });
    const run = before.phase === 'exited' || before.phase === 'restarting' ? before.run : undefined;
    this.#go(before.phase === 'created' ? before : { phase: 'exited', run });
    await this.#save({ record: { ...this.record, error: error.message, startExitCode: exitCode } }, false);
    /* Who started it hears of it; others had been told of its end when it was to be started again. */
    if (this.record.hostConfig.AutoRemove === true) this.#removeItself();
    return error;
  }

  async #ended(run: Exited, was: Running): Promise<void> {
    this.#host.health.end(this.id);
    const ranMs = Math.max(0, run.finishedAtMs - was.startedAtMs);
    const { hostConfig, isStoppedByUser, restartCount } = this.record;
    const isLast = this.#isEnding || this.#isRemoving || this.#restartsUnderWay > 0;
    const ended = { exitCode: run.exitCode, ranMs, isStoppedByUser, restartCount, lastDelayMs: this.#lastDelayMs };
    const delayMs = isLast ? undefined : restartDelay(hostConfig.RestartPolicy, ended);
    this.#go(delayMs === undefined ? { phase: 'exited', run } : { phase: 'restarting', run });
    if (run.oomKilled) this.#emit('oom');
    this.#emit('die', { exitCode: String(run.exitCode), execDuration: String(Math.floor(ranMs / 1000)) });
    await this.#release();
    if (delayMs !== undefined) {
      this.#lastDelayMs = delayMs;
      await this.#save({ record: { ...this.record, restartCount: restartCount + 1 } }, false);
      if (!this.#isClosed) this.#timer = this.#host.c.clock.after(delayMs, () => this.#startAgain());
    }
    this.#waiters.stopped({ exitCode: run.exitCode, error: '' });
    if (delayMs === undefined && hostConfig.AutoRemove === true && this.#restartsUnderWay === 0) this.#removeItself();
  }

  #startAgain(): void {
    this.#serial(async () => {
      if (this.#state.phase === 'restarting' && !this.#isRemoving && !this.#isClosed) await this.#run('policy');
    }).catch((err: unknown) => {
      this.#host.c.log.warn({ err, container: this.id }, 'a container cannot be started again');
    });
  }

  #removeItself(): void {
    this.remove({ force: true, volumes: true }).catch((err: unknown) => {
      if (!this.#isRemoving) this.#host.c.log.warn({ err, container: this.id }, 'an ended container cannot be removed');
    });
  }

  #signal(number: number, isEnding: boolean): Promise<void> {
    return this.#serial(async () => {
      if (!isRunning(this.#state)) throw conflict(`container ${this.id} is not running`);
      if (isEnding) this.#isEnding = true;
      const isUnless = this.record.hostConfig.RestartPolicy?.Name === 'unless-stopped';
      if (!this.record.isStoppedByUser)
        await this.#save({ record: { ...this.record, isStoppedByUser: true } }, isUnless);
      if (this.#state.phase === 'restarting') {
        if (isEnding) this.#cancelRestart(this.#state.run);
        return;
      }
      await this.#host.runtime.kill(this.id, String(number), {}, this.#host.c);
      this.#emit('kill', { signal: String(number) });
      /* The frozen do not die. */
      if (isEnding && this.#state.phase === 'paused') await this.#thaw(this.#state.run);
    });
  }

  #cancelRestart(run: Exited): void {
    this.#timer?.cancel();
    this.#go({ phase: 'exited', run });
    this.#waiters.stopped({ exitCode: run.exitCode, error: '' });
  }

  async #thaw(run: Running): Promise<void> {
    await this.#host.freezer.thaw(this.#host.cgroupOf(this.record), this.#host.c);
    this.#go({ phase: 'running', run });
    this.#host.health.begin(this.record, run);
    this.#emit('unpause');
  }

  /** False when it runs. */
  async #discard(volumes: boolean): Promise<boolean> {
    if (this.#state.phase === 'gone') return true;
    if (this.#state.phase === 'running' || this.#state.phase === 'paused') return false;
    const { c, steps } = this.#host;
    const result = { exitCode: this.exitCode, error: '' };
    if (this.#state.phase === 'restarting') this.#cancelRestart(this.#state.run);
    const run = runOf(this.#state);
    const last = run?.phase === 'exited' ? run : undefined;
    this.#go({ phase: 'dead', run: last });
    /* The next engine removes one of AutoRemove anyway. */
    if (this.record.hostConfig.AutoRemove !== true) await this.#save({ removal: { volumes } }, false);
    await this.#release();
    /* Nothing runs any more: what the runtime has of it goes behind whoever waits, or when the next engine opens. */
    if (run !== undefined) this.#host.forget(this.id);
    await steps.discard(this.record, { volumes }, c);
    this.#go({ phase: 'gone', run: last });
    this.#host.gone(this.id);
    this.#emit('destroy');
    this.#waiters.removed(result);
    return true;
  }

  async #release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#host.steps.release(this.record, this.#host.c).catch((err: unknown) => {
      this.#host.c.log.warn({ err, container: this.id }, 'what a container had while it ran cannot be taken away');
    });
  }

  /** True when it does not run any more; `undefined` = for ever. */
  #stopsWithin(ms: number | undefined): Promise<boolean> {
    return this.#waiters.within(ms, () => isRunning(this.#state), this.#host.c);
  }

  #process(): Running {
    if (this.#state.phase === 'restarting')
      throw conflict(`Container ${this.id} is restarting, wait until the container is running`);
    if (this.#state.phase !== 'running' && this.#state.phase !== 'paused')
      throw conflict(`container ${this.id} is not running`);
    return this.#state.run;
  }

  #refuseRemoving(): void {
    if (this.#isRemoving || this.#state.phase === 'dead' || this.#state.phase === 'gone')
      throw conflict('container is marked for removal and cannot be started');
  }

  async #save(change: Partial<StoredContainer>, durable: boolean): Promise<void> {
    const next = { ...this.#stored, ...change };
    await this.#host.store.save(next, { durable });
    this.#stored = next;
  }

  #go(next: LifeState): void {
    this.#state = checkedNext(this.#state, next);
  }

  #emit(action: string, attributes?: Readonly<Record<string, string>>): void {
    this.#host.emit(this.record, action, attributes);
  }

  #serial<T>(fn: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(fn);
    this.#turn = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }
}
