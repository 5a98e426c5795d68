/**
 * A probe's or hook's HTTP GET. Redirects are followed on the same host only, elsewhere they are an answer; of a body no
 * more than is told of is read. Source: kubernetes pkg/probe/http (DoHTTPProbe, RedirectChecker); net/http (Client.do).
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Ctx } from '#lib/base';

export interface HttpGet {
  readonly scheme: 'http' | 'https';
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For all requests together. */
  readonly timeoutMs: number;
}

export interface HttpAnswer {
  readonly ok: boolean;
  readonly message: string;
}

type Target = Omit<HttpGet, 'timeoutMs'>;

interface Response {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: Buffer;
}

const BODY_BYTES_MAX = 10 << 10;
const REQUESTS_MAX = 10;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** Throws when there is no answer: nobody listens, HTTP cannot say it, the time is over, the redirects do not end. */
export async function httpGet(r: HttpGet, c: Ctx): Promise<HttpAnswer> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(c.signal.reason);
  c.signal.throwIfAborted();
  c.signal.addEventListener('abort', onAbort, { once: true });
  const deadline = c.clock.after(r.timeoutMs, () =>
    stop.abort(new Error(`context deadline exceeded after ${r.timeoutMs} ms`)),
  );
  try {
    let at: Target = r;
    for (let requests = 1; ; requests++) {
      const response = await get(at, stop.signal);
      const next = redirect(at, response, r);
      if (next === undefined) return answerOf(response);
      if (requests >= REQUESTS_MAX) throw new Error(`stopped after ${REQUESTS_MAX} redirects`);
      at = next;
    }
  } catch (e) {
    throw stop.signal.aborted ? stop.signal.reason : e;
  } finally {
    deadline.cancel();
    c.signal.removeEventListener('abort', onAbort);
  }
}

function answerOf({ status, body }: Response): HttpAnswer {
  const ok = status >= 200 && status < 400;
  return { ok, message: ok ? body.toString('utf8') : `HTTP probe failed with statuscode: ${status}` };
}

/** Where `response` to a request `at` leads, when that is at the host of the `first` request. */
function redirect(at: Target, { status, location }: Response, first: Target): Target | undefined {
  if (!REDIRECTS.includes(status) || location === undefined || location === '') return undefined;
  const from = new URL(
    `${at.scheme}://${bracketed(at.host)}:${at.port}${at.path.startsWith('/') ? '' : '/'}${at.path}`,
  );
  const to = new URL(location, from);
  const home = new URL(`http://${bracketed(first.host)}`);
  if ((to.protocol !== 'http:' && to.protocol !== 'https:') || to.hostname !== home.hostname) return undefined;
  const scheme = to.protocol === 'https:' ? 'https' : 'http';
  const port = to.port === '' ? (scheme === 'https' ? 443 : 80) : Number(to.port);
  /* A Host of the pod's choice stays as long as the server names no other. */
  const isSameServer = to.host === from.host;
  const headers = Object.entries(at.headers).filter(([name]) => isSameServer || name.toLowerCase() !== 'host');
  return { scheme, host: at.host, port, path: `${to.pathname}${to.search}`, headers: Object.fromEntries(headers) };
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function get(t: Target, signal: AbortSignal): Promise<Response> {
  const { host, port, path, headers } = t;
  const o = { host, port, path, headers, signal, agent: false, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const req = (t.scheme === 'https' ? httpsRequest : httpRequest)(o, (res) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const end = (): void => {
        const body = Buffer.concat(chunks).subarray(0, BODY_BYTES_MAX);
        resolve({ status: res.statusCode ?? 0, location: res.headers.location, body });
      };
      res.on('data', (chunk: Buffer) => {
        if (size >= BODY_BYTES_MAX) return;
        chunks.push(chunk);
        size += chunk.length;
        if (size < BODY_BYTES_MAX) return;
        end();
        req.destroy();
      });
      res.on('end', end);
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end();
  });
}
