/**
 * An informer in the shape of client-go's against the API server over https: lists by pages and from the cache, watches that are
 * resumed, bookmarks, connections that break, revisions that are gone, streams that begin with all objects.
 */
import * as k8s from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ConfigMap, Kinds } from '#lib/api';
import type { MemoryStore } from '#lib/store';
import { testContext as c, startTestServer, type TestServer } from '../../services/apiserver/testing/server.ts';
import { type Listed, type ListQuery, Reflector, type ReflectorOptions } from '../clients/reflector.ts';
import { ADMIN, configFor, type TestUser } from '../clients/test-config.ts';
import { CuttingProxy } from '../harness/proxy.ts';

const NS = 'default';
const PATH = `/api/v1/namespaces/${NS}/configmaps`;
const LIMIT_MS = 10_000;

let server: TestServer;
let proxy: CuttingProxy;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  server = await startTestServer({ listen: true });
  proxy = await CuttingProxy.start(server.api.addresses[0]?.port ?? 0);
});
afterEach(async () => {
  for (const r of open.splice(0)) await r[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const put = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) =>
  server.client.create<ConfigMap>(Kinds.configmaps, { metadata: { name, namespace: NS, labels }, data }, c);
const change = (name: string, body: object) =>
  server.client.patch<ConfigMap>(Kinds.configmaps, { namespace: NS, name }, { type: 'merge', body }, c);
const remove = (name: string) => server.client.delete(Kinds.configmaps, { namespace: NS, name }, {}, c);

type Options = Partial<Omit<ReflectorOptions<k8s.V1ConfigMap>, 'config' | 'path'>> & {
  user?: TestUser;
  /** Called before each page after the first. */
  beforePage?: () => Promise<void>;
};

async function start(o: Options = {}): Promise<Reflector<k8s.V1ConfigMap>> {
  const { user, beforePage, ...rest } = o;
  const config = await configFor(server, user ?? ADMIN, proxy.port);
  const core = config.makeApiClient(k8s.CoreV1Api);
  const list = async (q: ListQuery): Promise<k8s.KubernetesListObject<k8s.V1ConfigMap>> => {
    if (q._continue !== undefined) await beforePage?.();
    return core.listNamespacedConfigMap({ namespace: NS, ...q });
  };
  const made = Reflector.start<k8s.V1ConfigMap>({ config, path: PATH, list, ...rest });
  open.push(made);
  return made;
}

const namesOf = (r: Reflector<k8s.V1ConfigMap>): string[] =>
  r
    .items()
    .map((o) => o.metadata?.name ?? '')
    .toSorted();
const synced = (r: Reflector<k8s.V1ConfigMap>): Promise<void> => r.until('synced', LIMIT_MS, (x) => x.hasSynced);
const seen = (r: Reflector<k8s.V1ConfigMap>, name: string, k?: string): Promise<void> =>
  r.until(`${name} seen`, LIMIT_MS, (x) => {
    const found = x.get(`${NS}/${name}`);
    return k === undefined ? found === undefined : found?.data?.['k'] === k;
  });

/** What its handlers heard, in order. */
function recorder(): { heard: string[]; handler: Required<ReflectorOptions<Listed>>['handler'] } {
  const heard: string[] = [];
  const name = (o: Listed): string => o.metadata?.name ?? '';
  return {
    heard,
    handler: {
      added: (o) => heard.push(`added ${name(o)}`),
      updated: (a, b) => heard.push(`${a === b ? 'resynced' : 'updated'} ${name(b)}`),
      deleted: (o, isStale) => heard.push(`${isStale ? 'missed' : 'deleted'} ${name(o)}`),
    },
  };
}

describe('list and watch', () => {
  test('pages of one revision, then every change once and in order, however often the watch is ended', async () => {
    for (let i = 0; i < 25; i++) await put(`m${String(i).padStart(2, '0')}`);
    const { heard, handler } = recorder();
    const r = await start({
      pageSize: 10,
      watchSeconds: 1,
      handler,
      beforePage: async () => void (await remove('m24').catch(() => undefined)),
    });
    await synced(r);
    expect(r.counts).toMatchObject({ lists: 1, pages: 3 });
    await seen(r, 'm24');
    for (let i = 0; i < 30; i++) {
      await put(`n${i}`, { k: '1' });
      await change(`n${i}`, { data: { k: '2' } });
      if (i % 10 === 9) await seen(r, `n${i}`, '2');
      await remove(`n${i}`);
    }
    await seen(r, 'n29');
    await r.until('two watches ended', LIMIT_MS, (x) => x.counts.watches >= 3 && x.counts.bookmarks >= 2);
    await put('last', { k: '1' });
    await seen(r, 'last', '1');
    // Read at one revision: the object deleted between its pages is in the list and is deleted by the watch.
    const wanted = [...Array.from({ length: 25 }, (_, i) => `added m${String(i).padStart(2, '0')}`), 'deleted m24'];
    for (let i = 0; i < 30; i++) wanted.push(`added n${i}`, `updated n${i}`, `deleted n${i}`);
    expect(heard).toEqual([...wanted, 'added last']);
    expect(r.counts).toMatchObject({ lists: 1, expired: 0, failures: 0 });
  });

  test('a list from the cache is one page, and as new as any write before it', async () => {
    for (let i = 0; i < 25; i++) await put(`m${i}`);
    const r = await start();
    await synced(r);
    expect(r.counts).toMatchObject({ lists: 1, pages: 1 });
    expect(r.items()).toHaveLength(25);
  });

  test('pages whose revision was compacted: the whole list at once', async () => {
    for (let i = 0; i < 9; i++) await put(`m${i}`);
    let isFirst = true;
    const r = await start({
      pageSize: 4,
      beforePage: async () => {
        if (!isFirst) return;
        isFirst = false;
        await put('between');
        await (server.store as MemoryStore).admin.compact(await server.store.currentRevision(c), c);
      },
    });
    await synced(r);
    expect(namesOf(r)).toEqual(['between', ...Array.from({ length: 9 }, (_, i) => `m${i}`)]);
    expect(r.counts).toMatchObject({ lists: 1, pages: 3, expired: 1 });
    await put('after', { k: '1' });
    await seen(r, 'after', '1');
  });

  test('an object that leaves the selector is deleted, one that enters it is added', async () => {
    await put('in', {}, { team: 'blue' });
    await put('out', {}, { team: 'red' });
    const { heard, handler } = recorder();
    const r = await start({ selectors: { labelSelector: 'team=blue' }, handler });
    await synced(r);
    await change('in', { metadata: { labels: { team: 'red' } } });
    await change('out', { metadata: { labels: { team: 'blue' } }, data: { k: '1' } });
    await seen(r, 'out', '1');
    expect(heard).toEqual(['added in', 'deleted in', 'added out']);
  });

  test('a resync tells of every object again', async () => {
    await put('a');
    const { heard, handler } = recorder();
    const r = await start({ resyncMs: 20, handler });
    await synced(r);
    await expect
      .poll(() => heard.filter((x) => x === 'resynced a').length, { timeout: LIMIT_MS })
      .toBeGreaterThanOrEqual(2);
    expect(heard.filter((x) => x !== 'resynced a')).toEqual(['added a']);
  });
});

describe('when it goes wrong', () => {
  test('a connection that breaks loses nothing: the watch goes on where it was', async () => {
    await put('a', { k: '1' });
    const { heard, handler } = recorder();
    const r = await start({ handler });
    await synced(r);
    for (let i = 0; i < 5; i++) {
      proxy.setMode('refuse');
      await remove('a');
      await put('a', { k: `again ${i}` });
      proxy.setMode('pass');
      await seen(r, 'a', `again ${i}`);
    }
    expect(heard).toEqual(['added a', ...Array.from({ length: 5 }, () => ['deleted a', 'added a']).flat()]);
    expect(r.counts).toMatchObject({ lists: 1, expired: 0 });
    expect(r.counts.failures).toBeGreaterThanOrEqual(1);
  });

  test('410: more has changed meanwhile than the server keeps; a new list tells what is gone', async () => {
    await put('big', { k: '0' });
    await put('gone');
    const { heard, handler } = recorder();
    const r = await start({ handler, pageSize: 1 });
    await synced(r);
    proxy.setMode('refuse');
    await remove('gone');
    const filler = 'x'.repeat(900_000);
    for (let i = 1; i <= 90; i++) await change('big', { data: { k: String(i), filler } });
    await put('new', { k: '1' });
    proxy.setMode('pass');
    await seen(r, 'new', '1');
    expect(heard).toEqual(['added big', 'added gone', 'missed gone', 'updated big', 'added new']);
    expect(r.get(`${NS}/big`)?.data?.['k']).toBe('90');
    expect(r.counts).toMatchObject({ lists: 2, expired: 1 });
  });

  test('who may list but not watch has the list and nothing after it; who may do nothing has nothing', async () => {
    const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }];
    await server.client.create(Kinds.roles, { metadata: { name: 'lists', namespace: NS }, rules }, c);
    const binding = {
      metadata: { name: 'lists', namespace: NS },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'lists' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'lister' }],
    };
    await server.client.create(Kinds.rolebindings, binding, c);
    await put('a');
    const lister = await start({ user: { name: 'lister', groups: [] }, watchList: true });
    await lister.until('refused twice', LIMIT_MS, (x) => x.counts.lists >= 2);
    expect(namesOf(lister)).toEqual(['a']);
    expect(lister.counts).toMatchObject({ watchLists: 1, bookmarks: 0 });
    const nobody = await start({ user: { name: 'nobody', groups: [] } });
    await expect.poll(() => nobody.counts.failures, { timeout: LIMIT_MS }).toBeGreaterThanOrEqual(2);
    expect(nobody.hasSynced).toBe(false);
  });
});

