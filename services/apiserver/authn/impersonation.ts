/**
 * Acting as somebody else: what the Impersonate-* headers ask for, and what the caller must be allowed for it. Pure.
 * Source: apiserver/pkg/endpoints/filters/impersonation/impersonation.go.
 */
import { StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { AUTHENTICATED, UNAUTHENTICATED } from './groups.ts';

/** One `impersonate` that must be allowed. */
export interface ImpersonationCheck {
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Impersonation {
  readonly target: UserInfo;
  readonly checks: readonly ImpersonationCheck[];
}

type Headers = Readonly<Record<string, readonly string[] | undefined>>;

const EXTRA_PREFIX = 'impersonate-extra-';
const AUTHENTICATION = 'authentication.k8s.io';

/** undefined when nothing of the kind is asked. `headers` are lower-case. Throws Internal for parts without a user. */
export function impersonationOf(headers: Headers): Impersonation | undefined {
  const [name] = headers['impersonate-user'] ?? [];
  const groups = headers['impersonate-group'] ?? [];
  const [uid] = headers['impersonate-uid'] ?? [];
  const extra = extraOf(headers);
  if (name === undefined || name === '') {
    if (groups.length === 0 && uid === undefined && extra.size === 0) return undefined;
    throw new StatusError('Internal', 'requested groups, uid or extra without impersonating a user');
  }
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const [, namespace = '', accountName = name] = account ?? [];
  const of = (group: string, resource: string, what: string, subresource = ''): ImpersonationCheck => ({
    group,
    resource,
    subresource,
    namespace: '',
    name: what,
  });
  const checks = [
    { ...of('', account === null ? 'users' : 'serviceaccounts', accountName), namespace },
    ...groups.map((g) => of('', 'groups', g)),
    ...[...extra].flatMap(([key, values]) => values.map((v) => of(AUTHENTICATION, 'userextras', v, key))),
    ...(uid === undefined ? [] : [of(AUTHENTICATION, 'uids', uid)]),
  ];
  const implied = account === null ? [] : ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
  const known = name === 'system:anonymous' ? UNAUTHENTICATED : AUTHENTICATED;
  const target = {
    name,
    groups: [...new Set([...(groups.length > 0 ? groups : implied), known])],
    ...(uid === undefined ? {} : { uid }),
    ...(extra.size === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
  return { target, checks };
}

/** `Impersonate-Extra-<percent-encoded key>: value`, the key lower-cased; one that is no percent-encoding is taken as it is. */
function extraOf(headers: Headers): ReadonlyMap<string, readonly string[]> {
  const extra = new Map<string, readonly string[]>();
  for (const [header, values] of Object.entries(headers)) {
    if (!header.startsWith(EXTRA_PREFIX) || values === undefined) continue;
    const key = unescaped(header.slice(EXTRA_PREFIX.length)).toLowerCase();
    extra.set(key, [...(extra.get(key) ?? []), ...values]);
  }
  return extra;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Kubernetes takes such a key literally.
    return text;
  }
}
