/**
 * LIST: from the cache, in key order, in pages. A page after the first is read at the first page's revision: from the cache
 * while the resource has not changed since, else from the store's history.
 * Source: apiserver/pkg/storage/etcd3/store.go GetList, storage/continue.go, meta/internalversion/validation.
 */
import type { Ctx } from '#lib/base';
import { isKind, StatusError } from '#lib/base';
import type { ListQuery } from '#lib/client';
import { parseRevision, type Revision, resourcePrefix } from '#lib/store';
import { badRequest } from '../api-errors.ts';
import { type Cached, decodeStored } from '../cache/cached.ts';
import type { ResourceCache } from '../cache/resource-cache.ts';
import type { Core, CoreResult, Target } from '../core.ts';
import { invalidOptions } from './delete.ts';
import { type Selection, selectionOf } from './selection.ts';

/** Entries read from the store at once when a page comes from its history. */
const STORE_PAGE = 500;

interface Token {
  /** '-1': the newest state, when the first page's revision is gone. */
  readonly rv: string;
  /** Store key of the last item given. */
  readonly start: string;
}

export async function list(core: Core, request: Target & { readonly query: ListQuery }, c: Ctx): Promise<CoreResult> {
  const q = request.query;
  checkQuery(q);
  const selection = selectionOf(core, request, q);
  const limit = q.limit !== undefined && q.limit > 0 ? q.limit : Number.POSITIVE_INFINITY;
  if (q.continue !== undefined && q.continue !== '') {
    const token = decodeToken(q.continue);
    return await nextPage(core, request, { token, limit, selection }, c);
  }
  if (q.resourceVersionMatch === 'Exact') {
    const at = revisionOf(q.resourceVersion ?? '');
    await core.cache.reach(at, c);
    return await fromStore(core, request, { at, after: undefined, limit, selection }, c);
  }
  const revision = await listRevision(core, q, c);
  return fromCache(core, request, { revision, after: undefined, limit, selection });
}

interface Page {
  readonly after: string | undefined;
  readonly limit: number;
  readonly selection: Selection;
}

async function listRevision(core: Core, q: ListQuery, c: Ctx): Promise<Revision> {
  const asked = q.resourceVersion ?? '';
  if (asked === '') return await core.cache.consistent(c);
  if (asked !== '0') await core.cache.reach(revisionOf(asked), c);
  return core.cache.revision;
}

function fromCache(core: Core, request: Target, page: Page & { readonly revision: Revision }): CoreResult {
  const resource = core.cache.of(request.stored);
  const { selection, limit } = page;
  const items: Cached[] = [];
  if (selection.name !== undefined && request.namespace !== '') {
    const one = resource.get(request.namespace, selection.name);
    if (one !== undefined && selection.matches?.(one) !== false) items.push(one);
    return result(items, page.revision);
  }
  let hasMore = false;
  for (const cached of resource.items(request.namespace, page.after)) {
    if (selection.matches !== undefined && !selection.matches(cached)) continue;
    if (items.length >= limit) {
      hasMore = true;
      break;
    }
    items.push(cached);
  }
  if (!hasMore) return result(items, page.revision);
  const remaining = selection.matches === undefined ? countAfter(resource, request.namespace, items.at(-1)) : undefined;
  return result(items, page.revision, { hasMore, remaining });
}

async function nextPage(
  core: Core,
  request: Target,
  page: Omit<Page, 'after'> & { token: Token },
  c: Ctx,
): Promise<CoreResult> {
  const { token, limit, selection } = page;
  const prefix = resourcePrefix(request.stored, request.namespace);
  if (!token.start.startsWith(prefix)) throw badRequest('continue key is not valid: it belongs to another list');
  if (token.rv === '-1') {
    const revision = await core.cache.consistent(c);
    return fromCache(core, request, { revision, after: token.start, limit, selection });
  }
  const at = revisionOf(token.rv);
  if (core.cache.revision >= at && core.cache.of(request.stored).changedRevision <= at)
    return fromCache(core, request, { revision: at, after: token.start, limit, selection });
  return await fromStore(core, request, { at, after: token.start, limit, selection }, c);
}

