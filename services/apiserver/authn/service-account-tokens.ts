/**
 * Service account tokens: signed here, and verified on every use against the account and the object they are bound to, so
 * that a token ends with its pod. A signature is checked once per token and process, its times and objects each time.
 * Source: kubernetes pkg/serviceaccount/{jwt,claims,legacy}.go.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type DeepReadonly, type KindRef, Kinds, type KubeObject, type Secret } from '#lib/api';
import type { Clock, Ctx, Logger, Random } from '#lib/base';
import { isSignedBy, type Jwt, parseJwt, signJwt, type TokenKeys } from '#lib/pki';
import type { LiveObjects } from './live-objects.ts';
import {
  type AccountClaims,
  type BoundTo,
  claimsOf,
  LEGACY_ISSUER,
  type LegacyClaims,
  legacyClaimsOf,
  type ObjectRef,
  readClaims,
  readLegacyClaims,
  timeFault,
  userOf,
} from './service-account-claims.ts';
import { refused, type TokenAuthenticator, type TokenVerdict, UNKNOWN } from './token-authenticator.ts';

/** Clocks differ: go-jose's default, which Kubernetes uses. */
const LEEWAY_SECONDS = 60;
const VERIFIED_MAX = 4_096;
/** Longer ones are verified each time: a user may put what they like into the audiences. */
const VERIFIED_CHARACTERS_MAX = 4_096;
const INVALID_SINCE = 'kubernetes.io/legacy-token-invalid-since';
const INVALIDATED = 'service account token has been invalidated';

export interface ServiceAccountTokensOptions {
  readonly keys: TokenKeys;
  readonly objects: LiveObjects;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The first signs; tokens of all are accepted, so that an issuer can be changed. */
  readonly issuers: readonly [string, ...string[]];
  /** Of this API server: those of tokens that name none. */
  readonly audiences: readonly string[];
}

export interface IssueRequest {
  readonly namespace: string;
  readonly account: ObjectRef;
  readonly audiences: readonly string[];
  readonly bound: BoundTo;
  readonly expirationSeconds: number;
  readonly warnAfterSeconds?: number | undefined;
}

export class ServiceAccountTokens implements TokenAuthenticator {
  readonly #o: ServiceAccountTokensOptions;
  /** Hash of a token -> the key that signed it; insertion order = age. */
  readonly #verified = new Map<string, string>();

  constructor(o: ServiceAccountTokensOptions) {
    this.#o = o;
  }

  get issuer(): string {
    return this.#o.issuers[0];
  }

