/**
 * A probe's or hook's HTTP GET, over a connection of its own that is gone afterwards. Redirects are followed on the same host
 * only, elsewhere they are an answer; of a body no more than is told of is read. A client of our own, since a node has
 * thousands of these a minute: it costs a third of node:http's, and is as hard on a hostile server (http-response.ts).
 * Source: kubernetes pkg/probe/http (DoHTTPProbe, RedirectChecker); net/http (Client.do); words of failures: net, net/url.
 */
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Ctx, messageOf } from '#lib/base';
import { dialErrorText } from './dial-error.ts';
import { authorityOf, type HttpTarget, requestText } from './http-request.ts';
import { type HttpResponse, ResponseReader } from './http-response.ts';

export interface HttpGet extends HttpTarget {
  /** For all requests together. */
  readonly timeoutMs: number;
}

export interface HttpAnswer {
  readonly ok: boolean;
  readonly message: string;
}

const REQUESTS_MAX = 10;
export const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** Throws when there is no answer: nobody listens, HTTP cannot say it, the time is over, the redirects do not end. */
export async function httpGet(r: HttpGet, c: Ctx): Promise<HttpAnswer> {
  const deadlineMs = c.clock.monotonic() + r.timeoutMs;
  let at: HttpTarget = r;
  for (let requests = 1; ; requests++) {
    const response = await get(at, deadlineMs, c);
    const next = redirect(at, response, r);
    if (next === undefined) return answerOf(response);
    if (requests >= REQUESTS_MAX) throw failure(at, `stopped after ${REQUESTS_MAX} redirects`);
    at = next;
  }
}

export function answerOf({ status, body }: HttpResponse): HttpAnswer {
  const ok = status >= 200 && status < 400;
  return { ok, message: ok ? body.toString('utf8') : `HTTP probe failed with statuscode: ${status}` };
}

/** Where `response` to a request `at` leads, when that is at the host of the `first` request. */
function redirect(at: HttpTarget, { status, location }: HttpResponse, first: HttpTarget): HttpTarget | undefined {
  if (!REDIRECTS.includes(status) || location === undefined || location === '') return undefined;
  const from = new URL(urlOf(at));
  const to = new URL(location, from);
  const home = new URL(`http://${authorityOf(first)}`);
  if ((to.protocol !== 'http:' && to.protocol !== 'https:') || to.hostname !== home.hostname) return undefined;
  const scheme = to.protocol === 'https:' ? 'https' : 'http';
  const port = to.port === '' ? (scheme === 'https' ? 443 : 80) : Number(to.port);
  /* A Host of the pod's choice stays as long as the server names no other. */
  const isSameServer = to.host === from.host;
  const headers = at.headers.filter(({ name }) => isSameServer || name.toLowerCase() !== 'host');
  return { scheme, host: at.host, port, path: `${to.pathname}${to.search}`, headers };
}

/** One request and its answer; its socket is closed when this settles. */
function get(t: HttpTarget, deadlineMs: number, c: Ctx): Promise<HttpResponse> {
  const text = requestText(t);
  return new Promise((resolve, reject) => {
    if (c.signal.aborted) return void reject(c.signal.reason);
    const reader = new ResponseReader();
    const settle = (how: () => void): void => {
      timer.cancel();
      c.signal.removeEventListener('abort', onAbort);
      socket.destroy();
      how();
    };
    const fail = (e: unknown): void => settle(() => reject(failure(t, messageOf(e))));
    const onAbort = (): void => settle(() => reject(c.signal.reason));
    const onTimeout = (): void => fail(timeoutError(reader.hasHead));
    const socket = open(t);
    const timer = c.clock.after(deadlineMs - c.clock.monotonic(), onTimeout);
    c.signal.addEventListener('abort', onAbort, { once: true });
    const read = (answer: () => HttpResponse | undefined): void => {
      try {
        const response = answer();
        if (response !== undefined) settle(() => resolve(response));
      } catch (e) {
        fail(e);
      }
    };
    socket.on('data', (piece: Buffer) => read(() => reader.push(piece)));
    socket.on('end', () => read(() => reader.end()));
    socket.on('error', (e: NodeJS.ErrnoException) => fail(dialErrorText(e, t.host, t.port)));
    socket.write(text);
  });
}

/** Certificates of pods are nobody's: as the kubelet's, this asks for none. */
function open({ scheme, host, port }: HttpTarget): Socket {
  if (scheme === 'http') return connect({ host, port });
  return connectTls({ host, port, rejectUnauthorized: false, ...(isIP(host) === 0 ? { servername: host } : {}) });
}

export function timeoutError(hasHead: boolean): Error {
  return new Error(
    hasHead
      ? 'context deadline exceeded (Client.Timeout or context cancellation while reading body)'
      : 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
  );
}

export function failure(t: HttpTarget, message: string): Error {
  return new Error(`Get ${JSON.stringify(urlOf(t))}: ${message}`);
}

function urlOf(t: HttpTarget): string {
  return `${t.scheme}://${authorityOf(t)}${t.path}`;
}
