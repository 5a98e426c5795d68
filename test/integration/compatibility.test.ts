import { afterAll, beforeAll, expect, test } from 'vitest';
import { allKinds } from '#lib/api';
import { MASTER, startTestServer, type TestServer, testContext } from '../../services/apiserver/testing/server.ts';
import { ProbeNode } from '../compatibility/probe-node.ts';
import { probe, prepare } from '../compatibility/probe.ts';
import { builtIn } from '../compatibility/resource.ts';
let server: TestServer;
let node: ProbeNode;
beforeAll(async () => {
  node = await ProbeNode.open();
  server = await startTestServer({ listen: true, nodeStreams: node });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});
test('all', async () => {
  const { certPem: cert, keyPem: key } = await server.issueClient(MASTER.commonName, MASTER.organizations);
  const a = { client: await server.http(MASTER), c: testContext, url: server.url, tls: { ca: server.ca.certPem, cert, key } };
  await prepare(a);
  const faults: string[] = [];
  for (const kind of allKinds()) {
    const t = performance.now();
    try {
      const f = await probe(builtIn(kind), a);
      const all = [...f.verbs].concat([...f.subresources].flatMap(([s, o]) => [...o].map(([v, x]) => [`${s}/${v}`, x] as never)));
      console.log(kind.group, kind.resource, Math.round(performance.now() - t), all.filter(([, o]) => o !== 'works').map((x) => JSON.stringify(x)).join(' '));
    } catch (e) { faults.push(`${kind.group} ${kind.resource} ${(e as Error).message}`); }
  }
  console.log(faults.join('\n'));
  expect(faults).toEqual([]);
}, 60000);
