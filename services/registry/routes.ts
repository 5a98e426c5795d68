/**
 * Paths to handlers, one row per clause of the spec (spec.md "Endpoints"). Repository names hold slashes and may hold the
 * words "blobs", "manifests" or "tags", so a path is matched from its right end.
 */
import { isRepositoryName } from '#lib/oci';
import { challenge } from './access/challenge.ts';
import type { Right } from './access/rights.ts';
import { giveOauthToken, giveToken } from './access/token-endpoint.ts';
import { appendUpload, cancelUpload, deleteBlob, finishUpload, getBlob, startUpload, uploadStatus } from './blobs.ts';
import { registryError } from './errors.ts';
import { type Exchange, replyJson } from './exchange.ts';
import { deleteManifest, getManifest, putManifest } from './manifests.ts';
import { listReferrers } from './referrers.ts';
import { catalog, listTags } from './tags.ts';

export type Handler = (x: Exchange) => Promise<void>;

export interface Route {
  /** '' for paths without a repository. */
  readonly name: string;
  readonly reference: string;
  readonly handler: Handler;
  /** What the caller must be allowed; undefined = the handler asks itself. */
  readonly right: Right | undefined;
  /** What is read, of that which an upstream may have. */
  readonly content?: 'manifest' | 'blob' | undefined;
}

type Method = Pick<Route, 'handler' | 'right' | 'content'>;

interface Row {
  readonly clause: string;
  readonly path: RegExp;
  readonly methods: Readonly<Record<string, Method>>;
}

const ROWS: readonly Row[] = [
  { clause: 'end-1', path: /^\/v2\/?$/, methods: both(ping, undefined) },
  { clause: 'docker catalog', path: /^\/v2\/_catalog$/, methods: both(catalog, 'list') },
  {
    clause: 'docker token',
    path: /^\/token$/,
    methods: { GET: allowed(giveToken, undefined), POST: allowed(giveOauthToken, undefined) },
  },
  {
    clause: 'end-5, 6, 13, cancel',
    path: /^\/v2\/(?<name>.+)\/blobs\/uploads\/(?<reference>[^/]+)$/,
    methods: {
      GET: allowed(uploadStatus, 'create'),
      PATCH: allowed(appendUpload, 'create'),
      PUT: allowed(finishUpload, 'create'),
      DELETE: allowed(cancelUpload, 'create'),
    },
  },
  {
    clause: 'end-4a, 4b, 11',
    path: /^\/v2\/(?<name>.+)\/blobs\/uploads\/?$/,
    methods: { POST: allowed(startUpload, 'create') },
  },
  {
    clause: 'end-2, 10',
    path: /^\/v2\/(?<name>.+)\/blobs\/(?<reference>[^/]+)$/,
    methods: { ...both(getBlob, 'get', 'blob'), DELETE: allowed(deleteBlob, 'delete') },
  },
  {
    clause: 'end-3, 7, 9',
    path: /^\/v2\/(?<name>.+)\/manifests\/(?<reference>[^/]+)$/,
    methods: {
      ...both(getManifest, 'get', 'manifest'),
      PUT: allowed(putManifest, 'create'),
      DELETE: allowed(deleteManifest, 'delete'),
    },
  },
  { clause: 'end-8a, 8b', path: /^\/v2\/(?<name>.+)\/tags\/list$/, methods: both(listTags, 'get') },
  {
    clause: 'end-12a, 12b',
    path: /^\/v2\/(?<name>.+)\/referrers\/(?<reference>[^/]+)$/,
    methods: both(listReferrers, 'get'),
  },
];

/** Throws NAME_INVALID, or UNSUPPORTED for a method or path that is not in the table. */
export function route(method: string, path: string): Route {
  for (const row of ROWS) {
    const m = row.path.exec(path);
    if (!m) continue;
    const name = m.groups?.['name'] ?? '';
    if (m.groups?.['name'] !== undefined && !isRepositoryName(name))
      throw registryError('NAME_INVALID', `invalid repository name "${name.slice(0, 300)}"`);
    const found = row.methods[method];
    if (!found) throw registryError('UNSUPPORTED', `${method} is not supported here`);
    return { name, reference: decode(m.groups?.['reference'] ?? ''), ...found };
  }
  throw registryError('NAME_UNKNOWN', 'no such path: image registries answer below /v2/');
}

/** Who must log in is told so here: clients ask this first, and log in by what it answers. */
async function ping(x: Exchange): Promise<void> {
  if (await x.caller.isWelcome(x.ctx)) {
    replyJson(x, {});
    return;
  }
  challenge(x, undefined, false);
  throw registryError('UNAUTHORIZED');
}

function both(
  handler: Handler,
  right: Right | undefined,
  content?: Route['content'],
): Readonly<Record<string, Method>> {
  return { GET: { handler, right, content }, HEAD: { handler, right, content } };
}

function allowed(handler: Handler, right: Right | undefined): Method {
  return { handler, right };
}

/** A malformed escape stands for itself and is refused by the grammar of what it should be. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
