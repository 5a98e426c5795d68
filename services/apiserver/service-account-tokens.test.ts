import { createPublicKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type KindInfo,
  Kinds,
  kindByResource,
  type Node,
  type Pod,
  type Secret,
  type ServiceAccount,
  type TokenRequest,
} from '#lib/api';
import { type StatusError, timeText, VirtualClock } from '#lib/base';
import type { Client, UserInfo } from '#lib/client';
import { isSignedBy, keysOfSet, parseJwt, signJwt } from '#lib/pki';
import { DEFAULT_ISSUER } from './authn/token-service.ts';
import { testContext as c, MASTER, startTestServer, type TestServer } from './testing/server.ts';

let server: TestServer;
let client: Client;
const clock = new VirtualClock(Date.UTC(2026, 0, 1));
const nowSeconds = (): number => Math.floor(clock.now() / 1_000);

beforeAll(async () => {
  server = await startTestServer({ listen: true, clock });
  client = server.client;
  for (const name of ['robot', 'other']) await client.create<ServiceAccount>(Kinds.serviceaccounts, named(name), c);
  await client.create<Node>(Kinds.nodes, { metadata: { name: 'n1' }, spec: {} }, c);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const named = (name: string): { metadata: { name: string; namespace: string } } => ({
  metadata: { name, namespace: 'default' },
});
const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

async function request(account: string, spec: Partial<TokenRequest['spec']>, as = client): Promise<TokenRequest> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  return (await as.createSub(Kinds.serviceaccounts, key(account), 'token', body, c)) as TokenRequest;
}

async function tokenOf(account: string, spec: Partial<TokenRequest['spec']> = {}): Promise<string> {
  return (await request(account, spec)).status?.token ?? '';
}

async function pod(name: string, account = 'robot', nodeName?: string): Promise<Pod> {
  const spec = {
    serviceAccountName: account,
    containers: [{ name: 'a', image: 'i' }],
    ...(nodeName === undefined ? {} : { nodeName }),
  };
  return (await client.create<Pod>(Kinds.pods, { ...named(name), spec } as Omit<Pod, 'apiVersion' | 'kind'>, c)) as Pod;
}

function asked(resource: string): KindInfo {
  const kind = kindByResource('authentication.k8s.io', 'v1', resource);
  if (kind === undefined) throw new Error(`no ${resource}`);
  return kind;
}

interface Review {
  readonly authenticated?: boolean;
  readonly user?: { username: string; uid: string; groups: string[]; extra?: Record<string, string[]> };
  readonly audiences?: string[];
  readonly error?: string;
}

async function review(token: string, audiences?: string[]): Promise<Review> {
  const spec = { token, ...(audiences === undefined ? {} : { audiences }) };
  const answer = await client.create(asked('tokenreviews'), { metadata: {}, spec } as never, c);
  return (answer as unknown as { status: Review }).status;
}

const bound = (kind: string, object: { metadata: { name: string; uid?: string | undefined } }) => {
  const { name, uid = '' } = object.metadata;
  return { boundObjectRef: { apiVersion: 'v1', kind, name, uid } };
};
const claimsOf = (token: string): Record<string, unknown> => ({ ...parseJwt(token)?.claims });

describe('serviceaccounts/token', () => {
  test('a token of an hour for the API server, signed by a published ES256 key', async () => {
    const account = await client.get<ServiceAccount>(Kinds.serviceaccounts, key('robot'), c);
    const made = await request('robot', {});
    expect(made).toMatchObject({
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name: 'robot', namespace: 'default', creationTimestamp: timeText(clock.now()) },
      spec: { audiences: [DEFAULT_ISSUER], expirationSeconds: 3600 },
      status: { expirationTimestamp: timeText(clock.now() + 3_600_000) },
    });
    const jwt = parseJwt(made.status?.token ?? '');
    expect(jwt?.algorithm).toBe('ES256');
    expect(jwt?.claims).toEqual({
      aud: [DEFAULT_ISSUER],
      exp: nowSeconds() + 3600,
      iat: nowSeconds(),
      iss: DEFAULT_ISSUER,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      'kubernetes.io': { namespace: 'default', serviceaccount: { name: 'robot', uid: account.metadata.uid } },
      nbf: nowSeconds(),
      sub: 'system:serviceaccount:default:robot',
    });
    const admin = await server.http(MASTER);
    const set = await (await admin.raw({ method: 'GET', path: '/openid/v1/jwks' }, c)).body.json();
    const signer = keysOfSet(set)?.find((k) => k.kid === jwt?.kid);
    expect(signer !== undefined && jwt !== undefined && isSignedBy(jwt, signer)).toBe(true);
    expect(JSON.stringify(set)).not.toContain('"d"');
  });

  test('it is answered with 201, and lets in as its account over https; another text is 401', async () => {
    const admin = await server.http(MASTER);
    const path = '/api/v1/namespaces/default/serviceaccounts/robot/token';
    const answer = await admin.raw({ method: 'POST', path, contentType: 'application/json', body: '{}' }, c);
    expect(answer.statusCode).toBe(201);
    const token = ((await answer.body.json()) as TokenRequest).status?.token ?? '';
    expect(await whoami(token)).toMatchObject({
      username: 'system:serviceaccount:default:robot',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
      extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${claimsOf(token)['jti']}`] },
    });
    await expect(whoami(`${token}x`)).rejects.toMatchObject({ kind: 'Unauthorized' });
    await expect(whoami('nonsense')).rejects.toMatchObject({ kind: 'Unauthorized' });
  });

  test.each([
    [
      { expirationSeconds: 599 },
      'Invalid',
      'spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes',
    ],
    [{ expirationSeconds: 2 ** 33 }, 'Invalid', 'may not specify a duration larger than 2^32 seconds'],
    [
      { boundObjectRef: { kind: 'ConfigMap', apiVersion: 'v1', name: 'x' } },
      'BadRequest',
      'cannot bind token to object of type v1, Kind=ConfigMap',
    ],
    [{ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'none' } }, 'NotFound', 'pods "none" not found'],
    [
      { boundObjectRef: { kind: 'Node', apiVersion: 'v1', name: 'n1', uid: 'x' } },
      'Conflict',
      'Operation cannot be fulfilled on Node "n1": the UID in the bound object reference (x) does not match the UID in record.',
    ],
  ])('refuses %j', async (spec, kind, message) => {
    const failed = (await request('robot', spec).catch((e: unknown) => e)) as StatusError;
    expect([failed.kind, failed.message]).toEqual([kind, expect.stringContaining(message)]);
  });

  test('of no account, of another name, of another kind', async () => {
    await expect(request('nobody', {})).rejects.toMatchObject({ kind: 'NotFound' });
    const post = (body: object) => client.createSub(Kinds.serviceaccounts, key('robot'), 'token', body, c);
    await expect(post({ metadata: { name: 'x' } })).rejects.toThrow(
      'TokenRequest.authentication.k8s.io "robot" is invalid: metadata.name: Invalid value: "x": must match the service account name if specified',
    );
    await expect(post({ metadata: { uid: 'u' } })).rejects.toMatchObject({
      kind: 'Conflict',
      message: expect.stringContaining(
        'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "robot": the UID in the token request (u) does not match the UID of the service account (',
      ),
    });
    const { uid = '' } = (await client.get<ServiceAccount>(Kinds.serviceaccounts, key('robot'), c)).metadata;
    expect(await post({ metadata: { uid } })).toMatchObject({ metadata: { uid } });
    await expect(post({ kind: 'Scale', apiVersion: 'autoscaling/v1' })).rejects.toMatchObject({ kind: 'BadRequest' });
    for (const apiVersion of [[{ toString: null }], 5])
      await expect(post({ apiVersion })).rejects.toMatchObject({
        kind: 'BadRequest',
        message: expect.stringContaining('.apiVersion must be a string'),
      });
    await expect(post({ spec: { audiences: 5 } })).rejects.toMatchObject({ kind: 'BadRequest' });
  });

  test('a year is the longest: a longer wish is shortened with a warning', async () => {
    const admin = await server.http(MASTER);
    const path = '/api/v1/namespaces/default/serviceaccounts/robot/token';
    const body = JSON.stringify({ spec: { expirationSeconds: 40_000_000 } });
    const answer = await admin.raw({ method: 'POST', path, contentType: 'application/json', body }, c);
    expect(answer.headers['warning']).toContain(
      'requested expiration of 40000000 seconds shortened to 31536000 seconds',
    );
    const made = (await answer.body.json()) as TokenRequest;
    expect(made.spec.expirationSeconds).toBe(31_536_000);
    expect(claimsOf(made.status?.token ?? '')['exp']).toBe(nowSeconds() + 31_536_000);
  });

  test("the 3607 s of a pod's token become a year, with the time to warn from; not for other audiences or unbound", async () => {
    const p = await pod('extended');
    const made = await request('robot', { expirationSeconds: 3607, ...bound('Pod', p) });
    expect(made.status?.expirationTimestamp).toBe(timeText(clock.now() + 3_607_000));
    expect(claimsOf(made.status?.token ?? '')).toMatchObject({
      exp: nowSeconds() + 31_536_000,
      'kubernetes.io': { warnafter: nowSeconds() + 3607, pod: { name: 'extended', uid: p.metadata.uid } },
    });
    for (const spec of [{ audiences: ['vault'], ...bound('Pod', p) }, {}]) {
      const claims = claimsOf(await tokenOf('robot', { expirationSeconds: 3607, ...spec }));
      expect(claims['exp']).toBe(nowSeconds() + 3607);
      expect(claims['kubernetes.io']).not.toHaveProperty('warnafter');
    }
  });

  test("a pod's token tells pod and node, needs the pod's own account, and ends with the pod", async () => {
    const node = await client.get<Node>(Kinds.nodes, { namespace: '', name: 'n1' }, c);
    const p = await pod('bound', 'robot', 'n1');
    const token = await tokenOf('robot', bound('Pod', p));
    const known = await review(token);
    expect(known.user?.extra).toMatchObject({
      'authentication.kubernetes.io/node-name': ['n1'],
      'authentication.kubernetes.io/node-uid': [node.metadata.uid],
      'authentication.kubernetes.io/pod-name': ['bound'],
      'authentication.kubernetes.io/pod-uid': [p.metadata.uid],
    });
    await expect(request('other', bound('Pod', p))).rejects.toThrow(
      'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.',
    );
    await client.delete(Kinds.pods, key('bound'), { gracePeriodSeconds: 0 }, c);
    expect(await review(token)).toEqual({ error: '[invalid bearer token, pods "bound" not found]' });
    const again = await pod('bound', 'robot', 'n1');
    expect((await review(token)).error).toContain(
      `pod UID (${again.metadata.uid}) does not match claim (${p.metadata.uid})`,
    );
  });

  test('a token ends with its secret, its node, its account', async () => {
    const secret = await client.create<Secret>(Kinds.secrets, named('lock'), c);
    const node = await client.create<Node>(Kinds.nodes, { metadata: { name: 'n2' }, spec: {} }, c);
    await client.create<ServiceAccount>(Kinds.serviceaccounts, named('brief'), c);
    const tokens = {
      secret: await tokenOf('robot', bound('Secret', secret as Secret)),
      node: await tokenOf('robot', bound('Node', node as Node)),
      account: await tokenOf('brief'),
    };
    for (const t of Object.values(tokens)) expect((await review(t)).authenticated).toBe(true);
    await client.delete(Kinds.secrets, key('lock'), {}, c);
    await client.delete(Kinds.nodes, { namespace: '', name: 'n2' }, {}, c);
    await client.delete(Kinds.serviceaccounts, key('brief'), {}, c);
    expect((await review(tokens.secret)).error).toContain('secrets "lock" not found');
    expect((await review(tokens.node)).error).toContain('nodes "n2" not found');
    expect((await review(tokens.account)).error).toContain('serviceaccounts "brief" not found');
    await client.create<ServiceAccount>(Kinds.serviceaccounts, named('brief'), c);
    expect((await review(tokens.account)).error).toContain('service account UID');
  });

  test('it ends, with a minute for clocks that differ', async () => {
    const token = await tokenOf('robot', { expirationSeconds: 600 });
    await clock.advance(659_000);
    expect((await review(token)).authenticated).toBe(true);
    await clock.advance(3_000);
    expect(await review(token)).toEqual({ error: '[invalid bearer token, service account token has expired]' });
  });
});

describe('TokenReview', () => {
  test('audiences: those asked for that the token has; none = not authenticated', async () => {
    const token = await tokenOf('robot', { audiences: ['a', 'b'] });
    expect(await review(token, ['b', 'x', 'a'])).toMatchObject({ authenticated: true, audiences: ['b', 'a'] });
    expect(await review(token, ['x'])).toEqual({
      error: '[invalid bearer token, token audiences ["a" "b"] is invalid for the target audiences ["x"]]',
    });
    expect((await review(token)).authenticated).toBeUndefined();
    await expect(whoami(token)).rejects.toMatchObject({ kind: 'Unauthorized' });
  });

  test('a text that is no token, an empty one, and a token of a key that is not ours', async () => {
    expect(await review('nonsense')).toEqual({ error: 'invalid bearer token' });
    await expect(review('')).rejects.toThrow('token is required for TokenReview in authentication');
    const token = await tokenOf('robot');
    const jwt = parseJwt(token);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    for (const kid of [jwt?.kid ?? '', 'unknown']) {
      const forged = signJwt(jwt?.claims ?? {}, { kid, algorithm: 'ES256', privateKey });
      expect((await review(forged)).error).toContain('signature');
    }
  });
});

describe('what relying parties are told', () => {
  test('discovery names the issuer of the tokens and where the keys are; anonymous may not ask', async () => {
    const robot = await server.withToken(await tokenOf('robot'));
    const answer = await robot.raw({ method: 'GET', path: '/.well-known/openid-configuration' }, c);
    expect(answer.headers['cache-control']).toBe('public, max-age=3600');
    expect(await answer.body.json()).toEqual({
      issuer: DEFAULT_ISSUER,
      jwks_uri: 'https://192.0.2.1:6443/openid/v1/jwks',
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
    });
    const keys = await robot.raw({ method: 'GET', path: '/openid/v1/jwks' }, c);
    expect(keys.headers['content-type']).toBe('application/jwk-set+json');
    const { keys: set } = (await keys.body.json()) as { keys: JsonWebKey[] };
    expect(createPublicKey({ key: set[0] as JsonWebKey, format: 'jwk' }).asymmetricKeyType).toBe('ec');
    const anonymous = await server.http();
    await expect(anonymous.raw({ method: 'GET', path: '/openid/v1/jwks' }, c)).rejects.toMatchObject({
      kind: 'Forbidden',
    });
  });
});

async function whoami(token: string): Promise<UserInfo> {
  const robot = await server.withToken(token);
  const answer = await robot.create(asked('selfsubjectreviews'), { metadata: {} } as never, c);
  return (answer as unknown as { status: { userInfo: UserInfo } }).status.userInfo;
}
