/**
 * Acting as somebody else by the Impersonate-* headers, each part of whom must be allowed by the verb `impersonate`.
 * Source: apiserver/pkg/endpoints/filters/impersonation/impersonation.go; kubernetes-api.md 17.
 */
import { StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import type { Authorizer } from '../authz/authorizer.ts';
import { requireAllowed } from '../authz/require.ts';
import { AUTHENTICATED, UNAUTHENTICATED } from './groups.ts';

const ANONYMOUS = 'system:anonymous';
const AUTHENTICATION_GROUP = 'authentication.k8s.io';
const EXTRA_PREFIX = 'impersonate-extra-';

/** Header names in lower case, as IncomingMessage.headersDistinct. */
export type Headers = Readonly<Record<string, readonly string[] | undefined>>;

/** `user` itself when no header asks for another. Throws Forbidden. */
export async function impersonated(user: UserInfo, headers: Headers, authorizer: Authorizer): Promise<UserInfo> {
  const name = headers['impersonate-user']?.[0] || undefined;
  const groups = headers['impersonate-group'] ?? [];
  const uid = headers['impersonate-uid']?.[0] || undefined;
  const extra = extraOf(headers);
  if (name === undefined) {
    if (groups.length === 0 && uid === undefined && extra.size === 0) return user;
    throw new StatusError('Internal', 'requested groups, uid or extra without impersonating a user');
  }
  const may = async (
    resource: string,
    what: string,
    o: { group?: string; namespace?: string; subresource?: string } = {},
  ) => {
    const { group = '', namespace = '', subresource = '' } = o;
    const asked = { type: 'resource', user, verb: 'impersonate', version: 'v1' } as const;
    await requireAllowed(authorizer, { ...asked, group, resource, subresource, namespace, name: what });
  };
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  if (account === null) await may('users', name);
  else await may('serviceaccounts', account[2] ?? '', { namespace: account[1] ?? '' });
  for (const g of groups) await may('groups', g);
  for (const [key, values] of extra)
    for (const value of values) await may('userextras', value, { group: AUTHENTICATION_GROUP, subresource: key });
  if (uid !== undefined) await may('uids', uid, { group: AUTHENTICATION_GROUP });
  const implied = account === null ? [] : ['system:serviceaccounts', `system:serviceaccounts:${account[1]}`];
  return {
    name,
    groups: withAuthentication(name, groups.length > 0 ? groups : implied),
    ...(uid === undefined ? {} : { uid }),
    ...(extra.size === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

/** `Impersonate-Extra-acme.com%2Fproject: x`: keys are escaped and without case. */
function extraOf(headers: Headers): ReadonlyMap<string, readonly string[]> {
  const extra = new Map<string, readonly string[]>();
  for (const [header, values] of Object.entries(headers)) {
    if (!header.startsWith(EXTRA_PREFIX) || values === undefined) continue;
    const key = unescaped(header.slice(EXTRA_PREFIX.length));
    extra.set(key, [...(extra.get(key) ?? []), ...values]);
  }
  return extra;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not an escape: taken as it is, as Kubernetes does.
    return text;
  }
}

/** Whoever named one of the two groups meant it. */
function withAuthentication(name: string, groups: readonly string[]): readonly string[] {
  const isAnonymous = name === ANONYMOUS;
  const added = isAnonymous ? UNAUTHENTICATED : AUTHENTICATED;
  const isSaid = groups.includes(UNAUTHENTICATED) || (!isAnonymous && groups.includes(AUTHENTICATED));
  return isSaid ? groups : [...groups, added];
}
