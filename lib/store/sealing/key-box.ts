/**
 * Handing a key to another server through etcd, so that neither who reads etcd nor who holds an old key alone learns it.
 *
 * A member says its X25519 public key, with a proof (HMAC) that it holds a key of the cluster already. The giver makes a key
 * pair for this one box; the box is closed with HKDF-SHA256 over the shared secret of both pairs and the key they share, so
 * that only a holder of that key can have made it, and only the member, while it lives, can open it (RFC 7748, RFC 5869).
 * The private key never leaves the member's memory: an old key that leaks later opens no box of before.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { KEY_BYTES } from './envelope.ts';
import type { LocalKey } from './key-file.ts';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface BoxPair {
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

export interface KeyBox {
  /** Id of the key that giver and member share. */
  readonly sharedId: string;
  /** The giver's public key of this box. */
  readonly publicKey: string;
  /** nonce, ciphertext, tag; base64. */
  readonly sealed: string;
  readonly createdAtMs: number;
}

export function newBoxPair(): BoxPair {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return { publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'), privateKey };
}

export function memberProof(shared: LocalKey, memberId: string, publicKey: string): string {
  return createHmac('sha256', shared.secret)
    .update(`berth sealing member v1\0${memberId}\0${publicKey}`)
    .digest('base64');
}

export function isMemberProof(shared: LocalKey, o: { memberId: string; publicKey: string; proof: string }): boolean {
  const wanted = Buffer.from(memberProof(shared, o.memberId, o.publicKey));
  const given = Buffer.from(o.proof);
  return wanted.byteLength === given.byteLength && timingSafeEqual(wanted, given);
}

/** Throws when the member's public key is none. */
export function closeBox(key: LocalKey, o: { memberId: string; memberKey: string; shared: LocalKey }): KeyBox {
  const own = newBoxPair();
  const boxKey = deriveKey(own.privateKey, o.memberKey, {
    shared: o.shared,
    salt: own.publicKey + o.memberKey,
    info: `${o.memberId}\0${key.id}`,
  });
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, boxKey, nonce);
  const ciphertext = cipher.update(key.secret);
  cipher.final();
  const sealed = Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]).toString('base64');
  return { sharedId: o.shared.id, publicKey: own.publicKey, sealed, createdAtMs: key.createdAtMs };
}

/** undefined when the box was not made for this member, for this key, by a holder of the shared one. */
export function openBox(
  box: KeyBox,
  o: { id: string; memberId: string; own: BoxPair; shared: LocalKey },
): LocalKey | undefined {
  try {
    const boxKey = deriveKey(o.own.privateKey, box.publicKey, {
      shared: o.shared,
      salt: box.publicKey + o.own.publicKey,
      info: `${o.memberId}\0${o.id}`,
    });
    const bytes = Buffer.from(box.sealed, 'base64');
    const decipher = createDecipheriv(ALGORITHM, boxKey, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const secret = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    return secret.byteLength === KEY_BYTES ? { id: o.id, secret, createdAtMs: box.createdAtMs } : undefined;
  } catch {
    return undefined; // not ours: whoever may write to etcd may have put it there
  }
}

function deriveKey(
  privateKey: KeyObject,
  publicKey: string,
  o: { shared: LocalKey; salt: string; info: string },
): Buffer {
  const other = createPublicKey({ key: Buffer.from(publicKey, 'base64'), type: 'spki', format: 'der' });
  const secret = Buffer.concat([diffieHellman({ privateKey, publicKey: other }), o.shared.secret]);
  return Buffer.from(hkdfSync('sha256', secret, o.salt, `berth sealing box v1\0${o.info}`, KEY_BYTES));
}
