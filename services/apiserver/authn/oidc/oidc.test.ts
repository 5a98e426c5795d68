import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Ctx, Scope, silentLogger, VirtualClock } from '#lib/base';
import { createCa, issue, type JwtAlgorithm, type KeyPair, keyIdOf, signJwt } from '#lib/pki';
import { OidcProvider } from '../../testing/oidc-provider.ts';
import { startTestServer, testContext } from '../../testing/server.ts';
import { OidcAuthenticator } from './authenticator.ts';
import { OidcIssuers } from './issuers.ts';
import type { IssuerSpec, JwtAuthenticatorSpec } from './spec.ts';

const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const OTHER = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

let ca: KeyPair;
let tls: KeyPair;
let scope: Scope;
beforeAll(async () => {
  ca = await createCa('oidc');
  tls = await issue(ca, { commonName: 'id', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 });
});
afterEach(async () => {
  await scope[Symbol.asyncDispose]();
});

function specOf(issuer: Partial<IssuerSpec>): JwtAuthenticatorSpec {
  return {
    issuer: { url: 'https://id.example', audiences: ['kube'], certificateAuthority: ca.certPem, ...issuer },
    claimMappings: { username: { claim: 'sub', prefix: '' } },
  };
}

interface World {
  readonly provider: OidcProvider;
  readonly clock: VirtualClock;
  token(claims?: object, o?: { key?: KeyObject; algorithm?: JwtAlgorithm; kid?: string }): string;
  verdict(token: string): Promise<unknown>;
}

async function world(change: Partial<IssuerSpec> = {}): Promise<World> {
  scope = new Scope('oidc test');
  const clock = new VirtualClock();
  const c: Ctx = { signal: scope.signal, clock, log: silentLogger };
  const provider = new OidcProvider(tls, [RSA]);
  await provider.start();
  scope.own({ [Symbol.asyncDispose]: () => provider.stop() });
  const authenticator = scope.own(
    new OidcAuthenticator(specOf({ url: provider.issuer, ...change }), {
      clock,
      log: silentLogger,
      signal: scope.signal,
    }),
  );
  return {
    provider,
    clock,
    token: (claims = {}, { key = RSA, algorithm = 'RS256', kid } = {}) => {
      const known = kid ?? keyIdOf(createPublicKey(key));
      const all = { iss: provider.issuer, aud: 'kube', sub: 'jane', exp: clock.now() / 1000 + 60, ...claims };
      return signJwt(all, { kid: known, algorithm, privateKey: key });
    },
    verdict: (token) => authenticator.authenticateToken(token, [], c),
  };
}

const JANE = { outcome: 'authenticated', user: { name: 'jane', groups: [] } };
const refusal = (why: string) => ({ outcome: 'refused', why: expect.stringContaining(why) });

