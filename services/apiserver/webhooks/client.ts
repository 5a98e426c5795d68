/**
 * POST of a JSON review to a webhook: by its url, or through its service by the ServiceDialer with the service's name checked
 * against the caBundle. https only; connections are kept for a while and shared by all calls of one clientConfig; redirects are
 * not followed.
 *
 * Invariants: of an answer no more is read than is allowed and it nests no deeper than any other JSON; a connection that the other side
 * closed while it was idle is made anew once, since a webhook must be idempotent.
 * Source: k8s.io/apiserver/pkg/util/webhook/client.go; client-go/rest/request.go (texts).
 */
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { type DeepReadonly, isJsonWithinDepth, type WebhookClientConfig } from '#lib/api';
import { type Ctx, messageOf, StatusError, toStatusError } from '#lib/base';
import { errorOfStatus, type JsonAnswer, JsonPool } from '#lib/client';
import type { ServiceDialer } from '../http/aggregate/service-dialer.ts';
import { goDialText } from './go-errors.ts';

export type ClientConfig = DeepReadonly<WebhookClientConfig>;

export interface WebhookCall {
  readonly config: ClientConfig;
  readonly body: object;
  readonly timeoutMs: number;
  /** Tell the webhook how long it has: `?timeout=10s`. */
  readonly tellsTimeout: boolean;
  /** Default 3 MiB. */
  readonly answerBytesMax?: number;
}

const HTTPS_PORT = 443;
const ANSWER_BYTES_MAX = 3 * 1024 * 1024;
/** Of an answer that is an error: as much as is told. */
const ERROR_BYTES_MAX = 2_048;
const CONNECTIONS_MAX = 64;
const IDLE_MS = 30_000;
const HANDSHAKE_MS = 10_000;
/** Of clientConfigs; the one that was used longest ago goes first. */
const POOLS_MAX = 256;

interface Place {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly service: { readonly namespace: string; readonly name: string } | undefined;
}

export class WebhookClient implements AsyncDisposable {
  readonly #dialer: ServiceDialer;
  readonly #c: Ctx;
  readonly #pools = new Map<string, JsonPool>();

  /** `c` is that of connections, which outlive the request they were made for. */
  constructor(o: { readonly dialer: ServiceDialer; readonly c: Ctx }) {
    this.#dialer = o.dialer;
    this.#c = o.c;
  }

  /** The answer's JSON. Throws StatusError: what the webhook answered, or Unavailable in the words of Go's client. */
  async post(call: WebhookCall, c: Ctx): Promise<unknown> {
    const place = placeOf(call.config);
    const query = call.tellsTimeout ? `?timeout=${Math.ceil(call.timeoutMs / 1000)}s` : '';
    const path = `${place.path}${query}`;
    const url = `https://${hostText(place)}${path}`;
    const body = JSON.stringify(call.body);
    const limit = new AbortController();
    const timer = c.clock.after(call.timeoutMs, () => limit.abort(new Error('context deadline exceeded')));
    const signal = AbortSignal.any([c.signal, limit.signal]);
    const pool = this.#pool(call.config, place);
    const failure = (e: unknown): StatusError => {
      if (c.signal.aborted) return toStatusError(c.signal.reason);
      const why = limit.signal.aborted ? messageOf(limit.signal.reason) : goDialText(e);
      return new StatusError('Unavailable', `Post "${url}": ${why}`, { cause: e });
    };
    const bytesMax = call.answerBytesMax ?? ANSWER_BYTES_MAX;
    const bytesMaxOf = (code: number): number => (isSuccess(code) ? bytesMax : ERROR_BYTES_MAX);
    let answer: JsonAnswer;
    try {
      answer = await pool.post({ path, host: hostText(place), body, signal, bytesMaxOf });
    } catch (e) {
      throw failure(e);
    } finally {
      timer.cancel();
    }
    return contentOf(answer, bytesMax);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((p) => p.destroy()));
  }

  #pool(config: ClientConfig, place: Place): JsonPool {
    const id = JSON.stringify([place.host, place.port, place.service, config.caBundle ?? '']);
    const known = this.#pools.get(id);
    // Anew at the end: a Map keeps the order of insertion.
    if (known !== undefined) this.#pools.delete(id);
    const pool = known ?? this.#newPool(config, place);
    this.#pools.set(id, pool);
    const [oldest] = this.#pools.keys();
    if (this.#pools.size > POOLS_MAX && oldest !== undefined) {
      const old = this.#pools.get(oldest);
      this.#pools.delete(oldest);
      old?.close().catch((err: unknown) => this.#c.log.debug({ err }, 'closing connections to a webhook failed'));
    }
    return pool;
  }

  #newPool(config: ClientConfig, place: Place): JsonPool {
    return new JsonPool({
      origin: `https://${hostText(place)}`,
      connect: () => this.#connect(config, place),
      connectionsMax: CONNECTIONS_MAX,
      idleMs: IDLE_MS,
    });
  }

  async #connect(config: ClientConfig, place: Place): Promise<TLSSocket> {
    const { service, host, port } = place;
    const plain = service === undefined ? undefined : await this.#dialer.dial({ ...service, port }, this.#c);
    return await this.#handshake(config, { host, port, plain });
  }

  async #handshake(
    config: ClientConfig,
    to: { readonly host: string; readonly port: number; readonly plain: Duplex | undefined },
  ): Promise<TLSSocket> {
    const ca = config.caBundle === undefined || config.caBundle === '' ? undefined : bundleOf(config.caBundle);
    return await new Promise((resolve, reject) => {
      const { host, port, plain } = to;
      const socket = connect({
        ...(plain === undefined ? { host, port } : { socket: plain, host }),
        ...(isAddress(host) ? {} : { servername: host }),
        ALPNProtocols: ['http/1.1'],
        minVersion: 'TLSv1.2',
        ...(ca === undefined ? {} : { ca }),
      });
      const fail = (e: Error): void => {
        limit.cancel();
        socket.destroy();
        plain?.destroy();
        reject(e);
      };
      const limit = this.#c.clock.after(HANDSHAKE_MS, () => fail(new Error('net/http: TLS handshake timeout')));
      const onClose = (): void => fail(new Error('EOF'));
      plain?.once('error', (e) => void socket.destroy(e));
      socket.once('error', fail);
      socket.once('close', onClose);
      socket.once('secureConnect', () => {
        limit.cancel();
        socket.off('error', fail);
        socket.off('close', onClose);
        socket.once('close', () => plain?.destroy());
        resolve(socket);
      });
    });
  }
}

