import { Readable, Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type APIService, Kinds, type Node, type Pod } from '#lib/api';
import { goDuration, StatusError, VirtualClock } from '#lib/base';
import type { HttpClient, NodeStats, NodeStreams } from '#lib/client';
import { testContext as c, eventually, MASTER, startTestServer, type TestServer } from '../../testing/server.ts';
import { NodeFigures } from './node-figures.ts';

const NOW = Date.parse('2026-05-01T10:00:00Z');
const usage = (cpuNanoCores: number, workingSetBytes: number, o = {}): NodeStats['node'] & object => ({
  timestampMs: NOW,
  windowMs: 10_003,
  cpuNanoCores,
  workingSetBytes,
  ...o,
});

let server: TestServer;
let admin: HttpClient;
const asked: string[] = [];
const pages = new Map<string, string>();

const streams: NodeStreams = {
  openStream: async (node, request) => {
    const page = pages.get(`${node}/${request.path}`);
    asked.push(`${node}/${request.path}`);
    if (request.kind !== 'stats' || page === undefined) throw new StatusError('Unavailable', `${node} is away`);
    return {
      stdin: new Writable({ write: (_c, _e, done) => done() }),
      stdout: Readable.from([Buffer.from(page)]),
      stderr: Readable.from([]),
      result: Promise.resolve({ exitCode: 0 }),
      resize: () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    };
  },
};

