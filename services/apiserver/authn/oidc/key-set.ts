/**
 * The signing keys of one OIDC issuer: found by discovery at the first token, kept, and read again when a token names a key
 * that is not among them or when they are old. Whoever sends tokens with invented key ids causes one reading in ten seconds.
 * Source: OpenID Connect Discovery 1.0 clauses 4 and 4.3; RFC 7517.
 */
import { type Clock, type Ctx, type Logger, raceAbort, StatusError } from '#lib/base';
import { keysOfSet, type VerifyingKey } from '#lib/pki';

const RETRY_MS = 10_000;
/** A key that the issuer has withdrawn is believed no longer than this. */
const AGE_MS_MAX = 10 * 60_000;

export interface DocumentSource {
  get(url: string, c: Ctx): Promise<unknown>;
}

export interface OidcKeySetOptions {
  readonly issuerUrl: string;
  /** Of the discovery document; '' or absent = below the issuer's. */
  readonly discoveryUrl?: string | undefined;
  readonly documents: DocumentSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of this process: a reading outlives the request that began it. */
  readonly signal: AbortSignal;
}

export class OidcKeySet {
  readonly #o: OidcKeySetOptions;
  #keys: readonly VerifyingKey[] | undefined;
  #loadedAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;

  constructor(o: OidcKeySetOptions) {
    this.#o = o;
  }

  /** Keys that may have signed a token of this key id. undefined while nothing could be read from the issuer. */
  async keysFor(kid: string | undefined, c: Ctx): Promise<readonly VerifyingKey[] | undefined> {
    const isOld = this.#o.clock.monotonic() - this.#loadedAtMs > AGE_MS_MAX;
    const known = this.#matching(kid);
    if (!isOld && known !== undefined && known.length > 0) return known;
    await this.#refresh(c);
    return this.#matching(kid);
  }

  /** A key without an id may be any. */
  #matching(kid: string | undefined): readonly VerifyingKey[] | undefined {
    return this.#keys?.filter((k) => kid === undefined || k.kid === undefined || k.kid === kid);
  }

  /** Shared by all that wait; a failure leaves the keys as they were. */
  async #refresh(c: Ctx): Promise<void> {
    const now = this.#o.clock.monotonic();
    if (this.#loading === undefined) {
      if (now - this.#triedAtMs < RETRY_MS) return;
      this.#triedAtMs = now;
      this.#loading = this.#load().finally(() => {
        this.#loading = undefined;
      });
    }
    await raceAbort(this.#loading, c.signal);
  }

  async #load(): Promise<void> {
    const { issuerUrl, discoveryUrl, documents, signal, clock, log } = this.#o;
    const c: Ctx = { signal, clock, log };
    try {
      const place = discoveryUrl || `${issuerUrl.replace(/\/$/, '')}/.well-known/openid-configuration`;
      const discovery = await documents.get(place, c);
      const { issuer, jwks_uri: jwksUri } = (discovery ?? {}) as { issuer?: unknown; jwks_uri?: unknown };
      if (issuer !== issuerUrl || typeof jwksUri !== 'string')
        throw new StatusError('Invalid', 'issuer did not match the issuer returned by provider, or it names no keys');
      const keys = keysOfSet(await documents.get(jwksUri, c));
      if (keys === undefined) throw new StatusError('Invalid', `${jwksUri} is no key set`);
      this.#keys = keys;
      this.#loadedAtMs = clock.monotonic();
    } catch (err) {
      if (!signal.aborted) log.warn({ err, issuer: issuerUrl }, 'the keys of an OIDC issuer could not be read');
    }
  }
}
