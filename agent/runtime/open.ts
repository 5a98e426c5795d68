/**
 * The runtime port on crun or runc. Each container is a folder (bundle.ts) with a supervisor that outlives this process
 * (agent/native/supervise.c); container.ts keeps this process's picture of it true.
 */
import { type FileHandle, mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { allEnded, type Ctx, raceAbort, StatusError, syncPath, writeFileAtomic } from '#lib/base';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import {
  bundleSpec,
  type ContainerFile,
  exitedState,
  type HostLimits,
  lostExit,
  readBootId,
  readHostLimits,
  readJson,
  supervisorConfig,
} from './bundle.ts';
import { hideBundle, removeBundle, sweepBundles, writeBundle } from './bundle-files.ts';
import { Container, type ContainerHost } from './container.ts';
import { startExec } from './exec.ts';
import { handlerOf, type KnownHandler, openHandlers, type RuntimeHandler } from './handlers.ts';
import { checkConfined } from './isolation/in-force.ts';
import { withReadyFilter } from './isolation/seccomp.ts';
import { type OciBinary, ociBinary } from './oci-binary.ts';
import type { OciSpec } from './oci-spec.ts';
import { probeRuntime, removeTrials } from './probe.ts';
import type {
  AttachRequest,
  ContainerId,
  ContainerRecord,
  ContainerState,
  ExecRequest,
  ExecSession,
  Runtime,
  StartContainer,
  StreamSession,
} from './runtime.ts';
import { signalNumber } from './signals.ts';
import { staged } from './stage.ts';
import { attachTo } from './streams.ts';

const ID = /^[0-9a-f]{64}$/;
const ADOPT_PARALLEL = 16;
const KILL_ATTEMPTS = 5;

export interface RuntimeOptions {
  readonly kernel: LinuxKernel;
  /** $BERTH_HOME/containers */
  readonly folder: string;
  /** Where the OCI runtime keeps its state; should not survive a reboot. Default: `folder`/.runtime */
  readonly stateFolder?: string;
  /** 'auto' takes crun where it works, else runc. */
  readonly runtime: string;
  /** Of the node's settings. */
  readonly handlers?: readonly RuntimeHandler[];
}

export interface OpenRuntime extends Runtime, AsyncDisposable {
  /** The program that `auto` chose, or the one that was asked for. */
  readonly defaultRuntime: string;
  /** What `handler` of a start may name. */
  readonly handlers: readonly KnownHandler[];
}

type ExitListener = (id: ContainerId, state: ContainerState & { phase: 'exited' }) => void;

/** Re-adopts what an earlier agent left before it resolves. Closing leaves all containers running. */
export async function openRuntime(o: RuntimeOptions, c: Ctx): Promise<OpenRuntime> {
  await mkdir(o.folder, { recursive: true, mode: 0o700 });
  const stateFolder = o.stateFolder ?? join(o.folder, '.runtime');
  await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  const runtime = new OciRuntime(o, stateFolder, await open(o.folder, 'r'), c, {
    limits: await readHostLimits(),
    bootId: await readBootId(),
  });
  try {
    await runtime.adoptAll(c);
    await runtime.chooseRuntime(o, c);
  } catch (e) {
    await runtime[Symbol.asyncDispose]();
    throw e;
  }
  return runtime;
}

class OciRuntime implements OpenRuntime, ContainerHost {
  readonly kernel: LinuxKernel;
  readonly folder: string;
  readonly stateFolder: string;
  readonly c: Ctx;
  /** Keeps socket paths below the limit of 108 bytes: /proc/self/fd/N/ID/sock */
  readonly #handle: FileHandle;
  readonly #limits: HostLimits;
  readonly bootId: string;
  readonly #containers = new Map<ContainerId, Container>();
  readonly #listeners = new Set<ExitListener>();
  handlers: readonly KnownHandler[] = [];
  isClosed = false;

  constructor(
    o: RuntimeOptions,
    stateFolder: string,
    handle: FileHandle,
    c: Ctx,
    host: { limits: HostLimits; bootId: string },
  ) {
    this.kernel = o.kernel;
    this.folder = o.folder;
    this.stateFolder = stateFolder;
    this.#handle = handle;
    this.#limits = host.limits;
    this.bootId = host.bootId;
    this.c = c;
  }

  get defaultRuntime(): string {
    return handlerOf(this.handlers, '').path;
  }

  async chooseRuntime({ runtime: wish, handlers: named = [] }: RuntimeOptions, c: Ctx): Promise<void> {
    const trials = join(this.folder, '.trials');
    await removeTrials(this, this.kernel, trials, c);
    const { programs } = this.kernel;
    this.handlers = await openHandlers(programs, { runtime: wish === 'auto' ? 'runc' : wish, named }, c);
    if (wish !== 'auto' && !this.handlers.some((h) => h.name === ''))
      throw new StatusError('Unavailable', `the container runtime ${wish} is not installed`);
    if (wish !== 'auto') return;
    const chosen = { ...handlerOf(this.handlers, await probeRuntime(this, this.kernel, trials, c)), name: '' };
    this.handlers = [chosen, ...this.handlers.filter((h) => h.name !== '')];
  }

  /** At open: every container folder becomes one. Names that are not ids are left alone. */
  async adoptAll(c: Ctx): Promise<void> {
    const ids = (await readdir(this.folder)).filter((name) => ID.test(name)) as ContainerId[];
    for (let at = 0; at < ids.length; at += ADOPT_PARALLEL)
      await Promise.all(ids.slice(at, at + ADOPT_PARALLEL).map((id) => this.#adoptFolder(id, c)));
    await sweepBundles(this.stateFolder, this.folder);
  }

  async start(o: StartContainer, c: Ctx): Promise<ContainerState & { phase: 'running' }> {
    if (!ID.test(o.id)) throw new StatusError('Invalid', `container id ${JSON.stringify(o.id)} is not 64 hex digits`);
    if (this.#containers.has(o.id)) throw new StatusError('AlreadyExists', `container ${o.id} exists`);
    this.kernel.cgroups.expectMove();
    const binary = ociBinary(handlerOf(this.handlers, o.handler ?? ''), this.stateFolder, this.kernel.cgroups.version);
    const container = new Container(this, o.id, {
      id: o.id,
      labels: o.labels,
      createdAtMs: c.clock.now(),
      bootId: this.bootId,
      runtime: binary.path,
      cgroupsPath: o.spec.linux.cgroupsPath,
      log: o.log?.path ?? '',
    });
    this.#containers.set(o.id, container);
    const started = this.#start(container, o, binary, c);
    container.settled = started.then(
      () => undefined,
      () => undefined,
    );
    return started;
  }

  async kill(id: ContainerId, signal: string, o: { all?: boolean }, c: Ctx): Promise<void> {
    const number = signalNumber(signal);
    for (let attempt = 0; attempt < KILL_ATTEMPTS; attempt++) {
      const container = await this.#settled(id, c);
      if (container?.state?.phase !== 'running' || (await container.kill(number, o.all ?? false, c))) return;
      /* Its supervisor ended before it had read the order: the next one, once it has taken over, gets it again. */
    }
    throw new StatusError('Unavailable', `no supervisor of container ${id} passes ${signal} on`);
  }

  async state(id: ContainerId, c: Ctx): Promise<ContainerState | undefined> {
    return (await this.#settled(id, c))?.state;
  }

  async list(c: Ctx): Promise<readonly ContainerRecord[]> {
    const out: ContainerRecord[] = [];
    for (const id of [...this.#containers.keys()]) {
      const container = await this.#settled(id, c);
      if (container?.state !== undefined) out.push({ id, labels: container.file.labels, state: container.state });
    }
    return out;
  }

  async remove(id: ContainerId, c: Ctx): Promise<void> {
    if (!ID.test(id)) return;
    await (await this.#settled(id, c))?.end(c);
    await this.#removeFolder(id, c);
    this.#containers.delete(id);
  }

  onExit(fn: ExitListener): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  async exec(id: ContainerId, r: ExecRequest, c: Ctx): Promise<ExecSession> {
    const container = await this.#running(id, c);
    return startExec(this.kernel.helper, container.folder, r, c);
  }

  async attach(id: ContainerId, o: AttachRequest, c: Ctx): Promise<StreamSession> {
    await this.#running(id, c);
    const session = await attachTo(this.socketPath(id), o);
    if (session === undefined) throw new StatusError('Conflict', `container ${id} is not running`);
    try {
      await raceAbort(session.started, c.signal);
    } catch (e) {
      await session[Symbol.asyncDispose]();
      throw e;
    }
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    /* What is being found out needs the handle, and would take its absence for a lost supervisor. */
    for (const container of this.#containers.values()) await container.settled;
    for (const container of this.#containers.values()) container.close();
    await this.#handle.close();
  }

  socketPath(id: ContainerId): string {
    return `/proc/self/fd/${this.#handle.fd}/${id}/sock`;
  }

  tellExit(id: ContainerId, state: ContainerState & { phase: 'exited' }): void {
    for (const fn of this.#listeners) {
      try {
        fn(id, state);
      } catch (e) {
        this.c.log.error({ container: id, err: e }, 'an exit listener failed');
      }
    }
  }

  async #adoptFolder(id: ContainerId, c: Ctx): Promise<void> {
    const file = await readJson<ContainerFile>(join(this.folder, id, 'container.json'));
    if (file === undefined) {
      /* A start that was cut off before anything ran: container.json is written last of all. */
      await this.kernel.removeTree(join(this.folder, id), c);
      return;
    }
    const container = new Container(this, id, file);
    this.#containers.set(id, container);
    await hideBundle({ id, folder: container.folder, stateFolder: this.stateFolder });
    await container.adopt(c);
    if (container.state?.phase === 'running') await this.#endUnconfined(container, container.state.pid, c);
    if (container.state !== undefined) return;
    this.#containers.delete(id);
    await this.kernel.removeTree(join(this.folder, id), c);
  }

  /** An agent may have died between a program's start and the look at its filter, which no program can take off later. */
  async #endUnconfined(container: Container, pid: number, c: Ctx): Promise<void> {
    const spec = await readJson<OciSpec>(join(container.folder, 'config.json'));
    if (spec === undefined) return;
    try {
      checkConfined(spec, pid, container.file.runtime);
    } catch (err) {
      c.log.error({ err, container: container.id }, 'an adopted container lacks its filter: it is ended');
      await container.kill(constants.signals.SIGKILL, true, c);
    }
  }

  async #start(
    container: Container,
    o: StartContainer,
    binary: OciBinary,
    c: Ctx,
  ): Promise<ContainerState & { phase: 'running' }> {
    let begun = false;
    try {
      await this.#writeFolder(container, o, binary);
      begun = true;
      /* A container is told of only when its record would outlive a power loss; the program itself would not. */
      const [state] = await allEnded([container.start(o.beforeRun, c), syncRecord(container.folder)]);
      checkConfined(o.spec, state.pid, binary.path);
      return state;
    } catch (e) {
      await this.#undoStart(container, begun);
      throw e;
    }
  }

  /** All that the next agent needs to re-adopt it is in files before anything runs (ADR 11). */
  async #writeFolder(container: Container, o: StartContainer, binary: OciBinary): Promise<void> {
    const { folder, file } = container;
    const { spec, records } = staged(bundleSpec(o, this.#limits));
    const how = {
      runtime: binary.path,
      runtimeArguments: binary.arguments,
      privateCgroups: binary.privateCgroups,
      oomFile: this.kernel.cgroups.oomFile(file.cgroupsPath) ?? '',
      procsFile: this.kernel.cgroups.procsFile(file.cgroupsPath) ?? '',
    };
    const config = supervisorConfig(o, how, records);
    await mkdir(folder, { mode: 0o700 });
    await Promise.all([
      o.log === undefined ? undefined : mkdir(dirname(o.log.path), { recursive: true }),
      writeBundle(
        { id: o.id, folder, stateFolder: this.stateFolder },
        binary.takesFilter ? withReadyFilter(spec) : spec,
      ),
      writeFile(join(folder, 'config'), config, { mode: 0o600 }),
    ]);
    await writeFileAtomic(join(folder, 'container.json'), JSON.stringify(file), { mode: 0o600, durable: false });
  }

  /** Under this runtime's own signal: a cancelled start must not leave a container behind. */
  async #undoStart(container: Container, begun: boolean): Promise<void> {
    try {
      if (begun) await container.undoStart();
      await this.#removeFolder(container.id, this.c);
      this.#containers.delete(container.id);
    } catch (e) {
      /* The folder stays and is found at the next open; until then it counts as exited. */
      this.c.log.warn({ container: container.id, err: e }, 'cannot undo the start of a container');
      container.state = exitedState(lostExit(container.file.createdAtMs, this.c.clock.now()));
    }
  }

  async #removeFolder(id: ContainerId, c: Ctx): Promise<void> {
    await this.kernel.removeTree(join(this.folder, id), c);
    await removeBundle({ stateFolder: this.stateFolder, id });
  }

  async #settled(id: ContainerId, c: Ctx): Promise<Container | undefined> {
    await this.#containers.get(id)?.settled;
    c.signal.throwIfAborted();
    return this.#containers.get(id);
  }

  async #running(id: ContainerId, c: Ctx): Promise<Container> {
    const container = await this.#settled(id, c);
    if (container === undefined) throw new StatusError('NotFound', `container ${id} is not here`);
    if (container.state?.phase !== 'running') throw new StatusError('Conflict', `container ${id} is not running`);
    return container;
  }
}

async function syncRecord(folder: string): Promise<void> {
  await syncPath(join(folder, 'container.json'));
  await syncPath(folder);
}