beforeAll(async () => {
  server = await startTestServer({ listen: true, nodeStreams: streams });
  admin = await server.http(MASTER);
  for (const name of ['n1', 'n2'])
    await server.client.create<Node>(Kinds.nodes, { metadata: { name, labels: { zone: name } }, spec: {} }, c);
  const uids: Record<string, string> = {};
  for (const [name, node] of [
    ['a', 'n1'],
    ['b', 'n1'],
    ['far', 'n2'],
    ['unbound', ''],
  ] as const) {
    const made = await server.client.create<Pod>(
      Kinds.pods,
      {
        metadata: { name, namespace: 'default', labels: { app: name } },
        spec: { containers: [{ name: 'main', image: 'x' }], ...(node === '' ? {} : { nodeName: node }) },
      },
      c,
    );
    uids[name] = made.metadata.uid ?? '';
    if (node !== '')
      await server.client.patch(
        Kinds.pods,
        { namespace: 'default', name },
        { type: 'merge', body: { status: { phase: 'Running' } } },
        c,
        { subresource: 'status' },
      );
  }
  const stats: NodeStats = {
    node: usage(1_500_000_000, 3_000_000_000),
    pods: [
      {
        namespace: 'default',
        name: 'a',
        uid: uids['a'] ?? '',
        containers: [
          { name: 'main', usage: usage(250_000_000, 10 << 20) },
          { name: 'side', usage: usage(1, 1, { timestampMs: NOW - 4_000, windowMs: 61_500 }) },
        ],
      },
      /* Measured when the name was another pod's. */
      { namespace: 'default', name: 'b', uid: 'another', containers: [{ name: 'main', usage: usage(1, 1) }] },
      /* Not this node's pod: what it says of it does not count. */
      { namespace: 'default', name: 'far', uid: uids['far'] ?? '', containers: [{ name: 'main', usage: usage(1, 1) }] },
    ],
  };
  pages.set('n1/stats', JSON.stringify(stats));
  pages.set('n1/metrics/resource', '# TYPE x gauge\nx 1\n');
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function get(path: string, method: 'GET' | 'DELETE' = 'GET', accept?: string): Promise<[number, unknown]> {
  try {
    const answer = await admin.raw({ method, path, accept }, c);
    const text = await answer.body.text();
    return [answer.statusCode, text.startsWith('{') ? JSON.parse(text) : text];
  } catch (e) {
    if (!(e instanceof StatusError)) throw e;
    return [0, `${e.kind}: ${e.message}`];
  }
}

const ROOT = '/apis/metrics.k8s.io/v1beta1';
const names = (list: unknown): string[] =>
  (list as { items: { metadata: { name: string } }[] }).items.map((i) => i.metadata.name);

describe('metrics.k8s.io', () => {
  test('is in discovery, with an APIService that is Local', async () => {
    expect((await get('/apis/metrics.k8s.io'))[1]).toMatchObject({
      preferredVersion: { groupVersion: 'metrics.k8s.io/v1beta1' },
    });
    const [, list] = await get(ROOT);
    expect((list as { resources: object[] }).resources).toEqual([
      {
        name: 'nodes',
        singularName: '',
        namespaced: false,
        kind: 'NodeMetrics',
        verbs: ['get', 'list'],
        storageVersionHash: expect.any(String),
      },
      {
        name: 'pods',
        singularName: '',
        namespaced: true,
        kind: 'PodMetrics',
        verbs: ['get', 'list'],
        storageVersionHash: expect.any(String),
      },
    ]);
    await eventually(async () => {
      const key = { namespace: '', name: 'v1beta1.metrics.k8s.io' };
      const service = await server.client.get<APIService>(Kinds.apiservices, key, c);
      expect(service.status?.conditions?.[0]?.reason).toBe('Local');
    });
    expect((await get('/openapi/v3/apis/metrics.k8s.io/v1beta1'))[0]).toBe(200);
  });

  test('a node: usage, window and time of its reading', async () => {
    expect(await get(`${ROOT}/nodes/n1`)).toEqual([
      200,
      {
        kind: 'NodeMetrics',
        apiVersion: 'metrics.k8s.io/v1beta1',
        metadata: { name: 'n1', labels: { zone: 'n1' }, creationTimestamp: expect.any(String) },
        timestamp: '2026-05-01T10:00:00Z',
        window: '10.003s',
        usage: { cpu: '1500000000n', memory: '2929688Ki' },
      },
    ]);
    expect((await get(`${ROOT}/nodes/n2`))[1]).toBe('NotFound: nodemetrics.metrics.k8s.io "n2" not found');
    expect((await get(`${ROOT}/nodes/none`))[1]).toBe('NotFound: nodes "none" not found');
  });

  test('a pod: its containers, the window of the oldest reading; 404 for one without a sample of its own', async () => {
    const [code, pod] = await get(`${ROOT}/namespaces/default/pods/a`);
    expect(code).toBe(200);
    expect(pod).toMatchObject({
      kind: 'PodMetrics',
      metadata: { name: 'a', namespace: 'default', labels: { app: 'a' } },
      timestamp: '2026-05-01T09:59:56Z',
      window: '1m1.5s',
      containers: [
        { name: 'main', usage: { cpu: '250000000n', memory: '10240Ki' } },
        { name: 'side', usage: { cpu: '1n', memory: '1Ki' } },
      ],
    });
    for (const name of ['b', 'far', 'unbound'])
      expect((await get(`${ROOT}/namespaces/default/pods/${name}`))[1]).toBe(
        `NotFound: podmetrics.metrics.k8s.io "default/${name}" not found`,
      );
  });

  test('lists: those that are measured, by selectors and namespace; as a table too', async () => {
    expect(names((await get(`${ROOT}/nodes`))[1])).toEqual(['n1']);
    expect(names((await get(`${ROOT}/pods`))[1])).toEqual(['a']);
    expect(names((await get(`${ROOT}/namespaces/default/pods?labelSelector=app%3Da`))[1])).toEqual(['a']);
    expect(names((await get(`${ROOT}/namespaces/default/pods?labelSelector=app%3Db`))[1])).toEqual([]);
    expect(names((await get(`${ROOT}/pods?fieldSelector=metadata.name%3Da`))[1])).toEqual(['a']);
    expect(names((await get(`${ROOT}/namespaces/kube-system/pods`))[1])).toEqual([]);
    expect((await get(`${ROOT}/pods?labelSelector=!!`))[1]).toMatch(/^BadRequest/);
    const [, table] = await get(`${ROOT}/pods`, 'GET', 'application/json;as=Table;v=v1;g=meta.k8s.io');
    expect(table).toMatchObject({ kind: 'Table', rows: [{ cells: ['a', expect.any(String)] }] });
  });

  test('nothing else: no watch, no writes, no other paths, nothing for those who may not', async () => {
    expect((await get(`${ROOT}/pods?watch=true`))[1]).toMatch(/^MethodNotAllowed/);
    expect((await get(`${ROOT}/nodes/n1`, 'DELETE'))[1]).toMatch(/^MethodNotAllowed/);
    expect((await get(`${ROOT}/others`))[1]).toMatch(/^NotFound/);
    expect((await get(`${ROOT}/nodes/n1/status`))[1]).toMatch(/^NotFound/);
    const nobody = await server.http({ commonName: 'nobody', organizations: [] });
    await expect(nobody.raw({ method: 'GET', path: `${ROOT}/nodes` }, c)).rejects.toThrow(
      'nodes.metrics.k8s.io is forbidden: User "nobody" cannot list resource "nodes"',
    );
  });

  test('a node is asked once for those who ask at the same time', async () => {
    asked.length = 0;
    await server.client.create<Node>(Kinds.nodes, { metadata: { name: 'n3' }, spec: {} }, c);
    pages.set('n3/stats', JSON.stringify({ node: usage(1, 1), pods: [] }));
    await Promise.all([get(`${ROOT}/nodes/n3`), get(`${ROOT}/nodes/n3`), get(`${ROOT}/nodes/n3`)]);
    expect(asked.filter((a) => a === 'n3/stats')).toHaveLength(1);
  });
});

test("a node's own metric pages below nodes/NAME/proxy", async () => {
  expect(await get('/api/v1/nodes/n1/proxy/metrics/resource')).toEqual([200, '# TYPE x gauge\nx 1\n']);
  expect((await get('/api/v1/nodes/n2/proxy/metrics'))[1]).toBe('Unavailable: n2 is away');
  expect((await get('/api/v1/nodes/none/proxy/metrics'))[1]).toBe('NotFound: nodes "none" not found');
});

test.each([
  [0, '0s'],
  [900, '900ms'],
  [10_003, '10.003s'],
  [60_000, '1m0s'],
  [3_661_000, '1h1m1s'],
])('go duration: %d ms is %s', (ms, text) => {
  expect(goDuration(ms)).toBe(text);
});

test('a node that ends its page and never says that it is done is waited for no longer than one that says nothing', async () => {
  const clock = new VirtualClock();
  const endless: NodeStreams = {
    openStream: async () => ({
      stdin: new Writable({ write: (_c, _e, done) => done() }),
      stdout: Readable.from([Buffer.from('{}')]),
      stderr: Readable.from([]),
      result: new Promise<never>(() => undefined),
      resize: () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    }),
  };
  const figures = new NodeFigures({ nodes: () => endless, clock });
  let told: unknown;
  const asked = figures.page('n1', 'metrics', { ...c, clock }).catch((e: unknown) => {
    told = e;
  });
  await eventually(async () => {
    await clock.advance(5_000);
    expect(told).toMatchObject({ kind: 'DeadlineExceeded' });
  });
  await asked;
});
