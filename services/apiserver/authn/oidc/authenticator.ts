/**
 * Id tokens of an OpenID Connect issuer: signature by the issuer's published keys, issuer, audience, times, then the mapping
 * of claims to a user. Claims that lie elsewhere (distributed claims) are not fetched.
 * Source: OpenID Connect Core 1.0 clause 3.1.3.7; apiserver/plugin/pkg/authenticator/token/oidc.
 */
import { errorBody } from '#lib/api';
import { type Clock, type Ctx, type Logger, StatusError } from '#lib/base';
import { HttpsJson } from '#lib/client';
import { isSignedBy, JWT_ALGORITHMS, type Jwt, parseJwt } from '#lib/pki';
import { audiencesOf } from '../service-account-claims.ts';
import { refused, type TokenAuthenticator, type TokenVerdict, UNKNOWN } from '../token-authenticator.ts';
import { type ClaimMapping, mapClaims } from './claims.ts';
import { type DocumentSource, OidcKeySet } from './key-set.ts';
import type { JwtAuthenticatorSpec } from './spec.ts';
import { compileJwtAuthenticator } from './validation.ts';

export interface OidcDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends readings that are under way. */
  readonly signal: AbortSignal;
}

const DOCUMENT_MS = 10_000;
const DOCUMENT_BYTES_MAX = 1 << 20;
/** go-oidc's leeway for `nbf`; the end has none. */
const NBF_LEEWAY_SECONDS = 300;

export class OidcAuthenticator implements TokenAuthenticator, AsyncDisposable {
  readonly spec: JwtAuthenticatorSpec;
  readonly #mapping: ClaimMapping;
  readonly #clock: Clock;
  readonly #keys: OidcKeySet;
  readonly #https: HttpsJson;

  /** Throws Invalid for a spec that could not work. */
  constructor(spec: JwtAuthenticatorSpec, deps: OidcDeps) {
    const { mapping, errors } = compileJwtAuthenticator(spec, 'jwt');
    if (errors.length > 0)
      throw new StatusError('Invalid', errors.map((e) => `${e.field}: ${errorBody(e)}`).join('; '));
    this.spec = spec;
    this.#mapping = mapping;
    this.#clock = deps.clock;
    const { url, discoveryURL, certificateAuthority } = spec.issuer;
    const caPem = certificateAuthority === '' ? undefined : certificateAuthority;
    this.#https = new HttpsJson({ caPem, timeoutMs: DOCUMENT_MS, bytesMax: DOCUMENT_BYTES_MAX });
    const documents: DocumentSource = this.#https;
    this.#keys = new OidcKeySet({ issuerUrl: url, discoveryUrl: discoveryURL, documents, ...deps });
  }

  async authenticateToken(token: string, _audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const jwt = parseJwt(token);
    if (jwt === undefined || jwt.claims['iss'] !== this.spec.issuer.url) return UNKNOWN;
    const fault = (await this.#signatureFault(jwt, c)) ?? this.#claimsFault(jwt);
    if (fault !== undefined) return refused(fault);
    const user = mapClaims(jwt.claims, this.#mapping);
    return typeof user === 'string' ? refused(user) : { outcome: 'authenticated', user };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#https[Symbol.asyncDispose]();
  }

  async #signatureFault(jwt: Jwt, c: Ctx): Promise<string | undefined> {
    if (!JWT_ALGORITHMS.some((a) => a === jwt.algorithm))
      return `oidc: verify token: oidc: id token signed with unsupported algorithm, expected [${JWT_ALGORITHMS.join(' ')}] got "${jwt.algorithm}"`;
    const keys = await this.#keys.keysFor(jwt.kid, c);
    if (keys === undefined) return `oidc: authenticator for issuer "${this.spec.issuer.url}" is not initialized`;
    const isSigned = keys.some((k) => isSignedBy(jwt, k));
    return isSigned ? undefined : 'oidc: verify token: failed to verify signature';
  }

  #claimsFault({ claims }: Jwt): string | undefined {
    const { audiences: ours } = this.spec.issuer;
    const audiences = audiencesOf(claims) ?? [];
    if (!ours.some((id) => audiences.includes(id)))
      return `oidc: verify token: oidc: expected audience in [${ours.join(' ')}] got [${audiences.join(' ')}]`;
    const nowSeconds = this.#clock.now() / 1000;
    const { exp, nbf } = claims;
    if (typeof exp !== 'number' || exp <= nowSeconds) return 'oidc: verify token: oidc: token is expired';
    if (nbf === undefined) return undefined;
    return typeof nbf === 'number' && nbf <= nowSeconds + NBF_LEEWAY_SECONDS
      ? undefined
      : 'oidc: verify token: oidc: current time before the nbf (not before) time';
  }
}
