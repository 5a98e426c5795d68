/** DELETE of a collection: lists with the selectors, then deletes each, a few at a time; answers with what was listed. */
import { type Ctx, isKind } from '#lib/base';
import type { DeleteOptions, ListQuery } from '#lib/client';
import type { Cached } from '../cache/cached.ts';
import type { Core, CoreResult, Target } from '../core.ts';
import { deleteObject } from './delete.ts';
import { list } from './list.ts';

const WORKERS = 8;

export async function deleteCollection(
  core: Core,
  request: Target & { readonly query: ListQuery; readonly options: DeleteOptions },
  c: Ctx,
): Promise<CoreResult> {
  const found = await list(core, request, c);
  if (found.type !== 'list') return found;
  const queue = [...found.items];
  const work = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await deleteOne(core, request, item, c);
  };
  await Promise.all(Array.from({ length: Math.min(WORKERS, queue.length) }, work));
  return found;
}

async function deleteOne(
  core: Core,
  request: Target & { readonly options: DeleteOptions },
  item: Cached,
  c: Ctx,
): Promise<void> {
  try {
    await deleteObject(core, { ...request, namespace: item.namespace, name: item.name }, c);
  } catch (e) {
    // Gone already, or another object by the same name since the list: not ours to delete.
    if (!isKind(e, 'NotFound')) throw e;
  }
}
