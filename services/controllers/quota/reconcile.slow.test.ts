/** The controller and admission together, over a whole API server: what one charges and the other counts again. */
import { describe, expect, test } from 'vitest';
import { type ConfigMap, type DeepReadonly, Kinds, type Pod, type ResourceQuota } from '#lib/api';
import { isKind, realClock, Scope, seededRandom, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import { type Controller, InformerFactory } from '#lib/controller';
import { MemoryStore, type Store } from '#lib/store';
import { testContext as c, eventually, startTestServer } from '../../apiserver/testing/server.ts';
import { CustomKinds } from '../custom-kinds.ts';
import { startQuotaController } from './reconcile.ts';

const NS = 'default';

function controller(client: Client, scope: Scope): Controller {
  const common = { clock: realClock, random: seededRandom(1), log: silentLogger };
  const informers = scope.own(new InformerFactory({ ...common, client }));
  const customKinds = scope.own(new CustomKinds(informers));
  const recorder = (): { event(): void } => ({ event: () => undefined });
  return scope.own(startQuotaController({ ...common, client, informers, customKinds, config: {}, recorder }));
}

/** Resolves when the controller has given it a status. */
async function quota(client: Client, spec: ResourceQuota['spec']): Promise<void> {
  await client.create<ResourceQuota>(Kinds.resourcequotas, { metadata: { name: 'q', namespace: NS }, spec }, c);
  await eventually(async () => expect(Object.keys((await used(client)) ?? {})).toEqual(Object.keys(spec.hard ?? {})));
}

async function used(client: Client): Promise<DeepReadonly<Record<string, string>> | undefined> {
  return (await client.get<ResourceQuota>(Kinds.resourcequotas, { namespace: NS, name: 'q' }, c)).status?.used;
}

function map(client: Client, name: string): Promise<unknown> {
  return client.create<ConfigMap>(Kinds.configmaps, { metadata: { name, namespace: NS } }, c);
}

/** Objects of that resource come to be this long after they were asked for. */
function slow(store: Store, resource: string, delayMs: number): Store {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name !== 'create') return value.bind(target);
      return async (...args: Parameters<Store['create']>) => {
        if (args[0].includes(`/${resource}/`)) await realClock.sleep(delayMs);
        return await target.create(...args);
      };
    },
  });
}

