/**
 * Where the Docker API is reached, before anything of the engine is loaded: an agent that nobody asks by it pays a listening
 * socket. The engine is opened by the first connection, or at once where it has containers, which it may have to start again
 * (restart policies), networks and all. Once open it stays.
 */
import type { Socket } from 'node:net';
import { type Ctx, holderOf, messageOf, Scope, StatusError, sha256, tryTurn } from '#lib/base';
import { engineContainerIds } from './container-folders.ts';
import { type Listener, listenTcp, listenUnix } from './http/listen.ts';
import type { Engine, EngineOptions } from './open.ts';

export interface DoorSettings {
  readonly socket: string;
  /** Never without TLS: who may speak here is root on this machine. */
  readonly tcp?: { readonly host: string; readonly port: number; readonly tls: DoorTls } | undefined;
}

/** PEM. `ca`: clients without a certificate that it signed are refused. */
export interface DoorTls {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

export type DoorEngine = Omit<EngineOptions, 'tls'>;

export interface Door extends AsyncDisposable {
  /** Opens the engine now, for who would rather know. */
  open(): Promise<void>;
  /** Of TCP; undefined without it. */
  readonly port: number | undefined;
}

/** How long a client may take to hear that there is no engine. */
const REFUSAL_MS = 2_000;

export async function openDoor(settings: DoorSettings, engine: DoorEngine, c: Ctx): Promise<Door> {
  const scope = new Scope('engine door');
  try {
    await takeTurns(engine, scope);
    const hall = scope.own(new Hall(settings, engine, { ...c, signal: scope.signal }));
    /* Opened before anybody can connect: what runs is found first. */
    if ((await engineContainerIds(engine.folder)).size > 0)
      await hall.open().catch((err: unknown) => hall.complain(err));
    const own = <T extends Listener>(listener: T): T => scope.own(listener);
    own(await listenUnix(settings.socket, (s) => hall.enter(s, { isTls: false })));
    const { tcp } = settings;
    const port = tcp && own(await listenTcp(tcp, (s) => hall.enter(s, { isTls: true }))).port;
    c.log.info({ socket: settings.socket, port }, 'the Docker API listens');
    const open = async (): Promise<void> => void (await hall.open());
    return { port, open, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
}

/** Cgroups, links and tables are the instance's, records are the folder's: two engines of either would undo each other's work. */
async function takeTurns({ instance, folder }: DoorEngine, scope: Scope): Promise<void> {
  const holder = `process ${process.pid}`;
  const names = [
    [`berth/engine/${instance}`, `instance "${instance}"`],
    [`berth/engine-folder/${sha256(folder)}`, folder],
  ] as const;
  for (const [name, what] of names) {
    const turn = await tryTurn(name, holder);
    if (turn === undefined)
      throw new StatusError(
        'Unavailable',
        `the Docker API of ${what} is served by ${await holderOf(name)} already: use that one, or another instance and home`,
      );
    scope.own(turn);
  }
}

/** An agent's: what fails of it is told in the log, and its pods run. `settings` undefined: it is switched off. */
export async function openAgentDoor(
  settings: DoorSettings | undefined,
  engine: DoorEngine,
  scope: Scope,
  c: Ctx,
): Promise<void> {
  if (settings === undefined) return;
  try {
    scope.own(await openDoor(settings, engine, c));
  } catch (err) {
    c.log.error({ err, socket: settings.socket }, 'the Docker API cannot be served');
  }
}

/** Where connections wait until the engine is there. */
class Hall implements AsyncDisposable {
  readonly #settings: DoorSettings;
  readonly #options: DoorEngine;
  readonly #c: Ctx;
  readonly #waiting = new Set<Socket>();
  #engine: Promise<Engine> | undefined;

  constructor(settings: DoorSettings, options: DoorEngine, c: Ctx) {
    this.#settings = settings;
    this.#options = options;
    this.#c = c;
  }

  /** One that failed is tried again by the next who asks. */
  open(): Promise<Engine> {
    this.#engine ??= this.#load().catch((e: unknown) => {
      this.#engine = undefined;
      throw e;
    });
    return this.#engine;
  }

  enter(socket: Socket, o: { readonly isTls: boolean }): void {
    const gone = (): void => void this.#waiting.delete(socket);
    this.#waiting.add(socket);
    socket.on('error', gone).once('close', gone);
    this.open().then(
      (engine) => {
        this.#waiting.delete(socket);
        socket.off('error', gone).off('close', gone);
        if (socket.destroyed || this.#c.signal.aborted) socket.destroy();
        else engine.accept(socket, o);
      },
      (err: unknown) => {
        this.complain(err);
        this.#refuse(socket, o.isTls ? undefined : messageOf(err));
      },
    );
  }

  complain(err: unknown): void {
    if (!this.#c.signal.aborted) this.#c.log.error({ err }, 'the Docker engine cannot be opened');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#waiting) socket.destroy();
    const engine = await this.#engine?.catch(() => undefined); // told to whoever asked
    await engine?.[Symbol.asyncDispose]();
  }

  async #load(): Promise<Engine> {
    const { openEngine } = await import('./open.ts');
    this.#c.signal.throwIfAborted();
    return await openEngine({ ...this.#options, tls: this.#settings.tcp?.tls }, this.#c);
  }

  /** In Docker's form, whatever was asked; by TCP the connection just ends. */
  #refuse(socket: Socket, message: string | undefined): void {
    if (message === undefined) {
      socket.destroy();
      return;
    }
    const body = `${JSON.stringify({ message: `the Docker engine cannot be opened: ${message}` })}\n`;
    socket.resume();
    socket.end(
      `HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    this.#c.clock.after(REFUSAL_MS, () => socket.destroy(), { unref: true });
  }
}
