/**
 * The issuers that a server believes, as they are now: who are the same keep their keys when others come and go.
 * Source: KEP-3331, reloading of the configuration.
 */
import { semanticEqual } from '#lib/api';
import type { Ctx } from '#lib/base';
import { type TokenAuthenticator, TokenUnion, type TokenVerdict } from '../token-authenticator.ts';
import { OidcAuthenticator, type OidcDeps } from './authenticator.ts';
import type { JwtAuthenticatorSpec } from './spec.ts';

export class OidcIssuers implements TokenAuthenticator, AsyncDisposable {
  readonly #deps: OidcDeps;
  #members: readonly OidcAuthenticator[] = [];
  #union = new TokenUnion([]);

  /** Throws Invalid for a spec that could not work. */
  constructor(specs: readonly JwtAuthenticatorSpec[], deps: OidcDeps) {
    this.#deps = deps;
    this.#use(specs);
  }

  authenticateToken(token: string, audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    return this.#union.authenticateToken(token, audiences, c);
  }

  /** For the requests to come. Throws Invalid, and nothing has changed. */
  async replace(specs: readonly JwtAuthenticatorSpec[]): Promise<void> {
    const before = this.#members;
    this.#use(specs);
    for (const gone of before.filter((m) => !this.#members.includes(m))) await gone[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.replace([]);
  }

  #use(specs: readonly JwtAuthenticatorSpec[]): void {
    const members = specs.map(
      (spec) => this.#members.find((m) => semanticEqual(m.spec, spec)) ?? new OidcAuthenticator(spec, this.#deps),
    );
    this.#members = members;
    this.#union = new TokenUnion(members);
  }
}
