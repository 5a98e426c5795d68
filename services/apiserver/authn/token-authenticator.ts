/**
 * Bearer tokens by their kinds: each authenticator knows its own tokens and passes over all others; the union asks them in
 * order. Source: apiserver/pkg/authentication/token/union, request/bearertoken.
 */
import type { Ctx } from '#lib/base';
import type { UserInfo } from '#lib/client';

export type TokenVerdict =
  /** Not a token of this kind: ask the next. */
  | { readonly outcome: 'unknown' }
  | {
      readonly outcome: 'authenticated';
      readonly user: UserInfo;
      /** Those of the asked ones that the token is for; undefined = its kind has no audiences. */
      readonly audiences?: readonly string[] | undefined;
    }
  | { readonly outcome: 'refused'; readonly why: string };

export interface TokenAuthenticator {
  /** `audiences`: at least one of them must be among the token's. Throws only when it cannot know (store away). */
  authenticateToken(token: string, audiences: readonly string[], c: Ctx): Promise<TokenVerdict>;
}

export const UNKNOWN: TokenVerdict = { outcome: 'unknown' };

export function refused(why: string): TokenVerdict {
  return { outcome: 'refused', why };
}

export class TokenUnion implements TokenAuthenticator {
  readonly #members: readonly TokenAuthenticator[];

  constructor(members: readonly TokenAuthenticator[]) {
    this.#members = members;
  }

  /** The first that knows it; else what those said that refused it. */
  async authenticateToken(token: string, audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const reasons: string[] = [];
    for (const member of this.#members) {
      const verdict = await member.authenticateToken(token, audiences, c);
      if (verdict.outcome === 'authenticated') return verdict;
      if (verdict.outcome === 'refused') reasons.push(verdict.why);
    }
    return reasons.length === 0 ? UNKNOWN : refused(reasons.length === 1 ? reasons.join() : `[${reasons.join(', ')}]`);
  }
}
