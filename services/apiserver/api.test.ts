import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type ConfigMap,
  type Deployment,
  type EndpointSlice,
  Kinds,
  kindByResource,
  type Namespace,
  type Node,
  type Pod,
  type Service,
} from '#lib/api';
import { isKind, realClock } from '#lib/base';
import { type Client, InProcessClient } from '#lib/client';
import { MemoryStore } from '#lib/store';
import { testContext as c, startTestServer, type TestServer } from './testing/server.ts';

let server: TestServer;
let client: Client;

beforeEach(async () => {
  server = await startTestServer();
  client = server.client;
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

function pod(name: string, extra: Partial<Pod['metadata']> = {}): Omit<Pod, 'apiVersion' | 'kind'> {
  return {
    metadata: { name, namespace: 'default', labels: { app: name }, ...extra },
    spec: { containers: [{ name: 'main', image: 'busybox' }] },
  } as Omit<Pod, 'apiVersion' | 'kind'>;
}

async function bind(name: string, node = 'n1'): Promise<void> {
  const body = { metadata: { name }, target: { kind: 'Node', name: node } };
  await client.createSub(Kinds.pods, { namespace: 'default', name }, 'binding', body, c);
}

const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

describe('bootstrap', () => {
  test('namespaces, services, priority classes and endpoints exist (kubernetes-api.md 25)', async () => {
    const namespaces = await client.list<Namespace>(Kinds.namespaces, {}, c);
    expect(namespaces.items.map((n) => n.metadata.name)).toEqual([
      'default',
      'kube-node-lease',
      'kube-public',
      'kube-system',
    ]);
    expect(namespaces.items[0]?.metadata.labels?.['kubernetes.io/metadata.name']).toBe('default');
    expect((await client.get<Service>(Kinds.services, key('kubernetes'), c)).spec?.clusterIP).toBe('10.43.0.1');
    const dns = await client.get<Service>(Kinds.services, { namespace: 'kube-system', name: 'kube-dns' }, c);
    expect(dns.spec?.clusterIP).toBe('10.43.0.10');
    expect((await client.list(Kinds.priorityclasses, {}, c)).items).toHaveLength(2);
    const slice = await client.get(Kinds.endpointslices, key('kubernetes'), c);
    expect(slice).toMatchObject({ endpoints: [{ addresses: ['192.0.2.1'] }], ports: [{ port: 6443 }] });
  });

  test('two replicas on one store: each reads what the other wrote, no address is given twice', async () => {
    await using second = await startTestServer({ store: server.store });
    const service = (i: number): Omit<Service, 'apiVersion' | 'kind'> => ({
      metadata: { ...key(`s${i}`) },
      spec: { type: 'NodePort', ports: [{ port: 80 }] } as never,
    });
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? client : second.client).create<Service>(Kinds.services, service(i), c),
      ),
    );
    expect(new Set(made.map((s) => s.spec?.clusterIP)).size).toBe(20);
    expect(new Set(made.map((s) => s.spec?.ports?.[0]?.nodePort)).size).toBe(20);
    expect((await second.client.get(Kinds.services, key('s0'), c)).metadata.uid).toBe(made[0]?.metadata.uid);
    expect((await client.list(Kinds.services, { namespace: 'default' }, c)).items).toHaveLength(21);
  });
});

describe('replicas', () => {
  test('the endpoints of `kubernetes` are the replicas that live', async () => {
    const addresses = async (): Promise<unknown> => {
      const slice = await client.get<EndpointSlice>(Kinds.endpointslices, key('kubernetes'), c);
      return slice.endpoints?.map((e) => e.addresses[0]);
    };
    const advertise = { address: '192.0.2.2', port: 6443 };
    const second = await startTestServer({ store: server.store, config: { advertise } });
    expect(await addresses()).toEqual(['192.0.2.1', '192.0.2.2']);
    expect(await client.get(Kinds.endpoints, key('kubernetes'), c)).toMatchObject({
      subsets: [{ addresses: [{ ip: '192.0.2.1' }, { ip: '192.0.2.2' }], ports: [{ port: 6443 }] }],
    });
    await second[Symbol.asyncDispose]();
    expect(await addresses()).toEqual(['192.0.2.1']);
  });
});

