/**
 * A real engine on this machine for tests: a home and an instance of its own, a store with a busybox image, its API on a
 * socket file, a small client, and the check that it leaves nothing behind. Needs root.
 *
 *   const engine = await TestEngine.open();          // once a file, in beforeAll
 *   const { status, json } = await engine.post('/containers/create?name=a', { Image: 'busybox', Cmd: ['true'] });
 *   await engine.docker('run', '--rm', 'busybox', 'echo', 'hi');   // the stock CLI
 *   await engine.restart();                          // as an agent that was restarted; containers run on
 *   await engine.close();                            // in afterAll: removes all, then looks for remains
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { type Ctx, createLogger, realClock, realRandom } from '#lib/base';
import { tarBytes, tarHeader } from '#lib/oci';
import { type Listener, listenUnix } from '../../agent/engine/http/listen.ts';
import { type Engine, openEngine } from '../../agent/engine/open.ts';
import { type OpenImages, openImages } from '../../agent/images/open.ts';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';
import { defaultNodeConfiguration } from '../../agent/node-configuration.ts';
import { runtimeStateFolder } from '../../agent/runtime-state.ts';
import { engineRemains } from './engine-remains.ts';
import { limitMs } from './time-limit.ts';

const APPLETS =
  'sh ash cat echo ls rm mv cp mkdir rmdir touch ln chmod chown id stat test sleep true false env printenv mount umount wc grep sed awk find sync head tail seq dd kill ps top nc wget ping nslookup ip hostname stty tty tr sort cut date od md5sum yes trap tar vi dirname basename readlink mktemp whoami uname usleep httpd ifconfig route netstat df free'.split(
    ' ',
  );
const ETC: Readonly<Record<string, string>> = {
  'etc/passwd':
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  'etc/group': 'root:x:0:\napps:x:1001:\nmore:x:1002:app\nnogroup:x:65534:\n',
};
const FOLDERS = ['bin', 'etc', 'root', 'home/app', 'tmp', 'var', 'proc', 'sys', 'dev'];
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly text: string;
  /** Of a JSON answer; undefined for another. Its shape is what the test expects. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever was answered
  readonly json: any;
}

export interface AskOptions {
  /** An object is sent as JSON. */
  readonly body?: object | Buffer | string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestEngineOptions {
  /** Of the OCI runtime. Default auto. */
  readonly runtime?: string;
  /** Log lines of this level and above go to stderr. Default error. */
  readonly logLevel?: string;
}

export class TestEngine {
  readonly home = mkdtempSync(join(tmpdir(), 'berth-engine-'));
  readonly instance = `bt${realRandom.hex(3)}`;
  readonly socket = join(this.home, 'docker.sock');
  readonly c: Ctx;
  readonly #o: TestEngineOptions;
  kernel!: LinuxKernel;
  images!: OpenImages;
  engine!: Engine;
  #listener: Listener | undefined;
  #before: readonly string[] = [];

  private constructor(o: TestEngineOptions) {
    this.#o = o;
    const log = createLogger({ component: 'engine', level: o.logLevel ?? 'error' });
    this.c = { signal: new AbortController().signal, clock: realClock, log };
  }

  static async open(o: TestEngineOptions = {}): Promise<TestEngine> {
    const engine = new TestEngine(o);
    engine.#before = await engine.remains();
    await engine.#openStore();
    try {
      await engine.addBusybox('busybox:latest');
      await engine.start();
    } catch (e) {
      await engine.images[Symbol.asyncDispose]();
      await engine.kernel[Symbol.asyncDispose]();
      rmSync(engine.home, { recursive: true, force: true });
      throw e;
    }
    return engine;
  }

  get events(): Engine['events'] {
    return this.engine.events;
  }

  get folder(): string {
    return join(this.home, 'engine');
  }

