/**
 * Three bytes before every stored value: {format version, flags, index in the group}. The version lets an older server
 * refuse what a newer one wrote, instead of misreading it; the index makes the revisions of one group commit different
 * (design.md 0.9).
 */
import { assert, StatusError } from '#lib/base';

const FORMAT_VERSION = 1;
/** Bit 0: the body is sealed (encrypted, with the etcd key as associated data). */
const FLAG_SEALED = 1;
const HEADER_BYTES = 3;

export interface StoredValue {
  readonly index: number;
  readonly sealed: boolean;
  readonly body: Buffer;
}

export function encodeValue(body: Buffer, index: number, sealed: boolean): Buffer {
  assert(index >= 0 && index < 127, `index ${index} in a group is outside 0..126`);
  const out = Buffer.allocUnsafe(HEADER_BYTES + body.byteLength);
  out[0] = FORMAT_VERSION;
  out[1] = sealed ? FLAG_SEALED : 0;
  out[2] = index;
  body.copy(out, HEADER_BYTES);
  return out;
}

/** Copies the body, so that one small value kept in a cache does not hold the whole message it came in. */
export function decodeValue(key: string, stored: Buffer): StoredValue {
  const [version, flags, index] = stored;
  if (version !== FORMAT_VERSION || flags === undefined || index === undefined)
    throw new StatusError('Internal', `${key} was stored in format ${version ?? 'none'}; this server reads format 1`);
  if ((flags & ~FLAG_SEALED) !== 0)
    throw new StatusError('Internal', `${key} was stored with flags ${flags} that this server does not know`);
  return { index, sealed: (flags & FLAG_SEALED) !== 0, body: Buffer.from(stored.subarray(HEADER_BYTES)) };
}
