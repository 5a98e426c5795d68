/**
 * A request to a group version that an extension API server serves: passed on as it is, streamed both ways, upgrades included.
 *
 * Invariants: the caller has authenticated and authorized it; a client's connection is closed after an upgrade that the other
 * side refused, so that nothing sent later passes by our authorization (CVE-2018-1002105); no client is sent to another
 * host (CVE-2022-3172); only an idempotent request without a body that a kept connection broke under is sent a second time.
 * Source: k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go; RFC 9110 §9.2.2.
 */
import { setMaxListeners } from 'node:events';
import { type ClientRequest, type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isKind, StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { upgradeOf } from '#lib/http';
import { type Backend, unreachable } from './backend.ts';
import { forwardedHeaders, hasBody, returnedHeaders } from './headers.ts';

/** Resolves when the answer has been passed on. Throws before the answer's head only; later the answer is cut. */
export async function proxyRequest(
  backend: Backend,
  call: { req: IncomingMessage; res: ServerResponse; user: UserInfo },
  signal: AbortSignal,
): Promise<void> {
  const { req, res, user } = call;
  const sendOnce = (): Promise<IncomingMessage> => {
    const sent = backend.request({ ...target(req), headers: headersFor(backend, req, user, undefined), signal });
    const answer = Promise.race([answerOf(sent, signal), switchedUnasked(sent)]);
    if (hasBody(req.headers)) pipeline(req, sent).catch((e: unknown) => void sent.destroy(asError(e)));
    else sent.end();
    return answer;
  };
  const answer = await sendOnce().catch((e: unknown) => {
    if (e instanceof StaleConnection && mayRepeat(req) && !signal.aborted) return sendOnce();
    throw e;
  });
  await passOn(answer, res);
}

/** Resolves when the connection is the two ends' own, or closed. Throws before anything was written to the client. */
export async function proxyUpgrade(
  backend: Backend,
  call: { req: IncomingMessage; socket: Duplex; head: Buffer; user: UserInfo },
  signal: AbortSignal,
): Promise<void> {
  const { req, socket, head, user } = call;
  const gone = new AbortController();
  const onGone = (): void => gone.abort(new DOMException('the client has gone', 'AbortError'));
  socket.once('close', onGone);
  const own = AbortSignal.any([signal, gone.signal]);
  const sent = backend.request({
    ...target(req),
    headers: headersFor(backend, req, user, upgradeOf(req)),
    signal: own,
  });
  const upgraded = new Promise<{ answer: IncomingMessage; upstream: Duplex; rest: Buffer }>((resolve) => {
    sent.once('upgrade', (answer, upstream, rest) => resolve({ answer, upstream, rest }));
  });
  const refused = answerOf(sent, own);
  // Never for another request: what the client sends from now on is its own.
  sent.shouldKeepAlive = false;
  sent.end();
  const first = await Promise.race([upgraded, refused]);
  if (!('upstream' in first)) {
    await refuse(first, req, socket);
    return;
  }
  const { answer, upstream, rest } = first;
  socket.write(headText(answer));
  if (rest.length > 0) socket.write(rest);
  if (head.length > 0) upstream.write(head);
  const cut = (): void => {
    socket.destroy();
    upstream.destroy();
  };
  signal.addEventListener('abort', cut, { once: true });
  // Two pipelines listen on each end.
  setMaxListeners(LISTENERS_MAX, socket, upstream);
  void Promise.allSettled([pipeline(socket, upstream), pipeline(upstream, socket)]).then(() => {
    signal.removeEventListener('abort', cut);
    cut();
  });
}

const LISTENERS_MAX = 30;

const NOT_IDEMPOTENT = new Set(['POST', 'PATCH']);

function mayRepeat(req: IncomingMessage): boolean {
  return !hasBody(req.headers) && !NOT_IDEMPOTENT.has(req.method ?? '');
}

/** node:http cuts such a connection without a word. */
function switchedUnasked(sent: ClientRequest): Promise<never> {
  return new Promise((_resolve, reject) => {
    sent.once('upgrade', (_answer: IncomingMessage, socket: Duplex) => {
      socket.destroy();
      reject(unreachable(new Error('the backend switched protocols, which was not asked for')));
    });
  });
}

/** The kept connection had been closed by the other side. */
class StaleConnection extends StatusError {}

function answerOf(sent: ClientRequest, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once('response', resolve);
    sent.on('error', (e) => {
      if (signal.aborted) reject(signal.reason instanceof StatusError ? signal.reason : e);
      else if (sent.reusedSocket) reject(new StaleConnection('Unavailable', unreachable(e).message, { cause: e }));
      else reject(isKind(e, 'TooLarge') ? e : unreachable(e));
    });
  });
}

const REDIRECTED = 'the backend attempted to redirect this request, which is not permitted';

async function passOn(answer: IncomingMessage, res: ServerResponse): Promise<void> {
  const code = answer.statusCode ?? 502;
  if (code >= 300 && code <= 399 && answer.headers.location !== undefined) {
    answer.destroy();
    res.writeHead(502, { 'content-type': 'text/plain; charset=utf-8' }).end(REDIRECTED);
    return;
  }
  const headers = returnedHeaders(answer.headersDistinct);
  try {
    for (const [name, values] of Object.entries(headers))
      res.setHeader(name, values.length === 1 ? (values[0] ?? '') : values);
    /* Our server adds its own otherwise, beside the one that came. */
    res.sendDate = answer.headers.date === undefined;
    res.writeHead(code, answer.statusMessage);
  } catch (e) {
    // What node:http does not write is no answer: the connection is not kept for another request.
    answer.destroy();
    for (const name of Object.keys(headers)) res.removeHeader(name);
    throw unreachable(e);
  }
  /* A watch that has nothing to say yet has begun all the same. */
  res.flushHeaders();
  // From here on every failure is an answer cut short, on either side.
  await pipeline(answer, res).catch(() => void res.destroy());
}

async function refuse(answer: IncomingMessage, req: IncomingMessage, socket: Duplex): Promise<void> {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  /* node:http hands out the socket of a server as a Duplex. */
  res.assignSocket(socket as Socket);
  res.once('finish', () => {
    res.detachSocket(socket as Socket);
    socket.end();
  });
  await passOn(answer, res);
}

function target(req: IncomingMessage): { method: string; path: string } {
  return { method: req.method ?? 'GET', path: req.url ?? '/' };
}

function headersFor(
  backend: Backend,
  req: IncomingMessage,
  user: UserInfo,
  upgrade: string | undefined,
): Record<string, string[]> {
  const from = req.socket.remoteAddress ?? '';
  return forwardedHeaders(req.headersDistinct, { user, host: backend.host, from, upgrade });
}

function headText(answer: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${answer.statusCode ?? 101} ${answer.statusMessage ?? 'Switching Protocols'}`];
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2)
    lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function asError(e: unknown): Error {
  return e instanceof Error ? e : new Error(String(e));
}