  issue(request: IssueRequest, nowMs: number): string {
    const claims = claimsOf({
      ...request,
      issuer: this.issuer,
      nowSeconds: Math.floor(nowMs / 1000),
      warnAfterSeconds: request.warnAfterSeconds,
      jti: this.#o.random.uuid(),
    });
    return signJwt(claims, this.#o.keys.signer());
  }

  /** The content of a Secret of type kubernetes.io/service-account-token: good as long as that Secret holds it. */
  issueLegacy(claims: LegacyClaims): string {
    return signJwt(legacyClaimsOf(claims), this.#o.keys.signer());
  }

  async authenticateToken(token: string, audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const jwt = parseJwt(token);
    if (jwt === undefined) return UNKNOWN;
    const { iss } = jwt.claims;
    const isLegacy = iss === LEGACY_ISSUER;
    if (!isLegacy && !this.#o.issuers.some((i) => i === iss)) return UNKNOWN;
    if (!(await this.#isSigned(token, jwt, c)))
      return refused('the signature of the service account token is not valid');
    const fault = timeFault(jwt.claims, this.#o.clock.now() / 1000, LEEWAY_SECONDS);
    if (fault !== undefined) return refused(`service account token ${fault === 'expired' ? 'has' : 'is'} ${fault}`);
    return isLegacy ? await this.#legacy(token, jwt, audiences, c) : await this.#bound(jwt, audiences, c);
  }

  async #isSigned(token: string, jwt: Jwt, c: Ctx): Promise<boolean> {
    const { keys } = this.#o;
    const hash = createHash('sha256').update(token).digest('base64');
    const kid = this.#verified.get(hash);
    if (kid !== undefined && keys.verifiers().some((k) => k.kid === kid)) return true;
    this.#verified.delete(hash);
    const named = jwt.kid === undefined ? undefined : await keys.verifierOf(jwt.kid, c);
    const candidates = jwt.kid === undefined ? keys.verifiers() : named === undefined ? [] : [named];
    const signer = candidates.find((k) => isSignedBy(jwt, k));
    if (signer === undefined) return false;
    if (token.length <= VERIFIED_CHARACTERS_MAX) this.#remember(hash, signer.kid);
    return true;
  }

  #remember(hash: string, kid: string): void {
    const [oldest] = this.#verified.keys();
    if (this.#verified.size >= VERIFIED_MAX && oldest !== undefined) this.#verified.delete(oldest);
    this.#verified.set(hash, kid);
  }

  async #bound(jwt: Jwt, audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const claims = readClaims(jwt.claims);
    if (claims === undefined) return refused('service account token claims could not be parsed due to private claims');
    const matching = this.#matching(claims.audiences, audiences);
    if (matching.length === 0) return wrongAudience(claims.audiences, audiences);
    const gone = (await this.#accountFault(claims, c)) ?? (await this.#boundFault(claims, c));
    if (gone !== undefined) return refused(gone);
    this.#warnStale(claims);
    return { outcome: 'authenticated', user: userOf(claims), audiences: matching };
  }

  #matching(token: readonly string[], asked: readonly string[]): readonly string[] {
    const own = token.length === 0 ? this.#o.audiences : token;
    return asked.filter((a) => own.includes(a));
  }

  async #accountFault(claims: Pick<AccountClaims, 'namespace' | 'account'>, c: Ctx): Promise<string | undefined> {
    const { namespace, account } = claims;
    const found = await this.#o.objects.find(Kinds.serviceaccounts, { namespace, ...account }, c);
    return this.#fault(found, account, { resource: 'serviceaccounts', what: 'service account' });
  }

  async #boundFault({ namespace, pod, secret, node }: AccountClaims, c: Ctx): Promise<string | undefined> {
    const check = async (
      kind: KindRef<KubeObject>,
      ref: ObjectRef,
      at: string,
      names: { readonly resource: string; readonly what: string },
    ): Promise<string | undefined> =>
      this.#fault(await this.#o.objects.find(kind, { namespace: at, ...ref }, c), ref, names);
    if (secret !== undefined)
      return await check(Kinds.secrets, secret, namespace, { resource: 'secrets', what: 'secret' });
    if (pod !== undefined) return await check(Kinds.pods, pod, namespace, { resource: 'pods', what: 'pod' });
    // Beside a pod the node only tells where: the pod's end is the token's.
    return node === undefined ? undefined : await check(Kinds.nodes, node, '', { resource: 'nodes', what: 'node' });
  }

  #fault(
    found: DeepReadonly<KubeObject> | undefined,
    ref: ObjectRef,
    o: { readonly resource: string; readonly what: string },
  ): string | undefined {
    if (found === undefined) return `${o.resource} "${ref.name}" not found`;
    if (found.metadata.uid !== ref.uid)
      return `${o.what} UID (${found.metadata.uid ?? ''}) does not match claim (${ref.uid})`;
    const { deletionTimestamp } = found.metadata;
    if (deletionTimestamp === undefined) return undefined;
    // A pod's deletion timestamp lies at the end of its grace: until then it may use its token.
    return Date.parse(deletionTimestamp) < this.#o.clock.now() - LEEWAY_SECONDS * 1000 ? INVALIDATED : undefined;
  }

  #warnStale({ namespace, account, warnAfter }: AccountClaims): void {
    const lateSeconds = this.#o.clock.now() / 1000 - (warnAfter ?? Number.POSITIVE_INFINITY);
    if (lateSeconds > 0)
      this.#o.log.debug({ namespace, name: account.name, lateSeconds }, 'a token is used beyond what was asked for');
  }

  async #legacy(token: string, jwt: Jwt, audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const claims = readLegacyClaims(jwt.claims);
    if (typeof claims === 'string') return refused(claims);
    const { namespace, secretName, account } = claims;
    const matching = this.#matching([], audiences);
    if (matching.length === 0) return wrongAudience(this.#o.audiences, audiences);
    const key = { namespace, name: secretName };
    const secret: DeepReadonly<Secret> | undefined = await this.#o.objects.find(Kinds.secrets, key, c);
    const since = secret?.metadata.labels?.[INVALID_SINCE];
    if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return refused(INVALIDATED);
    if (!isSame(token, Buffer.from(secret.data?.['token'] ?? '', 'base64')))
      return refused("service account token does not match server's copy");
    const gone = await this.#accountFault(claims, c);
    if (gone !== undefined) return refused(gone);
    if (since !== undefined)
      return refused(
        `the token in secret ${namespace}/${secretName} for service account ${namespace}/${account.name} has been ` +
          "marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '" +
          `${INVALID_SINCE}' label from the secret to temporarily allow use of this token`,
      );
    const user = userOf({ ...claims, audiences: [], jti: undefined, warnAfter: undefined });
    return { outcome: 'authenticated', user, audiences: matching };
  }
}

function wrongAudience(token: readonly string[], asked: readonly string[]): TokenVerdict {
  return refused(`token audiences ${goList(token)} is invalid for the target audiences ${goList(asked)}`);
}

function isSame(token: string, stored: Buffer): boolean {
  const given = Buffer.from(token);
  return given.length === stored.length && timingSafeEqual(given, stored);
}

/** Go's %q of a list of strings. */
function goList(items: readonly string[]): string {
  return `[${items.map((i) => JSON.stringify(i)).join(' ')}]`;
}