async function fromStore(
  core: Core,
  request: Target,
  page: Page & { readonly at: Revision },
  c: Ctx,
): Promise<CoreResult> {
  const { at, limit, selection } = page;
  const prefix = resourcePrefix(request.stored, request.namespace);
  const items: Cached[] = [];
  let after = page.after;
  for (;;) {
    let read: Awaited<ReturnType<typeof core.storage.store.list>>;
    try {
      read = await core.storage.store.list(prefix, { after, at, limit: STORE_PAGE }, c);
    } catch (e) {
      throw isKind(e, 'Expired') ? expiredPage(page.after) : e;
    }
    for (const entry of read.entries) {
      const cached = decodeStored(entry.key, entry.value, entry.revision);
      if (selection.matches !== undefined && !selection.matches(cached)) continue;
      if (items.length >= limit) return result(items, at, { hasMore: true });
      items.push(cached);
    }
    after = read.entries.at(-1)?.key;
    if (!read.more || after === undefined) return result(items, at);
  }
}

function countAfter(resource: ResourceCache, namespace: string, last: Cached | undefined): number {
  let count = 0;
  for (const _ of resource.items(namespace, last?.key)) count++;
  return count;
}

function result(
  items: readonly Cached[],
  revision: Revision,
  o: { hasMore?: boolean; remaining?: number | undefined } = {},
): CoreResult {
  const last = items.at(-1);
  const resourceVersion = revision.toString();
  const next =
    o.hasMore === true && last !== undefined ? { continue: encodeToken({ rv: resourceVersion, start: last.key }) } : {};
  const count = o.remaining === undefined ? {} : { remainingItemCount: o.remaining };
  return { type: 'list', items, resourceVersion, ...next, ...count };
}

export function revisionOf(text: string): Revision {
  const revision = parseRevision(text);
  if (revision === undefined)
    throw invalidOptions(
      'resourceVersion',
      `Invalid value: "${text}": strconv.ParseUint: invalid syntax`,
      'ListOptions',
    );
  return revision;
}

function checkQuery(q: ListQuery): void {
  const { resourceVersion: rv = '', resourceVersionMatch: match } = q;
  const hasToken = q.continue !== undefined && q.continue !== '';
  if (hasToken && rv !== '' && rv !== '0')
    throw badRequest('specifying resource version is not allowed when using continue');
  if (match === undefined) return;
  const refuse = (why: string): StatusError =>
    invalidOptions('resourceVersionMatch', `Forbidden: ${why}`, 'ListOptions');
  if (hasToken) throw refuse('resourceVersionMatch is forbidden when continue is provided');
  if (rv === '') throw refuse('resourceVersionMatch is forbidden unless resourceVersion is provided');
  if (match === 'Exact' && rv === '0')
    throw refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
}

function encodeToken(t: Token): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', ...t })).toString('base64url');
}

function decodeToken(text: string): Token {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Partial<Token>;
    if (typeof token.start === 'string' && token.rv !== undefined) return { rv: String(token.rv), start: token.start };
  } catch {
    // Not JSON: the answer below says so.
  }
  throw badRequest('continue key is not valid');
}

/** 410 with a token that goes on from the same place at the newest state. */
function expiredPage(after: string | undefined): StatusError {
  const message =
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
    'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
    'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
    'deleted between the time the first chunk was returned and now may show up in the list.';
  if (after === undefined) return new StatusError('Expired', 'The resourceVersion for the provided list is too old.');
  return new ExpiredPage(message, encodeToken({ rv: '-1', start: after }));
}

/** Carries the token for the Status' metadata.continue. */
export class ExpiredPage extends StatusError {
  readonly token: string;

  constructor(message: string, token: string) {
    super('Expired', message);
    this.token = token;
  }
}
