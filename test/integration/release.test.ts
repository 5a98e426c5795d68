/**
 * A helm-shaped release manager of our own (test/clients/release-manager.ts, on @kubernetes/client-node and an informer in the shape
 * of client-go's) against the whole control plane with nodes that only say that pods run: install, upgrade, roll back, uninstall.
 * Runs on every machine; a real helm is in test/e2e/helm.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DeepReadonly, type Deployment, type KindRef, Kinds, type KubeObject, type Secret } from '#lib/api';
import { isKind, realClock, realRandom, Scope, silentLogger } from '#lib/base';
import { InformerFactory } from '#lib/controller';
import { testContext as c, startTestServer, type TestServer } from '../../services/apiserver/testing/server.ts';
import { startControllers } from '../../services/controllers/main.ts';
import { startScheduler } from '../../services/scheduler/main.ts';
import type { Manifest } from '../clients/dynamic-client.ts';
import { type Chart, ReleaseManager, type Values } from '../clients/release-manager.ts';
import { decodeRelease } from '../clients/release-record.ts';
import { ADMIN, configFor } from '../clients/test-config.ts';
import { FakeKubelet } from './controllers/fake-kubelet.ts';

const NS = 'shop';
const LEASE_SECONDS = 30;
const wait = { waitMs: 15_000 };

interface Basket extends KubeObject {
  spec?: { colour?: string; size?: number; notes?: Record<string, string> };
}
const BASKETS: KindRef<Basket> = {
  group: 'shop.example.com',
  version: 'v1',
  kind: 'Basket',
  resource: 'baskets',
  namespaced: true,
};

const definition: Manifest = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'baskets.shop.example.com' },
  spec: {
    group: 'shop.example.com',
    scope: 'Namespaced',
    names: { plural: 'baskets', singular: 'basket', kind: 'Basket' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                properties: {
                  colour: { type: 'string', enum: ['red', 'green'] },
                  size: { type: 'integer', default: 3 },
                  notes: { type: 'object', additionalProperties: { type: 'string' } },
                },
              },
            },
          },
        },
      },
    ],
  },
};

const text = (values: Values, key: string): string => String(values[key] ?? '');

function workload(name: string, values: Values): Manifest {
  const cpu = text(values, 'cpu') || '10m';
  const container = {
    name: 'web',
    image: text(values, 'image'),
    env: [{ name: 'MESSAGE', value: text(values, 'message') }],
    ports: [{ name: 'http', containerPort: 8080 }],
    resources: { requests: { cpu } },
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: Number(values['replicas'] ?? 1),
      selector: { matchLabels: { app: name } },
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: { app: name } },
        spec: { serviceAccountName: name, containers: [container] },
      },
    },
  };
}

/** Objects of each sort that helm treats in a way of its own; out of order on purpose. */
function shop(name: string): Chart {
  const v1 = 'v1';
  return {
    metadata: { name: 'shop', version: '0.1.0' },
    definitions: [definition],
    hooks: (values) => [
      {
        apiVersion: v1,
        kind: 'ConfigMap',
        metadata: { name: `${name}-before` },
        data: { message: text(values, 'message') },
      },
    ],
    render: (values) => [
      {
        apiVersion: 'shop.example.com/v1',
        kind: 'Basket',
        metadata: { name },
        spec: { colour: text(values, 'colour') || 'red', notes: { message: text(values, 'message') } },
      },
      workload(name, values),
      {
        apiVersion: v1,
        kind: 'Service',
        metadata: { name },
        spec: {
          selector: { app: name },
          ports: [{ name: 'http', port: Number(values['port'] ?? 80), targetPort: 'http' }],
        },
      },
      { apiVersion: v1, kind: 'ConfigMap', metadata: { name }, data: { message: text(values, 'message') } },
      ...(values['extra'] === true
        ? [{ apiVersion: v1, kind: 'ConfigMap', metadata: { name: `${name}-extra` }, data: { a: 'b' } }]
        : []),
      {
        apiVersion: v1,
        kind: 'ConfigMap',
        metadata: { name: `${name}-kept`, annotations: { 'helm.sh/resource-policy': 'keep' } },
        data: { message: text(values, 'message') },
      },
      { apiVersion: v1, kind: 'ServiceAccount', metadata: { name } },
    ],
  };
}

const scope = new Scope('release test');
let server: TestServer;
let manager: ReleaseManager;

beforeAll(async () => {
  server = scope.own(await startTestServer({ listen: true }));
  const common = { clock: realClock, random: realRandom, log: silentLogger };
  const as = (name: string) => server.as({ name, groups: ['system:masters'] });
  const config = { caPem: server.ca.certPem, nodeGraceMs: LEASE_SECONDS * 1000 };
  scope.own(await startControllers({ ...common, client: as('system:kube-controller-manager'), config }));
  scope.own(await startScheduler({ ...common, client: as('system:kube-scheduler') }));
  const informers = scope.own(new InformerFactory({ ...common, client: server.client }));
  const kubelet = scope.own(new FakeKubelet(server.client, informers, c, LEASE_SECONDS));
  kubelet.start();
  await kubelet.addNode('node');
  await server.client.create(Kinds.namespaces, { metadata: { name: NS }, spec: {} }, c);
  manager = scope.own(await ReleaseManager.open(await configFor(server, ADMIN), NS));
});
afterAll(() => scope[Symbol.asyncDispose]());

