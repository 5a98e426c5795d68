/**
 * Who may do what: the question, the answer, and the union of those who answer (superusers, nodes, RBAC).
 * Source: apiserver/pkg/authorization/authorizer/interfaces.go, authorization/union.
 */
import type { FieldRequirement } from '#lib/api';
import type { UserInfo } from '#lib/client';
import type { Rule } from './rbac/rule-matching.ts';

export interface ResourceAttributes {
  readonly type: 'resource';
  readonly user: UserInfo;
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** What a list, watch or deletecollection narrows itself to; absent = nothing, or not understood. */
  readonly fieldSelector?: readonly FieldRequirement[] | undefined;
}

export type Attributes =
  | ResourceAttributes
  | { readonly type: 'path'; readonly user: UserInfo; readonly verb: string; readonly path: string };

export interface Decision {
  readonly isAllowed: boolean;
  readonly reason: string;
}

export interface Authorizer {
  authorize(a: Attributes): Promise<Decision> | Decision;
  /** What this one would allow the user in the namespace, as far as it can be said in rules. */
  rulesFor?(user: UserInfo, namespace: string): ResolvedRules;
}

/** Answers at once, as expressions of policies need it: they are evaluated in one go. */
export interface InstantAuthorizer extends Authorizer {
  authorize(a: Attributes): Decision;
}

export interface ResolvedRules {
  readonly rules: readonly Rule[];
  /** There are rights that cannot be said in rules. */
  readonly isIncomplete: boolean;
  readonly errors: readonly string[];
}

/** Allows what one of them allows; nobody can deny what another allows (as Kubernetes' union of Node and RBAC). */
export class AuthorizerUnion implements InstantAuthorizer {
  readonly #parts: readonly InstantAuthorizer[];

  constructor(parts: readonly InstantAuthorizer[]) {
    this.#parts = parts;
  }

  authorize(a: Attributes): Decision {
    const reasons: string[] = [];
    for (const part of this.#parts) {
      const decision = part.authorize(a);
      if (decision.isAllowed) return decision;
      if (decision.reason !== '') reasons.push(decision.reason);
    }
    return { isAllowed: false, reason: reasons.join('\n') };
  }

  rulesFor(user: UserInfo, namespace: string): ResolvedRules {
    const parts = this.#parts.flatMap((p) => (p.rulesFor === undefined ? [] : [p.rulesFor(user, namespace)]));
    return {
      rules: parts.flatMap((p) => p.rules),
      isIncomplete: parts.some((p) => p.isIncomplete),
      errors: parts.flatMap((p) => p.errors),
    };
  }
}
