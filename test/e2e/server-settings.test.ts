/** The settings of a server: an OIDC issuer of the test, believed by a server that runs, and what is wrong with a file told. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { createCa, issue, keyIdOf, signJwt } from '#lib/pki';
import { OidcProvider } from '../../services/apiserver/testing/oidc-provider.ts';
import { type CommandResult, eventually, startCluster, type TestCluster } from '../harness/cluster.ts';

const HEAD = 'apiVersion: config.berth.dev/v1\nkind: ServerConfiguration\n';
const rsaKey = (): KeyObject => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const FIRST = rsaKey();
const SECOND = rsaKey();

let t: TestCluster;
let provider: OidcProvider;
let settings: string;

beforeAll(async () => {
  const ca = await createCa('id');
  const tls = await issue(ca, { commonName: 'id', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 });
  provider = new OidcProvider(tls, [FIRST]);
  await provider.start();
  const jwt = [
    {
      issuer: { url: provider.issuer, audiences: ['kube'], certificateAuthority: ca.certPem },
      claimMappings: {
        username: { expression: "'id:' + claims.sub" },
        groups: { claim: 'roles', prefix: 'id:' },
        extra: [{ key: 'example.com/tenant', valueExpression: 'claims.tenant' }],
      },
      claimValidationRules: [{ claim: 'hd', requiredValue: 'example.com' }],
      userValidationRules: [{ expression: "user.username != 'id:mallory'", message: 'not this one' }],
    },
  ];
  settings = `${HEAD}defaultTolerationSeconds: 77\njwt: ${JSON.stringify(jwt)}\n`;
  t = await startCluster({ name: 'set' });
});
afterAll(async () => {
  await t?.stop();
  await provider?.stop();
});

const file = (): string => join(t.layout.home, 'server.yaml');

function token(claims: object = {}, privateKey: KeyObject = FIRST): string {
  const key = { kid: keyIdOf(createPublicKey(privateKey)), algorithm: 'RS256', privateKey } as const;
  const exp = realClock.now() / 1000 + 600;
  return signJwt(
    {
      iss: provider.issuer,
      aud: 'kube',
      sub: 'jane',
      hd: 'example.com',
      tenant: 'blue',
      roles: ['dev'],
      exp,
      ...claims,
    },
    key,
  );
}

/** Stock kubectl with nothing but the token. */
async function asToken(text: string, ...args: string[]): Promise<CommandResult> {
  const server = `https://127.0.0.1:${t.layout.apiPort}`;
  const ca = join(t.layout.home, 'pki/ca.crt');
  return await t.kubectl(
    '--kubeconfig=/dev/null',
    `--server=${server}`,
    `--certificate-authority=${ca}`,
    `--token=${text}`,
    ...args,
  );
}

async function tolerations(name: string): Promise<string> {
  expect((await t.kubectl('run', name, '--image=none.example/none:1', '--restart=Never')).code).toBe(0);
  const { stdout } = await t.kubectl('get', 'pod', name, '-o', 'jsonpath={.spec.tolerations[*].tolerationSeconds}');
  await t.kubectl('delete', 'pod', name, '--grace-period=0', '--force');
  return stdout;
}

test('settings written while the server runs are taken up: its issuer is believed, its rights are those of its groups', async () => {
  const before = await asToken(token(), 'auth', 'whoami');
  expect([before.code, before.stderr]).toEqual([1, expect.stringContaining('Unauthorized')]);
  expect(await tolerations('a')).toBe('3 3');
  await writeFile(file(), settings);
  const review = await eventually('the issuer is believed', 20_000, async () => {
    const answer = await asToken(token(), 'auth', 'whoami', '-o', 'json');
    return answer.code === 0 && answer.stdout;
  });
  expect(JSON.parse(review)).toMatchObject({
    status: {
      userInfo: {
        username: 'id:jane',
        groups: ['id:dev', 'system:authenticated'],
        extra: { 'example.com/tenant': ['blue'] },
      },
    },
  });
  expect(await tolerations('b')).toBe('77 77');
  expect((await asToken(token(), 'get', 'configmaps')).stderr).toContain('User "id:jane" cannot list');
  const bound = await t.kubectl('create', 'rolebinding', 'devs', '--clusterrole=view', '--group=id:dev');
  expect(bound.code).toBe(0);
  await eventually('the binding holds', 10_000, async () => (await asToken(token(), 'get', 'configmaps')).code === 0);
  for (const claims of [{ hd: 'x' }, { sub: 'mallory' }, { aud: 'other' }, { exp: 1 }])
    expect((await asToken(token(claims), 'auth', 'whoami')).stderr).toContain('Unauthorized');
});

test('the issuer rotates its keys: tokens of the new one are believed, those of the old one no more', async () => {
  provider.keys = [SECOND];
  await eventually('a token of the new key is believed', 30_000, async () => {
    const answer = await asToken(token({}, SECOND), 'auth', 'whoami');
    return answer.code === 0;
  });
  expect((await asToken(token(), 'auth', 'whoami')).stderr).toContain('Unauthorized');
});

test('berth secrets rotate-token-keys: the new key is published at once, tokens of the old one stay good', async () => {
  const rotate = () => t.berth('secrets', 'rotate-token-keys', '--home', t.layout.home);
  const before = (await t.kubectl('create', 'token', 'default')).stdout.trim();
  const rotated = await rotate();
  expect([rotated.code, rotated.stderr]).toEqual([0, '']);
  const [, fresh, old] =
    /^New key (\S+): published now, it signs from \S+Z on\.\nKey (\S+) verifies what it signed until \S+Z, /.exec(
      rotated.stdout,
    ) ?? [];
  expect(fresh).not.toBe(old);
  const jwks = JSON.parse((await t.kubectl('get', '--raw', '/openid/v1/jwks')).stdout) as { keys: { kid: string }[] };
  expect(jwks.keys.map((k) => k.kid)).toEqual([old, fresh]);
  expect((await asToken(before, 'auth', 'whoami')).stdout).toContain('system:serviceaccount:default:default');
  const again = await rotate();
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('the last rotation has not ended')]);
});

test('a file that is not valid changes nothing while the server runs; doctor, server and up name every mistake in it', async () => {
  await writeFile(file(), `${HEAD}maxRequestsInFlight: 0\nseats: 5\n`);
  const mistakes = [
    `${file()}: the server configuration is not valid`,
    'unknown field "seats"',
    'maxRequestsInFlight: Invalid value: 0: must be between 1 and 100000, inclusive',
  ];
  const home = ['--home', t.layout.home];
  const doctor = await t.berth('doctor', ...home);
  expect(doctor.code).toBe(1);
  for (const m of mistakes.slice(1)) expect(doctor.stdout).toContain(m);
  const server = await t.berth('server', ...home);
  expect(server.code).toBe(2);
  for (const m of mistakes) expect(server.stderr).toContain(m);
  expect((await asToken(token({}, SECOND), 'auth', 'whoami')).code).toBe(0);
  expect((await t.berth('down', ...home)).code).toBe(0);
  const up = await t.berth('up', ...home, '--no-sample');
  expect(up.code).toBe(2);
  for (const m of mistakes) expect(up.stderr).toContain(m);
  await writeFile(file(), settings);
  const again = await t.berth('up', ...home, '--no-sample');
  expect([again.code, again.stderr]).toEqual([0, '']);
  expect((await asToken(token({}, SECOND), 'auth', 'whoami')).code).toBe(0);
});