const read = <T extends KubeObject>(kind: KindRef<T>, name: string): Promise<DeepReadonly<T>> =>
  server.client.get(kind, { namespace: NS, name }, c);
const isThere = async (kind: KindRef, name: string): Promise<boolean> => {
  try {
    await read(kind, name);
    return true;
  } catch (e) {
    if (isKind(e, 'NotFound')) return false;
    throw e;
  }
};
const patch = (kind: KindRef, name: string, type: 'merge' | 'strategic', body: object) =>
  server.client.patch(kind, { namespace: NS, name }, { type, body }, c);
const statuses = async (name: string): Promise<string[]> =>
  (await manager.history(name)).map((r) => `${r.version} ${r.info.status}`);
const base = { image: 'web:1', message: 'hello' };

test('install: the definition first, hooks, objects, ready; a second time and over objects of others it is refused', async () => {
  await expect(manager.uninstall('one')).rejects.toThrow('release: not found');
  const made = await manager.install('one', shop('one'), base, wait);
  expect(made.info).toEqual({ status: 'deployed', description: 'Install complete' });
  const d = await read<Deployment>(Kinds.deployments, 'one');
  expect(d.status).toMatchObject({ availableReplicas: 1, updatedReplicas: 1 });
  expect(d.metadata).toMatchObject({
    labels: { 'app.kubernetes.io/managed-by': 'Helm' },
    annotations: { 'meta.helm.sh/release-name': 'one', 'meta.helm.sh/release-namespace': NS },
  });
  expect((await read(BASKETS, 'one')).spec).toEqual({ colour: 'red', size: 3, notes: { message: 'hello' } });
  expect((await read(Kinds.configmaps, 'one-before')).data).toEqual({ message: 'hello' });
  await expect(manager.install('one', shop('one'), base)).rejects.toThrow('cannot reuse a name');
  const foreign = { metadata: { name: 'two', namespace: NS } };
  await server.client.create(Kinds.serviceaccounts, foreign, c);
  await expect(manager.install('two', shop('two'), base)).rejects.toThrow(
    /^ServiceAccount "two" exists and cannot be imported/,
  );
  expect([await isThere(Kinds.configmaps, 'two'), await statuses('two')]).toEqual([false, []]);
});

test('the release is a Secret of type helm.sh/release.v1, found by its labels, whose type cannot be changed', async () => {
  const q = { namespace: NS, labelSelector: 'owner=helm,status=deployed', fieldSelector: 'type=helm.sh/release.v1' };
  const { items } = await server.client.list<Secret>(Kinds.secrets, q, c);
  expect(items).toMatchObject([
    {
      metadata: { name: 'sh.helm.release.v1.one.v1', labels: { name: 'one', version: '1' } },
      type: 'helm.sh/release.v1',
    },
  ]);
  const release = await decodeRelease(items[0]?.data?.['release']);
  expect(release).toMatchObject({ name: 'one', namespace: NS, version: 1, config: base });
  expect([...release.manifest.matchAll(/^kind: (.*)$/gm)].map((m) => m[1])).toEqual([
    'ServiceAccount',
    'ConfigMap',
    'ConfigMap',
    'Service',
    'Deployment',
    'Basket',
  ]);
  const change = patch(Kinds.secrets, 'sh.helm.release.v1.one.v1', 'merge', { type: 'Opaque' });
  await expect(change).rejects.toThrow('field is immutable');
  expect((await manager.list()).map((r) => `${r.name} ${r.version}`)).toEqual(['one 1']);
});

