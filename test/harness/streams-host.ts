/**
 * The engine's streams alone on a real runtime: containers that are a busybox root and a record, without images or networks,
 * and the HTTP of the Engine API on a socket file.
 */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Ctx, type Digest, realRandom } from '#lib/base';
import { notFound } from '../../agent/engine/http/contract.ts';
import { type Listener, listenUnix } from '../../agent/engine/http/listen.ts';
import { EngineServer } from '../../agent/engine/http/server.ts';
import type {
  ContainerRecord,
  EngineContainer,
  EngineContainers,
  EngineEvent,
  EngineHost,
} from '../../agent/engine/parts.ts';
import { logSettings } from '../../agent/engine/streams/log-options.ts';
import { openStreams, type StreamsPart } from '../../agent/engine/streams/open.ts';
import type { ContainerConfig, HostConfig } from '../../agent/engine/types.ts';
import type { ContainerId, ContainerState } from '../../agent/runtime/runtime.ts';
import { eventually, RuntimeHost } from '../integration/runtime-host.ts';

export interface PlainOptions {
  readonly config?: Partial<ContainerConfig>;
  readonly hostConfig?: Partial<HostConfig>;
  readonly name?: string;
}

type OnStart = Parameters<EngineContainers['onStart']>[0];

class PlainContainer implements EngineContainer {
  readonly record: ContainerRecord;
  readonly logPath: string;
  readonly rootfs: string;
  run: ContainerState | undefined;
  status: EngineContainer['status'] = 'created';

  constructor(record: ContainerRecord, logPath: string, rootfs: string) {
    this.record = record;
    this.logPath = logPath;
    this.rootfs = rootfs;
  }

  get id(): ContainerId {
    return this.record.id;
  }

  async mountRoot(): Promise<string> {
    return this.rootfs;
  }
}

export class StreamsHost implements EngineContainers {
  readonly events: EngineEvent[] = [];
  readonly #runtimeHost: RuntimeHost;
  readonly #containers = new Map<string, PlainContainer>();
  readonly #hooks = new Set<OnStart>();
  #part!: StreamsPart;
  #server!: EngineServer;
  #listener!: Listener;

  private constructor(runtimeHost: RuntimeHost) {
    this.#runtimeHost = runtimeHost;
  }

  static async open(program = 'crun'): Promise<StreamsHost> {
    const h = new StreamsHost(await RuntimeHost.open(program));
    await h.#open();
    return h;
  }

  get c(): Ctx {
    return this.#runtimeHost.c;
  }

  get runtime(): RuntimeHost['runtime'] {
    return this.#runtimeHost.runtime;
  }

  get socket(): string {
    return join(this.#runtimeHost.folder, 'docker.sock');
  }

  async #open(): Promise<void> {
    const { kernel, runtime, c } = this.#runtimeHost;
    const host = { kernel, runtime, clock: c.clock, random: realRandom, log: c.log } as EngineHost;
    const events = { emit: (e: EngineEvent) => void this.events.push(e) };
    this.#part = openStreams(host, { containers: this, events }, c);
    this.#server = new EngineServer({ routes: this.#part.routes, version: '0', clock: c.clock, log: c.log });
    this.#listener = await listenUnix(this.socket, (s) => this.#server.accept(s, { isTls: false }));
  }

  /** As an agent that was restarted. */
  async restart(): Promise<void> {
    await this.#stop();
    await this.#runtimeHost.restartAgent();
    await this.#open();
  }

