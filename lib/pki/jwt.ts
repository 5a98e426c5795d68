/**
 * JSON Web Tokens in compact form: made, taken apart and verified (RFC 7515, RFC 7518 3, RFC 7519) with node:crypto.
 *
 * Safe against algorithm confusion: a key says itself which algorithms it is for (`VerifyingKey.algorithms`), the header
 * only chooses among them; `none` and the HMAC family do not exist here; a `crit` header is refused, since we know no
 * extension (RFC 7515 4.1.11). Reading never throws: what is no token gives undefined.
 */
import { constants, type KeyObject, sign, verify } from 'node:crypto';

/** Longer texts are no token for us: a request's headers end at 16 KiB anyway, and a TokenReview must not cost more. */
export const TOKEN_CHARACTERS_MAX = 64 * 1024;

interface Suite {
  readonly hash: string;
  readonly keyType: 'ec' | 'rsa';
  /** Of ECDSA: the one curve that goes with the algorithm (RFC 7518 3.4), and the bytes of a signature. */
  readonly curve?: { readonly name: string; readonly signatureBytes: number };
  readonly isPss?: boolean;
}

const SUITES = {
  ES256: { hash: 'sha256', keyType: 'ec', curve: { name: 'prime256v1', signatureBytes: 64 } },
  ES384: { hash: 'sha384', keyType: 'ec', curve: { name: 'secp384r1', signatureBytes: 96 } },
  ES512: { hash: 'sha512', keyType: 'ec', curve: { name: 'secp521r1', signatureBytes: 132 } },
  RS256: { hash: 'sha256', keyType: 'rsa' },
  RS384: { hash: 'sha384', keyType: 'rsa' },
  RS512: { hash: 'sha512', keyType: 'rsa' },
  PS256: { hash: 'sha256', keyType: 'rsa', isPss: true },
  PS384: { hash: 'sha384', keyType: 'rsa', isPss: true },
  PS512: { hash: 'sha512', keyType: 'rsa', isPss: true },
} as const satisfies Record<string, Suite>;

export type JwtAlgorithm = keyof typeof SUITES;

export const JWT_ALGORITHMS: readonly JwtAlgorithm[] = Object.keys(SUITES) as JwtAlgorithm[];

const RSA_BITS_MIN = 2048;

export interface SigningKey {
  readonly kid: string;
  readonly algorithm: JwtAlgorithm;
  readonly privateKey: KeyObject;
}

export interface VerifyingKey {
  /** Absent in key sets that do not name their keys. */
  readonly kid: string | undefined;
  readonly algorithms: readonly JwtAlgorithm[];
  readonly publicKey: KeyObject;
}

export type JwtClaims = Readonly<Record<string, unknown>>;

export interface Jwt {
  readonly algorithm: string;
  readonly kid: string | undefined;
  /** Nothing in it is true before `isSignedBy` has said so. */
  readonly claims: JwtClaims;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

export function signJwt(claims: JwtClaims, key: SigningKey): string {
  const head = part({ alg: key.algorithm, kid: key.kid });
  const signed = `${head}.${part(claims)}`;
  const suite: Suite = SUITES[key.algorithm];
  const signature = sign(suite.hash, Buffer.from(signed), { key: key.privateKey, ...keyOptions(suite) });
  return `${signed}.${signature.toString('base64url')}`;
}

/** The token's parts, unverified; undefined for anything that is not a JWS of three parts holding JSON objects. */
export function parseJwt(token: string): Jwt | undefined {
  if (token.length > TOKEN_CHARACTERS_MAX) return undefined;
  const match = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(token);
  if (match === null) return undefined;
  const [, head = '', body = '', tail = ''] = match;
  const header = jsonObject(head);
  const claims = jsonObject(body);
  if (header === undefined || claims === undefined || Object.hasOwn(header, 'crit')) return undefined;
  const { alg: algorithm, kid } = header;
  if (typeof algorithm !== 'string' || (kid !== undefined && typeof kid !== 'string')) return undefined;
  const signature = Buffer.from(tail, 'base64url');
  return { algorithm, kid, claims, signed: Buffer.from(`${head}.${body}`), signature };
}

/** Whether `key` made the signature, by an algorithm that the key is for. */
export function isSignedBy(jwt: Jwt, key: VerifyingKey): boolean {
  const algorithm = key.algorithms.find((a) => a === jwt.algorithm);
  if (algorithm === undefined || !fits(key.publicKey, algorithm)) return false;
  const suite: Suite = SUITES[algorithm];
  if (suite.curve !== undefined && jwt.signature.length !== suite.curve.signatureBytes) return false;
  try {
    return verify(suite.hash, jwt.signed, { key: key.publicKey, ...keyOptions(suite) }, jwt.signature);
  } catch {
    // OpenSSL refuses the form of the signature: it is not this key's.
    return false;
  }
}

/** What a public key may be used for; none for keys too weak or of another kind. */
export function algorithmsOf(key: KeyObject): readonly JwtAlgorithm[] {
  return JWT_ALGORITHMS.filter((a) => fits(key, a));
}

function fits(key: KeyObject, algorithm: JwtAlgorithm): boolean {
  const suite: Suite = SUITES[algorithm];
  if (key.asymmetricKeyType !== suite.keyType) return false;
  const details = key.asymmetricKeyDetails;
  if (suite.curve !== undefined) return details?.namedCurve === suite.curve.name;
  return (details?.modulusLength ?? 0) >= RSA_BITS_MIN;
}

function keyOptions(suite: Suite): { dsaEncoding?: 'ieee-p1363'; padding?: number; saltLength?: number } {
  if (suite.keyType === 'ec') return { dsaEncoding: 'ieee-p1363' };
  if (suite.isPss !== true) return { padding: constants.RSA_PKCS1_PADDING };
  return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function jsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return value as Readonly<Record<string, unknown>>;
  } catch {
    // Not JSON: no token.
    return undefined;
  }
}