test('upgrade: what others added stays, what the chart owns is set again, what it lost goes', async () => {
  await patch(Kinds.configmaps, 'one', 'merge', {
    metadata: { labels: { team: 'blue' } },
    data: { foreign: 'kept', message: 'x' },
  });
  const env = [{ name: 'FOREIGN', value: 'kept' }];
  const side = { name: 'side', image: 'side:1' };
  await patch(Kinds.deployments, 'one', 'strategic', {
    metadata: { annotations: { note: 'kept' } },
    spec: { replicas: 3, template: { spec: { containers: [{ name: 'web', env }, side] } } },
  });
  await patch(BASKETS, 'one', 'merge', { spec: { size: 7, notes: { foreign: 'kept' } } });
  const ip = (await read(Kinds.services, 'one')).spec.clusterIP;
  const values = { ...base, message: 'ahoy', colour: 'green', port: 81, extra: true };
  await manager.upgrade('one', shop('one'), values, wait);
  expect((await read(Kinds.configmaps, 'one')).data).toEqual({ message: 'ahoy', foreign: 'kept' });
  expect((await read(Kinds.configmaps, 'one')).metadata.labels).toMatchObject({ team: 'blue' });
  const d = await read<Deployment>(Kinds.deployments, 'one');
  expect(d.spec.replicas).toBe(1);
  expect(d.metadata.annotations).toMatchObject({ note: 'kept' });
  const containers = d.spec.template.spec?.containers ?? [];
  expect(containers.map((x) => x.name)).toEqual(['web', 'side']);
  expect(new Set(containers[0]?.env?.map((e) => `${e.name}=${e.value}`))).toEqual(
    new Set(['MESSAGE=ahoy', 'FOREIGN=kept']),
  );
  expect((await read(BASKETS, 'one')).spec).toEqual({
    colour: 'green',
    size: 7,
    notes: { message: 'ahoy', foreign: 'kept' },
  });
  expect((await read(Kinds.services, 'one')).spec).toMatchObject({ clusterIP: ip, ports: [{ port: 81 }] });
  expect(await isThere(Kinds.configmaps, 'one-extra')).toBe(true);
  await manager.upgrade('one', shop('one'), { ...values, extra: false }, wait);
  expect(await isThere(Kinds.configmaps, 'one-extra')).toBe(false);
  expect(await statuses('one')).toEqual(['1 superseded', '2 superseded', '3 deployed']);
  await expect(manager.upgrade('none', shop('none'), base)).rejects.toThrow('"none" has no deployed releases');
});

test('an upgrade that is refused or never gets ready fails; an atomic one is rolled back', async () => {
  const good = { ...base, message: 'ahoy', colour: 'green', port: 81 };
  await expect(manager.upgrade('one', shop('one'), { ...good, colour: 'blue' })).rejects.toThrow(
    'spec.colour: Unsupported value: "blue": supported values: "red", "green"',
  );
  const greedy = { ...good, cpu: '100', message: 'bad' };
  await expect(manager.upgrade('one', shop('one'), greedy, { waitMs: 500 })).rejects.toThrow('is ready: not within');
  expect((await read(Kinds.configmaps, 'one')).data).toMatchObject({ message: 'bad' });
  await manager.rollback('one', 3, wait);
  await expect(manager.upgrade('one', shop('one'), greedy, { waitMs: 500, atomic: true })).rejects.toThrow(
    'release one failed, and has been rolled back',
  );
  expect((await read(Kinds.configmaps, 'one')).data).toEqual({ message: 'ahoy', foreign: 'kept' });
  expect(await statuses('one')).toEqual([
    '1 superseded',
    '2 superseded',
    '3 superseded',
    '4 failed',
    '5 failed',
    '6 superseded',
    '7 failed',
    '8 deployed',
  ]);
});

test('rollback: to a revision, as a new one; to none is refused', async () => {
  const done = await manager.rollback('one', 1, wait);
  expect(done).toMatchObject({ version: 9, info: { status: 'deployed', description: 'Rollback to 1' }, config: base });
  expect((await read(Kinds.configmaps, 'one')).data).toEqual({ message: 'hello', foreign: 'kept' });
  expect((await read(BASKETS, 'one')).spec).toMatchObject({ colour: 'red', notes: { foreign: 'kept' } });
  expect((await read(Kinds.services, 'one')).spec.ports).toMatchObject([{ port: 80, targetPort: 'http' }]);
  await expect(manager.rollback('one', 99)).rejects.toThrow('release has no 99 version');
});

test('of two upgrades at once one is refused', async () => {
  const both = await Promise.allSettled([
    manager.upgrade('one', shop('one'), { ...base, message: 'a' }, wait),
    manager.upgrade('one', shop('one'), { ...base, message: 'b' }, wait),
  ]);
  expect(both.map((x) => x.status).toSorted()).toEqual(['fulfilled', 'rejected']);
  const refused = both.find((x) => x.status === 'rejected');
  expect(String(refused?.reason)).toContain('another operation (install/upgrade/rollback) is in progress');
  expect((await statuses('one')).at(-1)).toBe('10 deployed');
});

test('uninstall: all but what is to be kept and the definition', async () => {
  expect(await manager.uninstall('one', wait)).toEqual(['ConfigMap/one-kept']);
  expect(await isThere(Kinds.configmaps, 'one-kept')).toBe(true);
  for (const kind of [Kinds.configmaps, Kinds.services, Kinds.deployments, Kinds.serviceaccounts, BASKETS])
    expect(await isThere(kind, 'one'), kind.resource).toBe(false);
  expect(await statuses('one')).toEqual([]);
  await server.client.get(Kinds.customresourcedefinitions, { namespace: '', name: 'baskets.shop.example.com' }, c);
  await expect
    .poll(async () => (await server.client.list(Kinds.pods, { namespace: NS }, c)).items, { timeout: 15_000 })
    .toEqual([]);
  await expect(manager.uninstall('one')).rejects.toThrow('uninstall: Release not loaded: one: release: not found');
});
