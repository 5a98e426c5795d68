/**
 * Id tokens of an OpenID Connect issuer: signature by the issuer's published keys, issuer, audience, times, then the mapping
 * of claims to a user. Claims that lie elsewhere (distributed claims) are not fetched.
 * Source: OpenID Connect Core 1.0 clause 3.1.3.7; apiserver/plugin/pkg/authenticator/token/oidc.
 */
import { type Clock, type Ctx, type Logger, StatusError } from '#lib/base';
import { HttpsJson } from '#lib/client';
import { isSignedBy, JWT_ALGORITHMS, type Jwt, type JwtAlgorithm, parseJwt } from '#lib/pki';
import { audiencesOf } from '../service-account-claims.ts';
import { refused, type TokenAuthenticator, type TokenVerdict, UNKNOWN } from '../token-authenticator.ts';
import { type ClaimMapping, mapClaims } from './claims.ts';
import { type DocumentSource, OidcKeySet } from './key-set.ts';

/** Of one issuer: kube-apiserver's --oidc-* flags. */
export interface OidcConfig extends ClaimMapping {
  /** At least one must be among the token's audiences. */
  readonly clientIds: readonly string[];
  /** PEM of the authorities that the issuer's certificate must come from; absent = those that the machine trusts. */
  readonly caPem?: string | undefined;
  /** Default RS256 alone. */
  readonly algorithms?: readonly JwtAlgorithm[] | undefined;
}

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
  readonly #config: OidcConfig;
  readonly #algorithms: readonly JwtAlgorithm[];
  readonly #clock: Clock;
  readonly #keys: OidcKeySet;
  readonly #https: HttpsJson;

  /** Throws Invalid for a configuration that could not work. */
  constructor(config: OidcConfig, deps: OidcDeps) {
    checkConfig(config);
    this.#config = config;
    this.#algorithms = config.algorithms ?? ['RS256'];
    this.#clock = deps.clock;
    this.#https = new HttpsJson({ caPem: config.caPem, timeoutMs: DOCUMENT_MS, bytesMax: DOCUMENT_BYTES_MAX });
    const documents: DocumentSource = this.#https;
    this.#keys = new OidcKeySet({ issuerUrl: config.issuerUrl, documents, ...deps });
  }

  async authenticateToken(token: string, _audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const jwt = parseJwt(token);
    if (jwt === undefined || jwt.claims['iss'] !== this.#config.issuerUrl) return UNKNOWN;
    const fault = (await this.#signatureFault(jwt, c)) ?? this.#claimsFault(jwt);
    if (fault !== undefined) return refused(fault);
    const user = mapClaims(jwt.claims, this.#config);
    return typeof user === 'string' ? refused(user) : { outcome: 'authenticated', user };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#https[Symbol.asyncDispose]();
  }

  async #signatureFault(jwt: Jwt, c: Ctx): Promise<string | undefined> {
    if (!this.#algorithms.some((a) => a === jwt.algorithm))
      return `oidc: verify token: oidc: id token signed with unsupported algorithm, expected [${this.#algorithms.join(' ')}] got "${jwt.algorithm}"`;
    const keys = await this.#keys.keysFor(jwt.kid, c);
    if (keys === undefined) return `oidc: authenticator for issuer "${this.#config.issuerUrl}" is not initialized`;
    const isSigned = keys.some((k) => isSignedBy(jwt, k));
    return isSigned ? undefined : 'oidc: verify token: failed to verify signature';
  }

  #claimsFault({ claims }: Jwt): string | undefined {
    const { clientIds } = this.#config;
    const audiences = audiencesOf(claims) ?? [];
    if (!clientIds.some((id) => audiences.includes(id)))
      return `oidc: verify token: oidc: expected audience in [${clientIds.join(' ')}] got [${audiences.join(' ')}]`;
    const nowSeconds = this.#clock.now() / 1000;
    const { exp, nbf } = claims;
    if (typeof exp !== 'number' || exp <= nowSeconds) return 'oidc: verify token: oidc: token is expired';
    if (nbf === undefined) return undefined;
    return typeof nbf === 'number' && nbf <= nowSeconds + NBF_LEEWAY_SECONDS
      ? undefined
      : 'oidc: verify token: oidc: current time before the nbf (not before) time';
  }
}

function checkConfig(config: OidcConfig): void {
  const { issuerUrl, clientIds, algorithms = ['RS256'] } = config;
  const url = URL.canParse(issuerUrl) ? new URL(issuerUrl) : undefined;
  const fail = (why: string): never => {
    throw new StatusError('Invalid', `OIDC issuer ${issuerUrl}: ${why}`);
  };
  if (url?.protocol !== 'https:' || url.username !== '' || url.search !== '' || url.hash !== '')
    fail('the issuer must be an https URL without user, query and fragment');
  if (clientIds.length === 0 || clientIds.includes('')) fail('at least one client id is needed');
  if (algorithms.length === 0 || !algorithms.every((a) => JWT_ALGORITHMS.includes(a)))
    fail(`algorithms are ${JWT_ALGORITHMS.join(', ')}`);
}
