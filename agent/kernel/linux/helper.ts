/**
 * The agent's end of `berth-helper serve`: one long-lived child process that does all forks and privileged calls. Many
 * requests are in flight; each has an id. If the helper dies its open requests fail with Unavailable and the next request
 * starts a new one: nothing of value lives in it.
 *
 * Streams (archives in, exec sessions) do not go through its stdin, where one large transfer would delay every request:
 * the helper's child connects to `streams`, a unix socket of this process, and opens with a token.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ctx, messageOf, type Random, StatusError } from '#lib/base';
import { type Answer, decodeAnswer, encodeRequest, type Field, FrameReader, type Verb } from './frames.ts';

const ANSWER_BYTES_MAX = 4 << 20;
const IN_FLIGHT_MAX = 256;
const TOKEN_BYTES = 16;

interface Open {
  readonly resolve: (a: Answer) => void;
  readonly reject: (e: unknown) => void;
}

export class Helper implements AsyncDisposable {
  readonly path: string;
  readonly #random: Random;
  readonly #folder: string;
  #server: Server | undefined;
  /** The folder is being made again. */
  #listening: Promise<void> | undefined;
  readonly #expected = new Map<string, { take: (socket: Socket) => void; allowHalfOpen: boolean }>();
  readonly #open = new Map<number, Open>();
  /** Requests that wait until fewer than IN_FLIGHT_MAX are open. */
  readonly #queued: (() => void)[] = [];
  #child: ChildProcessWithoutNullStreams | undefined;
  #nextId = 1;
  #closed = false;

  private constructor(path: string, random: Random, folder: string) {
    this.path = path;
    this.#random = random;
    this.#folder = folder;
  }

  static async open(o: { helperPath: string; random: Random }): Promise<Helper> {
    await removeStaleFolders();
    const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
    const helper = new Helper(o.helperPath, o.random, folder);
    await helper.#listen();
    helper.#start();
    return helper;
  }

  get streamsPath(): string {
    return join(this.#folder, 's');
  }

  /** The helper's process id while it runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The answer, whatever its code. On abort the job is killed and the call rejects with the signal's reason. */
  async request(verb: Verb, fields: readonly Field[], signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    /* One signal (an agent's, a pod's) may have hundreds of requests open; each takes its listener off again. */
    setMaxListeners(0, signal);
    await this.#admitRequest(signal);
    signal.throwIfAborted();
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0xffffffff) + 1;
    return new Promise<Answer>((resolve, reject) => {
      const onAbort = (): void => this.#send(encodeRequest(id, 'cancel', []));
      const settle = (): void => {
        signal.removeEventListener('abort', onAbort);
        this.#open.delete(id);
        this.#queued.shift()?.();
      };
      this.#open.set(id, {
        resolve: (a) => {
          settle();
          /* A job that ended by itself before the cancel reached it still counts as cancelled: nobody waits for it. */
          if (signal.aborted) reject(signal.reason);
          else resolve(a);
        },
        reject: (e) => {
          settle();
          reject(e);
        },
      });
      signal.addEventListener('abort', onAbort, { once: true });
      this.#send(encodeRequest(id, verb, fields));
    });
  }

  /** For the helper's own verbs: an errno becomes a StatusError with the helper's text. */
  async call(verb: Verb, fields: readonly Field[], c: Ctx): Promise<string> {
    const a = await this.request(verb, fields, c.signal);
    if (a.code !== 0) throw errnoError(a);
    return a.stdout.toString();
  }

  /**
   * A token for a verb's child to connect with, and its connection once it came. Call `forget` when the verb failed.
   * What cleans temporary files may take the socket away from under a process of months: it is made again.
   */
  async expectStream(
    o: { allowHalfOpen?: boolean } = {},
  ): Promise<{ token: string; socket: Promise<Socket>; forget: () => void }> {
    if (!existsSync(this.streamsPath) && !this.#closed) {
      this.#listening ??= this.#listen().finally(() => {
        this.#listening = undefined;
      });
    }
    await this.#listening;
    const token = this.#random.hex(TOKEN_BYTES / 2);
    const allowHalfOpen = o.allowHalfOpen === true;
    const socket = new Promise<Socket>((take) => this.#expected.set(token, { take, allowHalfOpen }));
    return { token, socket, forget: () => void this.#expected.delete(token) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.stdin.end();
      await ended;
    }
    await this.#listening?.catch(() => undefined);
    this.#server?.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #listen(): Promise<void> {
    /* First, since closing unlinks the path. Its connections live on. */
    this.#server?.close();
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const server = createServer();
    this.#server = server;
    server.on('connection', (socket) => this.#admit(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.streamsPath, resolve);
    });
    server.unref();
  }

  #start(): ChildProcessWithoutNullStreams {
    const child = spawn(this.path, ['serve'], { stdio: ['pipe', 'pipe', 'pipe'] });
    const reader = new FrameReader(ANSWER_BYTES_MAX);
    let lastWords = '';
    child.stdout.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) {
        const a = decodeAnswer(frame);
        this.#open.get(a.id)?.resolve(a);
      }
    });
    child.stderr.on('data', (chunk: Buffer) => {
      lastWords = (lastWords + chunk.toString()).slice(-512);
    });
    const onEnd = (why: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      const error = new StatusError('Unavailable', `the native helper ended (${why}) ${lastWords.trim()}`.trim());
      for (const open of [...this.#open.values()]) open.reject(error);
    };
    child.on('error', (e) => onEnd(messageOf(e)));
    child.on('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`));
    child.stdin.on('error', (e) => onEnd(messageOf(e)));
    this.#child = child;
    return child;
  }

  /** What is sent in one turn of the event loop is one write: a full node asks for dozens of things at once. */
  #send(frame: Buffer): void {
    const { stdin } = this.#child ?? this.#start();
    if (stdin.writableCorked === 0) {
      stdin.cork();
      setImmediate(() => stdin.uncork());
    }
    stdin.write(frame);
  }

  async #admitRequest(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw new StatusError('Unavailable', 'the kernel is closed');
    while (this.#open.size >= IN_FLIGHT_MAX)
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          const at = this.#queued.indexOf(go);
          if (at >= 0) this.#queued.splice(at, 1);
          reject(signal.reason);
        };
        const go = (): void => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        };
        signal.addEventListener('abort', onAbort, { once: true });
        this.#queued.push(go);
      });
  }

  #admit(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    const onReadable = (): void => {
      const token: Buffer | null = socket.read(TOKEN_BYTES);
      if (token === null) return;
      socket.off('readable', onReadable);
      const expected = this.#expected.get(token.toString());
      this.#expected.delete(token.toString());
      if (expected === undefined) {
        socket.destroy();
        return;
      }
      /* Now, and not when it is awaited: the other end may have ended its half already. */
      socket.allowHalfOpen = expected.allowHalfOpen;
      expected.take(socket);
    };
    socket.on('readable', onReadable);
  }
}

/** errno numbers that mean more than Internal (asm-generic/errno-base.h). */
const ERRNO_KINDS: Readonly<Record<number, 'NotFound' | 'AlreadyExists' | 'Conflict' | 'Invalid' | 'TooLarge'>> = {
  2: 'NotFound',
  7: 'TooLarge',
  16: 'Conflict',
  17: 'AlreadyExists',
  22: 'Invalid',
  27: 'TooLarge',
  71: 'Invalid',
};

function errnoError(a: Answer): StatusError {
  const text = a.stderr.toString().trim();
  return new StatusError(ERRNO_KINDS[a.code] ?? 'Internal', text || `the native helper failed with ${a.code}`);
}

const FOLDER_PREFIX = 'berth-kernel-';

/** Folders of processes that were killed: their names carry the process id. */
async function removeStaleFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}
