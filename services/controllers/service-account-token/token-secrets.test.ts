import { describe, expect, test } from 'vitest';
import { Kinds, type Secret, type ServiceAccount } from '#lib/api';
import { type Ctx, isKind, realClock, realRandom, Scope, silentLogger } from '#lib/base';
import { eventually, startTestServer, type TestServer } from '../../apiserver/testing/server.ts';
import { startControllers } from '../main.ts';
import { planTokenSecret } from './plan.ts';

const TYPE = 'kubernetes.io/service-account-token';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const account = (uid: string): ServiceAccount => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name: 'robot', namespace: 'ns', uid },
});
const secret = (data: Record<string, string>, annotations: Record<string, string> = {}): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: 's',
    namespace: 'ns',
    annotations: { 'kubernetes.io/service-account.name': 'robot', ...annotations },
  },
  type: TYPE,
  data,
});

describe('what a token secret lacks', () => {
  const uid = { 'kubernetes.io/service-account.uid': 'u' };
  const full = { token: base64('t'), 'ca.crt': base64('CA'), namespace: base64('ns') };

  test('all of it, or what has changed, or nothing', () => {
    expect(planTokenSecret(secret({}), account('u'), 'CA')).toEqual({
      action: 'update',
      needsToken: true,
      data: { 'ca.crt': base64('CA'), namespace: base64('ns') },
      annotations: uid,
    });
    expect(planTokenSecret(secret(full, uid), account('u'), 'CA')).toEqual({ action: 'none' });
    expect(planTokenSecret(secret(full, uid), account('u'), 'new')).toMatchObject({
      needsToken: false,
      data: { 'ca.crt': base64('new') },
    });
    expect(planTokenSecret(secret({ ...full, token: '' }, uid), account('u'), 'CA')).toMatchObject({
      needsToken: true,
    });
    // An authority that this controller does not know is left as it is.
    expect(planTokenSecret(secret(full, uid), account('u'), undefined)).toEqual({ action: 'none' });
  });

  test('it goes with its account, and is not another account of the same name', () => {
    expect(planTokenSecret(secret(full, uid), undefined, 'CA')).toEqual({ action: 'delete' });
    expect(planTokenSecret(secret(full, uid), account('v'), 'CA')).toEqual({ action: 'delete' });
    expect(planTokenSecret({ ...secret({}), type: 'Opaque' }, undefined, 'CA')).toEqual({ action: 'none' });
  });
});

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const key = (name: string) => ({ namespace: 'default', name });

async function withControllers(fn: (server: TestServer) => Promise<void>): Promise<void> {
  await using scope = new Scope('test');
  const server = scope.own(await startTestServer({ listen: true }));
  const common = { client: server.client, clock: realClock, random: realRandom, log: silentLogger };
  const config = { caPem: 'CA', tokenSigner: server.api.serviceAccountTokens };
  scope.own(await startControllers({ ...common, config }));
  await fn(server);
}

async function make(server: TestServer, name: string, accountName: string): Promise<void> {
  const annotations = { 'kubernetes.io/service-account.name': accountName };
  const body = { metadata: { ...key(name), annotations }, type: TYPE };
  await server.client.create<Secret>(Kinds.secrets, body, c);
}

async function tokenOf(server: TestServer, name: string): Promise<string> {
  return await eventually(async () => {
    const { data } = await server.client.get<Secret>(Kinds.secrets, key(name), c);
    if (!data?.['token']) throw new Error('not filled yet');
    expect(data).toMatchObject({ 'ca.crt': base64('CA'), namespace: base64('default') });
    return Buffer.from(data['token'], 'base64').toString();
  });
}

async function user(server: TestServer, token: string): Promise<{ username: string; extra?: unknown }> {
  const client = await server.withToken(token);
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const answer = await client.raw({ method: 'POST', path, contentType: 'application/json', body: '{}' }, c);
  return ((await answer.body.json()) as { status: { userInfo: { username: string } } }).status.userInfo;
}

describe('secrets of type kubernetes.io/service-account-token', () => {
  test('filled with a token that lets in as the account; changed, marked or deleted, it lets nobody in', async () => {
    await withControllers(async (server) => {
      await server.client.create<ServiceAccount>(Kinds.serviceaccounts, { metadata: key('robot') }, c);
      await make(server, 'a', 'robot');
      await make(server, 'b', 'robot');
      const [a, b] = [await tokenOf(server, 'a'), await tokenOf(server, 'b')];
      const found = await user(server, a);
      expect(found).toMatchObject({ username: 'system:serviceaccount:default:robot' });
      expect(found.extra).toBeUndefined();
      const label = (value: string | null) => ({
        type: 'merge' as const,
        body: { metadata: { labels: { 'kubernetes.io/legacy-token-invalid-since': value } } },
      });
      await server.client.patch(Kinds.secrets, key('a'), label('2026-01-01'), c);
      await expect(user(server, a)).rejects.toMatchObject({ kind: 'Unauthorized' });
      await server.client.patch(Kinds.secrets, key('a'), label(null), c);
      expect((await user(server, a)).username).toContain('robot');
      await server.client.patch(Kinds.secrets, key('a'), { type: 'merge', body: { data: { token: base64(b) } } }, c);
      await expect(user(server, a)).rejects.toMatchObject({ kind: 'Unauthorized' });
      await server.client.delete(Kinds.secrets, key('b'), {}, c);
      await expect(user(server, b)).rejects.toMatchObject({ kind: 'Unauthorized' });
    });
  });

  test('deleted with the account, and when there never was one', async () => {
    await withControllers(async (server) => {
      await server.client.create<ServiceAccount>(Kinds.serviceaccounts, { metadata: key('brief') }, c);
      await make(server, 'c', 'brief');
      const token = await tokenOf(server, 'c');
      await server.client.delete(Kinds.serviceaccounts, key('brief'), {}, c);
      await expect(user(server, token)).rejects.toMatchObject({ kind: 'Unauthorized' });
      await make(server, 'd', 'nobody');
      for (const name of ['c', 'd'])
        await eventually(async () => {
          const e = await server.client.get(Kinds.secrets, key(name), c).catch((error: unknown) => error);
          expect(isKind(e, 'NotFound')).toBe(true);
        });
    });
  });
});
