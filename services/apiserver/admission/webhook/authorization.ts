/**
 * `authorizer` in match conditions. Evaluation is synchronous and authorizers need not be: an evaluation that asks something new
 * is run again when the answers are there.
 * Source: k8s.io/apiserver/pkg/cel/library/authz.go.
 */
import { type FieldRequirement, fieldRequirements } from '#lib/api';
import { messageOf } from '#lib/base';
import type { AuthorizationCheck, AuthorizationDecision, AuthorizationHost } from '#lib/cel';
import type { UserInfo } from '#lib/client';
import type { Attributes, Authorizer } from '../../authz/authorizer.ts';

/** Of evaluations: each but the last asked something new. */
const ROUNDS_MAX = 32;
const UNDECIDED: AuthorizationDecision = { allowed: false, reason: '', error: '' };

export class AuthorizationChecks implements AuthorizationHost {
  readonly #authorizer: Authorizer;
  readonly #user: UserInfo;
  readonly #known = new Map<string, AuthorizationDecision>();
  #asked = new Map<string, AuthorizationCheck>();

  constructor(authorizer: Authorizer, user: UserInfo) {
    this.#authorizer = authorizer;
    this.#user = user;
  }

  check(check: AuthorizationCheck): AuthorizationDecision {
    const id = JSON.stringify(check);
    const known = this.#known.get(id);
    if (known === undefined) this.#asked.set(id, check);
    return known ?? UNDECIDED;
  }

  /** The result of `evaluate` once it has every answer it asks for; undefined when it never stops asking. */
  async settled<T>(evaluate: () => T): Promise<T | undefined> {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.#asked = new Map();
      const result = evaluate();
      if (this.#asked.size === 0) return result;
      for (const [id, check] of this.#asked) this.#known.set(id, await this.#decide(check));
    }
    return undefined;
  }

  async #decide(check: AuthorizationCheck): Promise<AuthorizationDecision> {
    try {
      const { isAllowed, reason } = await this.#authorizer.authorize(attributesOf(check, this.#user));
      return { allowed: isAllowed, reason, error: '' };
    } catch (e) {
      return { allowed: false, reason: '', error: messageOf(e) };
    }
  }
}

function attributesOf(check: AuthorizationCheck, requester: UserInfo): Attributes {
  const user = check.subject.kind === 'requester' ? requester : accountOf(check.subject);
  const { verb } = check;
  if (check.kind === 'path') return { type: 'path', user, verb, path: check.path };
  const { group, resource, subresource, namespace, name } = check;
  const fieldSelector = requirementsOf(check.fieldSelector);
  return {
    type: 'resource',
    user,
    verb,
    group,
    version: '*',
    resource,
    subresource,
    namespace,
    name,
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
}

function requirementsOf(text: string): readonly FieldRequirement[] | undefined {
  if (text === '') return undefined;
  try {
    return fieldRequirements(text);
  } catch {
    // A selector that nobody understands narrows nothing.
    return undefined;
  }
}

function accountOf({ namespace, name }: { readonly namespace: string; readonly name: string }): UserInfo {
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}
