/**
 * The proxy subresources: one request, any method, streamed to a port of a pod, of a pod behind a service or of a node, and
 * the answer streamed back; upgrades are passed through.
 *
 * Invariants: only one request ever goes to the target on a connection, and a client's connection is closed after an upgrade
 * that the target refused, so that nothing the client sends later reaches the target unauthorized (CVE-2018-1002105).
 * Source: kubernetes pkg/registry/core/pod/rest/subresources.go; apimachinery/pkg/util/proxy/upgradeaware.go.
 */
import { type ClientRequest, type IncomingMessage, request, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { type Ctx, isKind, type Random, StatusError } from '#lib/base';
import type { NodeStreams, RequestBase } from '#lib/client';
import { hijack } from '#lib/http';
import { connectTarget, type TargetConnection } from './connection.ts';
import { requestHeaders, responseHeaders, upgradeHeaders } from './headers.ts';
import { htmlRewriter, type LinkRewrite, rewriteLink } from './links.ts';
import { findTarget, type ProxyObjects, type ProxyTarget, proxied } from './target.ts';

export interface ProxyOptions {
  readonly objects: (c: Ctx) => Promise<ProxyObjects>;
  readonly nodes: () => NodeStreams | undefined;
  /** Asks the admission of connections; `path` is what is asked of the target. */
  readonly admit: (base: RequestBase, path: string, c: Ctx) => Promise<void>;
  readonly random: Random;
}

const HEADER_BYTES_MAX = 64 * 1024;
/** Of an upgrade request, which is read whole. */
const UPGRADE_BODY_BYTES_MAX = 3 * 1024 * 1024;
const REDIRECTING_METHODS = new Set(['GET', 'HEAD']);

interface Place {
  /** `…/proxy` */
  readonly prefix: string;
  /** From the slash after it on; '' when there is none. */
  readonly path: string;
  /** With its `?`. */
  readonly query: string;
}

export class ProxyRoutes {
  readonly #o: ProxyOptions;

  constructor(o: ProxyOptions) {
    this.#o = o;
  }

  /** Authorize before. What it throws after the answer's head was written can only cut the answer. */
  async handle(call: { req: IncomingMessage; res: ServerResponse; base: RequestBase }, c: Ctx): Promise<void> {
    const { req, res } = call;
    const place = placeOf(req);
    const resource = proxied(call.base);
    await this.#o.admit(call.base, `${place.path}${place.query}`, c);
    const target = await findTarget(resource, await this.#o.objects(c), this.#o.random);
    if (place.path === '' && REDIRECTING_METHODS.has(req.method ?? 'GET')) {
      res.writeHead(301, { location: `${place.prefix}/${place.query}` }).end();
      return;
    }
    await using connection = await this.#connect(target, c);
    const upstream = send(req, connection, { target, place });
    const answer = await answerOf(upstream, connection, req, c);
    if (answer.isUpgrade) throw unreachable('the target switched protocols, which was not asked for');
    try {
      await copyAnswer(answer.message, res, linkRewrite(req, target, place), c);
    } catch (e) {
      // What stands there is of an answer that could not be begun.
      if (!res.headersSent) for (const name of res.getHeaderNames()) res.removeHeader(name);
      throw c.signal.aborted ? c.signal.reason : unreachable(`the answer broke off: ${messageFrom(e)}`);
    }
  }

  /** Throws before a byte has been written to the socket only. */
  async upgrade(
    call: { req: IncomingMessage; socket: Duplex; head: Buffer; base: RequestBase },
    c: Ctx,
  ): Promise<void> {
    const { req, socket } = call;
    const place = placeOf(req);
    const resource = proxied(call.base);
    await this.#o.admit(call.base, `${place.path}${place.query}`, c);
    const target = await findTarget(resource, await this.#o.objects(c), this.#o.random);
    await using connection = await this.#connect(target, c);
    const body = await hijack(req, socket, call.head, UPGRADE_BODY_BYTES_MAX);
    const upstream = send(req, connection, { target, place, upgrade: req.headers.upgrade, body });
    const gone = new AbortController();
    const onGone = (): void => gone.abort(new DOMException('the client has gone', 'AbortError'));
    socket.once('close', onGone);
    try {
      const own = { ...c, signal: AbortSignal.any([c.signal, gone.signal]) };
      const answer = await answerOf(upstream, connection, undefined, own);
      if (answer.isUpgrade) await tunnel(answer, socket, own);
      else await refusal(answer.message, { req, socket: socket as Socket }, linkRewrite(req, target, place), own);
    } finally {
      socket.off('close', onGone);
    }
  }

  async #connect(target: ProxyTarget, c: Ctx): Promise<TargetConnection> {
    const nodes = this.#o.nodes();
    if (nodes === undefined) throw new StatusError('Unavailable', 'this server has no connection to nodes');
    try {
      return await connectTarget(nodes, target, c);
    } catch (e) {
      throw isKind(e, 'Cancelled') || isKind(e, 'DeadlineExceeded') ? e : unreachable(messageFrom(e));
    }
  }
}

const PROXY_PATH = /^(\/+api\/+v1(?:\/+namespaces\/+[^/]+)?\/+(?:pods|services|nodes)\/+[^/]+\/+proxy)(\/.*)?$/;

/** Whether a path (with or without query) is one of a proxy subresource. */
export function isProxyUrl(url: string): boolean {
  return PROXY_PATH.test(splitQuery(url).path);
}

function placeOf(req: IncomingMessage): Place {
  const { path, query } = splitQuery(req.url ?? '/');
  const [, prefix, rest = ''] = PROXY_PATH.exec(path) ?? [];
  if (prefix === undefined) throw new StatusError('NotFound', 'the server could not find the requested resource');
  return { prefix, path: rest, query };
}

function splitQuery(url: string): { path: string; query: string } {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark) };
}

