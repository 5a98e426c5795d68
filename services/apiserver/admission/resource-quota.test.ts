import { describe, expect, test } from 'vitest';
import {
  type ConfigMap,
  Kinds,
  type PersistentVolumeClaim,
  type Pod,
  type ResourceQuota,
  type Service,
} from '#lib/api';
import { messageOf } from '#lib/base';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer } from '../testing/server.ts';

const NS = 'default';

/** With `used` at zero, as the controller leaves a new quota. */
async function quota(client: Client, name: string, spec: ResourceQuota['spec']): Promise<void> {
  const made = await client.create<ResourceQuota>(Kinds.resourcequotas, { metadata: { name, namespace: NS }, spec }, c);
  const used = Object.fromEntries(Object.keys(spec.hard ?? {}).map((k) => [k, '0']));
  const status = { hard: spec.hard, used };
  await client.update<ResourceQuota>(Kinds.resourcequotas, { ...made, status }, c, { subresource: 'status' });
}

async function used(client: Client, name: string): Promise<unknown> {
  return (await client.get<ResourceQuota>(Kinds.resourcequotas, { namespace: NS, name }, c)).status?.used;
}

async function map(client: Client, name: string, dryRun = false): Promise<unknown> {
  return await client.create<ConfigMap>(Kinds.configmaps, { metadata: { name, namespace: NS } }, c, { dryRun });
}

async function pod(client: Client, name: string, spec: Partial<Pod['spec']> = {}): Promise<unknown> {
  const containers = [{ name: 'a', image: 'x' }];
  return await client.create<Pod>(Kinds.pods, { metadata: { name, namespace: NS }, spec: { containers, ...spec } }, c);
}

function resources(requests: Record<string, string>, limits: Record<string, string> = {}): Partial<Pod['spec']> {
  return { containers: [{ name: 'a', image: 'x', resources: { requests, limits } }] };
}

/** The message of the refusal; throws when there was none. */
async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (e) {
    return messageOf(e);
  }
  throw new Error('was not refused');
}

