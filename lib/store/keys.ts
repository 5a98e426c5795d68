/**
 * Key layout: `/registry/<group or core>/<resource>/<namespace or ->/<name>`. Versions of a group share one key, so that an
 * object written as apps/v1 is found by every version. `-` stands for "no namespace" (no namespace can have that name).
 * Elections and sessions live below `/berth/`, outside the registry, so that the watch cache never takes them for objects.
 */
import type { KindRef, ObjectKey } from '#lib/api';

export const REGISTRY_PREFIX = '/registry/';
export const LEADER_PREFIX = '/berth/leader/';

/** Whether a key lies where we keep anything at all; what lies elsewhere belongs to others in the same etcd. */
export function isOwnKey(key: string): boolean {
  return key.startsWith(REGISTRY_PREFIX) || key.startsWith('/berth/');
}

export function objectKey(kind: Pick<KindRef, 'group' | 'resource'>, key: ObjectKey): string {
  return `${resourcePrefix(kind, key.namespace === '' ? '-' : key.namespace)}${key.name}`;
}

/** Without a namespace: of all namespaces. Ends with a slash, so `pods` is no prefix of `podtemplates`. */
export function resourcePrefix(kind: Pick<KindRef, 'group' | 'resource'>, namespace?: string): string {
  const all = `${REGISTRY_PREFIX}${kind.group === '' ? 'core' : kind.group}/${kind.resource}/`;
  return namespace === undefined || namespace === '' ? all : `${all}${namespace}/`;
}

export interface ParsedKey {
  /** '' for the core group. */
  readonly group: string;
  readonly resource: string;
  /** '' for cluster scope. */
  readonly namespace: string;
  readonly name: string;
}

export function parseObjectKey(key: string): ParsedKey | undefined {
  if (!key.startsWith(REGISTRY_PREFIX)) return undefined;
  const [group, resource, namespace, name, ...rest] = key.slice(REGISTRY_PREFIX.length).split('/');
  if (!group || !resource || !namespace || !name || rest.length > 0) return undefined;
  return { group: group === 'core' ? '' : group, resource, namespace: namespace === '-' ? '' : namespace, name };
}
