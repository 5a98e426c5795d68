/** Requests that a client sends ahead on one connection. */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { eventually, MASTER, startTestServer, type TestServer, testContext } from '../testing/server.ts';

const CONFIGMAPS = '/api/v1/configmaps';
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ listen: true });
  for (let i = 0; i < 3; i++)
    await server.client.create(
      Kinds.configmaps,
      { metadata: { namespace: 'default', name: `long-${i}` }, data: { a: 'x'.repeat(100_000) } },
      testContext,
    );
  const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'ahead' }];
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' };
  await server.client.create(Kinds.clusterrolebindings, { metadata: { name: 'a' }, subjects, roleRef }, testContext);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function connected(): Promise<TLSSocket> {
  const { certPem: cert, keyPem: key } = await server.issueClient('ahead', []);
  const socket = connect({
    port: Number(new URL(server.url).port),
    host: '127.0.0.1',
    ca: server.ca.certPem,
    cert,
    key,
  });
  await once(socket, 'secureConnect');
  return socket;
}

/** Of the levels that are not exempt: seats in use, and watches that are open. */
async function held(): Promise<{ seats: number; watches: number }> {
  const admin = await server.http(MASTER);
  const answer = await admin.raw({ method: 'GET', path: '/metrics' }, testContext);
  const text = await answer.body.text();
  const sum = (line: RegExp): number => [...text.matchAll(line)].reduce((all, [, n]) => all + Number(n), 0);
  return {
    seats: sum(/^apiserver_flowcontrol_current_executing_seats\{priority_level="(?!exempt)\S+ (\d+)$/gm),
    watches: sum(/^apiserver_longrunning_requests\{verb="WATCH",\S+ (\d+)$/gm),
  };
}

test('who goes away holds nothing, however much was asked for ahead', async () => {
  const socket = await connected();
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  // The first has no end: none of the others gets its turn.
  socket.write(get(`${CONFIGMAPS}?watch=1`) + get(CONFIGMAPS) + get(`${CONFIGMAPS}?watch=1`) + get(CONFIGMAPS));
  await eventually(async () => expect(await held()).toMatchObject({ seats: 2, watches: 2 }));
  socket.destroy();
  await eventually(async () => expect(await held()).toEqual({ seats: 0, watches: 0 }));
});

test('answers come in the order of the requests', async () => {
  const socket = await connected();
  let text = '';
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  const paths = [CONFIGMAPS, `${CONFIGMAPS}?watch=1&timeoutSeconds=1`, '/version', CONFIGMAPS];
  const requests = paths.map((path, i) => `GET ${path} HTTP/1.1\r\nHost: x\r\naudit-id: r${i}\r\n`);
  socket.write(`${requests.join('\r\n')}Connection: close\r\n\r\n`);
  await once(socket, 'close');
  const ids = [...text.matchAll(/^audit-id: (r\d)\r$/gim)].map(([, id]) => id);
  expect(ids).toEqual(['r0', 'r1', 'r2', 'r3']);
  expect(await held()).toEqual({ seats: 0, watches: 0 });
});
