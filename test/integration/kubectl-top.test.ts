/** Stock kubectl top against the API server over a memory store and nodes that answer what they measured. */
import { execFile } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type APIService, Kinds, type Node, type Pod } from '#lib/api';
import { realClock, StatusError } from '#lib/base';
import { type NodeStats, type NodeStreams, newKubeconfig, writeKubeconfig } from '#lib/client';
import {
  testContext as c,
  eventually,
  startTestServer,
  type TestServer,
} from '../../services/apiserver/testing/server.ts';

const KUBECTL = '/usr/bin/kubectl';
const hasKubectl = await access(KUBECTL).then(
  () => true,
  () => false,
);

let server: TestServer;
let folder: string;
const stats = new Map<string, NodeStats>();

const streams: NodeStreams = {
  openStream: async (node, request) => {
    const found = stats.get(node);
    if (request.kind !== 'stats' || found === undefined) throw new StatusError('Unavailable', `${node} is away`);
    return {
      stdin: new Writable({ write: (_c, _e, done) => done() }),
      stdout: Readable.from([Buffer.from(JSON.stringify(found))]),
      stderr: Readable.from([]),
      result: Promise.resolve({ exitCode: 0 }),
      resize: () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    };
  },
};

beforeAll(async () => {
  server = await startTestServer({ listen: true, nodeStreams: streams });
  folder = await mkdtemp(join(tmpdir(), 'berth-top-'));
  const pair = await server.issueClient('admin', ['system:masters']);
  const config = newKubeconfig({ name: 'test', server: server.url, caPem: server.ca.certPem, ...pair });
  await writeKubeconfig(join(folder, 'config'), config);
  await server.client.create<Node>(Kinds.nodes, { metadata: { name: 'n1' }, spec: {} }, c);
  const resources = { cpu: '2', memory: '4Gi', pods: '10' };
  await server.client.patch(
    Kinds.nodes,
    { namespace: '', name: 'n1' },
    { type: 'merge', body: { status: { capacity: resources, allocatable: resources } } },
    c,
    { subresource: 'status' },
  );
  const pod = await server.client.create<Pod>(
    Kinds.pods,
    {
      metadata: { name: 'web', namespace: 'default', labels: { app: 'web' } },
      spec: {
        nodeName: 'n1',
        containers: [
          { name: 'main', image: 'x' },
          { name: 'side', image: 'x' },
        ],
      },
    },
    c,
  );
  const running = { type: 'merge', body: { status: { phase: 'Running' } } } as const;
  const key = { namespace: 'default', name: 'web' };
  await server.client.patch(Kinds.pods, key, running, c, { subresource: 'status' });
  const usage = { timestampMs: realClock.now(), windowMs: 10_000 };
  const of = (cpuNanoCores: number, mebibytes: number): NodeStats['node'] & object => ({
    ...usage,
    cpuNanoCores,
    workingSetBytes: mebibytes * 1024 * 1024,
  });
  const containers = [
    { name: 'main', usage: of(120_000_000, 30) },
    { name: 'side', usage: of(5_000_000, 12) },
  ];
  const pods = [{ namespace: 'default', name: 'web', uid: pod.metadata.uid ?? '', containers }];
  stats.set('n1', { node: of(500_000_000, 1024), pods });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function kubectl(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = { ...process.env, HOME: folder, KUBECONFIG: join(folder, 'config') };
  return new Promise((resolve) => {
    execFile(KUBECTL, args, { env, timeout: 20_000 }, (e, out, err) => {
      resolve({ code: e === null ? 0 : typeof e.code === 'number' ? e.code : 1, out, err });
    });
  });
}

const columns = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));

describe.skipIf(!hasKubectl)('kubectl', () => {
  test('top nodes', async () => {
    const { out, err } = await kubectl('top', 'nodes', '--no-headers');
    expect(columns(out), err).toEqual([['n1', '500m', '25%', '1024Mi', '25%']]);
  });

  test('top pods, of containers too, by selector', async () => {
    expect(columns((await kubectl('top', 'pods', '--no-headers')).out)).toEqual([['web', '125m', '42Mi']]);
    expect(columns((await kubectl('top', 'pod', 'web', '--containers', '--no-headers')).out)).toEqual([
      ['web', 'main', '120m', '30Mi'],
      ['web', 'side', '5m', '12Mi'],
    ]);
    expect((await kubectl('top', 'pods', '-l', 'app=other')).err).toContain('No resources found');
    expect((await kubectl('top', 'pod', 'none')).err).toContain('pods "none" not found');
  });

  test('get apiservices: the columns, and whether each is available', async () => {
    await eventually(async () => {
      const key = { namespace: '', name: 'v1beta1.metrics.k8s.io' };
      const service = await server.client.get<APIService>(Kinds.apiservices, key, c);
      expect(service.status?.conditions).toHaveLength(1);
    });
    const lines = columns((await kubectl('get', 'apiservices', 'v1beta1.metrics.k8s.io')).out);
    expect(lines[0]).toEqual(['NAME', 'SERVICE', 'AVAILABLE', 'AGE']);
    expect(lines[1]?.slice(0, 3)).toEqual(['v1beta1.metrics.k8s.io', 'Local', 'True']);
  });

  test('api-resources names the metrics', async () => {
    const { out } = await kubectl('api-resources', '--api-group=metrics.k8s.io', '--no-headers');
    expect(columns(out)).toEqual([
      ['nodes', 'metrics.k8s.io/v1beta1', 'false', 'NodeMetrics'],
      ['pods', 'metrics.k8s.io/v1beta1', 'true', 'PodMetrics'],
    ]);
  });
});
