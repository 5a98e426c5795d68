/**
 * The HTTP/1.1 server that the API server, the registry and the engine share: TLS with optional client certificates,
 * limits that fit long watches and large uploads, upgrades, and a close that leaves nothing behind.
 *
 * Invariants: a handler that fails never takes the process down (500, or a cut connection once the answer has begun); a
 * socket given to `upgrade` is always tracked and always has an error listener; after `close` no socket is open.
 * Source: ../shared/reference/dependencies.md 2 (traps of Node 20); kubernetes-api.md 1.
 */
import { rm } from 'node:fs/promises';
import { createServer, IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import { type Clock, type Logger, toStatusError } from '#lib/base';
import { refuseUpgrade, servePlain, upgradeOf } from './upgrade.ts';

export interface TlsOptions {
  readonly key: string;
  readonly cert: string;
  /** CA for client certificates. */
  readonly ca?: string | undefined;
  /** Ask for a client certificate; one that does not verify is not refused here: look at `socket.authorized`. */
  readonly requestCert?: boolean | undefined;
}

export interface HttpServerOptions {
  readonly handler: (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  /** Without it every upgrade offer is ignored and the request served as a plain one. */
  readonly upgrade?: ((req: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>) | undefined;
  /** Which Upgrade offers go to `upgrade` (lower case); others, such as h2c, are served as plain requests. */
  readonly upgradeProtocols?: readonly string[] | undefined;
  /** Requests whose offer goes to `upgrade` whatever it is: those that are passed on to somebody who knows the protocol. */
  readonly passesUpgrade?: ((req: IncomingMessage) => boolean) | undefined;
  /** Requests that go to `upgrade` though they may offer none: those whose connection the handler takes over (Docker's attach). */
  readonly takesOver?: ((method: string, url: string) => boolean) | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface HttpServer extends AsyncDisposable {
  /** Resolves when listening; gives the port in use (0 for a unix path). Rejects if the address is taken. */
  listen(address: ListenAddress): Promise<{ port: number }>;
  /** Serves a connection that somebody else has accepted (half-open allowed). Where TLS is set it begins here. */
  accept(socket: Socket): void;
  /** Stops accepting, ends idle connections, waits up to `graceMs` for the running requests, then cuts the rest. Idempotent. */
  close(graceMs?: number): Promise<void>;
  /** New certificates, for connections to come. */
  setTls(tls: TlsOptions): void;
}

const UPGRADE_PROTOCOLS: readonly string[] = ['websocket', 'spdy/3.1', 'tcp'];
const CLOSE_GRACE_MS = 5_000;
/** Body of an upgrade offer that is served as a plain request: the same bound as the API's. */
const PLAIN_BODY_BYTES_MAX = 3 * 1024 * 1024;

/** requestTimeout 0: watches, logs and uploads last; keepAliveTimeout above the 60 s and 75 s of common clients and proxies. */
const LIMITS: ServerOptions = {
  requestTimeout: 0,
  headersTimeout: 30_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 64 * 1024,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
};

export function createHttpServer(o: HttpServerOptions): HttpServer {
  return new NodeHttpServer(o);
}

class NodeHttpServer implements HttpServer {
  readonly #o: HttpServerOptions;
  readonly #server: Server | TlsServer;
  readonly #sockets = new Set<Socket>();
  /** Sockets with no request under way. Node's closeIdleConnections leaves out those that have not sent a first request. */
  readonly #idle = new Set<Socket>();
  readonly #answers = new Set<ServerResponse>();
  #closed: Promise<void> | undefined;
  #isAccepting = false;
  #onQuiet: (() => void) | undefined;

  constructor(o: HttpServerOptions) {
    this.#o = o;
    const options = o.takesOver === undefined ? LIMITS : { ...LIMITS, IncomingMessage: takenOver(o.takesOver) };
    this.#server =
      o.tls === undefined
        ? createServer(options)
        : createTlsServer({ ...options, ...tlsSettings(o.tls), ALPNProtocols: ['http/1.1'] });
    this.#server.on('connection', (socket: Socket) => this.#track(socket));
    this.#server.on('secureConnection', (socket: Socket) => this.#track(socket));
    this.#server.on(o.tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) =>
      this.#idle.add(socket),
    );
    this.#server.on('tlsClientError', (err: Error) => o.log.debug({ err }, 'TLS handshake failed'));
    this.#server.on('request', (req: IncomingMessage, res: ServerResponse) => void this.#serve(req, res));
    if (o.upgrade !== undefined)
      this.#server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
        void this.#upgrade(req, socket, head);
      });
  }

  async listen(address: ListenAddress): Promise<{ port: number }> {
    // A socket file left by a dead process would make listen fail with EADDRINUSE.
    if ('path' in address) await rm(address.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (err) => this.#o.log.error({ err }, 'HTTP server failed'));
        resolve();
      });
    });
    const bound = this.#server.address();
    return { port: typeof bound === 'object' && bound !== null ? bound.port : 0 };
  }

  accept(socket: Socket): void {
    if (this.#closed !== undefined) {
      socket.destroy();
      return;
    }
    /* Node checks the time limit of headers only in a server that says it listens. */
    if (!this.#isAccepting && !this.#server.listening) this.#server.emit('listening');
    this.#isAccepting = true;
    this.#server.emit('connection', socket);
  }

  setTls(tls: TlsOptions): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(tlsSettings(tls));
  }

  close(graceMs: number = CLOSE_GRACE_MS): Promise<void> {
    this.#closed ??= this.#close(graceMs);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(graceMs: number): Promise<void> {
    if (!this.#server.listening && this.#sockets.size === 0) return;
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // Connections that were handed over are none of Node's count.
    const quiet = new Promise<void>((resolve) => {
      this.#onQuiet = resolve;
      if (this.#sockets.size === 0) resolve();
    });
    for (const socket of this.#idle) socket.destroy();
    // Connection: close, so that a client does not send its next request into a connection that ends.
    for (const res of this.#answers) if (!res.headersSent) res.shouldKeepAlive = false;
    const cut = this.#o.clock.after(graceMs, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    await Promise.all([stopped, quiet]);
    cut.cancel();
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#idle.delete(socket);
      if (this.#sockets.size === 0) this.#onQuiet?.();
    });
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { socket } = req;
    this.#idle.delete(socket);
    this.#answers.add(res);
    res.once('close', () => {
      this.#answers.delete(res);
      // While closing, a connection whose answer is complete is ended now instead of at its keep-alive limit.
      if (this.#closed !== undefined) socket.end();
      else if (!socket.destroyed) this.#idle.add(socket);
    });
    if (this.#closed !== undefined) res.shouldKeepAlive = false;
    closeBehindAnother(res, socket);
    try {
      await this.#o.handler(req, res);
    } catch (e) {
      this.#failed(e, req, res);
    }
  }

  #failed(e: unknown, req: IncomingMessage, res: ServerResponse): void {
    if (res.destroyed || res.writableEnded) return;
    this.#o.log.error({ err: e, method: req.method, url: req.url }, 'request handler failed');
    if (res.headersSent) {
      res.destroy();
      return;
    }
    res.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' });
    res.end('internal error\n');
  }

  async #upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#idle.delete(socket as Socket);
    socket.on('error', (err) => this.#o.log.debug({ err }, 'upgraded connection failed'));
    const offered = upgradeOf(req) ?? '';
    const isKnown = (this.#o.upgradeProtocols ?? UPGRADE_PROTOCOLS).includes(offered);
    const isTakenOver = offered === '' || (offered !== 'h2c' && this.#o.passesUpgrade?.(req) === true);
    const taken = isKnown || isTakenOver;
    try {
      if (taken) await this.#o.upgrade?.(req, socket, head);
      else
        await servePlain(req, socket as Socket, head, {
          maxBodyBytes: PLAIN_BODY_BYTES_MAX,
          handler: (plain, res) => this.#serve(plain, res),
        });
    } catch (e) {
      // The upgrade handler throws only before it has written the 101; afterwards the socket is its own.
      const error = toStatusError(e);
      this.#o.log.debug({ err: error, url: req.url }, 'upgrade refused');
      if (socket.writable) refuseUpgrade(socket, error, req.method);
      else socket.destroy();
    }
  }
}

/** Of an answer that waits behind another of its connection (pipelining) Node does not tell that the connection has closed. */
function closeBehindAnother(res: ServerResponse, socket: Socket): void {
  if (res.socket !== null) return;
  const onClose = (): void => {
    res.destroy();
    res.emit('close');
  };
  // As many as its client sends requests ahead.
  socket.setMaxListeners(0);
  socket.once('close', onClose);
  res.once('socket', () => socket.off('close', onClose));
}

/**
 * Messages that Node hands to the `upgrade` listener though their client offers nothing: it asks `upgrade` once the head is
 * read, when method and URL are known. From then on the connection is raw, as it is after an upgrade.
 */
function takenOver(takesOver: (method: string, url: string) => boolean): typeof IncomingMessage {
  return class extends IncomingMessage {
    offered: boolean | null = null;

    get upgrade(): boolean | null {
      return this.offered === true || takesOver(this.method ?? '', this.url ?? '') ? true : this.offered;
    }

    set upgrade(offered: boolean | null) {
      this.offered = offered;
    }
  };
}

function tlsSettings(tls: TlsOptions): SecureContextOptions & { requestCert: boolean; rejectUnauthorized: boolean } {
  return {
    key: tls.key,
    cert: tls.cert,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    minVersion: 'TLSv1.2',
    requestCert: tls.requestCert ?? false,
    rejectUnauthorized: false,
  };
}
