/**
 * A sealed value: AES-256-GCM over the bytes of an object, bound to the etcd key it lies under.
 *
 *   version 1 | provider 1 | length of ref 2 | ref | salt 16 | nonce 12 | ciphertext | tag 16
 *
 * `ref` says which key opens it, in the provider's own terms. What encrypts is HMAC-SHA256(key, salt), where a process draws a
 * salt at random for each 2^20 values: random nonces under one AES-GCM key are good for 2^32 values only (NIST SP 800-38D 8.3),
 * and a key of the key file lives for years, in several processes. (kubernetes derives keys for the same reason, KEP-3299.)
 * Additional data: everything before the salt, then the etcd key. A value copied under another key does not open.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { StatusError } from '#lib/base';

const VERSION = 1;
const PREFIX_BYTES = 4;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const REF_BYTES_MAX = 0xffff;
const ALGORITHM = 'aes-256-gcm';
/** Values that one salt serves, and derived keys that are kept. */
const SALT_USES_MAX = 2 ** 20;
const DERIVED_MAX = 1_024;
const DERIVATION = 'berth sealed value v1';

export const KEY_BYTES = 32;

/** `local`: a key of the key file; `kms`: a data-encryption key wrapped by a KMS plugin. */
export type Provider = 'local' | 'kms';

const PROVIDERS: readonly (readonly [Provider, number])[] = [
  ['local', 1],
  ['kms', 2],
];

export interface Envelope {
  readonly provider: Provider;
  readonly ref: Buffer;
  /** Version, provider, ref: authenticated, not encrypted. */
  readonly header: Buffer;
  readonly salt: Buffer;
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/** One key (32 bytes), and what was derived of it. */
export class KeyCipher {
  readonly #key: Buffer;
  /** By salt, oldest first. */
  readonly #derived = new Map<string, Buffer>();
  #salt = Buffer.alloc(0);
  #saltUses = SALT_USES_MAX;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** `storeKey`: where the value is going to lie. */
  seal(o: {
    readonly provider: Provider;
    readonly ref: Buffer;
    readonly storeKey: string;
    readonly value: Buffer;
  }): Buffer {
    if (this.#saltUses >= SALT_USES_MAX) {
      this.#salt = randomBytes(SALT_BYTES);
      this.#saltUses = 0;
    }
    this.#saltUses++;
    const header = headerOf(o.provider, o.ref);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#keyOf(this.#salt), nonce);
    cipher.setAAD(additionalData(header, o.storeKey));
    const ciphertext = cipher.update(o.value);
    cipher.final();
    return Buffer.concat([header, this.#salt, nonce, ciphertext, cipher.getAuthTag()]);
  }

  /** Throws Internal when the value was not sealed with this key, for this place, or was changed since. */
  open(envelope: Envelope, storeKey: string): Buffer {
    const decipher = createDecipheriv(ALGORITHM, this.#keyOf(envelope.salt), envelope.nonce, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(additionalData(envelope.header, storeKey));
    decipher.setAuthTag(envelope.tag);
    const value = decipher.update(envelope.ciphertext);
    try {
      decipher.final();
    } catch (e) {
      throw damaged(storeKey, 'it was changed, or moved here from another key', e);
    }
    return value;
  }

  #keyOf(salt: Buffer): Buffer {
    const id = salt.toString('latin1');
    const known = this.#derived.get(id);
    if (known !== undefined) return known;
    const made = createHmac('sha256', this.#key).update(DERIVATION).update(salt).digest();
    this.#derived.set(id, made);
    const [oldest] = this.#derived.keys();
    if (this.#derived.size > DERIVED_MAX && oldest !== undefined) this.#derived.delete(oldest);
    return made;
  }
}

/** Throws Internal for what is no envelope of a version and provider that this server knows. */
export function parseEnvelope(storeKey: string, sealed: Buffer): Envelope {
  if (sealed.byteLength < PREFIX_BYTES) throw damaged(storeKey, 'it is cut off');
  const [version, provider] = sealed;
  if (version !== VERSION)
    throw damaged(storeKey, `it was sealed in format ${String(version)}; this server reads format ${VERSION}`);
  const known = PROVIDERS.find(([, number]) => number === provider)?.[0];
  if (known === undefined) throw damaged(storeKey, `it was sealed by provider ${String(provider)}, which is not known`);
  const saltAt = PREFIX_BYTES + sealed.readUInt16BE(2);
  const nonceAt = saltAt + SALT_BYTES;
  const bodyAt = nonceAt + NONCE_BYTES;
  const tagAt = sealed.byteLength - TAG_BYTES;
  if (tagAt < bodyAt) throw damaged(storeKey, 'it is cut off');
  return {
    provider: known,
    ref: sealed.subarray(PREFIX_BYTES, saltAt),
    header: sealed.subarray(0, saltAt),
    salt: sealed.subarray(saltAt, nonceAt),
    nonce: sealed.subarray(nonceAt, bodyAt),
    ciphertext: sealed.subarray(bodyAt, tagAt),
    tag: sealed.subarray(tagAt),
  };
}

function headerOf(provider: Provider, ref: Buffer): Buffer {
  const number = PROVIDERS.find(([name]) => name === provider)?.[1] ?? 0;
  if (ref.byteLength > REF_BYTES_MAX) throw new StatusError('Internal', `a key reference of ${ref.byteLength} bytes`);
  const header = Buffer.alloc(PREFIX_BYTES + ref.byteLength);
  header[0] = VERSION;
  header[1] = number;
  header.writeUInt16BE(ref.byteLength, 2);
  ref.copy(header, PREFIX_BYTES);
  return header;
}

/** The header tells its own length, so that no two pairs give the same bytes. */
function additionalData(header: Buffer, storeKey: string): Buffer {
  return Buffer.concat([header, Buffer.from(storeKey)]);
}

function damaged(storeKey: string, why: string, cause?: unknown): StatusError {
  return new StatusError('Internal', `the value of ${storeKey} cannot be opened: ${why}`, { cause });
}
