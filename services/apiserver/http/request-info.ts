/**
 * The URL grammar: path and method to verb, resource, namespace, name, subresource (kubernetes-api.md 2).
 * Source: apiserver/pkg/endpoints/request/requestinfo.go.
 */
import type { IncomingMessage } from 'node:http';
import type { UserInfo, Verb } from '#lib/client';
import type { Attributes } from '../authz/authorizer.ts';

export interface ResourceInfo {
  readonly type: 'resource';
  readonly verb: Verb;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  /** Behind the subresource, for proxies: `a/b`; '' when there is none. */
  readonly rest: string;
}

export interface PathInfo {
  readonly type: 'path';
  readonly path: string;
  /** The method in lower case. */
  readonly verb: string;
}

export type RequestInfo = ResourceInfo | PathInfo;

const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize']);

export function requestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const asPath: PathInfo = { type: 'path', path, verb: method.toLowerCase() };
  const parts = path.split('/').filter((p) => p !== '');
  const [root, first = '', second = ''] = parts;
  if (root === 'api' && parts.length >= 3)
    return resourceInfo(method, { group: '', version: first }, parts.slice(2), query);
  if (root === 'apis' && parts.length >= 4)
    return resourceInfo(method, { group: first, version: second }, parts.slice(3), query);
  return asPath;
}

function resourceInfo(
  method: string,
  gv: { readonly group: string; readonly version: string },
  parts: readonly string[],
  query: URLSearchParams,
): ResourceInfo {
  const isWatchPath = parts[0] === 'watch' && parts.length > 1;
  const [resource = '', name, subresource, ...rest] = isWatchPath ? parts.slice(1) : parts;
  let at = { namespace: '', resource, name, subresource, rest };
  if (resource === 'namespaces' && subresource !== undefined && !isNamespaceSubresource(subresource, rest)) {
    const [innerName, innerSubresource, ...innerRest] = rest;
    at = {
      namespace: decode(name) ?? '',
      resource: subresource,
      name: innerName,
      subresource: innerSubresource,
      rest: innerRest,
    };
  }
  const isWatch = isWatchPath || (method === 'GET' && at.name === undefined && isTrue(query.get('watch')));
  return {
    type: 'resource',
    ...gv,
    verb: isWatch ? 'watch' : verbOf(method, at.name !== undefined),
    resource: at.resource,
    namespace: at.namespace,
    name: decode(at.name),
    subresource: at.subresource,
    rest: at.rest.join('/'),
  };
}

/** `/namespaces/x/status` is the namespace's own; `/namespaces/x/status/y` would be a resource called status. */
function isNamespaceSubresource(part: string, rest: readonly string[]): boolean {
  return NAMESPACE_SUBRESOURCES.has(part) && rest.length === 0;
}

function verbOf(method: string, isNamed: boolean): Verb {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return isNamed ? 'delete' : 'deletecollection';
    default:
      return isNamed ? 'get' : 'list';
  }
}

/** What a request line says. */
export function parsed(req: IncomingMessage): { url: string; info: RequestInfo; query: URLSearchParams } {
  const url = req.url ?? '/';
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  return { url, info: requestInfo(req.method ?? 'GET', path, query), query };
}

/** What is authorized. */
export function attributesOf(info: RequestInfo, user: UserInfo): Attributes {
  if (info.type === 'path') return { type: 'path', user, verb: info.verb, path: info.path };
  const { verb, group, version, resource, namespace, name = '', subresource = '' } = info;
  return { type: 'resource', user, verb, group, version, resource, subresource, namespace, name };
}

/**
 * What the subresources that stream need: exec by WebSocket is a GET but needs what a POST needs, create (Kubernetes 1.35); a
 * proxied request needs the verb of its method, and one that has none (OPTIONS) is for those who may do everything.
 */
export function streamVerb(info: ResourceInfo, method: string | undefined): string {
  if (info.subresource === 'proxy') return method === 'OPTIONS' ? '' : info.verb;
  return info.subresource === 'log' ? 'get' : 'create';
}

/** A parameter of a query as apimachinery reads it: all that is there is true, but for `false` and `0`. */
export function isTrue(text: string | null): boolean {
  return text !== null && !['false', '0'].includes(text.toLowerCase());
}

function decode(part: string | undefined): string | undefined {
  if (part === undefined) return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    // Not an escape: taken as it is, no object has such a name.
    return part;
  }
}