describe('OIDC', () => {
  test('a token of the issuer: found by discovery, verified by its keys, both read once', async () => {
    const { verdict, token, provider } = await world();
    const found = await Promise.all([verdict(token()), verdict(token({ aud: ['x', 'kube'] })), verdict(token())]);
    expect(found).toEqual([JANE, JANE, JANE]);
    expect(provider.asked).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  test('refused: another audience, signer, algorithm, an end that is past, absent or no number, a beginning to come', async () => {
    const { verdict, token, clock } = await world();
    const now = clock.now() / 1000;
    expect(await verdict(token({ aud: 'other' }))).toEqual(refusal('expected audience in [kube] got [other]'));
    expect(await verdict(token({ aud: { kube: 1 } }))).toEqual(refusal('expected audience'));
    const kid = keyIdOf(createPublicKey(RSA));
    expect(await verdict(token({}, { key: OTHER, kid }))).toEqual(refusal('failed to verify signature'));
    expect(await verdict(token({}, { algorithm: 'RS512' }))).toEqual(refusal('failed to verify signature'));
    for (const exp of [now, undefined, 'never', null])
      expect(await verdict(token({ exp }))).toEqual(refusal('token is expired'));
    expect(await verdict(token({ nbf: now + 301 }))).toEqual(refusal('nbf'));
    expect(await verdict(token({ nbf: now + 299 }))).toEqual(JANE);
  });

  test('not a token of this issuer: another issuer, no token at all; the issuer is not asked', async () => {
    const { verdict, token, provider } = await world();
    expect(await verdict(token({ iss: 'https://127.0.0.1:1' }))).toEqual({ outcome: 'unknown' });
    expect(await verdict('abc')).toEqual({ outcome: 'unknown' });
    expect(provider.asked).toEqual([]);
  });

  test('a new key is found when a token names it; invented names cause one reading in ten seconds', async () => {
    const { verdict, token, provider, clock } = await world();
    expect(await verdict(token())).toEqual(JANE);
    provider.keys = [EC];
    const rotated = token({}, { key: EC, algorithm: 'ES256' });
    for (let i = 0; i < 5; i++) expect(await verdict(token({}, { kid: `invented-${i}` }))).toMatchObject(refusal(''));
    expect(provider.asked).toHaveLength(2);
    await clock.advance(10_000);
    expect(await verdict(rotated)).toEqual(JANE);
    expect(provider.asked).toHaveLength(4);
    expect(await verdict(token())).toEqual(refusal('failed to verify signature'));
  });

  test('keys that are old are read again, and a withdrawn one is not believed any more; an issuer that is away costs none', async () => {
    const { verdict, token, provider, clock } = await world();
    expect(await verdict(token())).toEqual(JANE);
    provider.isAway = true;
    await clock.advance(10 * 60_000 + 1);
    expect(await verdict(token())).toEqual(JANE);
    provider.isAway = false;
    provider.keys = [OTHER];
    await clock.advance(10_000);
    expect(await verdict(token())).toEqual(refusal('failed to verify signature'));
  });

  test('an issuer that is away, that names another issuer, or keys that are not https, lets nobody in', async () => {
    const { verdict, token, provider, clock } = await world();
    provider.isAway = true;
    expect(await verdict(token())).toEqual(refusal('is not initialized'));
    provider.isAway = false;
    // Within ten seconds of a failure it is not asked again.
    expect(await verdict(token())).toEqual(refusal('is not initialized'));
    const good = { issuer: provider.issuer, jwks_uri: `${provider.issuer}/keys` };
    for (const document of [
      { ...good, issuer: 'https://evil' },
      { ...good, jwks_uri: 'http://127.0.0.1/keys' },
      {},
      { ...good, x: 'x'.repeat(2 << 20) },
    ]) {
      provider.document = document;
      await clock.advance(10_000);
      expect(await verdict(token())).toEqual(refusal('is not initialized'));
    }
    provider.document = undefined;
    await clock.advance(10_000);
    expect(await verdict(token())).toEqual(JANE);
  });

  test('an issuer whose certificate is of another authority is not believed', async () => {
    const { verdict, token, provider } = await world({ certificateAuthority: (await createCa('other')).certPem });
    expect(await verdict(token())).toEqual(refusal('is not initialized'));
    expect(provider.asked).toEqual([]);
  });

  test.each<[Partial<IssuerSpec>, string]>([
    [{ url: 'http://id.example' }, 'URL scheme must be https'],
    [{ audiences: [] }, 'jwt.issuer.audiences: Required value'],
  ])('a spec that could not work is refused: %j', (change, why) => {
    scope = new Scope('config');
    const deps = { clock: new VirtualClock(), log: silentLogger, signal: scope.signal };
    expect(() => new OidcAuthenticator(specOf(change), deps)).toThrow(why);
  });

  test('discovery elsewhere than below the issuer', async () => {
    const { provider, clock } = await world();
    const issuer = 'https://id.example/of/us';
    provider.document = { issuer, jwks_uri: `${provider.issuer}/keys` };
    const spec = specOf({ url: issuer, discoveryURL: `${provider.issuer}/elsewhere` });
    const authenticator = scope.own(new OidcAuthenticator(spec, { clock, log: silentLogger, signal: scope.signal }));
    const key = { kid: keyIdOf(createPublicKey(RSA)), algorithm: 'RS256', privateKey: RSA } as const;
    const token = signJwt({ iss: issuer, aud: 'kube', sub: 'jane', exp: clock.now() / 1000 + 60 }, key);
    const c: Ctx = { signal: scope.signal, clock, log: silentLogger };
    expect(await authenticator.authenticateToken(token, [], c)).toEqual(JANE);
    expect(provider.asked).toEqual(['/elsewhere', '/keys']);
  });
});

describe('issuers come and go', () => {
  test('who stays keeps its keys, who goes is not believed, a spec that could not work changes nothing', async () => {
    const { provider, clock, token } = await world();
    const c: Ctx = { signal: scope.signal, clock, log: silentLogger };
    const issuers = scope.own(new OidcIssuers([], c));
    const verdict = () => issuers.authenticateToken(token(), [], c);
    expect(await verdict()).toEqual({ outcome: 'unknown' });
    await issuers.replace([specOf({ url: provider.issuer })]);
    expect(await verdict()).toEqual(JANE);
    await issuers.replace([specOf({ url: 'https://other.example' }), specOf({ url: provider.issuer })]);
    expect(await verdict()).toEqual(JANE);
    expect(provider.asked).toHaveLength(2);
    await expect(issuers.replace([specOf({ url: 'http://x' })])).rejects.toMatchObject({ kind: 'Invalid' });
    expect(await verdict()).toEqual(JANE);
    await issuers.replace([specOf({ url: provider.issuer, audiences: ['another'] })]);
    expect(await verdict()).toEqual(refusal('expected audience in [another]'));
    await issuers.replace([]);
    expect(await verdict()).toEqual({ outcome: 'unknown' });
  });
});

describe('OIDC in the API server', () => {
  test('its user acts over https; for TokenReview it is for this API server alone', async () => {
    const { provider } = await world();
    const username = { claim: 'sub', prefix: `${provider.issuer}#` };
    const claimMappings = { username, groups: { claim: 'groups', prefix: '' } };
    const jwt = [{ ...specOf({ url: provider.issuer }), claimMappings }];
    await using server = await startTestServer({ listen: true, config: { jwt } });
    const claims = { iss: provider.issuer, aud: 'kube', sub: 'jane', groups: ['dev'], exp: Date.now() / 1000 + 60 };
    const key = { kid: keyIdOf(createPublicKey(RSA)), algorithm: 'RS256', privateKey: RSA } as const;
    const token = signJwt(claims, key);
    const post = async (path: string, body: object): Promise<{ status: Record<string, unknown> }> => {
      const client = path.endsWith('selfsubjectreviews')
        ? await server.withToken(token)
        : await server.http({ commonName: 'admin', organizations: ['system:masters'] });
      const request = { method: 'POST', path, contentType: 'application/json', body: JSON.stringify(body) } as const;
      return (await (await client.raw(request, testContext)).body.json()) as { status: Record<string, unknown> };
    };
    const group = '/apis/authentication.k8s.io/v1';
    const user = { username: `${provider.issuer}#jane`, groups: ['dev', 'system:authenticated'] };
    expect((await post(`${group}/selfsubjectreviews`, {})).status).toEqual({ userInfo: user });
    const review = async (audiences?: string[]) =>
      (await post(`${group}/tokenreviews`, { spec: { token, ...(audiences === undefined ? {} : { audiences }) } }))
        .status;
    expect(await review()).toMatchObject({ authenticated: true, user });
    expect(await review(['vault'])).toEqual({ error: 'invalid bearer token' });
  });
});
