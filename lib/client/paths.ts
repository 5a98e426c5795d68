/** URLs of the API: `/api/v1/namespaces/NS/RESOURCE/NAME/SUBRESOURCE?query`. */
import type { KindRef } from '#lib/api';
import type { DeleteOptions, ListQuery, PatchType, WatchQuery, WriteOptions } from './client.ts';

export const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

export function resourcePath(
  kind: KindRef,
  o: { namespace?: string | undefined; name?: string | undefined; subresource?: string | undefined },
): string {
  const parts = [kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`];
  if (kind.namespaced && o.namespace !== undefined && o.namespace !== '')
    parts.push('namespaces', encodeURIComponent(o.namespace));
  parts.push(kind.resource);
  if (o.name !== undefined) parts.push(encodeURIComponent(o.name));
  if (o.subresource !== undefined) parts.push(o.subresource);
  return parts.join('/');
}

export function withQuery(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const search = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== '') search.append(k, v);
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}

export function listQuery(q: ListQuery): Record<string, string | undefined> {
  return {
    labelSelector: q.labelSelector,
    fieldSelector: q.fieldSelector,
    limit: q.limit?.toString(),
    continue: q.continue,
    resourceVersion: q.resourceVersion,
    resourceVersionMatch: q.resourceVersionMatch,
  };
}

export function watchQuery(q: WatchQuery): Record<string, string | undefined> {
  return {
    watch: 'true',
    labelSelector: q.labelSelector,
    fieldSelector: q.fieldSelector,
    resourceVersion: q.resourceVersion,
    resourceVersionMatch: q.resourceVersionMatch,
    allowWatchBookmarks: flag(q.allowWatchBookmarks),
    sendInitialEvents: q.sendInitialEvents?.toString(),
    timeoutSeconds: q.timeoutSeconds?.toString(),
  };
}

export function writeQuery(o: WriteOptions): Record<string, string | undefined> {
  return {
    dryRun: o.dryRun === true ? 'All' : undefined,
    fieldManager: o.fieldManager,
    fieldValidation: o.fieldValidation,
    force: flag(o.force),
  };
}

export function deleteBody(o: DeleteOptions): object {
  return {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    ...(o.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: o.gracePeriodSeconds }),
    ...(o.propagationPolicy === undefined ? {} : { propagationPolicy: o.propagationPolicy }),
    ...(o.preconditions === undefined ? {} : { preconditions: o.preconditions }),
    ...(o.dryRun === true ? { dryRun: ['All'] } : {}),
  };
}

function flag(value: boolean | undefined): string | undefined {
  return value === true ? 'true' : undefined;
}
