/**
 * Private keys in files, for an agent of our own: OpenSSH's format, PKCS #1, SEC 1 and PKCS #8, all without a passphrase.
 * Sources: OpenSSH PROTOCOL.key; RFC 4253 6.6, RFC 5656 3.1, RFC 8332 3, RFC 8709 4. Pure.
 */
import { createPrivateKey, type JsonWebKey, type KeyObject, sign } from 'node:crypto';
import { StatusError } from '#lib/base';

const MAGIC = 'openssh-key-v1\0';
const OPENSSH = /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----/;
const CURVES = [
  { crv: 'P-256', name: 'nistp256', bytes: 32, hash: 'sha256' },
  { crv: 'P-384', name: 'nistp384', bytes: 48, hash: 'sha384' },
  { crv: 'P-521', name: 'nistp521', bytes: 66, hash: 'sha512' },
] as const;
/** SSH_AGENT_RSA_SHA2_256 and _512. SHA-1 is not signed with. */
const RSA_HASHES = [
  { flag: 4, name: 'rsa-sha2-512', hash: 'sha512' },
  { flag: 2, name: 'rsa-sha2-256', hash: 'sha256' },
] as const;

export interface SshKey {
  /** The public key, as SSH writes it. */
  readonly blob: Buffer;
  /** Undefined: not with these flags. */
  sign(data: Buffer, flags: number): Buffer | undefined;
}

/** Reads SSH's fields one after the other. Throws Invalid where the bytes end. */
export class Fields {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(length: number): Buffer {
    const out = this.#bytes.subarray(this.#at, this.#at + length);
    if (out.length < length) throw new StatusError('Invalid', 'it ends too early');
    this.#at += length;
    return out;
  }

  number(): number {
    return this.take(4).readUInt32BE(0);
  }

  string(): Buffer {
    return this.take(this.number());
  }
}

export function string(bytes: Uint8Array | string): Buffer {
  const data = Buffer.from(bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
}

/** Throws Invalid. */
export function parsePrivateKey(text: string): SshKey {
  const own = OPENSSH.exec(text)?.[1];
  try {
    return sshKey(own === undefined ? createPrivateKey(text) : opensshKey(Buffer.from(own, 'base64')));
  } catch (e) {
    if (e instanceof StatusError) throw e;
    throw new StatusError('Invalid', 'it is no private key without a passphrase', { cause: e });
  }
}

function opensshKey(bytes: Buffer): KeyObject {
  const f = new Fields(bytes);
  if (f.take(MAGIC.length).toString('latin1') !== MAGIC) throw new StatusError('Invalid', 'it is no OpenSSH key');
  const cipher = f.string().toString();
  f.string();
  f.string();
  if (cipher !== 'none')
    throw new StatusError('Invalid', 'it has a passphrase: add it to an agent, and name the socket of that');
  if (f.number() !== 1) throw new StatusError('Invalid', 'it holds more than one key');
  f.string();
  const key = new Fields(f.string());
  const check = key.number();
  if (key.number() !== check) throw new StatusError('Invalid', 'it is damaged');
  return createPrivateKey({ format: 'jwk', key: jwkOf(key.string().toString(), key) });
}

function jwkOf(type: string, f: Fields): JsonWebKey {
  if (type === 'ssh-ed25519') {
    const x = base64(f.string());
    return { kty: 'OKP', crv: 'Ed25519', x, d: base64(f.string().subarray(0, 32)) };
  }
  if (type === 'ssh-rsa') {
    const [n, e, d, qi, p, q] = [f.string(), f.string(), f.string(), f.string(), f.string(), f.string()].map(unsigned);
    if (!n || !e || !d || !qi || !p || !q) throw new StatusError('Invalid', 'it is damaged');
    const [dp, dq] = [p, q].map((prime) => bytesOf(integer(d) % (integer(prime) - 1n)));
    const all = { n, e, d, p, q, dp: dp ?? d, dq: dq ?? d, qi };
    return { kty: 'RSA', ...Object.fromEntries(Object.entries(all).map(([k, v]) => [k, base64(v)])) };
  }
  const curve = CURVES.find(({ name }) => type === `ecdsa-sha2-${name}`);
  if (curve === undefined) throw new StatusError('Invalid', `keys of type ${type} are not supported`);
  f.string();
  const point = f.string();
  const { bytes, crv } = curve;
  const [x, y] = [base64(point.subarray(1, 1 + bytes)), base64(point.subarray(1 + bytes))];
  return { kty: 'EC', crv, x, y, d: base64(padded(unsigned(f.string()), bytes)) };
}

function sshKey(key: KeyObject): SshKey {
  const { kty, crv, x = '', y = '', n = '', e = '' } = key.export({ format: 'jwk' });
  const raw = (text: string): Buffer => Buffer.from(text, 'base64url');
  if (kty === 'OKP' && crv === 'Ed25519')
    return {
      blob: Buffer.concat([string('ssh-ed25519'), string(raw(x))]),
      sign: (data) => Buffer.concat([string('ssh-ed25519'), string(sign(null, data, key))]),
    };
  if (kty === 'RSA')
    return {
      blob: Buffer.concat([string('ssh-rsa'), mpint(raw(e)), mpint(raw(n))]),
      sign: (data, flags) => {
        const way = RSA_HASHES.find(({ flag }) => (flags & flag) !== 0);
        return way && Buffer.concat([string(way.name), string(sign(way.hash, data, key))]);
      },
    };
  const curve = CURVES.find((each) => each.crv === crv);
  if (curve === undefined) throw new StatusError('Invalid', `keys of type ${crv ?? kty} are not supported`);
  const type = `ecdsa-sha2-${curve.name}`;
  return {
    blob: Buffer.concat([string(type), string(curve.name), string(Buffer.concat([Buffer.of(4), raw(x), raw(y)]))]),
    sign: (data) => {
      const both = sign(curve.hash, data, { key, dsaEncoding: 'ieee-p1363' });
      const parts = [both.subarray(0, curve.bytes), both.subarray(curve.bytes)].map(mpint);
      return Buffer.concat([string(type), string(Buffer.concat(parts))]);
    },
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function integer(bytes: Buffer): bigint {
  return BigInt(`0x0${bytes.toString('hex')}`);
}

function bytesOf(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

/** Without zeros in front. */
function unsigned(bytes: Buffer): Buffer {
  const at = bytes.findIndex((b) => b !== 0);
  return at < 0 ? Buffer.alloc(0) : bytes.subarray(at);
}

function padded(bytes: Buffer, length: number): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(0, length - bytes.length)), bytes]);
}

/** A zero in front of what would be negative. */
function mpint(bytes: Buffer): Buffer {
  const short = unsigned(bytes);
  return string((short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), short]) : short);
}
