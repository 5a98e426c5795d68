import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds, type Secret } from '#lib/api';
import { VirtualClock } from '#lib/base';
import { testContext as c, startTestServer, type TestServer } from './testing/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ listen: true, clock: new VirtualClock(Date.UTC(2026, 0, 1)) });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const GOOD = {
  'token-id': 'abcdef',
  'token-secret': '0123456789abcdef',
  'usage-bootstrap-authentication': 'true',
  expiration: '2026-01-02T00:00:00Z',
};

async function put(id: string, data: Record<string, string>, type = 'bootstrap.kubernetes.io/token'): Promise<void> {
  const encoded = Object.entries(data).map(([k, v]) => [k, Buffer.from(v).toString('base64')]);
  const metadata = { name: `bootstrap-token-${id}`, namespace: 'kube-system' };
  const secret = { metadata, type, data: Object.fromEntries(encoded) };
  await server.client.create<Secret>(Kinds.secrets, secret, c);
}

async function user(token: string): Promise<unknown> {
  const client = await server.withToken(token);
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const answer = await client.raw({ method: 'POST', path, contentType: 'application/json', body: '{}' }, c);
  return ((await answer.body.json()) as { status: { userInfo: unknown } }).status.userInfo;
}

describe('bootstrap tokens', () => {
  test('the user, the group, and the groups that the secret adds', async () => {
    await put('abcdef', { ...GOOD, 'auth-extra-groups': 'system:bootstrappers:workers,system:bootstrappers:kubeadm' });
    expect(await user('abcdef.0123456789abcdef')).toEqual({
      username: 'system:bootstrap:abcdef',
      groups: [
        'system:bootstrappers',
        'system:bootstrappers:kubeadm',
        'system:bootstrappers:workers',
        'system:authenticated',
      ],
    });
    await expect(user('abcdef.0123456789abcdeg')).rejects.toMatchObject({ kind: 'Unauthorized' });
  });

  test.each([
    ['expired', { expiration: '2025-12-31T23:59:59Z' }],
    ['date-only', { expiration: '2026-02-01' }],
    ['not-for-authentication', { 'usage-bootstrap-authentication': 'false' }],
    ['another-id', { 'token-id': 'zzzzzz' }],
    ['a-group-beyond-bootstrappers', { 'auth-extra-groups': 'system:masters' }],
    ['one-bad-group', { 'auth-extra-groups': 'system:bootstrappers:a,,' }],
  ])('%s is refused', async (name, change) => {
    const id = `b${name.replace(/[^a-z]/g, '').slice(0, 5)}`;
    await put(id, { ...GOOD, 'token-id': id, ...change });
    await expect(user(`${id}.0123456789abcdef`)).rejects.toMatchObject({ kind: 'Unauthorized' });
  });

  test('of another type, without a secret (our own join tokens), or not there', async () => {
    await put('cother', { ...GOOD, 'token-id': 'cother' }, 'Opaque');
    const { 'token-secret': _, ...hashed } = GOOD;
    await put('cjoins', { ...hashed, 'token-id': 'cjoins', 'token-hash': 'x' });
    for (const id of ['cother', 'cjoins', 'cabsen'])
      await expect(user(`${id}.0123456789abcdef`)).rejects.toMatchObject({ kind: 'Unauthorized' });
  });

  test('a token without an end is good', async () => {
    const { expiration: _, ...endless } = GOOD;
    await put('dforev', { ...endless, 'token-id': 'dforev' });
    expect(await user('dforev.0123456789abcdef')).toMatchObject({ username: 'system:bootstrap:dforev' });
  });
});
