/**
 * Digests as the distribution protocol allows them: `sha256:` (the platform's own `Digest`, lib/base) and `sha512:`, which a
 * registry must accept but nothing of ours makes. Hex is lower case; anything else is not a digest.
 * Source: image-spec descriptor.md#digests (https://github.com/opencontainers/image-spec/blob/main/descriptor.md).
 */
import { createHash, type Hash } from 'node:crypto';
import { StatusError } from '#lib/base';

/** `sha256:<64 hex>` or `sha512:<128 hex>`; every `Digest` is one. */
export type AnyDigest = string & { readonly __brand: 'Digest' | 'Sha512Digest' };
export type DigestAlgorithm = 'sha256' | 'sha512';

const PATTERN = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

export function isAnyDigest(text: string): text is AnyDigest {
  return PATTERN.test(text);
}

/** Throws Invalid for anything but a well-formed digest of a supported algorithm. */
export function parseAnyDigest(text: string): AnyDigest {
  if (!isAnyDigest(text))
    throw new StatusError('Invalid', `"${text}" is not a digest of the form sha256:<64 hex digits> or sha512:<128>`);
  return text;
}

export function algorithmOf(d: AnyDigest): DigestAlgorithm {
  return d.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The part after the colon. */
export function encodedOf(d: AnyDigest): string {
  return d.slice(d.indexOf(':') + 1);
}

/** The digest a finished hash of `algorithm` stands for; consumes the hash. */
export function digestOf(algorithm: DigestAlgorithm, hash: Hash): AnyDigest {
  return parseAnyDigest(`${algorithm}:${hash.digest('hex')}`);
}

export function digestBytes(algorithm: DigestAlgorithm, bytes: string | Uint8Array): AnyDigest {
  return digestOf(algorithm, createHash(algorithm).update(bytes));
}
