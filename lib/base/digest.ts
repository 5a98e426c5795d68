/** Content digests `sha256:<64 hex>` (OCI image-spec, descriptor.md#digests). */
import { hash } from 'node:crypto';
import { StatusError } from './errors.ts';

export type Digest = string & { readonly __brand: 'Digest' };

const PATTERN = /^sha256:[a-f0-9]{64}$/;

export function isDigest(text: string): text is Digest {
  return PATTERN.test(text);
}

/** Throws Invalid for anything but a well-formed sha256 digest. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new StatusError('Invalid', `"${text}" is not a digest of the form sha256:<64 hex digits>`);
  return text;
}

export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${hash('sha256', data, 'hex')}` as Digest;
}

export function hexOf(d: Digest): string {
  return d.slice('sha256:'.length);
}
