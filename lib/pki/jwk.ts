/** JSON Web Keys: public keys as an issuer publishes them (RFC 7517, RFC 7518 6), read and written. */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { algorithmsOf, type VerifyingKey } from './jwt.ts';

/** Of one issuer: no honest set comes near. */
const KEYS_MAX = 128;

export interface Jwk {
  readonly use: 'sig';
  readonly kty: string;
  readonly kid: string;
  readonly alg: string;
  readonly [member: string]: unknown;
}

/** Names a key by its content, as kube-apiserver does: SHA-256 of the DER SubjectPublicKeyInfo, base64url. */
export function keyIdOf(publicKey: KeyObject): string {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64url');
}

/** Only what is public, whatever the key. */
export function jwkOf(key: VerifyingKey & { readonly kid: string }): Jwk {
  const { kty = '', crv, x, y, n, e } = key.publicKey.export({ format: 'jwk' });
  const members = kty === 'EC' ? { crv, x, y } : { n, e };
  return { use: 'sig', kty, kid: key.kid, alg: key.algorithms[0] ?? '', ...members };
}

/**
 * The signature keys of a key set; entries that are for something else or that we cannot use are passed over (RFC 7517 5).
 * undefined when `value` is no key set.
 */
export function keysOfSet(value: unknown): readonly VerifyingKey[] | undefined {
  if (typeof value !== 'object' || value === null || !('keys' in value) || !Array.isArray(value.keys)) return undefined;
  const keys: VerifyingKey[] = [];
  for (const entry of value.keys.slice(0, KEYS_MAX) as unknown[]) {
    const key = keyOf(entry);
    if (key !== undefined) keys.push(key);
  }
  return keys;
}

function keyOf(entry: unknown): VerifyingKey | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const { kty, use, alg, kid, crv, x, y, n, e } = entry as Record<string, unknown>;
  if (use !== undefined && use !== 'sig') return undefined;
  if (kty !== 'EC' && kty !== 'RSA') return undefined;
  try {
    const publicKey = createPublicKey({ key: { kty, crv, x, y, n, e } as JsonWebKey, format: 'jwk' });
    const algorithms = algorithmsOf(publicKey).filter((a) => alg === undefined || a === alg);
    if (algorithms.length === 0) return undefined;
    return { kid: typeof kid === 'string' ? kid : undefined, algorithms, publicKey };
  } catch {
    // A curve or a form that node:crypto does not know.
    return undefined;
  }
}
