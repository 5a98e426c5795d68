/**
 * The HTTP transport of `Client`: one keep-alive pool per server (undici), a client certificate or a bearer token, errors
 * mapped to StatusError, watches decoded line by line. A watch holds a connection of its own; nothing is retried here
 * (retries belong to lib/base/backoff and to the informers).
 */
import type { Dispatcher, Pool } from 'undici';
import { apiVersionOf, type DeepReadonly, type KindRef, type KubeObject, type ObjectKey } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type {
  Client,
  DeleteOptions,
  ListQuery,
  ObjectList,
  PatchType,
  WatchEvent,
  WatchQuery,
  WriteOptions,
} from './client.ts';
import type { ClusterAccess } from './kubeconfig.ts';
import { jsonLines } from './lines.ts';
import { deleteBody, listQuery, PATCH_TYPES, resourcePath, watchQuery, withQuery, writeQuery } from './paths.ts';
import { errorOfStatus } from './status.ts';

export interface HttpClientOptions {
  readonly access: ClusterAccess;
  readonly userAgent?: string | undefined;
  /** Of answers that are not watches; default 60 s. */
  readonly timeoutMs?: number | undefined;
  /** Receives the texts of Warning headers. */
  readonly warn?: ((text: string) => void) | undefined;
}

export interface RawRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly contentType?: string | undefined;
  readonly accept?: string | undefined;
  readonly body?: string | Buffer | undefined;
  /** No time limit on the body: watches and logs. */
  readonly stream?: boolean | undefined;
}

const REQUEST_CONNECTIONS = 16;

export type RawResponse = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'>;

export class HttpClient implements Client, AsyncDisposable {
  readonly #origin: string;
  readonly #connect: Record<string, unknown>;
  /** Requests share a few connections (a TLS handshake costs more than a request); each stream has its own. */
  #requests: Promise<Pool> | undefined;
  #streams: Promise<Pool> | undefined;
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #timeoutMs: number;
  readonly #warn: ((text: string) => void) | undefined;

