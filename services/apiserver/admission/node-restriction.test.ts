import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Kinds, type Lease, type Node, type Pod } from '#lib/api';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';
import { forbiddenLabels } from './node-labels.ts';

type New<T> = Omit<T, 'apiVersion' | 'kind'>;
let server: TestServer;
let n1: Client;

beforeEach(async () => {
  server = await startTestServer();
  n1 = server.as({ name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

const node = (name: string, labels: Record<string, string> = {}): New<Node> =>
  ({ metadata: { name, labels } }) as New<Node>;
const makeNode = (by: Client, ...args: Parameters<typeof node>) => by.create<Node>(Kinds.nodes, node(...args), c);
const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

function pod(name: string, nodeName: string, o: { metadata?: object; spec?: object } = {}): New<Pod> {
  const containers = [{ name: 'main', image: 'busybox' }];
  return {
    metadata: { ...key(name), ...o.metadata },
    spec: { containers, nodeName, ...o.spec },
  } as unknown as New<Pod>;
}

async function mirror(uid: string, o: { owner?: object; spec?: object; nodeName?: string } = {}): Promise<unknown> {
  const owner = { apiVersion: 'v1', kind: 'Node', name: 'n1', uid, controller: true, ...o.owner };
  const annotations = { 'kubernetes.io/config.mirror': 'x' };
  const metadata = { annotations, ownerReferences: [owner] };
  return await n1.create<Pod>(Kinds.pods, pod('static', o.nodeName ?? 'n1', { metadata, spec: o.spec ?? {} }), c);
}

describe('NodeRestriction (noderestriction/admission.go)', () => {
  test('its own Node, with labels of its own', async () => {
    await expect(makeNode(n1, 'n1', { 'kubernetes.io/os': 'linux', mine: 'x' })).resolves.toBeDefined();
    await expect(makeNode(n1, 'n2')).rejects.toThrow(
      'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
    );
    const merge = (body: unknown): Promise<unknown> =>
      n1.patch(Kinds.nodes, { namespace: '', name: 'n1' }, { type: 'merge', body }, c);
    await expect(merge({ metadata: { labels: { other: 'y' } } })).resolves.toBeDefined();
    await expect(
      merge({ metadata: { labels: { 'node-restriction.kubernetes.io/a': 'b', 'x.k8s.io/y': 'z' } } }),
    ).rejects.toThrow(
      'nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/a, x.k8s.io/y',
    );
    await expect(merge({ spec: { taints: [] } })).rejects.toThrow('node "n1" is not allowed to modify taints');
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: 'x', uid: 'u' }];
    await expect(merge({ metadata: { ownerReferences } })).rejects.toThrow('not allowed to modify ownerReferences');
    await expect(
      n1.patch(
        Kinds.nodes,
        { namespace: '', name: 'n1' },
        { type: 'merge', body: { status: { phase: 'Running' } } },
        c,
        { subresource: 'status' },
      ),
    ).resolves.toBeDefined();
  });

  test('a new node may not come with labels of the cluster', async () => {
    await expect(makeNode(n1, 'n1', { 'node-role.kubernetes.io/control-plane': '' })).rejects.toThrow(
      'node "n1" is not allowed to set the following labels: node-role.kubernetes.io/control-plane',
    );
  });

  test('mirror pods of its own, that reach nothing', async () => {
    const uid = (await makeNode(server.client, 'n1')).metadata.uid ?? '';
    await expect(n1.create<Pod>(Kinds.pods, pod('p', 'n1'), c)).rejects.toThrow('can only create mirror pods');
    await expect(mirror(uid, { nodeName: 'n2' })).rejects.toThrow('spec.nodeName set to itself');
    await expect(mirror('no')).rejects.toThrow(`node n1 UID mismatch: expected no got ${uid}`);
    await expect(mirror(uid, { owner: { controller: false } })).rejects.toThrow('controller owner reference');
    await expect(mirror(uid, { spec: { serviceAccountName: 'x' } })).rejects.toThrow('reference a service account');
    const volumes = [{ name: 'v', secret: { secretName: 's' } }];
    await expect(mirror(uid, { spec: { volumes } })).rejects.toThrow('can not create pods that reference secrets');
    await expect(mirror(uid)).resolves.toBeDefined();
  });

  test('statuses, deletions and evictions of its own pods only', async () => {
    for (const [name, on] of [
      ['own', 'n1'],
      ['other', 'n2'],
    ] as const)
      await server.client.create<Pod>(Kinds.pods, pod(name, on), c);
    const status = (name: string, body: object): Promise<unknown> =>
      n1.patch(Kinds.pods, key(name), { type: 'merge', body }, c, { subresource: 'status' });
    await expect(status('own', { status: { phase: 'Running' } })).resolves.toMatchObject({
      status: { phase: 'Running' },
    });
    await expect(status('other', { status: { phase: 'Running' } })).rejects.toThrow(
      'node "n1" can only update pod status for pods with spec.nodeName set to itself',
    );
    await expect(status('own', { metadata: { labels: { a: 'b' } } })).rejects.toThrow('cannot update labels through');
    await expect(n1.delete(Kinds.pods, key('other'), {}, c)).rejects.toThrow(
      'pods "other" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself',
    );
    const evict = (name: string): Promise<unknown> =>
      n1.createSub(Kinds.pods, key(name), 'eviction', { metadata: { name } }, c);
    await expect(evict('other')).rejects.toThrow('node n1 can only evict pods with spec.nodeName set to itself');
    await expect(evict('own')).resolves.toBeDefined();
  });

  test('its own lease', async () => {
    const lease = (name: string): New<Lease> =>
      ({ metadata: { name, namespace: 'kube-node-lease' }, spec: {} }) as New<Lease>;
    await expect(n1.create<Lease>(Kinds.leases, lease('n1'), c)).resolves.toBeDefined();
    await expect(n1.create<Lease>(Kinds.leases, lease('n2'), c)).rejects.toThrow(
      'can only access node lease with the same name as the requesting node',
    );
  });

  test('who is no node is not restricted', async () => {
    const labels = { 'node-restriction.kubernetes.io/a': 'b' };
    await expect(makeNode(server.client, 'n3', labels)).resolves.toMatchObject({ metadata: { labels } });
  });
});

describe('labels of a node', () => {
  test.each([
    ['kubernetes.io/hostname', true],
    ['node.kubernetes.io/anything', true],
    ['sub.kubelet.kubernetes.io/x', true],
    ['example.com/x', true],
    ['plain', true],
    ['notkubernetes.io/x', true],
    ['kubernetes.io/other', false],
    ['a.kubernetes.io/x', false],
    ['k8s.io/x', false],
    ['node-restriction.kubernetes.io/x', false],
    ['a.node-restriction.kubernetes.io/x', false],
  ])('%s: %s', (label, isAllowed) => {
    expect(forbiddenLabels({ [label]: 'v' }, {})).toEqual(isAllowed ? [] : [label]);
    expect(forbiddenLabels({}, { [label]: 'v' })).toEqual(isAllowed ? [] : [label]);
    expect(forbiddenLabels({ [label]: 'v' }, { [label]: 'v' })).toEqual([]);
  });
});
