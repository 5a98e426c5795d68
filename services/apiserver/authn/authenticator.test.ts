import type { IncomingMessage } from 'node:http';
import { Agent, createServer, request } from 'node:https';
import { type AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds, type ServiceAccount, type TokenRequest } from '#lib/api';
import { realClock, VirtualClock } from '#lib/base';
import { createCa, issue, type KeyPair } from '#lib/pki';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';
import { Authenticator } from './authenticator.ts';

const DAY_MS = 24 * 3_600_000;
let server: TestServer;
let token: string;
beforeAll(async () => {
  server = await startTestServer({ listen: true });
  const key = { name: 'robot', namespace: 'default' };
  await server.client.create<ServiceAccount>(Kinds.serviceaccounts, { metadata: key }, c);
  const made = await server.client.createSub(Kinds.serviceaccounts, key, 'token', { spec: { audiences: [] } }, c);
  token = (made as TokenRequest).status?.token ?? '';
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

interface Answer {
  readonly code: number | undefined;
  readonly user: { username: string; groups: string[]; extra?: Record<string, string[]> } | undefined;
  readonly message: string;
}

/** SelfSubjectReview with this certificate and token. */
async function whoAmI(
  o: { pair?: KeyPair | undefined; token?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const tls = o.pair === undefined ? {} : { cert: o.pair.certPem, key: o.pair.keyPem };
  const headers = {
    'content-type': 'application/json',
    ...(o.token === undefined ? {} : { authorization: `Bearer ${o.token}` }),
    ...o.headers,
  };
  return await new Promise<Answer>((resolve, reject) => {
    const url = `${server.url}/apis/authentication.k8s.io/v1/selfsubjectreviews`;
    const sent = request(url, { method: 'POST', ca: server.ca.certPem, agent: false, headers, ...tls }, (res) => {
      text(res).then((body) => {
        const { status, message = '' } = JSON.parse(body) as {
          status?: { userInfo?: Answer['user'] };
          message?: string;
        };
        resolve({ code: res.statusCode, user: status?.userInfo, message });
      }, reject);
    });
    sent.on('error', reject);
    sent.end('{}');
  });
}

const certificate = (ca: KeyPair, commonName: string, organizations: string[] = ['dev']): Promise<KeyPair> =>
  issue(ca, { commonName, organizations, usages: ['client'], days: 1 });

const authenticator = new Authenticator({
  tokens: {
    audiences: ['api'],
    authenticator: {
      authenticateToken: async (given) =>
        given === 'good' ? { outcome: 'authenticated', user: { name: 'jane', groups: [] } } : { outcome: 'unknown' },
    },
  },
  authorizer: { authorize: () => ({ isAllowed: false, reason: '' }) },
});

describe('client certificates', () => {
  test('the subject as it is, and which certificate it was', async () => {
    const { user } = await whoAmI({ pair: await certificate(server.ca, 'doe, jane', ['a+b']) });
    expect(user).toMatchObject({ username: 'doe, jane', groups: ['a+b', 'system:authenticated'] });
    expect(user?.extra?.['authentication.kubernetes.io/credential-id']?.[0]).toMatch(/^X509SHA256=[0-9a-f]{64}$/);
  });

  test('of another authority: no credential, but a token beside it is', async () => {
    const foreign = await certificate(await createCa('other'), 'admin', ['system:masters']);
    expect(await whoAmI({ pair: foreign })).toMatchObject({ code: 401 });
    expect((await whoAmI({ pair: foreign, token })).user?.username).toBe('system:serviceaccount:default:robot');
    expect(await whoAmI({ pair: foreign, token: 'nonsense' })).toMatchObject({ code: 401 });
  });

  test('for servers, or without a name: nobody', async () => {
    const serving = await issue(server.ca, {
      commonName: 'admin',
      organizations: ['system:masters'],
      usages: ['server'],
      days: 1,
    });
    expect(await whoAmI({ pair: serving })).toMatchObject({ code: 401 });
    const nameless = await whoAmI({ pair: await certificate(server.ca, '', ['system:masters']) });
    expect(nameless).toMatchObject({ code: 403 });
    expect(nameless.message).toContain('User "system:anonymous" cannot create');
  });

  test('a connection outlives its certificate, the certificate does not', async () => {
    const clock = new VirtualClock(realClock.now());
    const serving = await issue(server.ca, { commonName: 'x', dnsNames: ['localhost'], usages: ['server'], days: 1 });
    const tls = { cert: serving.certPem, key: serving.keyPem, ca: server.ca.certPem };
    const own = createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (req, res) => {
      authenticator.authenticate(req, { ...c, clock }).then(
        (user) => res.end(user.name),
        (e: Error) => res.end(e.message),
      );
    });
    await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const pair = await certificate(server.ca, 'jane');
    const { port } = own.address() as AddressInfo;
    const sockets = new Set<unknown>();
    const ask = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const o = {
          host: '127.0.0.1',
          servername: 'localhost',
          port,
          agent,
          ca: tls.ca,
          cert: pair.certPem,
          key: pair.keyPem,
        };
        const sent = request(o, (res) => void text(res).then(resolve, reject));
        sent.on('socket', (socket) => sockets.add(socket));
        sent.on('error', reject);
        sent.end();
      });
    expect(await ask()).toBe('jane');
    await clock.advance(2 * DAY_MS);
    expect(await ask()).toBe('Unauthorized');
    expect(sockets.size).toBe(1);
    agent.destroy();
    own.close();
  });
});

describe('acting as somebody else', () => {
  const h2c = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AA' };

  test.each([
    ['by a header in any case', { 'IMPERSONATE-user': 'jane' }],
    ['beside an upgrade offer that is not taken', { 'Impersonate-User': 'jane', ...h2c }],
  ])('%s', async (_name, headers) => {
    const pair = await certificate(server.ca, 'root', ['system:masters']);
    const { code, user } = await whoAmI({ pair, headers });
    expect(code).toBe(201);
    expect(user?.username).toBe('jane');
    const other = await certificate(server.ca, 'nobody');
    expect((await whoAmI({ pair: other, headers })).code).toBe(403);
  });

  test.each(['Impersonate-Group', 'impersonate-uid', 'Impersonate-Extra-Scopes'])('%s needs a user', async (name) => {
    const pair = await certificate(server.ca, 'root', ['system:masters']);
    expect((await whoAmI({ pair, headers: { [name]: 'x' } })).code).toBe(400);
  });
});

describe('bearer tokens of WebSockets', () => {
  const offering = (protocols: string, headers: Record<string, string> = { upgrade: 'WebSocket' }) => {
    const all = { ...headers, 'sec-websocket-protocol': protocols };
    return { socket: new Socket(), headers: all, headersDistinct: {}, rawHeaders: [] } as unknown as IncomingMessage;
  };
  const encoded = (given: string): string =>
    `base64url.bearer.authorization.k8s.io.${Buffer.from(given).toString('base64url')}`;

  test('a token offered as a protocol is believed, and then offered no more', async () => {
    const req = offering(`v5.channel.k8s.io, ${encoded('good')}`);
    expect(await authenticator.authenticate(req, c)).toEqual({ name: 'jane', groups: ['system:authenticated'] });
    expect(req.headers['sec-websocket-protocol']).toBe('v5.channel.k8s.io');
    await expect(authenticator.authenticate(offering(encoded('bad')), c)).rejects.toMatchObject({
      kind: 'Unauthorized',
    });
    const plain = await authenticator.authenticate(offering(encoded('good'), {}), c);
    expect(plain.name).toBe('system:anonymous');
  });
});