  async #stop(): Promise<void> {
    await this.#listener[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
    await this.#part[Symbol.asyncDispose]();
    this.#hooks.clear();
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#runtimeHost.close();
  }

  create(script: string, { config = {}, hostConfig = {}, name }: PlainOptions = {}): ContainerId {
    const id = realRandom.hex(32) as ContainerId;
    const all: ContainerConfig = {
      ...{ Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: true, AttachStderr: true },
      ...{ Tty: false, OpenStdin: false, StdinOnce: false, Env: [], Cmd: ['sh', '-c', script], Image: 'busybox' },
      ...{ Volumes: null, WorkingDir: '', Entrypoint: null, Labels: { of: 'test' } },
      ...config,
    };
    const record: ContainerRecord = {
      ...{ id, name: name ?? id.slice(0, 8), createdAtMs: 0, imageId: 'sha256:0' as Digest, path: 'sh', args: [] },
      ...{ config: all, hostConfig: { NetworkMode: 'none', ...hostConfig }, endpoints: {}, mounts: [] },
      ...{ restartCount: 0, isStoppedByUser: false, error: '' },
    };
    const path = join(this.#runtimeHost.folder, 'log', `${id.slice(0, 8)}.log`);
    this.#containers.set(id, new PlainContainer(record, path, this.#runtimeHost.rootfs));
    return id;
  }

  async start(id: ContainerId): Promise<void> {
    const container = this.#container(id);
    const { config, hostConfig } = container.record;
    await this.runtime.remove(id, this.c);
    const settings = logSettings(hostConfig.LogConfig);
    const hooks = [...this.#hooks].map((hook) => hook(container)).filter((fn) => fn !== undefined);
    const plain = this.#runtimeHost.container(config.Cmd ?? []);
    await this.runtime.start(
      {
        ...{ ...plain, id, spec: this.#runtimeHost.spec(config.Cmd ?? [], id) },
        log: settings === undefined ? undefined : { path: container.logPath, ...settings },
        ...{ tty: config.Tty, stdin: config.OpenStdin, stdinOnce: config.StdinOnce },
        beforeRun: async (attach) => {
          for (const fn of hooks) await fn(attach);
        },
      },
      this.c,
    );
    await this.#look(container);
  }

  async run(script: string, o: PlainOptions = {}): Promise<ContainerId> {
    const id = this.create(script, o);
    await this.start(id);
    return id;
  }

  async remove(id: ContainerId): Promise<void> {
    await this.runtime.remove(id, this.c);
    this.#containers.delete(id);
  }

  /** As `pause` of the engine says it. */
  pretend(id: ContainerId, status: EngineContainer['status']): void {
    this.#container(id).status = status;
  }

  find(text: string): EngineContainer {
    const found = [...this.#containers.values()].find((x) => x.id.startsWith(text) || x.record.name === text);
    if (found === undefined) throw notFound(`No such container: ${text}`);
    return found;
  }

  list(): readonly EngineContainer[] {
    return [...this.#containers.values()];
  }

  async setEndpoints(): Promise<void> {
    throw new Error('no networks here');
  }

  async whenExited(id: ContainerId, c: Ctx): Promise<number> {
    for (;;) {
      const state = await this.runtime.state(id, c);
      if (state?.phase !== 'running') return state?.exitCode ?? 0;
      await c.clock.sleep(5, c.signal);
    }
  }

  onStart(fn: OnStart): Disposable {
    this.#hooks.add(fn);
    return { [Symbol.dispose]: () => void this.#hooks.delete(fn) };
  }

  /** Its end, and that the record knows it. */
  async exited(id: ContainerId): Promise<number> {
    const code = await this.whenExited(id, this.c);
    await eventually('the exit', () => (this.#container(id).status === 'exited' ? true : undefined));
    return code;
  }

  /** A raw request; what comes back, head and all, is read from the socket. */
  send(method: string, path: string, o: { body?: object; upgrade?: boolean; chunked?: boolean } = {}): Socket {
    const io = connect({ path: this.socket, allowHalfOpen: true });
    const text = o.body === undefined ? '' : JSON.stringify(o.body);
    const length = o.chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${Buffer.byteLength(text)}`;
    const upgrade = o.upgrade === false ? [] : ['Connection: Upgrade', 'Upgrade: tcp'];
    const head = [`${method} ${path} HTTP/1.1`, 'Host: docker', 'Content-Type: application/json', ...upgrade, length];
    io.write(`${head.join('\r\n')}\r\n\r\n${o.chunked ? `${text.length.toString(16)}\r\n${text}\r\n` : text}`);
    return io;
  }

  #container(id: ContainerId): PlainContainer {
    const found = this.#containers.get(id);
    if (found === undefined) throw new Error(`no container ${id}`);
    return found;
  }

  async #look(container: PlainContainer): Promise<void> {
    container.run = await this.runtime.state(container.id, this.c);
    container.status = 'running';
    void this.whenExited(container.id, this.c).then(async () => {
      container.run = await this.runtime.state(container.id, this.c);
      container.status = 'exited';
    });
  }
}
