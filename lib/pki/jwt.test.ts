import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jwkOf, keyIdOf, keysOfSet } from './jwk.ts';
import {
  algorithmsOf,
  isSignedBy,
  JWT_ALGORITHMS,
  type JwtAlgorithm,
  parseJwt,
  signJwt,
  TOKEN_CHARACTERS_MAX,
  type VerifyingKey,
} from './jwt.ts';

interface Pair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const PAIRS: Readonly<Record<string, Pair>> = {
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
};
const OF: Readonly<Record<JwtAlgorithm, string>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
  RS256: 'rsa',
  RS384: 'rsa',
  RS512: 'rsa',
  PS256: 'rsa',
  PS384: 'rsa',
  PS512: 'rsa',
};
const pair = (name: string): Pair => PAIRS[name] as Pair;
const verifying = (publicKey: KeyObject): VerifyingKey => ({
  kid: 'k',
  algorithms: algorithmsOf(publicKey),
  publicKey,
});
const parsed = (token: string) => {
  const jwt = parseJwt(token);
  if (jwt === undefined) throw new Error('no token');
  return jwt;
};
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('JWT', () => {
  test.each(JWT_ALGORITHMS)('%s: what was signed verifies, and nothing else does', (algorithm) => {
    const { privateKey, publicKey } = pair(OF[algorithm]);
    const token = signJwt({ sub: 'x', n: 1 }, { kid: 'k', algorithm, privateKey });
    const jwt = parsed(token);
    expect(jwt).toMatchObject({ algorithm, kid: 'k', claims: { sub: 'x', n: 1 } });
    const key = verifying(publicKey);
    expect(isSignedBy(jwt, key)).toBe(true);
    const [head, , tail] = token.split('.');
    expect(isSignedBy(parsed(`${head}.${encode({ sub: 'y', n: 1 })}.${tail}`), key)).toBe(false);
    const others = Object.entries(PAIRS).filter(([name]) => name !== OF[algorithm]);
    for (const [, other] of others) expect(isSignedBy(jwt, verifying(other.publicKey))).toBe(false);
    const signature = Buffer.from(jwt.signature);
    signature[7] = (signature[7] ?? 0) ^ 1;
    expect(isSignedBy({ ...jwt, signature }, key)).toBe(false);
    expect(isSignedBy({ ...jwt, signature: jwt.signature.subarray(1) }, key)).toBe(false);
  });

  test('a verified token of RFC 7515 A.3 (ES256), and not with one octet changed', () => {
    const key = createPublicKey({
      key: {
        kty: 'EC',
        crv: 'P-256',
        x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
        y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
      },
      format: 'jwk',
    });
    const token =
      'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.' +
      'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q';
    expect(isSignedBy(parsed(token), verifying(key))).toBe(true);
    expect(isSignedBy(parsed(token.replace('.DtEh', '.EtEh')), verifying(key))).toBe(false);
  });

  test('algorithm confusion: none, HMAC with the public key, and an algorithm that the key is not for', () => {
    const { privateKey, publicKey } = pair('rsa');
    const key = verifying(publicKey);
    const body = encode({ sub: 'x' });
    expect(parseJwt(`${encode({ alg: 'none' })}.${body}.`)).toBeUndefined();
    expect(isSignedBy(parsed(`${encode({ alg: 'none' })}.${body}.AA`), key)).toBe(false);
    const signed = `${encode({ alg: 'HS256' })}.${body}`;
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    const hmac = createHmac('sha256', pem).update(signed).digest('base64url');
    expect(isSignedBy(parsed(`${signed}.${hmac}`), key)).toBe(false);
    const rs512 = signJwt({ sub: 'x' }, { kid: 'k', algorithm: 'RS512', privateKey });
    expect(isSignedBy(parsed(rs512), { ...key, algorithms: ['RS256'] })).toBe(false);
    // A key whose owner claims what it is not.
    expect(isSignedBy(parsed(rs512), { kid: 'k', algorithms: ['RS512'], publicKey: pair('P-256').publicKey })).toBe(
      false,
    );
  });

  test('no token: other texts, critical headers, arrays, sizes; reading never throws', () => {
    const body = encode({});
    for (const text of ['', 'a.b', 'a.b.c', `${body}.${body}.AA`, `${encode([])}.${body}.AA`, 'a.b.c.d'])
      expect(parseJwt(text)).toBeUndefined();
    const crit = encode({ alg: 'ES256', crit: ['exp'] });
    expect(parseJwt(`${crit}.${body}.AA`)).toBeUndefined();
    expect(parseJwt(`${encode({ alg: 'ES256', kid: 5 })}.${body}.AA`)).toBeUndefined();
    const long = encode({ a: 'x'.repeat(TOKEN_CHARACTERS_MAX) });
    expect(parseJwt(`${encode({ alg: 'ES256' })}.${long}.AA`)).toBeUndefined();
    fc.assert(
      fc.property(fc.string(), fc.json(), fc.json(), (text, head, claims) => {
        parseJwt(text);
        const b64 = (s: string): string => Buffer.from(s).toString('base64url');
        const jwt = parseJwt(`${b64(head)}.${b64(claims)}.AAAA`);
        if (jwt !== undefined) expect(isSignedBy(jwt, verifying(pair('P-256').publicKey))).toBe(false);
      }),
    );
  });
});

describe('JWK', () => {
  test('a published key verifies what its private half signed, and tells nothing private', () => {
    for (const [name, { privateKey }] of Object.entries(PAIRS)) {
      const publicKey = createPublicKey(privateKey);
      const kid = keyIdOf(publicKey);
      const algorithms = algorithmsOf(publicKey);
      const jwk = jwkOf({ kid, algorithms, publicKey });
      expect(Object.keys(jwk).sort()).toEqual(
        (name === 'rsa'
          ? ['use', 'kty', 'kid', 'alg', 'n', 'e']
          : ['use', 'kty', 'kid', 'alg', 'crv', 'x', 'y']
        ).sort(),
      );
      const [read] = keysOfSet({ keys: [jwk] }) ?? [];
      const token = signJwt({ a: 1 }, { kid, algorithm: algorithms[0] as JwtAlgorithm, privateKey });
      expect(read?.kid).toBe(kid);
      expect(read?.algorithms).toEqual([jwk.alg]);
      expect(isSignedBy(parsed(token), read as VerifyingKey)).toBe(true);
    }
  });

  test('entries for other purposes, weak and broken ones are passed over; a set without kid and alg is read', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
    const good = pair('P-256').publicKey.export({ format: 'jwk' });
    const keys = [
      weak,
      { ...good, use: 'enc' },
      { kty: 'oct', k: 'AAAA' },
      { ...good, x: 'short' },
      { ...good, alg: 'ES384' },
      null,
      'x',
      good,
    ];
    const read = keysOfSet({ keys });
    expect(read).toHaveLength(1);
    expect(read?.[0]).toMatchObject({ kid: undefined, algorithms: ['ES256'] });
    for (const value of [undefined, null, [], {}, { keys: 5 }]) expect(keysOfSet(value)).toBeUndefined();
  });

  test("a key's id is the hash of its SubjectPublicKeyInfo, of the private half as of the public one", () => {
    const { privateKey, publicKey } = pair('P-256');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    expect(keyIdOf(createPublicKey(createPrivateKey(pem)))).toBe(keyIdOf(publicKey));
    expect(keyIdOf(publicKey)).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });
});
