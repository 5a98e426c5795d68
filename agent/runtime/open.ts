/**
 * The runtime port on crun or runc, supervised by agent/native/supervise.c. The truth is on disk and in the supervisors;
 * this process keeps a picture of it, corrected by the supervisors' own reports. Every container has one entry whose
 * `settled` promise is pending while its truth is being found out (start, re-adoption after a lost supervisor).
 *
 * What a start left half-way by a crash of the agent or the supervisor becomes is decided in `adopt`:
 *   exit record            -> exited
 *   supervisor answers     -> what it says
 *   process lives          -> a new supervisor takes over, running
 *   nothing lives          -> what may be left is killed and deleted; exited, 255, lost
 */
import { type FileHandle, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { type Ctx, StatusError, writeFileAtomic } from '#lib/base';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import {
  bundleSpec,
  type ContainerFile,
  type ExitFile,
  exitedState,
  type HostLimits,
  lostExit,
  processStartTicks,
  readHostLimits,
  readJson,
  type StartedFile,
  supervisorConfig,
} from './bundle.ts';
import { startExec } from './exec.ts';
import { isInstalled, type OciBinary, ociBinary, startError } from './oci-binary.ts';
import { probeRuntime } from './probe.ts';
import type {
  ContainerId,
  ContainerRecord,
  ContainerState,
  ExecRequest,
  Runtime,
  StartContainer,
  StreamSession,
} from './runtime.ts';
import { encodeFrame, frameSession } from './streams.ts';
import { connectUnix, SupervisorLink } from './supervisor.ts';

const ID = /^[0-9a-f]{64}$/;
const REMOVE_TIMEOUT_MS = 20_000;
const ADOPT_PARALLEL = 16;

export interface RuntimeOptions {
  readonly kernel: LinuxKernel;
  /** $BERTH_HOME/containers */
  readonly folder: string;
  /** Where the OCI runtime keeps its state; should not survive a reboot. Default: `folder`/.runtime */
  readonly stateFolder?: string;
  /** 'auto' takes crun where it works, else runc. */
  readonly runtime: string;
}

export interface OpenRuntime extends Runtime, AsyncDisposable {
  /** The program that `auto` chose, or the one that was asked for. */
  readonly defaultRuntime: string;
}

interface Entry {
  readonly id: ContainerId;
  readonly file: ContainerFile;
  state: ContainerState | undefined;
  link: SupervisorLink | undefined;
  /** Resolves when `state` is known; never rejects. */
  settled: Promise<void>;
  removed: boolean;
}

type ExitListener = (id: ContainerId, state: ContainerState & { phase: 'exited' }) => void;

/** Re-adopts what an earlier agent left before it resolves. Closing leaves all containers running. */
export async function openRuntime(o: RuntimeOptions, c: Ctx): Promise<OpenRuntime> {
  await mkdir(o.folder, { recursive: true, mode: 0o700 });
  const stateFolder = o.stateFolder ?? join(o.folder, '.runtime');
  await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  const runtime = new OciRuntime(o, stateFolder, await open(o.folder, 'r'), await readHostLimits(), c);
  try {
    await runtime.adoptAll(c);
    await runtime.chooseRuntime(o.runtime, c);
  } catch (e) {
    await runtime[Symbol.asyncDispose]();
    throw e;
  }
  return runtime;
}

class OciRuntime implements OpenRuntime {
  readonly #kernel: LinuxKernel;
  readonly #folder: string;
  readonly #stateFolder: string;
  /** Keeps socket paths below the limit of 108 bytes: /proc/self/fd/N/ID/sock */
  readonly #handle: FileHandle;
  readonly #host: HostLimits;
  /** For what goes on after the call that caused it: re-adoption. */
  readonly #c: Ctx;
  readonly #entries = new Map<ContainerId, Entry>();
  readonly #listeners = new Set<ExitListener>();
  #default = 'runc';
  #closed = false;

  constructor(o: RuntimeOptions, stateFolder: string, handle: FileHandle, host: HostLimits, c: Ctx) {
    this.#kernel = o.kernel;
    this.#folder = o.folder;
    this.#stateFolder = stateFolder;
    this.#handle = handle;
    this.#host = host;
    this.#c = c;
  }

  get defaultRuntime(): string {
    return this.#default;
  }

  async chooseRuntime(wish: string, c: Ctx): Promise<void> {
    if (wish !== 'auto') {
      if (!(await isInstalled(this.#kernel, wish, c)))
        throw new StatusError('Unavailable', `the container runtime ${wish} is not installed`);
      this.#default = wish;
      return;
    }
    this.#default = await probeRuntime(this, this.#kernel, c);
  }

  async start(o: StartContainer, c: Ctx): Promise<ContainerState & { phase: 'running' }> {
    if (!ID.test(o.id)) throw new StatusError('Invalid', `container id ${JSON.stringify(o.id)} is not 64 hex digits`);
    if (this.#entries.has(o.id)) throw new StatusError('AlreadyExists', `container ${o.id} exists`);
    const binary = this.#binary(o.runtime ?? this.#default);
    const cgroupsPath = o.spec.linux.cgroupsPath;
    const createdAtMs = c.clock.now();
    const file = { id: o.id, labels: o.labels, createdAtMs, runtime: binary.path, cgroupsPath, log: o.log.path };
    const entry: Entry = {
      id: o.id,
      file,
      state: undefined,
      link: undefined,
      settled: Promise.resolve(),
      removed: false,
    };
    this.#entries.set(o.id, entry);
    const started = this.#start(entry, o, binary, c);
    entry.settled = started.then(
      () => undefined,
      () => undefined,
    );
    return started;
  }

  async kill(id: ContainerId, signal: string, o: { all?: boolean }, c: Ctx): Promise<void> {
    const number = signalNumber(signal);
    const entry = await this.#settled(id, c);
    if (entry?.state?.phase !== 'running') return;
    entry.link?.kill(number, o.all ?? false);
  }

  async state(id: ContainerId, c: Ctx): Promise<ContainerState | undefined> {
    return (await this.#settled(id, c))?.state;
  }

  async list(c: Ctx): Promise<readonly ContainerRecord[]> {
    const out: ContainerRecord[] = [];
    for (const id of [...this.#entries.keys()]) {
      const entry = await this.#settled(id, c);
      if (entry?.state !== undefined) out.push({ id, labels: entry.file.labels, state: entry.state });
    }
    return out;
  }

  async remove(id: ContainerId, c: Ctx): Promise<void> {
    if (!ID.test(id)) return;
    const entry = await this.#settled(id, c);
    if (entry) {
      entry.removed = true;
      if (!(await this.#endSupervisor(entry, c))) await this.#clean(entry.file, c);
      entry.link?.close();
    }
    await this.#kernel.removeTree(join(this.#folder, id), c);
    this.#entries.delete(id);
  }

  onExit(fn: ExitListener): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  async exec(id: ContainerId, r: ExecRequest, c: Ctx): Promise<StreamSession> {
    const entry = await this.#settled(id, c);
    if (entry === undefined) throw new StatusError('NotFound', `container ${id} is not here`);
    if (entry.state?.phase !== 'running') throw new StatusError('Conflict', `container ${id} is not running`);
    return startExec(this.#kernel.helper, join(this.#folder, id), r, c);
  }

  async attach(id: ContainerId, c: Ctx): Promise<StreamSession> {
    const entry = await this.#settled(id, c);
    if (entry === undefined) throw new StatusError('NotFound', `container ${id} is not here`);
    const socket = entry.state?.phase === 'running' ? await connectUnix(this.#socketPath(id)) : undefined;
    if (socket === undefined) throw new StatusError('Conflict', `container ${id} is not running`);
    const session = frameSession(socket, 'attach', (text) => new StatusError('Internal', text));
    socket.write(encodeFrame('A', Buffer.from([1])));
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const entry of this.#entries.values()) entry.link?.close();
    await this.#handle.close();
  }

  /** At open: every container folder gets an entry. Names that are not ids are left alone. */
  async adoptAll(c: Ctx): Promise<void> {
    const ids = (await readdir(this.#folder)).filter((name) => ID.test(name)) as ContainerId[];
    for (let at = 0; at < ids.length; at += ADOPT_PARALLEL)
      await Promise.all(ids.slice(at, at + ADOPT_PARALLEL).map((id) => this.#adoptFolder(id, c)));
  }

  async #adoptFolder(id: ContainerId, c: Ctx): Promise<void> {
    const folder = join(this.#folder, id);
    const file = await readJson<ContainerFile>(join(folder, 'container.json'));
    if (file === undefined) {
      /* A start that was cut off before anything ran: container.json is written last of all. */
      await this.#kernel.removeTree(folder, c);
      return;
    }
    const entry: Entry = { id, file, state: undefined, link: undefined, settled: Promise.resolve(), removed: false };
    this.#entries.set(id, entry);
    await this.#adopt(entry, c);
  }

  async #start(
    entry: Entry,
    o: StartContainer,
    binary: OciBinary,
    c: Ctx,
  ): Promise<ContainerState & { phase: 'running' }> {
    const folder = join(this.#folder, o.id);
    let begun = false;
    try {
      const config = supervisorConfig(o, {
        runtime: binary.path,
        runtimeArguments: binary.arguments,
        privateCgroups: binary.privateCgroups,
        oomFile: this.#kernel.cgroups.oomFile(entry.file.cgroupsPath) ?? '',
        procsFile: this.#kernel.cgroups.procsFile(entry.file.cgroupsPath) ?? '',
      });
      await mkdir(folder, { mode: 0o700 });
      await Promise.all([
        mkdir(dirname(o.log.path), { recursive: true }),
        writeFile(join(folder, 'config.json'), JSON.stringify(bundleSpec(o, this.#host)), { mode: 0o600 }),
        writeFile(join(folder, 'config'), config, { mode: 0o600 }),
      ]);
      await writeFileAtomic(join(folder, 'container.json'), JSON.stringify(entry.file), { mode: 0o600 });
      begun = true;
      const r = await this.#supervise(folder, [], c);
      if (r.code !== 0) throw startError('the container could not be started', r.stderr.toString());
      const started = JSON.parse(r.stdout.toString()) as StartedFile;
      entry.state = running(started);
      await this.#watch(entry);
      return running(started);
    } catch (e) {
      await this.#undoStart(entry, folder, begun);
      throw e;
    }
  }

  /** Under its own signal: a cancelled start must not leave a container behind. */
  async #undoStart(entry: Entry, folder: string, begun: boolean): Promise<void> {
    const c = this.#c;
    try {
      const link = await SupervisorLink.connect(this.#socketPath(entry.id), () => undefined);
      if (link) {
        /* It is still starting: it will hear the kill once it has, or end by itself. */
        link.kill(constants.signals.SIGKILL, true);
        await link.closed;
      }
      /* Also where the supervisor reported the failure itself: it may as well have been killed. */
      if (begun) await this.#clean(entry.file, c);
      await this.#kernel.removeTree(folder, c);
      this.#entries.delete(entry.id);
    } catch (e) {
      /* The folder stays and is found at the next open; until then it counts as exited. */
      c.log.warn({ container: entry.id, err: e }, 'cannot undo the start of a container');
      entry.state = exitedState(lostExit(entry.file.createdAtMs, c.clock.now()));
    }
  }

  /** Connects to the supervisor of a container that is believed to run. */
  async #watch(entry: Entry): Promise<void> {
    const link = await SupervisorLink.connect(this.#socketPath(entry.id), (e) => this.#exited(entry, e));
    if (link === undefined) {
      /* It ended between its word and now. */
      await this.#adopt(entry, this.#c);
      return;
    }
    entry.link = link;
    void link.closed.then(() => this.#lost(entry, link));
    /* The exit may have come before the connection: then the status is the exit record. */
    const status = await link.status().catch(() => undefined);
    if (status !== undefined && 'exitCode' in status) this.#exited(entry, status);
  }

  /** The supervisor's connection ended without an exit: it was killed. */
  #lost(entry: Entry, link: SupervisorLink): void {
    if (this.#closed || entry.removed || entry.link !== link || entry.state?.phase === 'exited') return;
    entry.link = undefined;
    entry.settled = this.#adopt(entry, this.#c).catch((e: unknown) => {
      this.#c.log.error({ container: entry.id, err: e }, 'cannot take over a container that lost its supervisor');
    });
  }

  async #adopt(entry: Entry, c: Ctx): Promise<void> {
    const folder = join(this.#folder, entry.id);
    const exit = await readJson<ExitFile>(join(folder, 'exit.json'));
    if (exit !== undefined) {
      this.#exited(entry, exit);
      return;
    }
    const link = await SupervisorLink.connect(this.#socketPath(entry.id), (e) => this.#exited(entry, e));
    if (link !== undefined) {
      const status = await link.status().catch(() => undefined);
      if (status !== undefined) {
        entry.link = link;
        void link.closed.then(() => this.#lost(entry, link));
        if ('exitCode' in status) this.#exited(entry, status);
        else entry.state = running(status);
        return;
      }
      /* It ended while we asked: either it left an exit record, or the questions below find out. */
      link.close();
      const late = await readJson<ExitFile>(join(folder, 'exit.json'));
      if (late !== undefined) {
        this.#exited(entry, late);
        return;
      }
    }
    const started = await this.#findProcess(entry, folder);
    if (started !== undefined && (await this.#supervise(folder, ['adopt'], c)).code === 0) {
      entry.state = running(started);
      await this.#watch(entry);
      return;
    }
    await this.#clean(entry.file, c);
    const known = await readJson<StartedFile>(join(folder, 'started.json'));
    const lost = lostExit(known?.startedAtMs ?? entry.file.createdAtMs, c.clock.now());
    await writeFileAtomic(join(folder, 'exit.json'), JSON.stringify(lost), { mode: 0o600 });
    this.#exited(entry, lost);
  }

  /**
   * The living init of a container without a supervisor. Without started.json (the supervisor was killed in the moment of
   * the start) the runtime's pid file names it, and its cgroup proves that the pid is not somebody else's by now.
   */
  async #findProcess(entry: Entry, folder: string): Promise<StartedFile | undefined> {
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const known = await readJson<StartedFile>(join(folder, 'started.json'));
    if (known !== undefined) {
      const alive = known.bootId === bootId && (await processStartTicks(known.pid)) === known.startTicks;
      return alive ? known : undefined;
    }
    const text = await readFile(join(folder, 'pid'), 'utf8').catch(() => undefined);
    const pid = Number(text);
    if (text === undefined || !Number.isSafeInteger(pid) || pid <= 1) return undefined;
    const cgroup = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    if (!cgroup.split('\n').some((line) => line.endsWith(`:${entry.file.cgroupsPath}`))) return undefined;
    const startTicks = await processStartTicks(pid);
    if (startTicks === undefined) return undefined;
    const found = { pid, startTicks, bootId, startedAtMs: entry.file.createdAtMs };
    await writeFileAtomic(join(folder, 'started.json'), JSON.stringify(found), { mode: 0o600, durable: false });
    return found;
  }

  #exited(entry: Entry, e: ExitFile): void {
    if (entry.state?.phase === 'exited') return;
    const state = exitedState(e);
    entry.state = state;
    for (const fn of this.#listeners) {
      try {
        fn(entry.id, state);
      } catch (error) {
        this.#c.log.error({ container: entry.id, err: error }, 'an exit listener failed');
      }
    }
  }

  /** True when a supervisor was there and has ended orderly: then nothing of the container is left. */
  async #endSupervisor(entry: Entry, c: Ctx): Promise<boolean> {
    const link =
      entry.link ?? (await SupervisorLink.connect(this.#socketPath(entry.id), () => undefined).catch(() => undefined));
    if (link === undefined) return false;
    link.kill(constants.signals.SIGKILL, true);
    const tooLong = new AbortController();
    const timer = c.clock.sleep(REMOVE_TIMEOUT_MS, AbortSignal.any([c.signal, tooLong.signal])).then(
      () => 'late' as const,
      () => 'aborted' as const,
    );
    const first = await Promise.race([link.closed.then(() => 'closed' as const), timer]);
    tooLong.abort();
    c.signal.throwIfAborted();
    if (first !== 'closed') throw new StatusError('DeadlineExceeded', `the supervisor of ${entry.id} does not end`);
    return link.exit !== undefined || entry.state?.phase === 'exited';
  }

  /** What the runtime and the kernel may still hold of a container that has no supervisor. */
  async #clean(file: ContainerFile, c: Ctx): Promise<void> {
    const r = await this.#supervise(join(this.#folder, file.id), ['clean'], c);
    if (r.code !== 0)
      c.log.warn({ container: file.id, text: r.stderr.toString() }, 'cannot clean up after a container');
    await this.#kernel.cgroups.remove(file.cgroupsPath, c);
    /* A runtime that was killed before it wrote its state does not know the folder it made for it. */
    await this.#kernel.removeTree(join(this.#stateFolder, basename(file.runtime), file.id), c);
  }

  #supervise(folder: string, how: readonly string[], c: Ctx): ReturnType<LinuxKernel['programs']['run']> {
    return this.#kernel.programs.run([this.#kernel.helper.path, 'supervise', folder, ...how], {}, c);
  }

  #socketPath(id: ContainerId): string {
    return `/proc/self/fd/${this.#handle.fd}/${id}/sock`;
  }

  #binary(path: string): OciBinary {
    return ociBinary(path, this.#stateFolder, this.#kernel.cgroups.version);
  }

  async #settled(id: ContainerId, c: Ctx): Promise<Entry | undefined> {
    const entry = this.#entries.get(id);
    if (entry) await entry.settled;
    c.signal.throwIfAborted();
    return this.#entries.get(id);
  }
}

function running(s: StartedFile): ContainerState & { phase: 'running' } {
  return { phase: 'running', pid: s.pid, startedAtMs: s.startedAtMs };
}

/** SIGTERM, TERM, 15, SIGRTMIN+3. */
export function signalNumber(signal: string): number {
  const realTime = /^(?:SIG)?RTMIN(?:\+(\d+))?$/.exec(signal);
  if (realTime) return 34 + Number(realTime[1] ?? 0);
  const table: Readonly<Record<string, number>> = constants.signals;
  const number = /^\d+$/.test(signal) ? Number(signal) : (table[signal] ?? table[`SIG${signal}`]);
  if (number === undefined || number > 64) throw new StatusError('Invalid', `unknown signal ${JSON.stringify(signal)}`);
  return number;
}