describe('resource quota admission (plugin/resourcequota/controller.go)', () => {
  test('charges, and refuses what exceeds, in the words of Kubernetes', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await quota(client, 'q', { hard: { pods: '2', 'count/pods': '5', 'requests.cpu': '1' } });
    await pod(client, 'a', resources({ cpu: '400m' }));
    await pod(client, 'b', resources({ cpu: '600m' }));
    expect(await used(client, 'q')).toEqual({ pods: '2', 'count/pods': '2', 'requests.cpu': '1' });
    expect(await refusalOf(pod(client, 'c', resources({ cpu: '1m' })))).toBe(
      'pods "c" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1m, used: pods=2,requests.cpu=1, limited: pods=2,requests.cpu=1',
    );
    expect(await refusalOf(pod(client, 'c'))).toBe(
      'pods "c" is forbidden: failed quota: q: must specify requests.cpu for: a',
    );
  });

  test('of many concurrent creates exactly as many pass as there are units', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const LIMIT = 7;
    await quota(client, 'q', { hard: { configmaps: String(LIMIT) } });
    await quota(client, 'r', { hard: { 'count/configmaps': '1k' } });
    const calls = await Promise.allSettled(Array.from({ length: 60 }, (_, i) => map(client, `m${i}`)));
    const { items } = await client.list(Kinds.configmaps, { namespace: NS }, c);
    expect(calls.filter((r) => r.status === 'fulfilled')).toHaveLength(LIMIT);
    expect(items.filter((m) => m.metadata.name.startsWith('m'))).toHaveLength(LIMIT);
    expect(await used(client, 'q')).toEqual({ configmaps: String(LIMIT) });
    expect(await used(client, 'r')).toEqual({ 'count/configmaps': String(LIMIT) });
  });

  test('two servers on one store share the last unit', async () => {
    await using one = await startTestServer();
    await quota(one.client, 'q', { hard: { configmaps: '5' } });
    await using two = await startTestServer({ store: one.store });
    const calls = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) => map(i % 2 === 0 ? one.client : two.client, `m${i}`)),
    );
    expect(calls.filter((r) => r.status === 'fulfilled')).toHaveLength(5);
    expect(await used(one.client, 'q')).toEqual({ configmaps: '5' });
  });

  test('what is not stored is given back; a dry run takes nothing', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await quota(client, 'a', { hard: { configmaps: '10' } });
    await map(client, 'm');
    expect(await refusalOf(map(client, 'm'))).toBe('configmaps "m" already exists');
    expect(await used(client, 'a')).toEqual({ configmaps: '1' });
    await quota(client, 'b', { hard: { 'count/configmaps': '0' } });
    expect(await refusalOf(map(client, 'n'))).toContain('exceeded quota: b, requested: count/configmaps=1');
    expect(await used(client, 'a')).toEqual({ configmaps: '1' });
    await client.delete(Kinds.resourcequotas, { namespace: NS, name: 'b' }, {}, c);
    await map(client, 'n', true);
    expect(await used(client, 'a')).toEqual({ configmaps: '1' });
  });

  test('scopes and scope selectors choose the pods', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const hard = { pods: '10' };
    await quota(client, 'best-effort', { hard, scopes: ['BestEffort'] });
    await quota(client, 'not-best-effort', { hard, scopes: ['NotBestEffort'] });
    await quota(client, 'terminating', { hard, scopes: ['Terminating'] });
    await quota(client, 'not-terminating', { hard, scopes: ['NotTerminating'] });
    const critical = { scopeName: 'PriorityClass', operator: 'In', values: ['system-node-critical'] };
    await quota(client, 'critical', { hard, scopeSelector: { matchExpressions: [critical] } });
    await quota(client, 'cross', { hard, scopes: ['CrossNamespacePodAffinity'] });
    await pod(client, 'a');
    await pod(client, 'b', { ...resources({ cpu: '1' }), activeDeadlineSeconds: 5 });
    await pod(client, 'c', { priorityClassName: 'system-node-critical' });
    const term = { topologyKey: 'x', labelSelector: {}, namespaces: ['y'] };
    await pod(client, 'd', { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } });
    const names = ['best-effort', 'not-best-effort', 'terminating', 'not-terminating', 'critical', 'cross'];
    const counts = await Promise.all(names.map(async (n) => [n, await used(client, n)]));
    expect(Object.fromEntries(counts)).toEqual({
      'best-effort': { pods: '3' },
      'not-best-effort': { pods: '1' },
      terminating: { pods: '1' },
      'not-terminating': { pods: '3' },
      critical: { pods: '1' },
      cross: { pods: '1' },
    });
  });

  test('services by type, and by what an update adds', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await quota(client, 'q', { hard: { services: '5', 'services.nodeports': '2', 'services.loadbalancers': '1' } });
    const spec = { type: 'ClusterIP', selector: { a: 'b' }, ports: [{ port: 80 }, { port: 81, name: 'x' }] };
    spec.ports[0] = { port: 80, name: 'y' };
    const made = await client.create<Service>(Kinds.services, { metadata: { name: 's', namespace: NS }, spec }, c);
    expect(await used(client, 'q')).toEqual({
      services: '1',
      'services.nodeports': '0',
      'services.loadbalancers': '0',
    });
    await client.update<Service>(Kinds.services, { ...made, spec: { ...made.spec, type: 'NodePort' } }, c);
    expect(await used(client, 'q')).toEqual({
      services: '1',
      'services.nodeports': '2',
      'services.loadbalancers': '0',
    });
    const other = { metadata: { name: 't', namespace: NS }, spec: { ...spec, type: 'LoadBalancer' } };
    expect(await refusalOf(client.create<Service>(Kinds.services, other, c))).toBe(
      'services "t" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=2, limited: services.nodeports=2',
    );
  });

  test('claims by storage class', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const gold = 'gold.storageclass.storage.k8s.io/requests.storage';
    await quota(client, 'q', { hard: { persistentvolumeclaims: '3', 'requests.storage': '10Gi', [gold]: '2Gi' } });
    const claim = (name: string, storageClassName: string, storage: string): Promise<unknown> => {
      const spec = { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage } } };
      return client.create<PersistentVolumeClaim>(
        Kinds.persistentvolumeclaims,
        { metadata: { name, namespace: NS }, spec },
        c,
      );
    };
    await claim('a', 'gold', '2Gi');
    await claim('b', 'tin', '4Gi');
    expect(await used(client, 'q')).toEqual({
      persistentvolumeclaims: '2',
      'requests.storage': '6Gi',
      [gold]: '2Gi',
    });
    expect(await refusalOf(claim('c', 'gold', '1Gi'))).toBe(
      `persistentvolumeclaims "c" is forbidden: exceeded quota: q, requested: ${gold}=1Gi, used: ${gold}=2Gi, limited: ${gold}=2Gi`,
    );
  });

  test('a quota whose usage is not known refuses; one without status limits nothing yet', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const spec = { hard: { configmaps: '0' } };
    const made = await client.create<ResourceQuota>(
      Kinds.resourcequotas,
      { metadata: { name: 'q', namespace: NS }, spec },
      c,
    );
    await map(client, 'm');
    const status = { hard: { configmaps: '5' }, used: {} };
    await client.update<ResourceQuota>(Kinds.resourcequotas, { ...made, status }, c, { subresource: 'status' });
    expect(await refusalOf(map(client, 'n'))).toBe(
      'configmaps "n" is forbidden: status unknown for quota: q, resources: configmaps',
    );
  });
});
