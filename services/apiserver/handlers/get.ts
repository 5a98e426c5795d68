/** GET of one object: consistent by default, from the cache as it is with resourceVersion=0. */
import type { Ctx } from '#lib/base';
import { parseRevision } from '#lib/store';
import { badRequest, notFound } from '../api-errors.ts';
import type { Cached } from '../cache/cached.ts';
import { type Core, type CoreResult, objectResult, type Target } from '../core.ts';

export async function get(
  core: Core,
  request: Target & { readonly resourceVersion?: string | undefined },
  c: Ctx,
): Promise<CoreResult> {
  return objectResult(await readObject(core, request, c));
}

export async function readObject(
  core: Core,
  request: Target & { readonly resourceVersion?: string | undefined },
  c: Ctx,
): Promise<Cached> {
  const { resourceVersion = '', namespace, name = '' } = request;
  if (resourceVersion === '') await core.cache.consistent(c);
  else if (resourceVersion !== '0') {
    const revision = parseRevision(resourceVersion);
    if (revision === undefined) throw badRequest(`resourceVersion: Invalid value: "${resourceVersion}"`);
    await core.cache.reach(revision, c);
  }
  const found = core.cache.of(request.stored).get(namespace, name);
  if (found === undefined) throw notFound(request.stored, name);
  return found;
}
