/** Which verbs and streams the places of the URL grammar have. */
import type { KindInfo, KindRef } from '#lib/api';
import type { ResourceInfo } from './request-info.ts';

/** Other methods are verbs of nothing. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** Subresources that are bytes, not objects. */
export const STREAMS: ReadonlySet<string> = new Set(['log', 'exec', 'attach', 'portforward', 'proxy']);

const STREAMED = new Set([
  ...['log', 'exec', 'attach', 'portforward', 'proxy'].map((s) => `pods/${s}`),
  'services/proxy',
  'nodes/proxy',
]);

/** A proxy passes every method on. */
export function isMethod(info: ResourceInfo, method: string | undefined): boolean {
  return METHODS.has(method ?? '') || (info.subresource === 'proxy' && method === 'OPTIONS');
}

/** Cluster-scoped kinds are not inside namespaces; namespaced ones are only listed and watched across them. */
export function isWellPlaced(info: ResourceInfo, kind: KindInfo): boolean {
  if (!kind.namespaced) return info.namespace === '';
  if (info.namespace !== '') return true;
  const isReading = info.verb === 'list' || info.verb === 'watch' || info.verb === 'deletecollection';
  return isReading && info.name === undefined;
}

/** A verb that this place does not have: PUT of a collection, POST of a name, POST across all namespaces. */
export function isMisplacedVerb(info: ResourceInfo, kind: KindInfo): boolean {
  if (info.subresource !== undefined) return false;
  if (info.verb === 'update' || info.verb === 'patch') return info.name === undefined;
  return info.verb === 'create' && (info.name !== undefined || (kind.namespaced && info.namespace === ''));
}

/** Logs, shells and ports are those of pods: no other kind is looked at for containers. */
export function isUnknownStream(info: ResourceInfo, kind: Pick<KindRef, 'group' | 'resource'>): boolean {
  return (
    STREAMS.has(info.subresource ?? '') && !(kind.group === '' && STREAMED.has(`${kind.resource}/${info.subresource}`))
  );
}