describe('a stream that begins with all objects (WatchList)', () => {
  test('its bookmark makes it complete; it goes on as the watch, and no list is asked for', async () => {
    for (let i = 0; i < 700; i++) await put(`m${i}`);
    const { heard, handler } = recorder();
    const r = await start({ watchList: true, watchSeconds: 1, handler });
    await synced(r);
    expect(heard).toHaveLength(700);
    await remove('m0');
    await seen(r, 'm0');
    await r.until('a watch after it', LIMIT_MS, (x) => x.counts.watches >= 1);
    await put('after', { k: '1' });
    await seen(r, 'after', '1');
    expect(heard.slice(700)).toEqual(['deleted m0', 'added after']);
    expect(r.counts).toMatchObject({ watchLists: 1, lists: 0, pages: 0, expired: 0, failures: 0 });
    expect(r.counts.bookmarks).toBeGreaterThanOrEqual(2);
  });

  test('of nothing at all it is complete, too, and ends in a revision to go on from', async () => {
    const r = await start({ watchList: true, selectors: { labelSelector: 'team=none' } });
    await synced(r);
    expect(r.items()).toEqual([]);
    expect(Number(r.resourceVersion)).toBeGreaterThan(0);
  });

  test('after a 410 it begins again', async () => {
    await put('big', { k: '0' });
    await put('gone');
    const { heard, handler } = recorder();
    const r = await start({ watchList: true, handler });
    await synced(r);
    proxy.setMode('refuse');
    await remove('gone');
    const filler = 'x'.repeat(900_000);
    for (let i = 1; i <= 90; i++) await change('big', { data: { k: String(i), filler } });
    proxy.setMode('pass');
    await seen(r, 'big', '90');
    expect(heard).toEqual(['added big', 'added gone', 'missed gone', 'updated big']);
    expect(r.counts).toMatchObject({ watchLists: 2, lists: 0, expired: 1 });
  });
});
