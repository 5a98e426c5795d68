/**
 * Paths to handlers, one row per clause of the spec (spec.md "Endpoints"). Repository names hold slashes and may hold the
 * words "blobs", "manifests" or "tags", so a path is matched from its right end.
 */
import { isRepositoryName } from '#lib/oci';
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
}

interface Row {
  readonly clause: string;
  readonly path: RegExp;
  readonly methods: Readonly<Record<string, Handler>>;
}

const ROWS: readonly Row[] = [
  { clause: 'end-1', path: /^\/v2\/?$/, methods: both(ping) },
  { clause: 'docker catalog', path: /^\/v2\/_catalog$/, methods: both(catalog) },
  {
    clause: 'end-5, 6, 13, cancel',
    path: /^\/v2\/(?<name>.+)\/blobs\/uploads\/(?<reference>[^/]+)$/,
    methods: { GET: uploadStatus, PATCH: appendUpload, PUT: finishUpload, DELETE: cancelUpload },
  },
  { clause: 'end-4a, 4b, 11', path: /^\/v2\/(?<name>.+)\/blobs\/uploads\/?$/, methods: { POST: startUpload } },
  {
    clause: 'end-2, 10',
    path: /^\/v2\/(?<name>.+)\/blobs\/(?<reference>[^/]+)$/,
    methods: { ...both(getBlob), DELETE: deleteBlob },
  },
  {
    clause: 'end-3, 7, 9',
    path: /^\/v2\/(?<name>.+)\/manifests\/(?<reference>[^/]+)$/,
    methods: { ...both(getManifest), PUT: putManifest, DELETE: deleteManifest },
  },
  { clause: 'end-8a, 8b', path: /^\/v2\/(?<name>.+)\/tags\/list$/, methods: both(listTags) },
  {
    clause: 'end-12a, 12b',
    path: /^\/v2\/(?<name>.+)\/referrers\/(?<reference>[^/]+)$/,
    methods: both(listReferrers),
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
    const handler = row.methods[method];
    if (!handler) throw registryError('UNSUPPORTED', `${method} is not supported here`);
    return { name, reference: decode(m.groups?.['reference'] ?? ''), handler };
  }
  throw registryError('NAME_UNKNOWN', 'no such path: image registries answer below /v2/');
}

async function ping(x: Exchange): Promise<void> {
  replyJson(x, {});
}

function both(handler: Handler): Readonly<Record<string, Handler>> {
  return { GET: handler, HEAD: handler };
}

/** A malformed escape stands for itself and is refused by the grammar of what it should be. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
