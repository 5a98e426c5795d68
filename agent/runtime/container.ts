/**
 * One container as the agent sees it: its files, its supervisor's connection, its state. The truth is on disk and in the
 * supervisor; `settled` is pending while it is being found out (start, or re-adoption after a lost supervisor).
 *
 * What a start left half-way by a crash of the agent or the supervisor becomes is decided in `adopt`:
 *   exit record            -> exited
 *   supervisor answers     -> what it says
 *   made in another boot   -> nothing lives
 *   process lives          -> a new supervisor takes over, running
 *   nothing lives          -> what may be left is killed and deleted; exited, 137, lost
 */
import { access, readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { basename, join } from 'node:path';
import { type Ctx, isMissing, raceAbort, StatusError, writeFileAtomic } from '#lib/base';
import type { ProgramResult } from '../kernel/kernel.ts';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import {
  type ContainerFile,
  type ExitFile,
  exitedState,
  lostExit,
  processStartTicks,
  readJson,
  type StartedFile,
} from './bundle.ts';
import { startError } from './oci-binary.ts';
import type { AttachRequest, ContainerId, ContainerState, StartContainer, StreamSession } from './runtime.ts';
import { attachTo, deferred } from './streams.ts';
import { SupervisorLink } from './supervisor.ts';

const REMOVE_TIMEOUT_MS = 20_000;
const ADOPT_ATTEMPTS = 5;
const KILL_ANSWER_MS = 5_000;

/** What the containers of one runtime share. */
export interface ContainerHost {
  readonly kernel: LinuxKernel;
  readonly folder: string;
  readonly stateFolder: string;
  readonly bootId: string;
  /** For what goes on after the call that caused it: re-adoption, undoing a cancelled start. */
  readonly c: Ctx;
  socketPath(id: ContainerId): string;
  tellExit(id: ContainerId, state: ContainerState & { phase: 'exited' }): void;
  readonly isClosed: boolean;
}

export class Container {
  readonly id: ContainerId;
  readonly file: ContainerFile;
  /** Undefined until the first start or adoption has come to its end, and after the adoption of one that never began. */
  state: ContainerState | undefined;
  /** Resolves when `state` is known; never rejects. */
  settled: Promise<void> = Promise.resolve();
  readonly #host: ContainerHost;
  #link: SupervisorLink | undefined;
  #removed = false;

  constructor(host: ContainerHost, id: ContainerId, file: ContainerFile) {
    this.#host = host;
    this.id = id;
    this.file = file;
  }

  get folder(): string {
    return join(this.#host.folder, this.id);
  }

  /** The folder's files are written: starts the supervisor and waits until the container's program was exec'd. */
  async start(beforeRun: StartContainer['beforeRun'], c: Ctx): Promise<ContainerState & { phase: 'running' }> {
    const r = await (beforeRun === undefined ? this.#supervise([], c) : this.#superviseHeld(beforeRun, c));
    if (r.code !== 0) throw startError('the container could not be started', r.stderr.toString());
    const state = running(JSON.parse(r.stdout.toString()) as StartedFile);
    this.state = state;
    /* A short program has ended by now: its supervisor runs the runtime's `delete` and answers nobody. */
    if (!(await this.#adoptExit())) await this.#watch();
    return state;
  }

  /** After a failed or cancelled start: nothing stays but the folder. Under its own signal. */
  async undoStart(): Promise<void> {
    this.#removed = true;
    this.close();
    const link = await SupervisorLink.connect(this.#host.socketPath(this.id), () => undefined);
    if (link) {
      /* It is still starting: it will hear the kill once it has, or end by itself. */
      void link.kill(constants.signals.SIGKILL, true);
      await link.closed;
    }
    /* Also where the supervisor reported the failure itself: it may as well have been killed. */
    await this.#clean(this.#host.c);
  }

  /**
   * At the agent's start, and when the supervisor was lost. Nothing is killed unless the lock of supervise.c proved that no
   * supervisor lives and no start is under way; another agent on the same folder (one that is just ending) may be adopting
   * too, so who comes second looks again.
   */
  async adopt(c: Ctx): Promise<void> {
    if (this.file.bootId !== this.#host.bootId) {
      /* Of its files only the record is sure to have outlived a power loss. */
      if (!(await this.#adoptExit())) await this.#declareLost(c);
      return;
    }
    for (let attempt = 0; attempt < ADOPT_ATTEMPTS; attempt++) {
      if ((await this.#adoptExit()) || (await this.#adoptSupervisor())) return;
      if ((await this.#supervise(['wait'], c)).code !== 0) continue;
      if (await this.#adoptExit()) return;
      const started = await this.#findProcess();
      if (started === undefined) {
        if (await this.#hasBegun()) await this.#declareLost(c);
        return;
      }
      if ((await this.#supervise(['adopt'], c)).code !== 0) continue;
      this.state = running(started);
      await this.#watch();
      return;
    }
    throw new StatusError('Unavailable', `the state of container ${this.id} cannot be found out`);
  }

  /** False when nobody was there to do it: then `settled` is pending, or the container has ended. */
  async kill(signal: number, all: boolean, c: Ctx): Promise<boolean> {
    if (this.#link === undefined) return false;
    /* One that does not answer, because its disk hangs, has the order all the same. */
    const late = deferred<boolean>();
    using _timer = c.clock.after(KILL_ANSWER_MS, () => late.resolve(true));
    return await raceAbort(Promise.race([this.#link.kill(signal, all), late.promise]), c.signal);
  }

  /** Ends what runs; nothing stays but the folder. */
  async end(c: Ctx): Promise<void> {
    this.#removed = true;
    if (!(await this.#endSupervisor(c))) await this.#clean(c);
    this.close();
  }

  /** Stops watching; the container goes on. */
  close(): void {
    this.#link?.close();
    this.#link = undefined;
  }

  /** Connects to the supervisor of a container that is believed to run. */
  async #watch(): Promise<void> {
    const link = await SupervisorLink.connect(this.#host.socketPath(this.id), (e) => this.#exited(e));
    if (link === undefined) {
      /* It ended between its word and now. */
      await this.adopt(this.#host.c);
      return;
    }
    this.#follow(link, await link.status().catch(() => undefined));
  }

  /** The exit may have come before the connection: then the status is the exit record. */
  #follow(link: SupervisorLink, status: StartedFile | ExitFile | undefined): void {
    this.#link = link;
    if (status !== undefined && 'exitCode' in status) this.#exited(status);
    else if (status !== undefined) this.state = running(status);
    void link.closed.then(() => this.#lost(link));
  }

  /** The supervisor's connection ended. Without an exit before it, it was killed. */
  #lost(link: SupervisorLink): void {
    if (this.#host.isClosed || this.#removed || this.#link !== link || this.state?.phase === 'exited') return;
    this.#link = undefined;
    this.settled = this.adopt(this.#host.c).catch((e: unknown) => {
      this.#host.c.log.error({ container: this.id, err: e }, 'cannot take over a container that lost its supervisor');
    });
  }

  async #adoptSupervisor(): Promise<boolean> {
    const link = await SupervisorLink.connect(this.#host.socketPath(this.id), (e) => this.#exited(e));
    if (link === undefined) return false;
    const status = await link.status().catch(() => undefined);
    if (status === undefined) {
      /* It ended while we asked. */
      link.close();
      return false;
    }
    this.#follow(link, status);
    return true;
  }

  /**
   * The supervisor makes its pipes before it runs the runtime and leaves them there. Without them the agent was killed between
   * its order and the supervisor's first step: nothing ran, so nothing was lost.
   */
  async #hasBegun(): Promise<boolean> {
    return access(join(this.folder, 'stderr')).then(
      () => true,
      () => false,
    );
  }

  async #declareLost(c: Ctx): Promise<void> {
    await this.#clean(c);
    const known = await readJson<StartedFile>(join(this.folder, 'started.json'));
    const lost = lostExit(known?.startedAtMs ?? this.file.createdAtMs, c.clock.now());
    await writeFileAtomic(join(this.folder, 'exit.json'), JSON.stringify(lost), { mode: 0o600 });
    this.#exited(lost);
  }

  async #adoptExit(): Promise<boolean> {
    const exit = await readJson<ExitFile>(join(this.folder, 'exit.json'));
    if (exit !== undefined) this.#exited(exit);
    return exit !== undefined;
  }

  /**
   * The living init of a container without a supervisor. Without started.json (the supervisor was killed in the moment of
   * the start) the runtime's pid file names it, and its cgroup proves that the pid is not somebody else's by now.
   */
  async #findProcess(): Promise<StartedFile | undefined> {
    const { bootId } = this.#host;
    const known = await readJson<StartedFile>(join(this.folder, 'started.json'));
    if (known !== undefined) {
      const alive = known.bootId === bootId && (await processStartTicks(known.pid)) === known.startTicks;
      return alive ? known : undefined;
    }
    const text = await readFile(join(this.folder, 'pid'), 'utf8').catch(() => undefined);
    const pid = Number(text);
    if (text === undefined || !Number.isSafeInteger(pid) || pid <= 1) return undefined;
    const cgroup = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    if (!cgroup.split('\n').some((line) => line.endsWith(`:${this.file.cgroupsPath}`))) return undefined;
    const startTicks = await processStartTicks(pid);
    if (startTicks === undefined) return undefined;
    const found = { pid, startTicks, bootId, startedAtMs: this.file.createdAtMs };
    await writeFileAtomic(join(this.folder, 'started.json'), JSON.stringify(found), { mode: 0o600, durable: false });
    return found;
  }

  #exited(e: ExitFile): void {
    if (this.state?.phase === 'exited') return;
    const state = exitedState(e);
    this.state = state;
    this.#host.tellExit(this.id, state);
  }

  /** True when a supervisor was there and has ended orderly: then nothing of the container is left. */
  async #endSupervisor(c: Ctx): Promise<boolean> {
    const path = this.#host.socketPath(this.id);
    const link = this.#link ?? (await SupervisorLink.connect(path, () => undefined).catch(() => undefined));
    if (link === undefined) return await this.#isDeleted();
    void link.kill(constants.signals.SIGKILL, true);
    const tooLong = new AbortController();
    const timer = c.clock.sleep(REMOVE_TIMEOUT_MS, AbortSignal.any([c.signal, tooLong.signal])).then(
      () => 'late' as const,
      () => 'aborted' as const,
    );
    const first = await Promise.race([link.closed.then(() => 'closed' as const), timer]);
    tooLong.abort();
    c.signal.throwIfAborted();
    if (first !== 'closed') throw new StatusError('DeadlineExceeded', `the supervisor of ${this.id} does not end`);
    return link.exit !== undefined || this.state?.phase === 'exited';
  }

  /** A supervisor removes its socket when the runtime has deleted the container, and only then. */
  async #isDeleted(): Promise<boolean> {
    if ((await readJson<ExitFile>(join(this.folder, 'exit.json'))) === undefined) return false;
    return await access(join(this.folder, 'sock')).then(
      () => false,
      (e: unknown) => isMissing(e),
    );
  }

  /** The supervisor waits for our word before it runs the runtime; that its connection ends is a word too (native/hold.c). */
  async #superviseHeld(beforeRun: NonNullable<StartContainer['beforeRun']>, c: Ctx): Promise<ProgramResult> {
    const { helper } = this.#host.kernel;
    const stream = await helper.expectStream();
    const job = this.#supervise(['hold', helper.streamsPath, stream.token], c);
    const endedEarly = job.then((r) => {
      throw startError('the container could not be started', r.stderr.toString());
    });
    endedEarly.catch(() => undefined);
    let hold: Socket | undefined;
    try {
      hold = await Promise.race([stream.socket, endedEarly]);
      await Promise.race([beforeRun((o) => this.#attach(o)), endedEarly]);
      hold.write('G');
      return await job;
    } catch (e) {
      hold?.destroy();
      await endedEarly.catch(() => undefined);
      throw e;
    } finally {
      stream.forget();
      hold?.destroy();
    }
  }

  async #attach(o: AttachRequest): Promise<StreamSession> {
    const session = await attachTo(this.#host.socketPath(this.id), o);
    if (session === undefined) throw new StatusError('Conflict', `container ${this.id} is not there`);
    return session;
  }

  /** What the runtime and the kernel may still hold of a container that has no supervisor. */
  async #clean(c: Ctx): Promise<void> {
    const r = await this.#supervise(['clean'], c);
    if (r.code !== 0)
      c.log.warn({ container: this.id, text: r.stderr.toString() }, 'cannot clean up after a container');
    await this.#host.kernel.cgroups.remove(this.file.cgroupsPath, c);
    /* A runtime that was killed before it wrote its state does not know the folder it made for it. */
    await this.#host.kernel.removeTree(join(this.#host.stateFolder, basename(this.file.runtime), this.id), c);
  }

  #supervise(how: readonly string[], c: Ctx): Promise<ProgramResult> {
    const { programs, helper } = this.#host.kernel;
    return programs.run([helper.path, 'supervise', this.folder, ...how], {}, c);
  }
}

function running(s: StartedFile): ContainerState & { phase: 'running' } {
  return { phase: 'running', pid: s.pid, startedAtMs: s.startedAtMs };
}