interface Sending {
  readonly target: ProxyTarget;
  readonly place: Place;
  readonly upgrade?: string | undefined;
  /** Read already; else the client's is streamed. */
  readonly body?: Buffer | undefined;
}

function send(req: IncomingMessage, connection: TargetConnection, o: Sending): ClientRequest {
  const { place, target } = o;
  const path = place.path === '' ? '/' : place.path;
  const upstream = request({
    method: req.method ?? 'GET',
    path: path + place.query,
    headers: requestHeaders({
      method: req.method ?? 'GET',
      headers: req.rawHeaders,
      remoteAddress: req.socket.remoteAddress ?? 'unknown',
      uri: place.prefix + path,
      host: target.host,
      upgrade: o.upgrade,
    }),
    maxHeaderSize: HEADER_BYTES_MAX,
    setHost: false,
    createConnection: () => connection.socket,
  });
  if (o.body !== undefined) upstream.end(o.body);
  return upstream;
}

type TargetAnswer =
  | { readonly isUpgrade: false; readonly message: IncomingMessage }
  | { readonly isUpgrade: true; readonly message: IncomingMessage; readonly socket: Duplex; readonly head: Buffer };

/** Streams the client's body meanwhile. Throws Unavailable in Kubernetes' words. */
async function answerOf(
  upstream: ClientRequest,
  connection: TargetConnection,
  body: IncomingMessage | undefined,
  c: Ctx,
): Promise<TargetAnswer> {
  const cut = (): void => void upstream.destroy();
  c.signal.addEventListener('abort', cut, { once: true });
  try {
    return await new Promise<TargetAnswer>((resolve, reject) => {
      upstream.once('response', (message) => resolve({ isUpgrade: false, message }));
      upstream.once('upgrade', (message, socket, head) => resolve({ isUpgrade: true, message, socket, head }));
      upstream.on('error', reject);
      // No pipeline: it would destroy the request, and with it the connection that the failure is to be told on.
      body?.pipe(upstream);
    });
  } catch (e) {
    if (c.signal.aborted) throw c.signal.reason;
    throw unreachable((await connection.reasonFor(e)).message);
  } finally {
    c.signal.removeEventListener('abort', cut);
  }
}

async function copyAnswer(message: IncomingMessage, res: ServerResponse, links: LinkRewrite, c: Ctx): Promise<void> {
  const type = (message.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  const encoding = message.headers['content-encoding'] ?? '';
  const isRedirect = message.headers.location !== undefined;
  const isPage =
    !isRedirect && type === 'text/html' && (encoding === '' || encoding === 'gzip') && res.req.method !== 'HEAD';
  const headers = responseHeaders(message.rawHeaders, (name, value) => {
    if (name === 'location') return rewriteLink(value, links);
    return isPage && name === 'content-length' ? undefined : value;
  });
  setHeaders(res, headers);
  res.writeHead(message.statusCode ?? 502, message.statusMessage);
  res.flushHeaders();
  const { signal } = c;
  if (!isPage) await pipeline(message, res, { signal });
  else if (encoding === '') await pipeline(message, htmlRewriter(links), res, { signal });
  else await pipeline(message, createGunzip(), htmlRewriter(links), createGzip(), res, { signal });
}

/** One by one: `writeHead` keeps only the last of those with one name. They replace what the server has set. */
function setHeaders(res: ServerResponse, headers: readonly string[]): void {
  const seen = new Set<string>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const [key = '', value = ''] = [headers[i], headers[i + 1]];
    if (seen.has(key.toLowerCase())) res.appendHeader(key, value);
    else res.setHeader(key, value);
    seen.add(key.toLowerCase());
  }
}

function linkRewrite(req: IncomingMessage, target: ProxyTarget, place: Place): LinkRewrite {
  return { prefix: place.prefix, targetHost: target.host, clientHost: req.headers.host ?? '' };
}

/** The 101 and then bytes both ways. A client's half close reaches the target; once the target has ended, all is over. */
async function tunnel(answer: Extract<TargetAnswer, { isUpgrade: true }>, client: Duplex, c: Ctx): Promise<void> {
  const { message, socket, head } = answer;
  const status = `HTTP/1.1 101 ${message.statusMessage ?? 'Switching Protocols'}`;
  client.write(`${[status, ...upgradeHeaders(message.rawHeaders), '', ''].join('\r\n')}`, 'latin1');
  if (head.length > 0) socket.unshift(head);
  const { signal } = c;
  // Two pipelines and what listens on every server socket are more than ten: no leak.
  client.setMaxListeners(LISTENERS_MAX);
  const up = pipeline(client, socket, { signal }).catch(() => undefined);
  // Whichever side broke it off: there is nobody left to tell.
  await pipeline(socket, client, { signal }).catch(() => undefined);
  client.destroy();
  socket.destroy();
  await up;
}

const LISTENERS_MAX = 30;

/** An upgrade that the target refused is answered as a plain request, and the connection ends there. */
async function refusal(
  message: IncomingMessage,
  client: { readonly req: IncomingMessage; readonly socket: Socket },
  links: LinkRewrite,
  c: Ctx,
): Promise<void> {
  const res = new ServerResponse(client.req);
  res.shouldKeepAlive = false;
  res.assignSocket(client.socket);
  res.once('finish', () => {
    res.detachSocket(client.socket);
    client.socket.end();
  });
  try {
    await copyAnswer(message, res, links, c);
  } catch {
    // The head is out: all that can still be told is that the answer is not whole.
    client.socket.destroy();
  }
}

function messageFrom(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}

function unreachable(why: string): StatusError {
  const known = 'error trying to reach service: ';
  return new StatusError('Unavailable', why.startsWith(known) ? why : known + why);
}
