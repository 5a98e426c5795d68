/** Who may do what, by each door, over the protocol; the cluster's answers are scripted. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { realClock, realRandom, StatusError, silentLogger } from '#lib/base';
import { DistributionClient, digestBytes, MEDIA_TYPES, packImage, pushPacked } from '#lib/oci';
import { type Registry, startRegistry } from '../registry.ts';
import { DEFAULT_SETTINGS, type RegistrySettings } from '../settings.ts';
import type { Identity, User } from './identity.ts';
import { attributesOf, type RepositoryRight, rightsOfScope } from './rights.ts';
import { RegistryTokens } from './tokens.ts';

const HELLO = Buffer.from('hello world');
const DIGEST = digestBytes('sha256', HELLO);
const BODY = JSON.stringify({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociIndex,
  manifests: [],
});

let folder: string;
let registry: Registry;
let settings: RegistrySettings = DEFAULT_SETTINGS;
let isDown = false;
let questions = 0;

/** Tokens are names; `team` may everything below team/, `viewer` pull there, `new` push what is new, `root` all. */
const RULES: Readonly<Record<string, (r: RepositoryRight) => boolean>> = {
  root: () => true,
  team: (r) => r.repository.startsWith('team/'),
  viewer: (r) => r.repository.startsWith('team/') && r.right === 'get',
  new: (r) => r.repository.startsWith('team/') && (r.right === 'create' || r.right === 'get'),
};

const identity: Identity = {
  userOf: (token) => {
    questions++;
    if (isDown) return Promise.reject(new StatusError('Unavailable', 'the API server cannot be asked'));
    const user: User = { username: token, uid: '', groups: [], extra: {} };
    return Promise.resolve(token in RULES ? user : undefined);
  },
  isAllowed: (user, right) => Promise.resolve(RULES[user.username]?.(right) === true),
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-access-'));
  registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: join(folder, 'data'),
    socketsFolder: join(folder, 'sockets'),
    settings: () => settings,
    cluster: { identity, needed: () => Promise.reject(new StatusError('Unavailable', 'down')) },
    ...{ log: silentLogger, clock: realClock, random: realRandom },
  });
  for (const name of ['team/app', 'other/app']) {
    await ask('machine', 'POST', `/v2/${name}/blobs/uploads/?digest=${DIGEST}`, { body: HELLO });
    await ask('machine', 'PUT', `/v2/${name}/manifests/v1`, { body: BODY, type: MEDIA_TYPES.ociIndex });
  }
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  settings = DEFAULT_SETTINGS;
  isDown = false;
});

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly challenge: string;
  readonly body: string;
}

const SOCKETS = { machine: 'node.sock', outside: 'outside.sock', admin: 'admin.sock' } as const;

function ask(
  door: keyof typeof SOCKETS,
  method: string,
  path: string,
  o: { auth?: string; body?: string | Buffer; type?: string } = {},
): Promise<Answer> {
  const socketPath = join(folder, 'sockets', SOCKETS[door]);
  const headers = {
    host: 'registry.example:5000',
    ...(o.auth === undefined ? {} : { authorization: o.auth }),
    ...(o.type === undefined ? {} : { 'content-type': o.type }),
  };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method, headers }, (answer) => {
      text(answer).then((body) => {
        const status = answer.statusCode ?? 0;
        const code = status < 400 || body === '' ? '' : String(JSON.parse(body).errors[0].code);
        resolve({ status, code, challenge: answer.headers['www-authenticate'] ?? '', body });
      }, reject);
    });
    sent.on('error', reject);
    sent.end(o.body);
  });
}

const basic = (token: string): string => `Basic ${Buffer.from(`me:${token}`).toString('base64')}`;

async function tokenFor(user: string | undefined, scopes: readonly string[], door: 'machine' | 'outside' = 'outside') {
  const query = scopes.map((s) => `&scope=${encodeURIComponent(s)}`).join('');
  const auth = user === undefined ? {} : { auth: basic(user) };
  const answer = await ask(door, 'GET', `/token?service=berth-registry${query}`, auth);
  expect(answer.status).toBe(200);
  return `Bearer ${String(JSON.parse(answer.body).token)}`;
}

