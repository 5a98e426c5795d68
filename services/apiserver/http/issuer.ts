/**
 * What relying parties need to verify this cluster's service account tokens themselves: the discovery document and the key
 * set. Source: kubernetes pkg/serviceaccount/openidmetadata.go; OpenID Connect Discovery 1.0 clause 3; RFC 7517 5.
 */
import { jwkOf, type TokenKeys } from '#lib/pki';

export const JWKS_PATH = '/openid/v1/jwks';
export const DISCOVERY_PATH = '/.well-known/openid-configuration';
/** Relying parties may keep both for an hour. */
const CACHE_CONTROL = 'public, max-age=3600';

export interface IssuerDocument {
  readonly bytes: Buffer;
  readonly contentType: string;
  readonly cacheControl: string;
}

export interface Issuer {
  readonly issuer: string;
  readonly jwksUri: string;
  readonly keys: TokenKeys;
}

/** The keys may rotate, so each answer is made of those there are now. undefined for every other path. */
export function issuerDocument(path: string, o: Issuer): IssuerDocument | undefined {
  const verifiers = o.keys.verifiers();
  if (path === JWKS_PATH) return document({ keys: verifiers.map(jwkOf) }, 'application/jwk-set+json');
  if (path !== DISCOVERY_PATH) return undefined;
  const algorithms = [...new Set(verifiers.flatMap((k) => k.algorithms))].sort();
  return document(
    {
      issuer: o.issuer,
      jwks_uri: o.jwksUri,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: algorithms,
    },
    'application/json',
  );
}

function document(value: object, contentType: string): IssuerDocument {
  return { bytes: Buffer.from(JSON.stringify(value)), contentType, cacheControl: CACHE_CONTROL };
}
