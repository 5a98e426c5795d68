/** What a user of few rights, or an extension API server that means ill, may try by the aggregation layer. */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type APIService, type ConfigMap, Kinds } from '#lib/api';
import {
  type ExtensionServer,
  GROUP,
  registerExtension,
  startExtensionServer,
  VERSION,
} from '../../testing/extension-server.ts';
import { testContext as c, eventually, MASTER, startTestServer, type TestServer } from '../../testing/server.ts';

const NAME = { namespace: '', name: `${VERSION}.${GROUP}` };
const ROOT = `/apis/${GROUP}/${VERSION}`;

let server: TestServer;
let extension: ExtensionServer;

beforeAll(async () => {
  const streams: { to?: ExtensionServer } = {};
  server = await startTestServer({
    listen: true,
    nodeStreams: {
      openStream: (node, request, ctx) => {
        if (streams.to === undefined) throw new Error('no extension server yet');
        return streams.to.streams.openStream(node, request, ctx);
      },
    },
  });
  const key = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };
  const config = await eventually(() => server.client.get<ConfigMap>(Kinds.configmaps, key, c));
  extension = await startExtensionServer({ trusted: () => config.data?.['requestheader-client-ca-file'] ?? '' });
  streams.to = extension;
  await registerExtension(server.client, { caBundle: Buffer.from(extension.ca.certPem).toString('base64') });
  await eventually(async () => {
    const service = await server.client.get<APIService>(Kinds.apiservices, NAME, c);
    expect(service.status?.conditions?.find((k) => k.type === 'Available')?.status).toBe('True');
  });
}, 20_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await extension[Symbol.asyncDispose]();
});

async function dial(): Promise<TLSSocket> {
  const pair = await server.issueClient(MASTER.commonName, MASTER.organizations);
  const { port } = new URL(server.url);
  const socket = connect({
    host: '127.0.0.1',
    port: Number(port),
    ca: server.ca.certPem,
    cert: pair.certPem,
    key: pair.keyPem,
  });
  await once(socket, 'secureConnect');
  return socket;
}

/** Everything that comes back until the server closes. */
async function exchange(text: string): Promise<string> {
  const socket = await dial();
  socket.write(text);
  const chunks: string[] = [];
  for await (const chunk of socket) chunks.push(String(chunk));
  return chunks.join('');
}

const SMUGGLED = `GET ${ROOT}/namespaces/x/flunders/smuggled HTTP/1.1\r\nHost: x\r\nX-Remote-User: eve\r\nX-Remote-Group: system:masters\r\n\r\n`;

describe('one request of a client is one request of the extension server', () => {
  const chunked = `Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`;
  const named = `Content-Length: ${SMUGGLED.length}\r\nConnection: close, content-length\r\n\r\n${SMUGGLED}`;
  const cases = ['GET', 'DELETE', 'OPTIONS', 'POST'].flatMap((method) => [
    [method, 'chunked', chunked],
    [method, 'whose length is named in Connection', named],
  ]);
  test.each(cases)('%s with a body %s', async (method, _how, rest) => {
    const from = extension.seen.length;
    const answer = await exchange(`${method} ${ROOT}/namespaces/x/flunders/f HTTP/1.1\r\nHost: a\r\n${rest}`);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    // On the same kept connection, so that what was smuggled would have been read by now.
    await exchange(`GET ${ROOT}/namespaces/x/flunders/after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const seen = extension.seen.slice(from);
    expect(seen.map((s) => [s.method, s.url.split('/').at(-1), s.body])).toEqual([
      [method, 'f', SMUGGLED],
      ['GET', 'after', ''],
    ]);
    for (const s of seen) expect(s.headers['x-remote-user']).toEqual(['admin']);
  });
});

describe('an extension server that means ill', () => {
  test('sends nobody elsewhere (CVE-2022-3172)', async () => {
    const plain = await exchange(`GET ${ROOT}/redirect HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    expect(plain).toMatch(/^HTTP\/1\.1 502 /);
    expect(plain.toLowerCase()).not.toContain('location:');
    expect(plain).toContain('the backend attempted to redirect this request, which is not permitted');
    const upgraded = await exchange(
      `GET ${ROOT}/redirect HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );
    expect(upgraded).toMatch(/^HTTP\/1\.1 502 /);
    expect(upgraded.toLowerCase()).not.toContain('location:');
  });

  test('that never answers an upgrade holds nothing once the client has gone', async () => {
    const socket = await dial();
    socket.write(`GET ${ROOT}/hang HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    await eventually(() => expect(extension.seen.at(-1)).toMatchObject({ method: 'GET', url: `${ROOT}/hang` }));
    socket.destroy();
    await eventually(() => expect(extension.seen.at(-1)).toMatchObject({ method: 'closed', url: `${ROOT}/hang` }));
  });

  test('that switches protocols unasked is told as one that cannot be reached', async () => {
    const answer = await exchange(`GET ${ROOT}/switch HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer).toContain('error trying to reach service');
  });
});

test('its OpenAPI document is asked for by its own path only: rights for /openapi/* give no other path', async () => {
  const from = extension.seen.length;
  const answer = await exchange(
    `GET /openapi/v3${ROOT}/../../../../..${ROOT}/namespaces/x/flunders HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  expect(extension.seen.slice(from)).toEqual([]);
});
