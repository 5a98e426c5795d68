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
      /** Those of the asked ones that the token is for; undefined = its kind has none (see OwnAudience). */
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

/** For kinds of tokens that name no audience of ours: they are for this API server, and for nobody else. */
export class OwnAudience implements TokenAuthenticator {
  readonly #inner: TokenAuthenticator;
  readonly #own: readonly string[];

  constructor(inner: TokenAuthenticator, own: readonly string[]) {
    this.#inner = inner;
    this.#own = own;
  }

  async authenticateToken(token: string, audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const matching = audiences.filter((a) => this.#own.includes(a));
    if (matching.length === 0) return UNKNOWN;
    const verdict = await this.#inner.authenticateToken(token, matching, c);
    return verdict.outcome === 'authenticated' ? { ...verdict, audiences: matching } : verdict;
  }
}