function contentOf({ code, bytes, isCut }: JsonAnswer, bytesMax: number): unknown {
  if (!isSuccess(code)) throw errorOfAnswer(code, bytes.toString().trim());
  if (isCut) throw new StatusError('Unavailable', `the answer is larger than ${bytesMax} bytes`);
  return parsed(bytes);
}

function isSuccess(code: number): boolean {
  return code >= 200 && code < 300;
}

function parsed(bytes: Buffer): unknown {
  if (!isJsonWithinDepth(bytes)) throw new StatusError('Unavailable', 'the answer nests too deeply');
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (e) {
    throw new StatusError('Unavailable', `couldn't get version/kind; json parse error: ${messageOf(e)}`, { cause: e });
  }
}

const TEXTS: Readonly<Record<number, string>> = {
  400: 'the server rejected our request for an unknown reason',
  401: 'the server has asked for the client to provide credentials',
  404: 'the server could not find the requested resource',
  405: 'the server does not allow this method on the requested resource',
  406: 'the server was unable to respond with a content type that the client supports',
  415: 'the server was unable to respond with a content type that the client supports',
  429: 'the server has received too many requests and has asked us to try again later',
  503: 'the server is currently unable to handle the request',
};

function errorOfAnswer(code: number, text: string): StatusError {
  try {
    const status: unknown = JSON.parse(text);
    if (typeof status === 'object' && status !== null && 'kind' in status && status.kind === 'Status')
      return errorOfStatus(code, status);
  } catch {
    // Not a Status: told as text.
  }
  const known = TEXTS[code];
  if (known !== undefined) return errorOfStatus(code, undefined, known);
  if (code >= 500) {
    const said = `an error on the server (${JSON.stringify(text)}) has prevented the request from succeeding`;
    return errorOfStatus(code, undefined, said);
  }
  const other = `the server responded with the status code ${code} but did not return more information`;
  return errorOfStatus(code >= 400 ? code : 503, undefined, other);
}

function placeOf({ url, service }: ClientConfig): Place {
  if (service !== undefined) {
    const { name, namespace, port = HTTPS_PORT, path = '' } = service;
    const at = path === '' || path.startsWith('/') ? path : `/${path}`;
    return { host: `${name}.${namespace}.svc`, port, path: at === '' ? '/' : at, service: { namespace, name } };
  }
  if (url === undefined || !URL.canParse(url))
    throw new StatusError('Unavailable', 'webhook configuration must have either service or URL');
  const parsedUrl = new URL(url);
  if (parsedUrl.protocol !== 'https:') throw new StatusError('Unavailable', `${url}: only https is allowed`);
  const host = parsedUrl.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = parsedUrl.port === '' ? HTTPS_PORT : Number(parsedUrl.port);
  return { host, port, path: parsedUrl.pathname, service: undefined };
}

function hostText({ host, port }: Place): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^\d+(\.\d+){3}$/.test(host);
}

function bundleOf(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}
