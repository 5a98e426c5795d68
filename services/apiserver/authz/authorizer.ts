/** Who may do what. RBAC (issue 3) is one more `Authorizer` in the union. */
import type { UserInfo } from '#lib/client';

export type Attributes =
  | {
      readonly type: 'resource';
      readonly user: UserInfo;
      readonly verb: string;
      readonly group: string;
      readonly version: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly type: 'path'; readonly user: UserInfo; readonly verb: string; readonly path: string };

export interface Decision {
  readonly isAllowed: boolean;
  readonly reason: string;
}

export interface Authorizer {
  authorize(a: Attributes): Promise<Decision> | Decision;
}

/** Allows what one of them allows; nobody can deny what another allows (as Kubernetes' union of Node and RBAC). */
export class AuthorizerUnion implements Authorizer {
  readonly #parts: readonly Authorizer[];

  constructor(parts: readonly Authorizer[]) {
    this.#parts = parts;
  }

  async authorize(a: Attributes): Promise<Decision> {
    const reasons: string[] = [];
    for (const part of this.#parts) {
      const decision = await part.authorize(a);
      if (decision.isAllowed) return decision;
      if (decision.reason !== '') reasons.push(decision.reason);
    }
    return { isAllowed: false, reason: reasons.join(', ') };
  }
}
