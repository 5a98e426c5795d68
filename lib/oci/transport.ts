/**
 * HTTP towards registries: connections per origin, TLS settings and proxies, redirects that never carry headers of the
 * registry's own (credentials among them) to another origin, and the mapping of failures to StatusErrors.
 * undici is loaded at the first use, so that a registry process that never calls out does not hold it in memory.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { type Ctx, type ErrorKind, StatusError } from '#lib/base';
import type { ProxyChoice } from './proxy.ts';
import type { TlsSettings } from './registry-host.ts';

export interface TransportOptions {
  /** Absent = no proxy. */
  readonly proxy?: ProxyChoice | undefined;
  /** Longest silence of a server. Default 60 s. */
  readonly idleTimeoutMs?: number | undefined;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Made anew for each attempt. */
  readonly body?: (() => Uint8Array | AsyncIterable<Uint8Array>) | undefined;
  /** Also for where it redirects to: a registry's storage has the registry's authority. */
  readonly connection?: ConnectionSettings | undefined;
}

export interface ConnectionSettings {
  readonly tls?: TlsSettings | undefined;
  readonly dialTimeoutMs?: number | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** The first value of a header, lower-case name. */
  header(name: string): string | undefined;
  /** Must be consumed, or given up by `discard`. */
  readonly body: Readable;
  /** Reads and drops a small rest, so that the connection can be used again; cuts a large one. */
  dump(): Promise<void>;
  /** Where the answer came from after redirects. */
  readonly url: string;
}

const REDIRECTS_MAX = 5;
const ERROR_BYTES_MAX = 64 * 1024;
const DUMP_BYTES_MAX = 128 * 1024;
/** Sets of connections kept; settings of registries that changed leave old ones behind. */
const DISPATCHERS_MAX = 32;
/** What may be told to any origin. */
const PLAIN_HEADERS = new Set(['accept', 'range', 'user-agent', 'content-type']);

export class Transport implements AsyncDisposable {
  readonly #options: TransportOptions;
  /** By their settings, the one used last at the end. */
  readonly #dispatchers = new Map<string, Promise<Dispatcher>>();

  constructor(o: TransportOptions) {
    this.#options = o;
  }

  /** Any status is an answer. Throws Unavailable when the server cannot be reached, Cancelled when the signal aborts. */
  async send(request: HttpRequest, c: Ctx): Promise<HttpResponse> {
    let { url, headers } = request;
    for (let hops = 0; ; hops++) {
      const answer = await this.#once({ ...request, url, headers }, c);
      const location = answer.header('location');
      const isRedirect = [301, 302, 303, 307, 308].includes(answer.status) && location !== undefined;
      if (!isRedirect || (request.method !== 'GET' && request.method !== 'HEAD')) return answer;
      await discard(answer);
      if (hops >= REDIRECTS_MAX) throw new StatusError('Unavailable', `${request.url} redirects without end`);
      const next = new URL(location, url);
      const isDowngrade = url.startsWith('https:') && next.protocol !== 'https:';
      if (isDowngrade)
        throw new StatusError('Unavailable', `${url} redirects from https to ${next.protocol}//${next.host}`);
      if (next.origin !== new URL(url).origin) headers = plainHeaders(headers);
      url = next.href;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = await Promise.all(this.#dispatchers.values());
    this.#dispatchers.clear();
    for (const dispatcher of all) await dispatcher.destroy();
  }

  async #once(request: HttpRequest, c: Ctx): Promise<HttpResponse> {
    const { host } = new URL(request.url);
    try {
      const { default: undici } = await import('undici');
      const call = undici.request;
      const body = request.body?.();
      const answer = await call(request.url, {
        dispatcher: await this.#dispatcher(new URL(request.url), request.connection ?? {}),
        method: request.method,
        headers: { 'user-agent': 'berth/0.1', ...request.headers },
        body: body === undefined || body instanceof Uint8Array ? (body ?? null) : Readable.from(body),
        signal: c.signal,
      });
      const { headers } = answer;
      const header = (name: string): string | undefined => {
        const value = headers[name];
        return Array.isArray(value) ? value.join(', ') : value;
      };
      const dump = (): Promise<void> => answer.body.dump({ limit: DUMP_BYTES_MAX });
      return { status: answer.statusCode, header, body: answer.body, url: request.url, dump };
    } catch (e) {
      throw transportError(e, host, c);
    }
  }

  #dispatcher(url: URL, settings: ConnectionSettings): Promise<Dispatcher> {
    const proxy = this.#options.proxy?.(url);
    const key = createHash('sha256')
      .update(JSON.stringify([proxy, settings]))
      .digest('hex');
    const made = this.#dispatchers.get(key) ?? this.#newDispatcher(settings, proxy);
    this.#dispatchers.delete(key);
    this.#dispatchers.set(key, made);
    const [oldest] = this.#dispatchers;
    if (oldest !== undefined && this.#dispatchers.size > DISPATCHERS_MAX) {
      this.#dispatchers.delete(oldest[0]);
      /* Requests under way end first. */
      oldest[1].then((d) => d.close()).catch(() => undefined);
    }
    return made;
  }

