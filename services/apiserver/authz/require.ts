/** The 403 of a request that no rule allows, in Kubernetes' words. Source: apiserver/pkg/endpoints/handlers/responsewriters/errors.go. */
import { StatusError } from '#lib/base';
import type { Target } from '../core.ts';
import type { Attributes, Authorizer, ResourceAttributes } from './authorizer.ts';

/** What `verb` of the request's object is asked as. A namespace is asked as an object inside itself, as Kubernetes does. */
export function attributesOf(target: Target, verb: string, name = target.name ?? ''): ResourceAttributes {
  const { info, user, namespace, subresource = '' } = target;
  const { group, version, resource } = info;
  const isNamespace = resource === 'namespaces' && group === '';
  return {
    type: 'resource',
    user,
    verb,
    group,
    version,
    resource,
    subresource,
    namespace: isNamespace ? name : namespace,
    name,
  };
}

export async function requireAllowed(authorizer: Authorizer, a: Attributes): Promise<void> {
  const decision = await authorizer.authorize(a);
  if (!decision.isAllowed) throw forbiddenError(a, decision.reason);
}

export function forbiddenError(a: Attributes, reason: string): StatusError {
  const why = reason === '' ? '' : `: ${reason}`;
  if (a.type === 'path') {
    const message = `forbidden: User "${a.user.name}" cannot ${a.verb} path "${a.path}"${why}`;
    return new StatusError('Forbidden', message, { details: {} });
  }
  const full = a.subresource === '' ? a.resource : `${a.resource}/${a.subresource}`;
  const scope = a.namespace === '' ? 'at the cluster scope' : `in the namespace "${a.namespace}"`;
  const qualified = a.group === '' ? a.resource : `${a.resource}.${a.group}`;
  const subject = a.name === '' ? qualified : `${qualified} "${a.name}"`;
  const message =
    `${subject} is forbidden: User "${a.user.name}" cannot ${a.verb} resource "${full}" ` +
    `in API group "${a.group}" ${scope}${why}`;
  const details = {
    ...(a.name === '' ? {} : { name: a.name }),
    ...(a.group === '' ? {} : { group: a.group }),
    kind: a.resource,
  };
  return new StatusError('Forbidden', message, { details });
}
