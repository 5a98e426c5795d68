import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { createCa, issue, keyIdOf, signJwt } from '#lib/pki';
import { OidcProvider } from './testing/oidc-provider.ts';
import { testContext as c, startTestServer } from './testing/server.ts';

const KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

test('settings are replaced while the server serves: issuers and default tolerations; what could not work changes nothing', async () => {
  const ca = await createCa('id');
  const tls = await issue(ca, { commonName: 'id', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 });
  const provider = new OidcProvider(tls, [KEY]);
  await provider.start();
  await using server = await startTestServer({ listen: true });
  const claims = { iss: provider.issuer, aud: 'kube', sub: 'jane', exp: realClock.now() / 1000 + 60 };
  const key = { kid: keyIdOf(createPublicKey(KEY)), algorithm: 'RS256', privateKey: KEY } as const;
  const client = await server.withToken(signJwt(claims, key));
  const whoami = async (): Promise<unknown> => {
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const answer = await client.raw({ method: 'POST', path, contentType: 'application/json', body: '{}' }, c);
    return await answer.body.json();
  };
  let count = 0;
  const seconds = async (): Promise<unknown[]> => {
    const spec = { containers: [{ name: 'a', image: 'a' }] };
    const pod = await server.client.create(
      Kinds.pods,
      { metadata: { name: `p${++count}`, namespace: 'default' }, spec },
      c,
    );
    return (pod.spec.tolerations ?? []).map((t) => t.tolerationSeconds);
  };
  const issuer = { url: provider.issuer, audiences: ['kube'], certificateAuthority: ca.certPem };
  const jwt = [{ issuer, claimMappings: { username: { claim: 'sub', prefix: 'id:' } } }];
  const jane = { status: { userInfo: { username: 'id:jane' } } };
  try {
    await expect(whoami()).rejects.toMatchObject({ kind: 'Unauthorized' });
    expect(await seconds()).toEqual([3, 3]);
    await server.api.useSettings({ jwt, defaultTolerationSeconds: 77 });
    expect(await whoami()).toMatchObject(jane);
    expect(await seconds()).toEqual([77, 77]);
    const wrong = [{ ...jwt[0], issuer: { ...issuer, url: 'http://id' } }] as typeof jwt;
    await expect(server.api.useSettings({ jwt: wrong, defaultTolerationSeconds: 5 })).rejects.toThrow('must be https');
    expect(await whoami()).toMatchObject(jane);
    expect(await seconds()).toEqual([77, 77]);
    await server.api.useSettings({});
    await expect(whoami()).rejects.toMatchObject({ kind: 'Unauthorized' });
    expect(await seconds()).toEqual([3, 3]);
  } finally {
    await provider.stop();
  }
});