  constructor(o: HttpClientOptions) {
    const url = new URL(o.access.server);
    this.#base = url.pathname.replace(/\/$/, '');
    this.#timeoutMs = o.timeoutMs ?? 60_000;
    this.#warn = o.warn;
    this.#origin = url.origin;
    this.#connect = tlsOptions(o.access);
    this.#headers = {
      'user-agent': o.userAgent ?? 'berth',
      ...(o.access.token === undefined ? {} : { authorization: `Bearer ${o.access.token}` }),
    };
  }

  async get<T extends KubeObject>(
    kind: KindRef<T>,
    key: ObjectKey,
    c: Ctx,
    o: { subresource?: string } = {},
  ): Promise<DeepReadonly<T>> {
    return (await this.json({ method: 'GET', path: resourcePath(kind, { ...key, ...o }) }, c)) as DeepReadonly<T>;
  }

  async list<T extends KubeObject>(kind: KindRef<T>, q: ListQuery, c: Ctx): Promise<ObjectList<T>> {
    const path = withQuery(resourcePath(kind, { namespace: q.namespace }), listQuery(q));
    const list = (await this.json({ method: 'GET', path }, c)) as WireList<T>;
    const typeMeta = { apiVersion: apiVersionOf(kind), kind: kind.kind };
    return {
      items: (list.items ?? []).map((item) => ({ ...typeMeta, ...item }) as unknown as DeepReadonly<T>),
      resourceVersion: list.metadata.resourceVersion ?? '',
      ...(list.metadata.continue ? { continue: list.metadata.continue } : {}),
      ...(list.metadata.remainingItemCount === undefined
        ? {}
        : { remainingItemCount: list.metadata.remainingItemCount }),
    };
  }

  async *watch<T extends KubeObject>(kind: KindRef<T>, q: WatchQuery, c: Ctx): AsyncIterable<WatchEvent<T>> {
    const path = withQuery(resourcePath(kind, { namespace: q.namespace }), watchQuery(q));
    const response = await this.raw({ method: 'GET', path, stream: true }, c);
    try {
      for await (const line of jsonLines(response.body)) yield watchEvent<T>(line);
    } catch (e) {
      throw transportError(e, c.signal, `watch of ${kind.resource} was cut`);
    } finally {
      response.body.destroy();
    }
  }

  async create<T extends KubeObject>(
    kind: KindRef<T>,
    object: Omit<T, 'apiVersion' | 'kind'>,
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<DeepReadonly<T>> {
    const { namespace, name } = (object as Pick<KubeObject, 'metadata'>).metadata;
    const target = o.subresource === undefined ? { namespace } : { namespace, name, subresource: o.subresource };
    const path = withQuery(resourcePath(kind, target), writeQuery(o));
    const body = JSON.stringify({ apiVersion: apiVersionOf(kind), kind: kind.kind, ...object });
    return (await this.json({ method: 'POST', path, body }, c)) as DeepReadonly<T>;
  }

  async createSub(
    kind: KindRef,
    key: ObjectKey,
    subresource: string,
    body: object,
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<unknown> {
    const path = withQuery(resourcePath(kind, { ...key, subresource }), writeQuery(o));
    return await this.json({ method: 'POST', path, body: JSON.stringify(body) }, c);
  }

  async update<T extends KubeObject>(
    kind: KindRef<T>,
    object: DeepReadonly<T>,
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<DeepReadonly<T>> {
    const { namespace, name } = (object as DeepReadonly<KubeObject>).metadata;
    const path = withQuery(resourcePath(kind, { namespace, name, subresource: o.subresource }), writeQuery(o));
    const body = JSON.stringify({ ...object, apiVersion: apiVersionOf(kind), kind: kind.kind });
    return (await this.json({ method: 'PUT', path, body }, c)) as DeepReadonly<T>;
  }

  async patch<T extends KubeObject>(
    kind: KindRef<T>,
    key: ObjectKey,
    patch: { type: PatchType; body: unknown },
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<DeepReadonly<T>> {
    const path = withQuery(resourcePath(kind, { ...key, subresource: o.subresource }), writeQuery(o));
    const request = { method: 'PATCH', path, contentType: PATCH_TYPES[patch.type] } as const;
    return (await this.json({ ...request, body: JSON.stringify(patch.body) }, c)) as DeepReadonly<T>;
  }

  async delete(kind: KindRef, key: ObjectKey, o: DeleteOptions, c: Ctx): Promise<void> {
    const body = JSON.stringify(deleteBody(o));
    await this.json({ method: 'DELETE', path: resourcePath(kind, key), body }, c);
  }

  /** One request, its answer parsed as JSON. Throws StatusError for every answer that is not 2xx. */
  async json(request: RawRequest, c: Ctx): Promise<unknown> {
    const response = await this.raw(request, c);
    try {
      return await response.body.json();
    } catch (e) {
      throw transportError(e, c.signal, `the answer to ${request.method} ${request.path} is not JSON`);
    }
  }

  /** Throws StatusError for every answer that is not 2xx; otherwise the caller must read or destroy the body. */
  async raw(request: RawRequest, c: Ctx): Promise<RawResponse> {
    let response: Dispatcher.ResponseData;
    try {
      const pool = await this.#pool(request.stream === true);
      response = await pool.request({
        method: request.method,
        path: `${this.#base}${request.path}`,
        headers: {
          ...this.#headers,
          accept: request.accept ?? 'application/json',
          ...(request.body === undefined ? {} : { 'content-type': request.contentType ?? 'application/json' }),
        },
        body: request.body ?? null,
        signal: c.signal,
        headersTimeout: this.#timeoutMs,
        bodyTimeout: request.stream === true ? 0 : this.#timeoutMs,
      });
    } catch (e) {
      throw transportError(e, c.signal, `${request.method} ${request.path} failed`);
    }
    const { warning } = response.headers;
    if (this.#warn !== undefined) forwardWarnings(warning, this.#warn);
    if (response.statusCode >= 200 && response.statusCode < 300) return response;
    throw await errorOfResponse(response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#requests)?.destroy();
    await (await this.#streams)?.destroy();
  }

  #pool(isStream: boolean): Promise<Pool> {
    if (isStream) {
      this.#streams ??= this.#open(null);
      return this.#streams;
    }
    this.#requests ??= this.#open(REQUEST_CONNECTIONS);
    return this.#requests;
  }

  /** Loaded when first used: the server has this file in its bundle, but not 20 MB of HTTP client in its memory. */
  async #open(connections: number | null): Promise<Pool> {
    const { default: undici } = await import('undici');
    return new undici.Pool(this.#origin, { connect: this.#connect, connections, keepAliveTimeout: 30_000 });
  }
}

interface WireList<T> {
  readonly items: readonly Omit<T, 'apiVersion' | 'kind'>[] | null;
  readonly metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
}

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

function watchEvent<T extends KubeObject>(line: unknown): WatchEvent<T> {
  const event = line as { type: string; object: KubeObject };
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: event.object as unknown as DeepReadonly<T> };
    case 'BOOKMARK': {
      const { resourceVersion = '', annotations } = event.object.metadata;
      const end = annotations?.[INITIAL_EVENTS_END] === 'true';
      return { type: 'BOOKMARK', resourceVersion, ...(end ? { initialEventsEnd: true } : {}) };
    }
    case 'ERROR':
      throw errorOfStatus((event.object as { code?: number }).code ?? 500, event.object);
    default:
      throw new StatusError('Internal', `unknown watch event type ${event.type}`);
  }
}

async function errorOfResponse(response: Dispatcher.ResponseData): Promise<StatusError> {
  const text = await response.body.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // A plain text answer (404 page not found, a proxy's page): the text itself is the message.
    body = undefined;
  }
  return errorOfStatus(response.statusCode, body, text);
}

function transportError(e: unknown, signal: AbortSignal, attempted: string): StatusError {
  if (e instanceof StatusError) return e;
  if (signal.aborted) return new StatusError('Cancelled', `${attempted}: cancelled`, { cause: e });
  const message = e instanceof Error ? e.message : String(e);
  return new StatusError('Unavailable', `${attempted}: ${message}`, { cause: e });
}

function forwardWarnings(header: string | string[] | undefined, warn: (text: string) => void): void {
  if (header === undefined) return;
  const text = Array.isArray(header) ? header.join(', ') : header;
  for (const match of text.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)) warn((match[1] ?? '').replace(/\\(.)/g, '$1'));
}

function tlsOptions(access: ClusterAccess): Record<string, unknown> {
  return {
    ...(access.caPem === undefined ? {} : { ca: access.caPem }),
    ...(access.certPem === undefined ? {} : { cert: access.certPem }),
    ...(access.keyPem === undefined ? {} : { key: access.keyPem }),
    ...(access.tlsServerName === undefined ? {} : { servername: access.tlsServerName }),
    ...(access.insecureSkipTlsVerify === true ? { rejectUnauthorized: false } : {}),
  };
}
