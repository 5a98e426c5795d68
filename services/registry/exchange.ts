/** One request with its answer: what every handler gets, and the small things all of them do. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock, Ctx, Logger, Random } from '#lib/base';
import { StatusError } from '#lib/base';
import { type AnyDigest, type ContentStore, isAnyDigest } from '#lib/oci';
import type { Caller } from './access/caller.ts';
import type { RegistryTokens } from './access/tokens.ts';
import type { Leases } from './collection/leases.ts';
import { registryError } from './errors.ts';
import type { Quotas } from './quotas.ts';
import type { Recent } from './recent.ts';
import type { Repositories, Repository } from './repository.ts';
import type { RegistrySettings } from './settings.ts';
import type { Uploads } from './uploads.ts';

export interface RegistryState {
  readonly settings: () => RegistrySettings;
  readonly quotas: Quotas;
  readonly tokens: RegistryTokens;
  readonly content: ContentStore;
  /** Bytes of manifests, by digest. */
  readonly recentManifests: Recent<Buffer>;
  readonly repositories: Repositories;
  readonly uploads: Uploads;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface Exchange extends RegistryState {
  readonly caller: Caller;
  /** The same, with other credentials than the request's. */
  readonly callerWith: (authorization: string) => Caller;
  readonly ctx: Ctx;
  readonly isTls: boolean;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  readonly query: URLSearchParams;
  readonly repository: Repository;
  /** What the path names behind the repository: a digest, tag or upload id; '' when nothing. */
  readonly reference: string;
}

export function digestParameter(text: string): AnyDigest {
  if (!isAnyDigest(text)) throw registryError('DIGEST_INVALID', `"${text.slice(0, 200)}" is not a supported digest`);
  return text;
}

/** Status and headers, without a body. */
export function reply(x: Exchange, status: number, headers: Readonly<Record<string, string | number>>): void {
  x.res.writeHead(status, { 'content-length': 0, ...headers });
  x.res.end();
}

export function replyBytes(x: Exchange, body: Uint8Array, headers: Readonly<Record<string, string | number>>): void {
  x.res.writeHead(200, { 'content-length': body.length, ...headers });
  x.res.end(x.method === 'HEAD' ? undefined : body);
}

export function replyJson(x: Exchange, value: object, headers: Readonly<Record<string, string | number>> = {}): void {
  replyBytes(x, Buffer.from(JSON.stringify(value)), { 'content-type': 'application/json', ...headers });
}

/** The whole request body; TooLarge above `bytesMax`. */
export async function readBody(req: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of req) {
    if (!Buffer.isBuffer(piece)) continue;
    size += piece.length;
    if (size > bytesMax) throw new StatusError('TooLarge', `the body is larger than ${bytesMax} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** `n` entries behind `last` of a sorted list, and the Link header to the next page. */
export function page(
  x: Pick<Exchange, 'query'>,
  all: readonly string[],
  path: string,
): { items: readonly string[]; link: Record<string, string> } {
  const last = x.query.get('last');
  const text = x.query.get('n');
  if (text !== null && !/^\d{1,9}$/.test(text))
    throw registryError('UNSUPPORTED', `n=${text.slice(0, 20)} is not a count`);
  const rest = last === null || last === '' ? all : all.filter((t) => t > last);
  const n = text === null ? rest.length : Number(text);
  const items = rest.slice(0, n);
  const end = items.at(-1);
  if (end === undefined || items.length === rest.length) return { items, link: {} };
  return { items, link: { link: `<${path}?n=${n}&last=${encodeURIComponent(end)}>; rel="next"` } };
}
