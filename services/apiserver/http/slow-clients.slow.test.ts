/** Clients that send or read without an end hold no seat for longer than a request may take. */
import { Agent, request } from 'node:https';
import { afterEach, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { type Clock, realClock } from '#lib/base';
import { send } from '../testing/fuzz.ts';
import { eventually, MASTER, startTestServer, type TestServer, testContext } from '../testing/server.ts';

/** The minute that a request may take goes by in a moment. */
const hurried: Clock = {
  ...realClock,
  after: (delayMs, fn, o) => realClock.after(delayMs === 60_000 ? 1_500 : delayMs, fn, o),
};

let server: TestServer;
let agent: Agent;
let admin: Agent;

async function start(): Promise<void> {
  server = await startTestServer({ listen: true, clock: hurried });
  const pair = await server.issueClient('slow', []);
  const master = await server.issueClient(MASTER.commonName, MASTER.organizations);
  agent = new Agent({ keepAlive: true, ca: server.ca.certPem, cert: pair.certPem, key: pair.keyPem });
  admin = new Agent({ keepAlive: true, ca: server.ca.certPem, cert: master.certPem, key: master.keyPem });
}

afterEach(async () => {
  agent.destroy();
  admin.destroy();
  await server[Symbol.asyncDispose]();
});

/** In use by whoever is not exempt. */
async function seatsInUse(): Promise<number> {
  const { body } = await send(admin, server.url, { method: 'GET', path: '/metrics', headers: {}, body: undefined });
  const seats = body
    .toString()
    .matchAll(/^apiserver_flowcontrol_current_executing_seats\{priority_level="(?!exempt)\S+ (\d+)$/gm);
  return [...seats].reduce((sum, [, n]) => sum + Number(n), 0);
}

test('a body that never comes is answered with 504', async () => {
  await start();
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
  const headers = { 'content-type': 'application/json', 'content-length': '1000' };
  const req = request(`${server.url}${path}`, { agent, method: 'POST', headers });
  const code = new Promise<number>((resolve, reject) => {
    req.once('response', (res) => resolve(res.statusCode ?? 0));
    req.once('error', reject);
  });
  req.write('{');
  expect(await code).toBe(504);
  req.destroy();
  expect(await seatsInUse()).toBe(0);
});

test('who does not read a long answer keeps a seat, and is cut off', async () => {
  await start();
  const metadata = { namespace: 'default', name: 'long' };
  for (let i = 0; i < 12; i++)
    await server.client.create(
      Kinds.configmaps,
      { metadata: { ...metadata, name: `long-${i}` }, data: { a: 'x'.repeat(900_000) } },
      testContext,
    );
  const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'slow' }];
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' };
  await server.client.create(Kinds.clusterrolebindings, { metadata: { name: 'slow' }, subjects, roleRef }, testContext);
  const req = request(`${server.url}/api/v1/configmaps`, { agent });
  req.once('error', () => undefined);
  req.once('response', (res) => res.once('error', () => undefined));
  req.end();
  await eventually(async () => expect(await seatsInUse()).toBeGreaterThan(0));
  await eventually(async () => expect(await seatsInUse()).toBe(0));
  req.destroy();
});