describe('without login', () => {
  test('a machine of the cluster pulls and pushes; the API need not be there', async () => {
    isDown = true;
    for (const [method, path] of [
      ['GET', '/v2/'],
      ['GET', '/v2/_catalog'],
      ['GET', '/v2/team/app/manifests/v1'],
    ] as const)
      expect((await ask('machine', method, path)).status).toBe(200);
    // What it says of itself is not asked about when nobody must say it.
    expect((await ask('machine', 'GET', '/v2/team/app/manifests/v1', { auth: basic('nobody') })).status).toBe(200);
    expect((await fetch(`${registry.url}/v2/any/blobs/uploads/`, { method: 'POST' })).status).toBe(202);
  });

  test('anonymous: pull. It still pulls, and is told to log in before it pushes or deletes', async () => {
    settings = { ...DEFAULT_SETTINGS, anonymous: 'pull' };
    expect((await ask('machine', 'GET', '/v2/team/app/manifests/v1')).status).toBe(200);
    const ping = await ask('machine', 'GET', '/v2/');
    expect([ping.status, ping.challenge]).toEqual([
      401,
      'Bearer realm="http://registry.example:5000/token",service="berth-registry"',
    ]);
    for (const [method, path] of [
      ['POST', '/v2/team/app/blobs/uploads/'],
      ['DELETE', '/v2/team/app/manifests/v1'],
      ['PUT', '/v2/team/app/manifests/v2'],
    ] as const)
      expect(await ask('machine', method, path)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' });
    expect((await ask('machine', 'POST', '/v2/team/app/blobs/uploads/', { auth: basic('team') })).status).toBe(202);
  });

  test('from outside nothing, or with publicRead pulls alone', async () => {
    const pull = (auth = {}) => ask('outside', 'GET', '/v2/team/app/manifests/v1', auth);
    expect(await pull()).toMatchObject({
      status: 401,
      challenge:
        'Bearer realm="https://registry.example:5000/token",service="berth-registry",scope="repository:team/app:pull"',
    });
    settings = { ...DEFAULT_SETTINGS, publicRead: true };
    expect((await pull()).status).toBe(200);
    expect((await pull({ auth: await tokenFor(undefined, ['repository:team/app:pull']) })).status).toBe(200);
    expect((await ask('outside', 'GET', '/v2/_catalog')).status).toBe(401);
    expect((await ask('outside', 'POST', '/v2/team/app/blobs/uploads/')).status).toBe(401);
  });
});

describe('with a login', () => {
  test.each([
    ['viewer', 'GET', '/v2/team/app/manifests/v1', 200, ''],
    ['viewer', 'GET', '/v2/other/app/manifests/v1', 403, 'DENIED'],
    ['viewer', 'POST', '/v2/team/app/blobs/uploads/', 403, 'DENIED'],
    ['viewer', 'DELETE', '/v2/team/app/manifests/none', 403, 'DENIED'],
    ['team', 'POST', '/v2/team/app/blobs/uploads/', 202, ''],
    ['team', 'DELETE', '/v2/team/app/manifests/none', 404, 'MANIFEST_UNKNOWN'],
    ['team', 'GET', '/v2/_catalog', 403, 'DENIED'],
    ['root', 'GET', '/v2/_catalog', 200, ''],
    ['nobody', 'GET', '/v2/team/app/manifests/v1', 401, 'UNAUTHORIZED'],
    ['nobody', 'GET', '/v2/', 401, 'UNAUTHORIZED'],
    ['viewer', 'GET', '/v2/', 200, ''],
  ])(
    '%s: %s %s is %i %s, by Basic, by the token itself and by a registry token',
    async (user, method, path, status, code) => {
      for (const auth of [basic(user), `Bearer ${user}`])
        expect(await ask('outside', method, path, { auth })).toMatchObject({ status, code });
      if (user === 'nobody') return;
      const scopes = ['repository:team/app:pull,push,delete', 'repository:other/app:pull', 'registry:catalog:*'];
      expect(await ask('outside', method, path, { auth: await tokenFor(user, scopes) })).toMatchObject({
        status,
        code,
      });
    },
  );

  test('a token that was not asked to cover it is sent for another', async () => {
    const auth = await tokenFor('team', ['repository:team/app:pull']);
    const answer = await ask('outside', 'POST', '/v2/team/app/blobs/uploads/', { auth });
    expect(answer).toMatchObject({ status: 401, code: 'UNAUTHORIZED' });
    expect(answer.challenge).toContain('scope="repository:team/app:pull,push",error="insufficient_scope"');
    expect(await ask('machine', 'GET', '/v2/', { auth })).toMatchObject({ status: 401 });
  });

  test('who may only create cannot move a tag', async () => {
    const auth = await tokenFor('new', ['repository:team/app:push']);
    const put = (tag: string, body: string) =>
      ask('outside', 'PUT', `/v2/team/app/manifests/${tag}`, { auth, body, type: MEDIA_TYPES.ociIndex });
    expect((await put('fresh', BODY)).status).toBe(201);
    expect((await put('fresh', BODY)).status).toBe(201);
    expect(await put('fresh', `${BODY} `)).toMatchObject({ status: 403, code: 'DENIED' });
  });

  test('a mount needs the right to pull from the source', async () => {
    const mount = (user: string, query: string) =>
      ask('outside', 'POST', `/v2/team/new-${user}/blobs/uploads/?mount=${DIGEST}${query}`, { auth: basic(user) });
    expect((await mount('team', '&from=other/app')).status).toBe(202);
    expect((await mount('team', '')).status).toBe(202);
    expect((await mount('team', '&from=team/app')).status).toBe(201);
    expect((await mount('root', '')).status).toBe(201);
  });

  test("OAuth2's grants by POST; wrong ones are refused; forged tokens too", async () => {
    const form = (fields: Record<string, string>) =>
      ask('outside', 'POST', '/token', {
        body: new URLSearchParams({ service: 's', scope: 'repository:team/app:pull', ...fields }).toString(),
        type: 'application/x-www-form-urlencoded',
      });
    const given = await form({ grant_type: 'password', username: 'x', password: 'viewer' });
    const { access_token, expires_in } = JSON.parse(given.body);
    expect(expires_in).toBeGreaterThanOrEqual(60);
    const pull = (token: string) => ask('outside', 'GET', '/v2/team/app/manifests/v1', { auth: `Bearer ${token}` });
    expect((await pull(access_token)).status).toBe(200);
    expect((await form({ grant_type: 'refresh_token', refresh_token: 'team' })).status).toBe(200);
    expect(await form({ grant_type: 'password', password: 'nobody' })).toMatchObject({ status: 401 });
    const [mark, body = ''] = String(access_token).split('.');
    const forged = Buffer.from(Buffer.from(body, 'base64url').toString().replace('"viewer"', '"root"')).toString(
      'base64url',
    );
    for (const token of [`${mark}.${forged}.${String(access_token).split('.')[2]}`, 'berth.x.y', 'berth..', ''])
      expect((await pull(token)).status).toBe(401);
    const other = new RegistryTokens({ random: realRandom, clock: realClock });
    const granted = [{ right: 'get', repository: 'team/app' }] as const;
    expect((await pull(other.issue({ door: 'outside', user: 'root', granted, refused: [] }))).status).toBe(401);
  });

  test('the API is down: who must log in is told 503, not that he is nobody', async () => {
    isDown = true;
    expect(await ask('outside', 'GET', '/v2/team/app/manifests/v1', { auth: basic('team') })).toMatchObject({
      status: 503,
      code: 'UNAVAILABLE',
    });
  });

  test('our own client logs in by the token flow', async () => {
    settings = { ...DEFAULT_SETTINGS, anonymous: 'pull' };
    await using client = new DistributionClient({ random: realRandom });
    const image = await packImage({ entries: [{ type: 'folder', path: 'x' }], config: {} });
    const ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
    const before = questions;
    const as = (password: string) =>
      client.repository(registry.host, 'team/own', { credentials: { username: 'me', password } });
    await pushPacked(as('team'), 'v1', image, ctx);
    expect(questions).toBeGreaterThan(before);
    await expect(pushPacked(as('viewer'), 'v2', image, ctx)).rejects.toMatchObject({ kind: 'Forbidden' });
    expect((await client.repository(registry.host, 'team/own').getManifest('v1', ctx)).digest).toBe(
      image.manifestDigest,
    );
  });
});

test("the administrator's socket collects; no other door does", async () => {
  const done = await ask('admin', 'POST', '/collect?graceSeconds=0');
  expect(JSON.parse(done.body)).toMatchObject({ links: expect.any(Number), retention: { tags: 0 } });
  for (const door of ['machine', 'outside'] as const)
    expect((await ask(door, 'POST', '/collect', { auth: basic('root') })).status).toBe(404);
});

test.each([
  ['repository:a/b:pull', ['get a/b']],
  ['repository:a/b:pull,push', ['get a/b', 'create a/b', 'update a/b']],
  ['repository:a/b:*', ['get a/b', 'create a/b', 'update a/b', 'delete a/b']],
  ['repository(plugin):a/b:delete', ['delete a/b']],
  ['registry:catalog:*', ['list ']],
  ['repository:../etc:pull', []],
  ['repository:A:pull', []],
  ['nonsense', []],
])('scope %s', (scope, rights) => {
  expect(rightsOfScope(scope).map((r) => `${r.right} ${r.repository}`)).toEqual(rights);
});

test.each([
  ['app', '', 'app'],
  ['team/app', 'team', 'app'],
  ['team/sub/app', 'team', 'sub/app'],
  ['', '', ''],
])('the cluster is asked about %s as namespace "%s", name "%s"', (repository, namespace, name) => {
  expect(attributesOf(repository)).toEqual({ namespace, name });
});
