/** What a route of the Docker Engine API gets and gives; server.ts is behind it. Source: reference/docker-api.md 1, 2, 5. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import type { Ctx } from '#lib/base';
import type { JsonObject } from '#lib/oci';
import type { Filters } from './filters.ts';

export interface EngineRoute {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Without the version: `/containers/{id}/json`. `{name*}` takes slashes too, as in `/images/{name*}/json`. */
  readonly path: string;
  /** It calls `reply.hijack` or `reply.webSocket`: only then the connection is kept raw, whether the client offers an upgrade or not. */
  readonly hijacks?: true;
  handle(r: EngineRequest, reply: EngineReply): Promise<void>;
}

export interface EngineRequest {
  /** 51 for v1.51; without a version in the path, the newest. */
  readonly version: number;
  /** Percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: EngineQuery;
  readonly headers: IncomingHttpHeaders;
  /** Not read yet; at a route that hijacks only what Content-Length or the chunks hold. */
  readonly body: Readable;
  /** Its signal ends when the client goes away or the engine stops. Of a hijacked connection: once a write finds nobody, for
   * its end alone is the end of input. */
  readonly c: Ctx;
  /** The body, of at most `bytesMax` (default 4 MiB); undefined when it is empty. 400 for another type, for no object, for trailing data.
   * At a route that hijacks a chunked body is read as far as the object goes: what follows is the client's first input. */
  json(o?: { readonly bytesMax?: number }): Promise<JsonObject | undefined>;
  /** Of the `filters` parameter, in either form; 400 "invalid filter 'x'" for one not among `allowed`. */
  filters(allowed: readonly string[]): Filters;
}

export interface EngineQuery {
  /** undefined = absent. */
  get(name: string): string | undefined;
  all(name: string): readonly string[];
  /** "", 0, no, false, none and absent = false, all else true (moby httputils.BoolValue). */
  bool(name: string): boolean;
  /** Absent or '' = `absent`; 400 for what is no whole number. */
  int(name: string, absent: number): number;
}

/** Exactly one of these for each request. A throw before it becomes an error's JSON; after it, the connection is cut. */
export interface EngineReply {
  json(status: number, value: unknown, headers?: Readonly<Record<string, string>>): void;
  empty(status: number, headers?: Readonly<Record<string, string>>): void;
  /** The head is sent at once. End it or destroy it. */
  stream(
    contentType: string,
    o?: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> },
  ): Writable;
  /** 101 for a client that asked for an upgrade, else 200 and the raw connection. Half-close works both ways. */
  hijack(contentType: string): Duplex;
  /** The client's WebSocket: read is what its messages hold, each write is a binary message. 400 for a client that offers none. */
  webSocket(): Promise<Duplex>;
  /** Something was sent already. */
  readonly isBegun: boolean;
}

/** An answer with a status of its own; other errors by kind (StatusError), unknown ones 500. */
export class EngineError extends Error {
  readonly status: number;

  constructor(status: number, message: string, o: { cause?: unknown } = {}) {
    super(message, o.cause === undefined ? undefined : { cause: o.cause });
    this.name = 'EngineError';
    this.status = status;
  }
}

export const badParameter = (message: string): EngineError => new EngineError(400, message);
export const notFound = (message: string): EngineError => new EngineError(404, message);
export const conflict = (message: string): EngineError => new EngineError(409, message);