  async #newDispatcher(settings: ConnectionSettings, proxy: string | undefined): Promise<Dispatcher> {
    const { default: undici } = await import('undici');
    const idleMs = this.#options.idleTimeoutMs ?? 60_000;
    const limits = { headersTimeout: idleMs, bodyTimeout: idleMs };
    const connect = { timeout: settings.dialTimeoutMs ?? Math.min(idleMs, 10_000), ...(await tlsOf(settings.tls)) };
    if (proxy === undefined) return new undici.Agent({ connect, ...limits });
    return new undici.ProxyAgent({ uri: proxy, requestTls: connect, proxyTunnel: false, ...limits });
  }
}

interface TlsOptions {
  ca?: string[];
  cert?: string[];
  key?: string[];
  rejectUnauthorized?: boolean;
}

async function tlsOf(tls: TlsSettings | undefined): Promise<TlsOptions> {
  if (tls === undefined) return {};
  const { rootCertificates } = await import('node:tls');
  return {
    ...(tls.ca.length === 0 ? {} : { ca: [...rootCertificates, ...tls.ca] }),
    ...(tls.client.length === 0 ? {} : { cert: tls.client.map((p) => p.cert), key: tls.client.map((p) => p.key) }),
    ...(tls.skipVerify ? { rejectUnauthorized: false } : {}),
  };
}

/** Reads the whole body; TooLarge above `bytesMax`. */
export async function readAnswer(answer: HttpResponse, bytesMax: number, c: Ctx): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of answer.body) {
      if (!(piece instanceof Uint8Array)) continue;
      size += piece.length;
      if (size > bytesMax) throw new StatusError('TooLarge', `${answer.url} sends more than ${bytesMax} bytes`);
      pieces.push(piece);
    }
  } catch (e) {
    throw transportError(e, new URL(answer.url).host, c);
  }
  return Buffer.concat(pieces);
}

export async function discard(answer: HttpResponse): Promise<void> {
  await answer.dump().catch(() => undefined); // a body that nobody wants may fail
}

/** What a registry's answer with status >= 400 means, with the registry's own words. `subject` opens the message. */
export async function answerError(answer: HttpResponse, subject: string, c: Ctx): Promise<StatusError> {
  const body = await readAnswer(answer, ERROR_BYTES_MAX, c).catch(() => Buffer.alloc(0)); // the status says enough
  const words = registryWords(body) ?? `the registry answered ${answer.status}`;
  const seconds = Number(answer.header('retry-after') ?? Number.NaN);
  return new StatusError(kindOf(answer.status), `${subject}: ${words}`, {
    details: Number.isInteger(seconds) ? { retryAfterSeconds: seconds } : {},
  });
}

export function transportError(e: unknown, host: string, c: Ctx): StatusError {
  if (e instanceof StatusError) return e;
  if (c.signal.aborted) return new StatusError('Cancelled', `the request to ${host} was cancelled`, { cause: e });
  const text = e instanceof Error ? describe(e) : String(e);
  return new StatusError('Unavailable', `registry ${host} cannot be reached: ${text}`, { cause: e });
}

function describe(e: Error): string {
  if (e instanceof AggregateError)
    return e.errors.map((x) => (x instanceof Error ? describe(x) : String(x))).join('; ');
  return e.cause instanceof Error && e.message === '' ? describe(e.cause) : e.message;
}

function kindOf(status: number): ErrorKind {
  const known: Readonly<Record<number, ErrorKind>> = {
    401: 'Unauthorized',
    403: 'Forbidden',
    404: 'NotFound',
    405: 'MethodNotAllowed',
    413: 'TooLarge',
    429: 'TooManyRequests',
  };
  return known[status] ?? (status >= 500 ? 'Unavailable' : 'Invalid');
}

/** `manifest unknown: …` out of the spec's error document. */
function registryWords(body: Buffer): string | undefined {
  try {
    const doc: unknown = JSON.parse(body.toString('utf8'));
    if (typeof doc !== 'object' || doc === null || !('errors' in doc) || !Array.isArray(doc.errors)) return undefined;
    const words = doc.errors.map((e: unknown) => {
      if (typeof e !== 'object' || e === null) return '';
      const code = 'code' in e && typeof e.code === 'string' ? e.code.toLowerCase().replaceAll('_', ' ') : '';
      const message = 'message' in e && typeof e.message === 'string' ? e.message : '';
      return message === '' || message === code ? code : `${code}: ${message}`;
    });
    return words.filter((w) => w !== '').join('; ') || undefined;
  } catch {
    return undefined; // not the spec's JSON: the status must do
  }
}

function plainHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([k]) => PLAIN_HEADERS.has(k.toLowerCase())));
}
