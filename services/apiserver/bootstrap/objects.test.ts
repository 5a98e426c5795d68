import { afterEach, beforeEach, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { isKind, VirtualClock } from '#lib/base';
import { startTestServer, type TestServer, testContext } from '../testing/server.ts';
import { keepBootstrapObjects } from './objects.ts';

let server: TestServer;
const config = { serviceCidr: '10.43.0.0/16', advertise: { address: '192.0.2.1', port: 6443 } };

beforeEach(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

test('what the cluster cannot be without is made again when somebody deletes it', async () => {
  const { client } = server;
  const key = { namespace: 'default', name: 'kubernetes' };
  await client.delete(Kinds.services, key, {}, testContext);
  const clock = new VirtualClock();
  const stop = new AbortController();
  const kept = keepBootstrapObjects(client, config, { ...testContext, clock, signal: stop.signal });
  await clock.advance(10_000);
  await expect.poll(async () => client.get(Kinds.services, key, testContext).catch(() => undefined)).toBeDefined();
  stop.abort();
  await expect(kept).rejects.toThrow();
});

test('the namespaces of the system, that of the heartbeats of nodes included, stay', async () => {
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease'])
    await expect(server.client.delete(Kinds.namespaces, { namespace: '', name }, {}, testContext)).rejects.toSatisfy(
      (e) => isKind(e, 'Forbidden'),
    );
});
