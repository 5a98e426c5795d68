/** A request as routes see it, and the reading of its JSON body. Source: moby daemon/server/httputils/httputils.go (ReadJSON). */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Ctx } from '#lib/base';
import type { JsonObject } from '#lib/oci';
import { badParameter, EngineError, type EngineRequest } from './contract.ts';
import { Filters } from './filters.ts';
import { JsonScan } from './json-scan.ts';
import { Query } from './query.ts';

export interface RequestParts {
  readonly version: number;
  readonly params: Readonly<Record<string, string>>;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  /** The body may go on after the object: what follows is input of a hijacked connection. */
  readonly isOpenEnded: boolean;
  readonly c: Ctx;
}

const JSON_BYTES_MAX = 4 << 20;

export class Request implements EngineRequest {
  readonly version: number;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  readonly c: Ctx;
  readonly #isOpenEnded: boolean;

  constructor(p: RequestParts) {
    this.version = p.version;
    this.params = p.params;
    this.query = new Query(p.query);
    this.headers = p.headers;
    this.body = p.body;
    this.c = p.c;
    this.#isOpenEnded = p.isOpenEnded;
  }

  filters(allowed: readonly string[]): Filters {
    return Filters.parse(this.query.get('filters'), allowed);
  }

  async json(o: { readonly bytesMax?: number } = {}): Promise<JsonObject | undefined> {
    const type = this.headers['content-type'];
    if (type === undefined && this.headers['content-length'] === '0') return undefined;
    if (type !== undefined) refuseOtherTypes(type);
    const bytes = await (this.#isOpenEnded ? this.#firstObject(o) : this.#wholeBody(o));
    if (bytes.length === 0) return undefined;
    /* Docker minds a body without a type too. */
    if (type === undefined) throw badParameter('malformed Content-Type header (): mime: no media type');
    return parseBody(bytes);
  }

  async #wholeBody(o: { readonly bytesMax?: number }): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let bytes = 0;
    for await (const piece of this.body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += piece.length;
      refuseLarge(bytes, o.bytesMax);
      pieces.push(piece);
    }
    return Buffer.concat(pieces, bytes);
  }

  async #firstObject(o: { readonly bytesMax?: number }): Promise<Buffer> {
    const pieces: Buffer[] = [];
    const scan = new JsonScan();
    let bytes = 0;
    for await (const piece of this.body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      const end = scan.feed(piece);
      const own = end === undefined ? piece : piece.subarray(0, end);
      bytes += own.length;
      refuseLarge(bytes, o.bytesMax);
      pieces.push(own);
      if (end === undefined) continue;
      if (end < piece.length) this.body.unshift(piece.subarray(end));
      break;
    }
    return Buffer.concat(pieces, bytes);
  }
}

function refuseOtherTypes(type: string): void {
  const media = (type.split(';', 1)[0] ?? '').trim().toLowerCase();
  if (media !== 'application/json')
    throw badParameter(`unsupported Content-Type header (${type}): must be 'application/json'`);
}

function refuseLarge(bytes: number, bytesMax: number = JSON_BYTES_MAX): void {
  if (bytes > bytesMax) throw new EngineError(413, `the body is larger than ${bytesMax} bytes`);
}

function parseBody(bytes: Buffer): JsonObject | undefined {
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    const end = new JsonScan().feed(bytes);
    if (end !== undefined && isJson(bytes.subarray(0, end))) throw badParameter('unexpected content after JSON');
    throw badParameter(`invalid JSON: ${e instanceof Error ? e.message : String(e)}`);
  }
  /* null decodes into nothing in Go. */
  if (value === null) return undefined;
  if (!isObject(value)) throw badParameter('invalid JSON: an object is needed');
  return value;
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString('utf8'));
    return true;
  } catch {
    return false; // the answer itself
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
