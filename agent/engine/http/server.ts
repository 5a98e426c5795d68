/**
 * The Docker Engine API's HTTP: routes, versions, errors and hijacked connections, on connections that somebody else accepts
 * (door.ts listens before any of this is loaded). Two servers share the routes: plain, and TLS for those who showed a
 * certificate of our authority.
 *
 * Laws: every answer says who speaks and up to which version; an error is `{"message"}` of type application/json, or a cut
 * connection once the answer has begun; `r.c.signal` ends when the client goes or the engine stops; nothing that a client
 * sends ends the process. Source: ../shared/reference/docker-api.md 1, 2, 5; moby daemon/server/server.go.
 */
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type Clock, type Ctx, type Logger, Scope } from '#lib/base';
import { createHttpServer, type HttpServer, hijack, type TlsOptions } from '#lib/http';
import { ChunkedBody } from './chunks.ts';
import { EngineError, type EngineRoute, notFound } from './contract.ts';
import { answerOf } from './errors.ts';
import { type RawConnection, Reply } from './reply.ts';
import { Request } from './request.ts';
import { Router, targetOf } from './router.ts';
import { minorVersion, NEWEST_TEXT } from './version.ts';

export interface EngineServerOptions {
  readonly routes: readonly EngineRoute[];
  /** Told as `Server: Docker/VERSION (linux)`. */
  readonly version: string;
  /** For connections that come with `isTls`; a client must show a certificate that `ca` signed. */
  readonly tls?: TlsOptions | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Of a body that is read before its route is asked: those of attach and exec. */
const HIJACK_BODY_BYTES_MAX = 4 << 20;
/** How long a client that was told the end may keep its half of a hijacked connection. */
const LINGER_MS = 10_000;
const CLOSE_GRACE_MS = 1_000;

export class EngineServer implements AsyncDisposable {
  readonly #router: Router;
  readonly #plain: HttpServer;
  readonly #tls: HttpServer | undefined;
  readonly #scope = new Scope('engine http');
  readonly #headers: Readonly<Record<string, string>>;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(o: EngineServerOptions) {
    this.#router = new Router(o.routes);
    this.#clock = o.clock;
    this.#log = o.log;
    this.#headers = {
      Server: `Docker/${o.version} (linux)`,
      'Api-Version': NEWEST_TEXT,
      Ostype: 'linux',
      'Docker-Experimental': 'false',
    };
    const takesOver = (method: string, url: string): boolean => this.#isHijacked(method, url);
    const options = {
      handler: (req: IncomingMessage, res: ServerResponse) => this.#serve(req, res, undefined),
      upgrade: (req: IncomingMessage, socket: unknown, head: Buffer) => this.#takeOver(req, socket as Socket, head),
      /* Offered to all routes by clients that would rather speak HTTP/2; BuildKit's insist on it (system/buildkit.ts). */
      upgradeProtocols: ['h2c'],
      passesUpgrade: (req: IncomingMessage) => takesOver(req.method ?? '', req.url ?? ''),
      takesOver,
      clock: o.clock,
      log: o.log,
    };
    this.#plain = createHttpServer(options);
    if (o.tls !== undefined) this.#tls = createHttpServer({ ...options, tls: { ...o.tls, requestCert: true } });
  }

  /** A connection whose listener allows half-open ones; nothing was read of it. */
  accept(socket: Socket, o: { readonly isTls: boolean }): void {
    if (!o.isTls) this.#plain.accept(socket);
    else if (this.#tls !== undefined) this.#tls.accept(socket);
    else socket.destroy();
  }

  /** Ends what runs; connections that do not end by themselves are cut. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await Promise.all([this.#plain.close(CLOSE_GRACE_MS), this.#tls?.close(CLOSE_GRACE_MS)]);
  }

  #isHijacked(method: string, url: string): boolean {
    try {
      return this.#router.match(method, targetOf(url).path)?.route.hijacks === true;
    } catch {
      return false; // a path that cannot be decoded is refused where it is answered
    }
  }

  async #takeOver(req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const res = new ServerResponse(req);
    res.shouldKeepAlive = false;
    res.assignSocket(socket);
    const isChunked = req.headers['transfer-encoding'] !== undefined;
    /* Node passes it on only from its own connections. */
    const onDrain = (): void => void res.emit('drain');
    socket.on('drain', onDrain);
    const detach = (): void => {
      socket.off('drain', onDrain);
      res.detachSocket(socket);
    };
    res.once('finish', () => {
      socket.end();
      this.#clock.after(LINGER_MS, () => socket.destroy(), { unref: true });
    });
    try {
      /* Before anything of a body is read. */
      refuseStrangers(req);
      let body: Readable;
      if (isChunked) {
        if (head.length > 0) socket.unshift(head);
        body = new ChunkedBody(socket);
        /* Of a route that failed before it read: nobody is left to hear of it. */
        body.on('error', () => undefined);
      } else {
        const bytes = await hijack(req, socket, head, HIJACK_BODY_BYTES_MAX);
        body = Readable.from(bytes.length === 0 ? [] : [bytes]);
      }
      await this.#serve(req, res, { req, socket, body, isChunked, detach });
    } catch (e) {
      this.#fail(e, new Reply(res, { isHead: false }), res);
    }
  }

  async #serve(req: IncomingMessage, res: ServerResponse, raw: RawConnection | undefined): Promise<void> {
    for (const [name, value] of Object.entries(this.#headers)) res.setHeader(name, value);
    /* A write after the client has gone is no reason to end. */
    res.on('error', () => undefined);
    const reply = new Reply(res, { isHead: req.method === 'HEAD', raw });
    const life = new Scope('engine request', this.#scope.signal);
    const connection = raw?.socket ?? res;
    connection.once('close', () => void life[Symbol.asyncDispose]());
    if (res.destroyed || req.socket.destroyed) life.abort();
    const c: Ctx = { signal: life.signal, clock: this.#clock, log: this.#log };
    try {
      await this.#answer(req, reply, raw, c);
    } catch (e) {
      this.#fail(e, reply, res);
    } finally {
      /* What its route left of the body is dropped: the next request of the connection stands behind it. */
      if (raw === undefined) req.resume();
    }
  }

  async #answer(req: IncomingMessage, reply: Reply, raw: RawConnection | undefined, c: Ctx): Promise<void> {
    const method = req.method ?? '';
    const target = targetOf(req.url ?? '/');
    refuseStrangers(req);
    const found = this.#router.match(method, target.path);
    if (found === undefined) throw notFound('page not found');
    const request = new Request({
      version: minorVersion(target.version),
      params: found.params,
      query: target.query,
      headers: req.headers,
      body: raw?.body ?? req,
      isOpenEnded: raw?.isChunked === true,
      c,
    });
    await found.route.handle(request, reply);
    if (!reply.isBegun) throw new Error(`${method} ${found.route.path} gave no answer`);
    if (reply.taken !== undefined && raw !== undefined) this.#linger(raw.socket);
  }

  /** The route is done with a connection that it took: a client that keeps its half open does not keep it for ever. */
  #linger(socket: Duplex): void {
    if (socket.destroyed) return;
    const end = (): void => {
      socket.resume();
      this.#clock.after(LINGER_MS, () => socket.destroy(), { unref: true });
    };
    if (socket.writableFinished) end();
    else socket.once('finish', end);
  }

  #fail(e: unknown, reply: Reply, res: ServerResponse): void {
    const { status, message } = answerOf(e);
    const facts = { err: e, method: res.req.method, url: res.req.url };
    if (status >= 500 && res.socket?.destroyed === false) this.#log.warn(facts, 'request failed');
    if (reply.taken !== undefined) reply.taken.destroy();
    else if (reply.isBegun || res.headersSent) res.destroy();
    else if (!res.destroyed) reply.json(status, { message });
  }
}

function refuseStrangers({ socket }: IncomingMessage): void {
  if (socket instanceof TLSSocket && !socket.authorized)
    throw new EngineError(401, 'a client certificate of the authority of this engine is needed');
}
