/**
 * `authorizer` of one request: what the requester, or a service account, may do; each question is asked once.
 * Source: k8s.io/apiserver/pkg/cel/library/authz.go, pkg/admission/plugin/authorizer/caching_authorizer.go.
 */
import { fieldRequirements } from '#lib/api';
import { isKind } from '#lib/base';
import type { AuthorizationCheck, AuthorizationDecision, AuthorizationHost } from '#lib/cel';
import type { UserInfo } from '#lib/client';
import type { Attributes, InstantAuthorizer } from '../../authz/authorizer.ts';

const AUTHENTICATED = 'system:authenticated';

export class RequestAuthorization implements AuthorizationHost {
  readonly #user: UserInfo;
  readonly #authorizer: InstantAuthorizer;
  readonly #known = new Map<string, AuthorizationDecision>();

  constructor(user: UserInfo, authorizer: InstantAuthorizer) {
    this.#user = user;
    this.#authorizer = authorizer;
  }

  check(check: AuthorizationCheck): AuthorizationDecision {
    const key = JSON.stringify(check);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const { isAllowed, reason } = this.#authorizer.authorize(this.#attributes(check));
    const decision = { allowed: isAllowed, reason, error: '' };
    this.#known.set(key, decision);
    return decision;
  }

  #attributes(check: AuthorizationCheck): Attributes {
    const user = this.#subject(check);
    const { verb } = check;
    if (check.kind === 'path') return { type: 'path', user, verb, path: check.path };
    const { group, resource, subresource, namespace, name } = check;
    const fieldSelector = requirementsOf(check.fieldSelector);
    return { type: 'resource', user, verb, group, version: '*', resource, subresource, namespace, name, fieldSelector };
  }

  #subject({ subject }: AuthorizationCheck): UserInfo {
    if (subject.kind === 'requester') return this.#user;
    const { namespace, name } = subject;
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, AUTHENTICATED];
    return { name: `system:serviceaccount:${namespace}:${name}`, groups };
  }
}

/** One that cannot be read narrows nothing. */
function requirementsOf(text: string): ReturnType<typeof fieldRequirements> | undefined {
  if (text === '') return undefined;
  try {
    return fieldRequirements(text);
  } catch (e) {
    if (isKind(e, 'BadRequest')) return undefined;
    throw e;
  }
}