  /** Of the docker CLI, docker-compose, dockerode's users and others that read the environment. */
  get env(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.home,
      DOCKER_HOST: `unix://${this.socket}`,
      DOCKER_CONFIG: join(this.home, '.docker'),
      DOCKER_BUILDKIT: '0',
    };
  }

  async start(): Promise<void> {
    const { isolation, runtimeHandlers } = await defaultNodeConfiguration(this.home);
    const engine = await openEngine(
      {
        ...{ kernel: this.kernel, images: this.images, folder: this.folder, instance: this.instance },
        ...{ runtime: this.#o.runtime ?? 'auto', runtimeHandlers, isolation },
        registries: { certsFolder: join(this.home, 'certs.d') },
        ...{ version: '0.0.0-test', clock: realClock, random: realRandom, log: this.c.log },
      },
      this.c,
    );
    this.engine = engine;
    this.#listener = await listenUnix(this.socket, (s) => engine.accept(s, { isTls: false }));
  }

  async stop(): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]();
    await this.engine[Symbol.asyncDispose]();
  }

  /** All that an agent has in memory is lost; `between`: while none runs. */
  async restart(between?: () => Promise<void> | void): Promise<void> {
    await this.stop();
    await this.kernel[Symbol.asyncDispose]();
    await this.images[Symbol.asyncDispose]();
    try {
      await between?.();
    } finally {
      await this.#openStore();
      await this.start();
    }
  }

  /** An image of busybox with its applets, a few users and `config` (as in an image's config document). */
  async addBusybox(reference: string, config: object = { Cmd: ['sh'] }): Promise<string> {
    using session = this.images.builds.session();
    const layer = await session.addLayer([], chunks(await busyboxLayer()), this.c);
    const document = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      created: '2026-01-02T03:04:05Z',
      config: { Env: [PATH], ...config },
      rootfs: { type: 'layers', diff_ids: [layer.diffId] },
      history: [{ created: '2026-01-02T03:04:05Z', created_by: 'ADD busybox # made by the tests' }],
    };
    const bytes = Buffer.from(JSON.stringify(document));
    return (await session.putImage({ references: [reference], config: bytes, layers: [layer] }, this.c)).id;
  }

  /** `path` with or without a version. Throws only when there is no answer. */
  ask(method: string, path: string, o: AskOptions = {}): Promise<Answer> {
    const { body } = o;
    const isJson = body !== undefined && typeof body === 'object' && !Buffer.isBuffer(body);
    const headers = { ...(isJson ? { 'Content-Type': 'application/json' } : {}), ...o.headers };
    return new Promise((resolveAnswer, reject) => {
      const req = request({ socketPath: this.socket, method, path, headers, agent: false }, (res) => {
        readAnswer(res).then(resolveAnswer, reject);
      });
      req.on('error', reject);
      req.end(isJson ? JSON.stringify(body) : body);
    });
  }

  get(path: string): Promise<Answer> {
    return this.ask('GET', path);
  }

  post(path: string, body?: object): Promise<Answer> {
    return this.ask('POST', path, { body });
  }

  delete(path: string): Promise<Answer> {
    return this.ask('DELETE', path);
  }

  /** An answer that goes on, as it comes; destroy it to go away. */
  stream(method: string, path: string, body?: object): Promise<IncomingMessage> {
    return new Promise((resolveAnswer, reject) => {
      const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
      const req = request({ socketPath: this.socket, method, path, headers, agent: false }, resolveAnswer);
      req.on('error', reject);
      req.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** The raw connection of attach and exec after the 101, head included in `head`; allows half-close (`io.end()`). */
  async hijack(path: string, body?: object): Promise<{ io: Socket; head: string }> {
    const io = connect({ path: this.socket, allowHalfOpen: true });
    const text = body === undefined ? '' : JSON.stringify(body);
    const type = body === undefined ? '' : 'Content-Type: application/json\r\n';
    io.write(
      `POST ${path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${type}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    return { io, head: await readHead(io) };
  }

  /** The stock CLI, to its end. Never throws for an exit code. */
  docker(...args: readonly string[]): Promise<Run> {
    return this.program('docker', args);
  }

  program(name: string, args: readonly string[], o: { stdin?: string | Buffer; cwd?: string } = {}): Promise<Run> {
    return new Promise((done) => {
      const options = {
        env: this.env,
        maxBuffer: 64 << 20,
        timeout: limitMs(60_000),
        ...(o.cwd ? { cwd: o.cwd } : {}),
      };
      const child = execFile(name, [...args], options, (e, stdout, stderr) => {
        const code = e === null ? 0 : typeof e.code === 'number' ? e.code : -1;
        done({ code, stdout, stderr: code === -1 ? `${stderr}${e?.message}` : stderr });
      });
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(o.stdin);
    });
  }

  /** Asks until `probe` gives something. */
  async until<T>(what: string, probe: () => Promise<T | undefined> | T | undefined): Promise<T> {
    const end = realClock.monotonic() + limitMs(20_000);
    for (;;) {
      const found = await probe();
      if (found !== undefined) return found;
      if (realClock.monotonic() > end) throw new Error(`never: ${what}`);
      await realClock.sleep(10);
    }
  }

  /** Mounts, cgroups, processes, links and rules that bear this engine's name. */
  remains(): Promise<string[]> {
    return engineRemains({ instance: this.instance, home: this.home });
  }

  /** Removes what a test left (containers, networks, volumes), stops, and expects that nothing of it is on the machine. */
  async close(): Promise<void> {
    try {
      await this.#removeAll();
      await this.stop();
      await this.kernel[Symbol.asyncDispose]();
      await this.images[Symbol.asyncDispose]();
      await this.until('nothing left', async () => ((await this.remains()).length === 0 ? true : undefined)).catch(
        async () => expect(await this.remains()).toEqual(this.#before),
      );
    } finally {
      rmSync(this.home, { recursive: true, force: true });
      rmSync(runtimeStateFolder(`${this.instance}-docker`), { recursive: true, force: true });
    }
  }

  async #removeAll(): Promise<void> {
    const containers = await this.get('/containers/json?all=1');
    for (const { Id } of containers.status === 200 ? containers.json : [])
      await this.delete(`/containers/${Id}?force=1&v=1`);
    const networks = await this.get('/networks');
    for (const { Id, Name } of networks.status === 200 ? networks.json : [])
      if (!['bridge', 'host', 'none'].includes(Name)) await this.delete(`/networks/${Id}`);
    const volumes = await this.get('/volumes');
    for (const { Name } of volumes.status === 200 ? volumes.json.Volumes : [])
      await this.delete(`/volumes/${encodeURIComponent(Name)}?force=1`);
  }

  async #openStore(): Promise<void> {
    const helperPath = resolve('dist/berth-helper');
    if (!existsSync(helperPath)) throw new Error('dist/berth-helper is not built: npm run build');
    this.kernel = await openKernel({ helperPath, environment: process.env, random: realRandom });
    mkdirSync(join(this.home, '.docker'), { recursive: true });
    this.images = await openImages(
      {
        ...{ kernel: this.kernel, folder: join(this.home, 'images'), certsFolder: join(this.home, 'certs.d') },
        ...{ clock: realClock, random: realRandom, log: this.c.log },
      },
      this.c,
    );
  }
}

async function readAnswer(res: IncomingMessage): Promise<Answer> {
  const pieces: Buffer[] = [];
  for await (const piece of res as AsyncIterable<Buffer>) pieces.push(piece);
  const body = Buffer.concat(pieces);
  const text = body.toString();
  const isJson = res.headers['content-type'] === 'application/json';
  return { status: res.statusCode ?? 0, headers: res.headers, body, text, json: isJson ? parsed(text) : undefined };
}

/** Of a stream of lines: all of them. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text
      .split('\n')
      .filter((l) => l.trim() !== '')
      .map((l) => JSON.parse(l) as unknown);
  }
}

function readHead(io: Socket): Promise<string> {
  return new Promise((done, reject) => {
    let got = Buffer.alloc(0);
    const onData = (piece: Buffer): void => {
      got = Buffer.concat([got, piece]);
      const end = got.indexOf('\r\n\r\n');
      if (end < 0) return;
      io.off('data', onData).off('error', reject).pause();
      if (got.length > end + 4) io.unshift(got.subarray(end + 4));
      done(got.toString('latin1', 0, end));
    };
    io.on('data', onData).on('error', reject);
  });
}

/** What stdout and stderr got of a multiplexed stream that has ended. */
export function demultiplexed(bytes: Buffer): { stdout: string; stderr: string; frames: number } {
  const out = { stdout: '', stderr: '', frames: 0 };
  for (let at = 0; at + 8 <= bytes.length; out.frames++) {
    const end = at + 8 + bytes.readUInt32BE(at + 4);
    const text = bytes.toString('utf8', at + 8, end);
    if (bytes[at] === 2) out.stderr += text;
    else out.stdout += text;
    at = end;
  }
  return out;
}

/** All bytes until the end. */
export async function readAll(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* chunks(bytes: Buffer): AsyncIterable<Uint8Array> {
  yield bytes;
}

let layer: Promise<Buffer> | undefined;

function busyboxLayer(): Promise<Buffer> {
  layer ??= tarBytes([
    ...FOLDERS.map((path) => ({
      header: tarHeader({ type: 'folder', path, mode: path === 'tmp' ? 0o1777 : 0o755 }),
      data: Buffer.alloc(0),
    })),
    fileEntry('bin/busybox', readFileSync('/bin/busybox'), 0o755),
    ...APPLETS.map((name) => ({
      header: tarHeader({ type: 'symlink', path: `bin/${name}`, linkPath: 'busybox' }),
      data: Buffer.alloc(0),
    })),
    ...Object.entries(ETC).map(([path, text]) => fileEntry(path, Buffer.from(text), 0o644)),
  ]);
  return layer;
}

function fileEntry(path: string, data: Buffer, mode: number) {
  return { header: tarHeader({ type: 'file', path, mode, sizeBytes: data.length }), data };
}