describe('quota controller', () => {
  test('counts what is there, and again what has gone or ended', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await using scope = new Scope('test');
    const pod = async (name: string): Promise<DeepReadonly<Pod>> => {
      const resources = { requests: { cpu: '300m' } };
      const spec = { containers: [{ name: 'a', image: 'x', resources }] };
      return await client.create<Pod>(Kinds.pods, { metadata: { name, namespace: NS }, spec }, c);
    };
    await pod('before');
    controller(client, scope);
    await quota(client, { hard: { 'count/pods': '9', pods: '9', 'requests.cpu': '9' } });
    await eventually(async () => expect(await used(client)).toMatchObject({ pods: '1', 'requests.cpu': '300m' }));
    const ended = await pod('ended');
    await pod('gone');
    expect(await used(client)).toEqual({ 'count/pods': '3', pods: '3', 'requests.cpu': '900m' });
    const status = { ...ended.status, phase: 'Succeeded' };
    await client.update<Pod>(Kinds.pods, { ...ended, status }, c, { subresource: 'status' });
    await client.delete(Kinds.pods, { namespace: NS, name: 'gone' }, { gracePeriodSeconds: 0 }, c);
    await eventually(async () =>
      expect(await used(client)).toEqual({ 'count/pods': '2', pods: '1', 'requests.cpu': '300m' }),
    );
  });

  test('takes over new limits at once', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await using scope = new Scope('test');
    controller(client, scope);
    await quota(client, { hard: { configmaps: '1' } });
    await map(client, 'a');
    await expect(map(client, 'b')).rejects.toThrow('exceeded quota');
    const body = { spec: { hard: { configmaps: '2', secrets: '1' } } };
    await client.patch(Kinds.resourcequotas, { namespace: NS, name: 'q' }, { type: 'merge', body }, c);
    await eventually(() => map(client, 'b'));
    expect(await used(client)).toEqual({ configmaps: '2', secrets: '0' });
  });

  test('what has gone is given back, however busy the namespace is with other things', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await using scope = new Scope('test');
    controller(client, scope);
    await quota(client, { hard: { configmaps: '9', secrets: '9999' } });
    await map(client, 'a');
    let isOver = false;
    const busy = (async () => {
      for (let i = 0; !isOver; i++) {
        await client.create(Kinds.secrets, { metadata: { name: `s${i}`, namespace: NS } }, c);
        await realClock.sleep(50);
      }
    })();
    await client.delete(Kinds.configmaps, { namespace: NS, name: 'a' }, {}, c);
    try {
      await eventually(async () => expect((await used(client))?.['configmaps']).toBe('0'));
    } finally {
      isOver = true;
      await busy;
    }
  });

  test('law: counting again while objects are on their way never lets more pass than there are units', async () => {
    const LIMIT = 5;
    const store = slow(new MemoryStore({ clock: realClock }), 'configmaps', 40);
    await using server = await startTestServer({ store });
    const { client } = server;
    await using scope = new Scope('test');
    const counting = controller(client, scope);
    await quota(client, { hard: { configmaps: String(LIMIT) } });
    let passed = 0;
    const untilMs = realClock.monotonic() + 600;
    const ask = async (worker: number): Promise<void> => {
      for (let i = 0; realClock.monotonic() < untilMs; i++) {
        counting.enqueue(`${NS}/q`);
        try {
          await map(client, `m-${worker}-${i}`);
          passed++;
        } catch (e) {
          if (!isKind(e, 'Forbidden')) throw e;
          await realClock.sleep(2);
        }
      }
    };
    await Promise.all(Array.from({ length: 12 }, (_, worker) => ask(worker)));
    expect(passed).toBe(LIMIT);
    const { items } = await client.list(Kinds.configmaps, { namespace: NS }, c);
    expect(items.filter((m) => m.metadata.name.startsWith('m-'))).toHaveLength(LIMIT);
  });

  test('law: two servers, objects that come and go: never more than there are units, and units come back', async () => {
    const LIMIT = 4;
    await using one = await startTestServer({ store: slow(new MemoryStore({ clock: realClock }), 'configmaps', 10) });
    await using two = await startTestServer({ store: one.store });
    await using scope = new Scope('test');
    controller(one.client, scope);
    await quota(one.client, { hard: { configmaps: String(LIMIT) } });
    let passed = 0;
    /* At least so many are stored: those whose creation was confirmed and whose deletion was not asked for. */
    let stored = 0;
    let most = 0;
    const untilMs = realClock.monotonic() + 4_000;
    const comeAndGo = async (client: Client, worker: number): Promise<void> => {
      for (let i = 0; realClock.monotonic() < untilMs; i++) {
        const name = `m-${worker}-${i}`;
        try {
          await map(client, name);
        } catch (e) {
          if (!isKind(e, 'Forbidden')) throw e;
          await realClock.sleep(20);
          continue;
        }
        passed++;
        most = Math.max(most, ++stored);
        await realClock.sleep(30);
        stored--;
        await client.delete(Kinds.configmaps, { namespace: NS, name }, {}, c);
      }
    };
    await Promise.all(Array.from({ length: 10 }, (_, w) => comeAndGo(w % 2 === 0 ? one.client : two.client, w)));
    expect(most).toBeLessThanOrEqual(LIMIT);
    expect(passed).toBeGreaterThan(LIMIT);
    await eventually(async () => expect(await used(one.client)).toEqual({ configmaps: '0' }));
  });
});