describe('writes', () => {
  test('create sets uid, creationTimestamp, resourceVersion; a set resourceVersion is refused (6)', async () => {
    const made = await client.create<ConfigMap>(Kinds.configmaps, { metadata: { ...key('a') }, data: { x: '1' } }, c);
    expect(made.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(made.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(made).toEqual(await client.get(Kinds.configmaps, key('a'), c));
    await expect(
      client.create(Kinds.configmaps, { metadata: { ...key('b'), resourceVersion: '5' } }, c),
    ).rejects.toThrow('resourceVersion should not be set on objects to be created');
    await expect(client.create(Kinds.configmaps, { metadata: { ...key('a') } }, c)).rejects.toThrow(
      'configmaps "a" already exists',
    );
  });

  test('generateName: base and five characters; names differ', async () => {
    const names = new Set<string>();
    for (let i = 0; i < 5; i++) {
      const metadata = { generateName: 'web-', namespace: 'default', name: '' };
      names.add((await client.create(Kinds.configmaps, { metadata }, c)).metadata.name);
    }
    expect(names.size).toBe(5);
    for (const n of names) expect(n).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test('update: stale resourceVersion conflicts, equal content writes nothing (6)', async () => {
    const made = await client.create<ConfigMap>(Kinds.configmaps, { metadata: { ...key('a') }, data: { x: '1' } }, c);
    const changed = await client.update<ConfigMap>(Kinds.configmaps, { ...made, data: { x: '2' } }, c);
    expect(changed.metadata.resourceVersion).not.toBe(made.metadata.resourceVersion);
    const same = await client.update<ConfigMap>(Kinds.configmaps, changed, c);
    expect(same.metadata.resourceVersion).toBe(changed.metadata.resourceVersion);
    await expect(client.update(Kinds.configmaps, { ...made, data: { x: '3' } }, c)).rejects.toThrow(
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    );
  });

  test('the main endpoint keeps status, the status endpoint keeps spec; generation counts spec changes', async () => {
    await client.create(Kinds.pods, pod('p'), c);
    const body = { spec: { nodeName: 'hacked' }, status: { phase: 'Running' } };
    const patched = await client.patch<Pod>(Kinds.pods, key('p'), { type: 'merge', body }, c, {
      subresource: 'status',
    });
    expect(patched).toMatchObject({ status: { phase: 'Running' } });
    expect(patched.spec?.nodeName).toBeUndefined();
    const again = await client.update<Pod>(Kinds.pods, { ...patched, status: { phase: 'Failed' } } as Pod, c);
    expect(again.status?.phase).toBe('Running');
    const d = await client.create<Deployment>(Kinds.deployments, deployment('d') as never, c);
    expect(d.metadata.generation).toBe(1);
    const scaled = await client.patch<Deployment>(
      Kinds.deployments,
      key('d'),
      { type: 'merge', body: { spec: { replicas: 4 } } },
      c,
      { subresource: 'scale' },
    );
    expect(scaled).toMatchObject({ kind: 'Scale', spec: { replicas: 4 }, status: { selector: 'app=d' } });
    expect((await client.get<Deployment>(Kinds.deployments, key('d'), c)).metadata.generation).toBe(2);
  });

  test('two merge patches at once both take effect (our own retry)', async () => {
    await client.create(Kinds.configmaps, { metadata: { ...key('a') } }, c);
    const patches = Array.from({ length: 20 }, (_, i) =>
      client.patch(Kinds.configmaps, key('a'), { type: 'merge', body: { data: { [`k${i}`]: 'v' } } }, c),
    );
    await Promise.all(patches);
    const end = await client.get<ConfigMap>(Kinds.configmaps, key('a'), c);
    expect(Object.keys(end.data ?? {})).toHaveLength(20);
  });

  test('dryRun stores nothing and shows the result', async () => {
    const made = await client.create(Kinds.pods, pod('p'), c, { dryRun: true });
    expect(made.metadata.uid).toBeDefined();
    await expect(client.get(Kinds.pods, key('p'), c)).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
    await client.create<ConfigMap>(Kinds.configmaps, { metadata: { ...key('a') }, data: { x: '1' } }, c);
    const body = { data: { x: '2' } };
    const seen = await client.patch<ConfigMap>(Kinds.configmaps, key('a'), { type: 'merge', body }, c, {
      dryRun: true,
    });
    expect(seen.data).toEqual({ x: '2' });
    await client.delete(Kinds.configmaps, key('a'), { dryRun: true }, c);
    expect((await client.get<ConfigMap>(Kinds.configmaps, key('a'), c)).data).toEqual({ x: '1' });
  });

  test('a patch on a missing object is 404, an apply creates it', async () => {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { x: '1' } };
    await expect(client.patch(Kinds.configmaps, key('a'), { type: 'merge', body }, c)).rejects.toThrow(
      'configmaps "a" not found',
    );
    const o = { fieldManager: 'me' };
    const made = await client.patch<ConfigMap>(Kinds.configmaps, key('a'), { type: 'apply', body }, c, o);
    expect(made.data).toEqual({ x: '1' });
    const again = await client.patch(Kinds.configmaps, key('a'), { type: 'apply', body }, c, o);
    expect(again.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
    const other = { ...body, data: { x: '2' } };
    await expect(
      client.patch(Kinds.configmaps, key('a'), { type: 'apply', body: other }, c, { fieldManager: 'you' }),
    ).rejects.toThrow('conflict with "me"');
  });

  test('strict field validation names the unknown field', async () => {
    const body = { metadata: { ...key('a') }, dataa: {} } as unknown as ConfigMap;
    await expect(client.create(Kinds.configmaps, body, c, { fieldValidation: 'Strict' })).rejects.toThrow(
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dataa"',
    );
    const made = await client.create(Kinds.configmaps, body, c);
    expect(made).not.toHaveProperty('dataa');
    const wrong = { metadata: { ...key('b') }, data: { x: 5 } } as unknown as ConfigMap;
    await expect(client.create(Kinds.configmaps, wrong, c)).rejects.toThrow(
      /^ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go/,
    );
  });
});

describe('pods', () => {
  test('admission: service account, priority, tolerations of 3 s', async () => {
    const made = await client.create<Pod>(Kinds.pods, pod('p'), c);
    expect(made.spec).toMatchObject({
      serviceAccountName: 'default',
      priority: 0,
      preemptionPolicy: 'PreemptLowerPriority',
    });
    expect(made.spec?.tolerations).toEqual(
      ['not-ready', 'unreachable'].map((n) => ({
        key: `node.kubernetes.io/${n}`,
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: 3,
      })),
    );
    const critical = pod('q');
    (critical.spec as { priorityClassName?: string }).priorityClassName = 'system-node-critical';
    expect((await client.create<Pod>(Kinds.pods, critical, c)).spec?.priority).toBe(2_000_001_000);
    const [creator, another] = made.metadata.managedFields ?? [];
    expect(Object.keys(creator?.fieldsV1 ?? {})).toEqual(['f:metadata', 'f:spec']);
    expect(another).toBeUndefined();
    const unknown = pod('r');
    (unknown.spec as { priorityClassName?: string }).priorityClassName = 'nope';
    await expect(client.create(Kinds.pods, unknown, c)).rejects.toThrow('no PriorityClass with name nope was found');
  });

  test('a missing service account is 403, a missing namespace 404', async () => {
    await client.create(Kinds.namespaces, { metadata: { name: 'empty' }, spec: {} }, c);
    await expect(client.create(Kinds.pods, pod('p', { namespace: 'empty' }), c)).rejects.toThrow(
      'pods "p" is forbidden: error looking up service account empty/default: serviceaccount "default" not found',
    );
    await expect(client.create(Kinds.pods, pod('p', { namespace: 'nope' }), c)).rejects.toThrow(
      'namespaces "nope" not found',
    );
  });

  test('a pod that waited at a gate is bound without the reason it waited for', async () => {
    const gated = pod('g');
    (gated.spec as { schedulingGates?: unknown }).schedulingGates = [{ name: 'a.b/c' }];
    const made = await client.create<Pod>(Kinds.pods, gated, c);
    expect(made.status?.conditions?.[0]).toMatchObject({ type: 'PodScheduled', reason: 'SchedulingGated' });
    const body = [{ op: 'remove', path: '/spec/schedulingGates' }];
    await client.patch(Kinds.pods, key('g'), { type: 'json', body }, c);
    await bind('g');
    const [scheduled, ...others] = (await client.get<Pod>(Kinds.pods, key('g'), c)).status?.conditions ?? [];
    expect(scheduled).toMatchObject({ type: 'PodScheduled', status: 'True' });
    expect(scheduled?.reason).toBeUndefined();
    expect(scheduled?.message).toBeUndefined();
    expect(others).toEqual([]);
  });

  test('binding sets the node once', async () => {
    await client.create(Kinds.pods, pod('p'), c);
    await bind('p');
    const bound = await client.get<Pod>(Kinds.pods, key('p'), c);
    expect(bound.spec?.nodeName).toBe('n1');
    expect(bound.status?.conditions).toMatchObject([{ type: 'PodScheduled', status: 'True' }]);
    await expect(bind('p', 'n2')).rejects.toSatisfy(
      (e) => isKind(e, 'Conflict') && e.message.includes('is already assigned to node "n1"'),
    );
  });

  test('graceful deletion: marked first, removed by grace 0 with the uid; unbound pods go at once (7)', async () => {
    await client.create(Kinds.pods, pod('unbound'), c);
    await client.delete(Kinds.pods, key('unbound'), {}, c);
    await expect(client.get(Kinds.pods, key('unbound'), c)).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
    const made = await client.create(Kinds.pods, pod('p'), c);
    await bind('p');
    await client.delete(Kinds.pods, key('p'), { gracePeriodSeconds: 20 }, c);
    const marked = await client.get(Kinds.pods, key('p'), c);
    expect(marked.metadata.deletionGracePeriodSeconds).toBe(20);
    expect(marked.metadata.generation).toBe((made.metadata.generation ?? 0) + 1);
    await client.delete(Kinds.pods, key('p'), { gracePeriodSeconds: 60 }, c);
    expect((await client.get(Kinds.pods, key('p'), c)).metadata.deletionGracePeriodSeconds).toBe(20);
    await client.delete(Kinds.pods, key('p'), { gracePeriodSeconds: 5 }, c);
    const shorter = await client.get(Kinds.pods, key('p'), c);
    expect(shorter.metadata.deletionGracePeriodSeconds).toBe(5);
    expect(
      Date.parse(marked.metadata.deletionTimestamp ?? '') - Date.parse(shorter.metadata.deletionTimestamp ?? ''),
    ).toBe(15_000);
    const other = { gracePeriodSeconds: 0, preconditions: { uid: 'other' } };
    await expect(client.delete(Kinds.pods, key('p'), other, c)).rejects.toSatisfy((e) => isKind(e, 'Conflict'));
    await client.delete(Kinds.pods, key('p'), { gracePeriodSeconds: 0, preconditions: { uid: made.metadata.uid } }, c);
    await expect(client.get(Kinds.pods, key('p'), c)).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
  });

  test('finalizers hold an object; the update that takes the last one away removes it', async () => {
    await client.create(Kinds.configmaps, { metadata: { ...key('a'), finalizers: ['x.io/hold'] } }, c);
    await client.delete(Kinds.configmaps, key('a'), {}, c);
    const held = await client.get(Kinds.configmaps, key('a'), c);
    expect(held.metadata.deletionTimestamp).toBeDefined();
    await client.patch(Kinds.configmaps, key('a'), { type: 'merge', body: { metadata: { finalizers: null } } }, c);
    await expect(client.get(Kinds.configmaps, key('a'), c)).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
  });

  test('propagation: Foreground and Orphan become finalizers for the garbage collector', async () => {
    for (const [policy, finalizer] of [
      ['Foreground', 'foregroundDeletion'],
      ['Orphan', 'orphan'],
    ] as const) {
      await client.create(Kinds.deployments, deployment(policy.toLowerCase()) as never, c);
      await client.delete(Kinds.deployments, key(policy.toLowerCase()), { propagationPolicy: policy }, c);
      const held = await client.get(Kinds.deployments, key(policy.toLowerCase()), c);
      expect(held.metadata.finalizers).toEqual([finalizer]);
    }
  });
});

describe('namespaces', () => {
  test('deletion: Terminating, nothing new inside, removed by /finalize (7)', async () => {
    await client.create(Kinds.namespaces, { metadata: { name: 'n' }, spec: {} }, c);
    const at = { namespace: '', name: 'n' };
    await client.delete(Kinds.namespaces, at, {}, c);
    const going = await client.get<Namespace>(Kinds.namespaces, at, c);
    expect(going.status?.phase).toBe('Terminating');
    await expect(client.create(Kinds.configmaps, { metadata: { name: 'a', namespace: 'n' } }, c)).rejects.toSatisfy(
      (e) => isKind(e, 'Forbidden') && e.details.causes?.[0]?.reason === 'NamespaceTerminating',
    );
    await client.update(Kinds.namespaces, { ...going, spec: { finalizers: [] } }, c, { subresource: 'finalize' });
    await expect(client.get(Kinds.namespaces, at, c)).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
    await expect(client.delete(Kinds.namespaces, { namespace: '', name: 'default' }, {}, c)).rejects.toThrow(
      'this namespace may not be deleted',
    );
  });
});

describe('nodes', () => {
  test('a new node has the not-ready taint', async () => {
    const node = await client.create<Node>(Kinds.nodes, { metadata: { name: 'n1' }, spec: {} }, c);
    expect(node.spec?.taints).toEqual([{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]);
  });
});

describe('fencing (design.md 0.4)', () => {
  test('a leader that lost its key cannot write, whatever the verb', async () => {
    const held = await server.store.admin.acquire('/berth/leader/test', 'me', { ttlSeconds: 5 }, c);
    const user = { name: 'system:leader', groups: ['system:masters'] };
    const leader = new InProcessClient({ handler: server.api.handler, user, fence: () => held.fence });
    await leader.create(Kinds.configmaps, { metadata: { ...key('a') } }, c);
    await held[Symbol.asyncDispose]();
    const isFenced = (e: unknown): boolean => isKind(e, 'Conflict') && e.reason === 'Fenced';
    await expect(leader.create(Kinds.configmaps, { metadata: { ...key('b') } }, c)).rejects.toSatisfy(isFenced);
    const body = { data: { x: '1' } };
    await expect(leader.patch(Kinds.configmaps, key('a'), { type: 'merge', body }, c)).rejects.toSatisfy(isFenced);
    await expect(leader.delete(Kinds.configmaps, key('a'), {}, c)).rejects.toSatisfy(isFenced);
    expect((await client.list(Kinds.configmaps, { namespace: 'default' }, c)).items).toHaveLength(1);
  });
});

describe('events', () => {
  test('an Event leaves after its time to live', async () => {
    await server[Symbol.asyncDispose]();
    server = await startTestServer({ store: new MemoryStore({ clock: realClock }), config: { eventTtlSeconds: 0.05 } });
    const event = { metadata: { ...key('e') }, involvedObject: { kind: 'Pod', namespace: 'default', name: 'x' } };
    await server.client.create(Kinds.events, event as never, c);
    const { resourceVersion } = await server.client.list(Kinds.events, {}, c);
    for await (const e of server.client.watch(Kinds.events, { resourceVersion }, c)) {
      expect(e.type).toBe('DELETED');
      break;
    }
  });
});

function deployment(name: string): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'busybox' }] } };
  return { metadata: { ...key(name) }, spec: { selector: { matchLabels: labels }, template } };
}

test('null where bytes, texts or lists are expected is what Go makes of it', async () => {
  const secret = await client.create(Kinds.secrets, { metadata: key('n'), data: { a: null } } as never, c);
  expect(secret).toMatchObject({ data: { a: '' } });
  const map = await client.create(
    Kinds.configmaps,
    { metadata: key('n'), data: { a: null }, binaryData: { b: null } } as never,
    c,
  );
  expect(map).toMatchObject({ data: { a: '' }, binaryData: { b: '' } });
  const spec = { user: 'u', groups: [null], extra: { e: null }, resourceAttributes: { verb: 'get', resource: 'pods' } };
  const reviews = kindByResource('authorization.k8s.io', 'v1', 'subjectaccessreviews');
  if (reviews === undefined) throw new Error('no reviews');
  const review = await client.create(reviews, { metadata: { name: '' }, spec } as never, c);
  expect(review).toMatchObject({ status: { allowed: false } });
});
