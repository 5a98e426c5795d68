import { afterEach, describe, expect, test } from 'vitest';
import { type ConfigMap, Kinds, type Pod, type Service } from '#lib/api';
import { type Ctx, isKind, realClock, realRandom, silentLogger } from '#lib/base';
import { type Client, InProcessClient } from '#lib/client';
import { MemoryStore } from '#lib/store';
import { type ApiServer, startApiServer } from './main.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const servers: ApiServer[] = [];

afterEach(async () => {
  for (const s of servers.splice(0)) await s[Symbol.asyncDispose]();
});

async function start(): Promise<Client> {
  const server = await startApiServer({
    store: new MemoryStore({ clock: realClock }),
    clock: realClock,
    random: realRandom,
    log: silentLogger,
    listen: [],
    config: {
      serviceCidr: '10.43.0.0/16',
      advertise: { address: '192.0.2.1', port: 6443 },
      serviceAccountWaitMs: 0,
      freeze: true,
    },
  });
  servers.push(server);
  const client = new InProcessClient({ handler: server.handler, user: { name: 'admin', groups: ['system:masters'] } });
  await client.create(Kinds.serviceaccounts, { metadata: { name: 'default', namespace: 'default' } }, c);
  return client;
}

function pod(name: string): Omit<Pod, 'apiVersion' | 'kind'> {
  return {
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { containers: [{ name: 'main', image: 'busybox' }] },
  } as Omit<Pod, 'apiVersion' | 'kind'>;
}

describe('API in process', () => {
  test('bootstrap: namespaces, the kubernetes service and its endpoints exist', async () => {
    const client = await start();
    const namespaces = await client.list(Kinds.namespaces, {}, c);
    expect(namespaces.items.map((n) => n.metadata.name)).toEqual([
      'default',
      'kube-node-lease',
      'kube-public',
      'kube-system',
    ]);
    const service = await client.get<Service>(Kinds.services, { namespace: 'default', name: 'kubernetes' }, c);
    expect(service.spec?.clusterIP).toBe('10.43.0.1');
  });

  test('create, get, update, list, delete of a ConfigMap', async () => {
    const client = await start();
    const made = await client.create<ConfigMap>(
      Kinds.configmaps,
      { metadata: { name: 'a', namespace: 'default' }, data: { x: '1' } },
      c,
    );
    expect(made.metadata.uid).toBeDefined();
    const key = { namespace: 'default', name: 'a' };
    const got = await client.get(Kinds.configmaps, key, c);
    expect(got).toEqual(made);
    const changed = await client.update<ConfigMap>(Kinds.configmaps, { ...got, data: { x: '2' } }, c);
    expect(BigInt(changed.metadata.resourceVersion ?? 0)).toBeGreaterThan(BigInt(made.metadata.resourceVersion ?? 0));
    const same = await client.update<ConfigMap>(Kinds.configmaps, changed, c);
    expect(same.metadata.resourceVersion).toBe(changed.metadata.resourceVersion);
    await expect(client.update(Kinds.configmaps, { ...got, data: { x: '3' } }, c)).rejects.toSatisfy((e) =>
      isKind(e, 'Conflict'),
    );
    await client.delete(Kinds.configmaps, key, {}, c);
    await expect(client.get(Kinds.configmaps, key, c)).rejects.toThrow('configmaps "a" not found');
  });

  test('watch from a list sees ADDED, MODIFIED, DELETED in order', async () => {
    const client = await start();
    const { resourceVersion } = await client.list(Kinds.pods, {}, c);
    const abort = new AbortController();
    const events: string[] = [];
    const watching = (async () => {
      for await (const e of client.watch<Pod>(Kinds.pods, { resourceVersion }, { ...c, signal: abort.signal })) {
        if (e.type === 'BOOKMARK') continue;
        events.push(`${e.type} ${e.object.metadata.name} ${e.object.spec?.nodeName ?? ''}`.trim());
        if (e.type === 'DELETED') break;
      }
    })();
    await client.create(Kinds.pods, pod('p'), c);
    const key = { namespace: 'default', name: 'p' };
    await client.createSub(
      Kinds.pods,
      key,
      'binding',
      { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n1' } },
      c,
    );
    await client.delete(Kinds.pods, key, {}, c);
    await client.delete(Kinds.pods, key, { gracePeriodSeconds: 0 }, c);
    await watching;
    expect(events).toEqual(['ADDED p', 'MODIFIED p n1', 'MODIFIED p n1', 'DELETED p n1']);
  });
});
