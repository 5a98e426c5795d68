/**
 * Containers without a kernel, for simulators and unit tests: what they do is scripted, time is the clock's. `FakeHost`
 * stands for the machine and survives; `open()` is an agent on it, so an agent's restart is another `open()`.
 */
import { PassThrough, Writable } from 'node:stream';
import { type Clock, type Ctx, StatusError, type Timer } from '#lib/base';
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

/** What a container does. Absent: starts at once, runs until killed. */
export interface FakeProgram {
  readonly startMs?: number;
  /** The start fails with this text (kind Invalid). */
  readonly failStart?: string;
  readonly exit?: { readonly afterMs: number; readonly code: number; readonly oomKilled?: boolean };
  /** From SIGTERM to the end; default 0. 'never': only SIGKILL ends it. */
  readonly termMs?: number | 'never';
  /** Exit code after SIGTERM; default 143. */
  readonly termCode?: number;
  readonly exec?: (r: ExecRequest) => { readonly code: number; readonly stdout?: string; readonly stderr?: string };
}

type Exited = ContainerState & { phase: 'exited' };
type Running = ContainerState & { phase: 'running' };

interface FakeContainer {
  readonly o: StartContainer;
  readonly program: FakeProgram;
  state: ContainerState;
  timers: Timer[];
}

export class FakeHost {
  readonly #clock: Clock;
  readonly #script: (o: StartContainer) => FakeProgram;
  readonly #agents = new Set<FakeRuntime>();
  readonly containers = new Map<ContainerId, FakeContainer>();
  /** Who is attached. */
  readonly #waiting = new Map<ContainerId, readonly (() => void)[]>();
  #nextPid = 1000;

  constructor(o: { clock: Clock; script?: (o: StartContainer) => FakeProgram }) {
    this.#clock = o.clock;
    this.#script = o.script ?? (() => ({}));
  }

  get clock(): Clock {
    return this.#clock;
  }

  open(): FakeRuntime {
    const runtime = new FakeRuntime(this, () => void this.#agents.delete(runtime));
    this.#agents.add(runtime);
    return runtime;
  }

  /** Ends a container from outside: a crash of its program. */
  exit(id: ContainerId, code: number, o: { signal?: number; oomKilled?: boolean; lost?: boolean } = {}): void {
    const container = this.containers.get(id);
    if (container?.state.phase !== 'running') return;
    for (const t of container.timers) t.cancel();
    const state: Exited = {
      phase: 'exited',
      exitCode: code,
      signal: o.signal ?? 0,
      oomKilled: o.oomKilled ?? false,
      startedAtMs: container.state.startedAtMs,
      finishedAtMs: this.#clock.now(),
      lost: o.lost ?? false,
    };
    container.state = state;
    for (const end of this.#waiting.get(id) ?? []) end();
    this.#waiting.delete(id);
    for (const agent of this.#agents) agent.notify(id, state);
  }

  /** The machine loses its power: everything running is lost. */
  reboot(): void {
    for (const id of this.containers.keys()) this.exit(id, 137, { lost: true });
  }

  async start(o: StartContainer, c: Ctx): Promise<Running> {
    if (this.containers.has(o.id)) throw new StatusError('AlreadyExists', `container ${o.id} exists`);
    const program = this.#script(o);
    if (program.startMs !== undefined) await this.#clock.sleep(program.startMs, c.signal);
    await o.beforeRun?.(async () => fakeSession(this.ended(o.id), '', ''));
    if (program.failStart !== undefined) throw new StatusError('Invalid', program.failStart);
    const state: Running = { phase: 'running', pid: this.newPid(), startedAtMs: this.#clock.now() };
    const container: FakeContainer = { o, program, state, timers: [] };
    this.containers.set(o.id, container);
    const exit = program.exit;
    if (exit)
      container.timers.push(
        this.#clock.after(exit.afterMs, () => this.exit(o.id, exit.code, { oomKilled: exit.oomKilled ?? false })),
      );
    return state;
  }

  newPid(): number {
    return this.#nextPid++;
  }

  /** Of its present run, or of the next. */
  ended(id: ContainerId): Promise<undefined> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? [];
      this.#waiting.set(id, [...waiting, () => resolve(undefined)]);
    });
  }

  kill(id: ContainerId, signal: string): void {
    const container = this.containers.get(id);
    if (container?.state.phase !== 'running') return;
    if (signal === 'SIGKILL' || signal === 'KILL' || signal === '9') {
      this.exit(id, 137, { signal: 9 });
      return;
    }
    const { termMs = 0, termCode = 143 } = container.program;
    if (termMs === 'never') return;
    const died = termCode > 128 ? { signal: termCode - 128 } : {};
    container.timers.push(this.#clock.after(termMs, () => this.exit(id, termCode, died)));
  }
}

export class FakeRuntime implements Runtime, AsyncDisposable {
  readonly #host: FakeHost;
  readonly #close: () => void;
  readonly #listeners = new Set<(id: ContainerId, state: Exited) => void>();

  constructor(host: FakeHost, close: () => void) {
    this.#host = host;
    this.#close = close;
  }

  async start(o: StartContainer, c: Ctx): Promise<Running> {
    c.signal.throwIfAborted();
    return this.#host.start(o, c);
  }

  async kill(id: ContainerId, signal: string, _o: { all?: boolean }, c: Ctx): Promise<void> {
    c.signal.throwIfAborted();
    this.#host.kill(id, signal);
  }

  async state(id: ContainerId, c: Ctx): Promise<ContainerState | undefined> {
    c.signal.throwIfAborted();
    return this.#host.containers.get(id)?.state;
  }

  async remove(id: ContainerId, c: Ctx): Promise<void> {
    c.signal.throwIfAborted();
    this.#host.kill(id, 'SIGKILL');
    this.#host.containers.delete(id);
  }

  async list(c: Ctx): Promise<readonly ContainerRecord[]> {
    c.signal.throwIfAborted();
    return [...this.#host.containers].map(([id, { o, state }]) => ({ id, labels: o.labels, state }));
  }

  onExit(fn: (id: ContainerId, state: Exited) => void): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  async exec(id: ContainerId, r: ExecRequest, c: Ctx): Promise<ExecSession> {
    c.signal.throwIfAborted();
    const container = this.#running(id);
    const result = container.program.exec?.(r) ?? { code: 0 };
    const session = fakeSession(Promise.resolve(result.code), result.stdout ?? '', result.stderr ?? '');
    return { ...session, pid: this.#host.newPid() };
  }

  async attach(id: ContainerId, _o: AttachRequest, c: Ctx): Promise<StreamSession> {
    c.signal.throwIfAborted();
    this.#running(id);
    return fakeSession(this.#host.ended(id), '', '');
  }

  notify(id: ContainerId, state: Exited): void {
    for (const fn of this.#listeners) fn(id, state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    this.#close();
  }

  #running(id: ContainerId): FakeContainer {
    const container = this.#host.containers.get(id);
    if (container === undefined) throw new StatusError('NotFound', `container ${id} is not here`);
    if (container.state.phase !== 'running') throw new StatusError('Conflict', `container ${id} is not running`);
    return container;
  }
}

function fakeSession(exit: Promise<number | undefined>, out: string, err: string): StreamSession {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  stdout.end(out);
  stderr.end(err);
  return {
    stdin: new Writable({ write: (_chunk, _encoding, callback) => callback() }),
    stdout,
    stderr,
    resize: () => undefined,
    exit,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
