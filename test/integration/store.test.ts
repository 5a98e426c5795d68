import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ctx, isKind } from '#lib/base';
import { createCa, issue } from '#lib/pki';
import { context, eventText, storeConformance, take } from '../../lib/store/conformance.ts';
import { EtcdStore } from '../../lib/store/etcd.ts';
import { Maintenance } from '../../lib/store/maintenance.ts';
import type { StoreEvent } from '../../lib/store/store.ts';
import { startEtcd, type TestEtcd } from '../harness/etcd.ts';
import { eventually } from '../harness/process.ts';
import { CuttingProxy } from '../harness/proxy.ts';

storeConformance('etcd', async () => {
  const etcd = await startEtcd();
  const store = await EtcdStore.open({ endpoints: [etcd.endpoint] }, context());
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await etcd[Symbol.asyncDispose]();
    },
  };
});

storeConformance('etcd, below a prefix', async () => {
  const etcd = await startEtcd();
  const store = await EtcdStore.open({ endpoints: [etcd.endpoint], prefix: '/shared/berth' }, context());
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await etcd[Symbol.asyncDispose]();
    },
  };
});

const value = (text: string): Buffer => Buffer.from(text);

/** Writes from its own connection, so that the proxy cuts only what is under test. */
async function putMany(store: EtcdStore, prefix: string, count: number, c: Ctx): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => store.create(`${prefix}${i}`, value(`${i}`), {}, c)));
}

describe('EtcdStore under faults', () => {
  let etcd: TestEtcd;
  let direct: EtcdStore;
  const c = context();
  beforeAll(async () => {
    etcd = await startEtcd();
    direct = await EtcdStore.open({ endpoints: [etcd.endpoint] }, c);
  });
  afterAll(async () => {
    await direct[Symbol.asyncDispose]();
    await etcd[Symbol.asyncDispose]();
    c.abort();
  });

  test('a watch that is cut again and again, also within groups and during the backlog, loses and repeats nothing', async () => {
    await using proxy = await CuttingProxy.start(etcd.port);
    await using cut = await EtcdStore.open({ endpoints: [`http://127.0.0.1:${proxy.port}`] }, c);
    const from = await direct.currentRevision(c);
    await putMany(direct, '/cut/old/', 500, c);
    const own = context();
    const seen: StoreEvent[] = [];
    const watching = (async () => {
      for await (const batch of cut.watch(from, own)) {
        seen.push(...batch);
        if (seen.length >= 1500) return;
      }
    })();
    for (let round = 0; round < 5; round++) {
      await putMany(direct, `/cut/${round}/`, 200, c);
      const before = proxy.accepted;
      proxy.cut();
      // After the last round the watch may have seen everything, and nobody needs a connection.
      if (round < 4) await eventually(async () => proxy.accepted > before, 'it dials again');
    }
    await watching;
    const reference = await take(direct.watch(from, c), 1500);
    expect(seen.map(eventText)).toEqual(reference.map(eventText));
    expect(proxy.accepted).toBeGreaterThan(3);
  });

  test('a backlog of many megabytes, which etcd sends in fragments, comes whole', async () => {
    const from = await direct.currentRevision(c);
    const keys = Array.from({ length: 60 }, (_, i) => `/big/${i}`);
    const made = await Promise.all(keys.map((key) => direct.create(key, Buffer.alloc(200_000, 1), {}, c)));
    await Promise.all(made.map((e) => direct.update(e.key, Buffer.alloc(200_000, 2), e.revision, {}, c)));
    const events = await take(direct.watch(from, c), 120);
    const seen = events.map((e) => (e.type === 'put' ? `${e.entry.key} ${e.entry.value[0]}` : ''));
    expect(new Set(seen)).toEqual(new Set(keys.flatMap((key) => [`${key} 1`, `${key} 2`])));
    expect(seen).toHaveLength(120);
  });

  test('a watch behind a slow road takes a burst of large writes in a few round trips', async () => {
    await using proxy = await CuttingProxy.start(etcd.port, { delayMs: 100 });
    await using far = await EtcdStore.open({ endpoints: [`http://127.0.0.1:${proxy.port}`] }, c);
    const from = await direct.currentRevision(c);
    const keys = Array.from({ length: 60 }, (_, i) => `/slow/${i}`);
    await Promise.all(keys.map((key) => direct.create(key, Buffer.alloc(300_000, 1), {}, c)));
    const startedMs = c.clock.monotonic();
    expect(await take(far.watch(from, c), keys.length)).toHaveLength(keys.length);
    // 18 MB in HTTP/2's own window of 64 KiB would be 280 round trips, a minute.
    expect(c.clock.monotonic() - startedMs).toBeLessThan(25_000);
  });

  test('a half-open connection is noticed by keepalive, and the watch goes on', async () => {
    await using proxy = await CuttingProxy.start(etcd.port);
    await using cut = await EtcdStore.open({ endpoints: [`http://127.0.0.1:${proxy.port}`] }, c);
    const from = await direct.currentRevision(c);
    const watching = take(cut.watch(from, c), 2);
    await direct.create('/half/1', value('1'), {}, c);
    await eventually(async () => (await cut.get('/half/1', c)) !== undefined, 'it is connected');
    proxy.setMode('swallow');
    await direct.create('/half/2', value('1'), {}, c);
    const reading = cut.get('/half/2', c);
    // What is lost in a half-open connection is lost for good: let it pass for new connections only.
    proxy.passNew();
    expect((await watching).map(eventText)).toEqual(['put /half/1=1', 'put /half/2=1']);
    expect((await reading)?.key).toBe('/half/2');
  });

  test('a watch whose place was compacted while it was cut off throws Expired', async () => {
    await using proxy = await CuttingProxy.start(etcd.port);
    await using cut = await EtcdStore.open({ endpoints: [`http://127.0.0.1:${proxy.port}`] }, c);
    const own = context();
    const first = await direct.create('/gone/1', value('1'), {}, c);
    const watching = take(cut.watch(first.revision, own), 10);
    watching.catch(() => undefined);
    await direct.create('/gone/2', value('1'), {}, c);
    proxy.setMode('refuse');
    await putMany(direct, '/gone/x', 5, c);
    const last = await direct.create('/gone/3', value('1'), {}, c);
    await direct.create('/gone/4', value('1'), {}, c);
    await direct.admin.compact(last.revision, c);
    proxy.setMode('pass');
    const e = await watching.catch((failure: unknown) => failure);
    expect(isKind(e, 'Expired')).toBe(true);
  });

  test('writes survive kill -9 of etcd: each either happened once or says so', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `/kill/${i}`);
    const writes = Promise.all(names.map((key) => direct.create(key, value(key), {}, c)));
    await etcd.process.kill();
    await etcd.process.start();
    const entries = await writes;
    const stored = await direct.list('/kill/', {}, c);
    expect(stored.entries.map((e) => e.revision).sort()).toEqual(entries.map((e) => e.revision).sort());
  });

  test('a lost answer does not make a create fail with AlreadyExists', async () => {
    await using proxy = await CuttingProxy.start(etcd.port);
    await using cut = await EtcdStore.open({ endpoints: [`http://127.0.0.1:${proxy.port}`] }, c);
    for (let i = 0; i < 30; i++) {
      const write = cut.create(`/lost/${i}`, value(`mine ${i}`), {}, c);
      // Cut as soon as the write has reached etcd, so that most answers are lost.
      await eventually(async () => (await direct.get(`/lost/${i}`, c)) !== undefined, 'the write arrives');
      proxy.cut();
      expect((await write).revision).toBe((await direct.get(`/lost/${i}`, c))?.revision);
    }
  });

  test('a holder that is cut off gives up before another can hold the key', async () => {
    await using proxy = await CuttingProxy.start(etcd.port);
    await using cut = await EtcdStore.open({ endpoints: [`http://127.0.0.1:${proxy.port}`] }, c);
    const first = await cut.admin.acquire('/berth/leader/cut', 'one', { ttlSeconds: 3 }, c);
    const waiting = direct.admin.acquire('/berth/leader/cut', 'two', { ttlSeconds: 3 }, c);
    // Three renewals' time: it is kept while the connection is good.
    await expect(Promise.race([waiting.then(() => 'taken'), c.clock.sleep(4_000).then(() => 'kept')])).resolves.toBe(
      'kept',
    );
    expect(first.lost.aborted).toBe(false);
    proxy.setMode('refuse');
    const second = await waiting;
    expect(first.lost.aborted).toBe(true);
    proxy.setMode('pass');
    await expect(cut.create('/after/loss', value('1'), { fence: first.fence }, c)).rejects.toMatchObject({
      reason: 'Fenced',
    });
    await second[Symbol.asyncDispose]();
  });

  test('a key with a time to live disappears with a delete event', async () => {
    const from = await direct.currentRevision(c);
    // A bucket lives a minute longer than asked: the shortest way to see one end is to ask for one that is due in seconds.
    await direct.create('/ttl/a', value('1'), { ttlSeconds: -55 }, c);
    const events = await take(direct.watch(from, c), 2);
    expect(events.map(eventText)).toEqual(['put /ttl/a=1', 'delete /ttl/a']);
  });

  test('a caller that goes away while a shared lease is granted takes nobody along', async () => {
    const gone = context();
    const first = direct.create('/ttl/gone', value('1'), { ttlSeconds: 777 }, gone);
    const second = direct.create('/ttl/stays', value('1'), { ttlSeconds: 777 }, c);
    gone.abort();
    const [left, stayed] = await Promise.allSettled([first, second]);
    expect(left.status).toBe('rejected');
    expect(stayed.status).toBe('fulfilled');
  });

  test('an object larger than etcd takes is TooLarge and does not harm its neighbours', async () => {
    const [large, small] = await Promise.allSettled([
      direct.create('/large/a', Buffer.alloc(2_000_000), {}, c),
      direct.create('/large/b', value('1'), {}, c),
    ]);
    expect(large).toMatchObject({ status: 'rejected', reason: { kind: 'TooLarge' } });
    expect(small.status).toBe('fulfilled');
  });
});

test('Maintenance: compacts old history, gives space back, and takes a NOSPACE alarm down', async () => {
  const quotaBytes = 12 * 1024 * 1024;
  await using etcd = await startEtcd({ args: ['--quota-backend-bytes', String(quotaBytes)] });
  const c = context();
  await using store = await EtcdStore.open({ endpoints: [etcd.endpoint], quotaBytes }, c);
  await using maintenance = new Maintenance(store, {
    endpoints: [etcd.endpoint],
    quotaBytes,
    historyMs: 0,
    defragMinBytes: 1,
  });
  let entry = await store.create('/fill', Buffer.alloc(500_000), {}, c);
  const old = entry.revision;
  const failure = await (async () => {
    for (let i = 0; i < 60; i++) entry = await store.update('/fill', Buffer.alloc(500_000, i), entry.revision, {}, c);
    return undefined;
  })().catch((e: unknown) => e);
  expect(failure).toMatchObject({ kind: 'Unavailable' });
  await expect(store.admin.health(c)).rejects.toMatchObject({ kind: 'Unavailable' });
  await maintenance.round(c);
  const health = await store.admin.health(c);
  expect(health.sizeBytes).toBeLessThan(quotaBytes / 2);
  await store.update('/fill', Buffer.from('again'), entry.revision, {}, c);
  await expect(store.list('/', { at: old }, c)).rejects.toMatchObject({ kind: 'Expired' });
});

test('Maintenance: a member that is away keeps the others neither from being compacted nor from being given room', async () => {
  await using etcd = await startEtcd();
  const c = context();
  await using store = await EtcdStore.open({ endpoints: [etcd.endpoint] }, c);
  const away = 'http://127.0.0.1:1';
  const figures = { historyMs: 0, defragMinBytes: 1 };
  await using maintenance = new Maintenance(store, { endpoints: [away, etcd.endpoint, away], ...figures });
  let entry = await store.create('/fill', Buffer.alloc(500_000), {}, c);
  const old = entry.revision;
  for (let i = 0; i < 20; i++) entry = await store.update('/fill', Buffer.alloc(500_000, i), entry.revision, {}, c);
  const full = (await store.admin.health(c)).sizeBytes;
  await maintenance.round(c);
  await expect(store.list('/', { at: old }, c)).rejects.toMatchObject({ kind: 'Expired' });
  await eventually(async () => {
    // etcd counts pages as free with the write after the one that freed them.
    entry = await store.update('/fill', Buffer.from('small'), entry.revision, {}, c);
    await maintenance.round(c);
    return (await store.admin.health(c)).sizeBytes < full / 2;
  }, 'the free space is given back');
});

describe('EtcdStore with mutual TLS', () => {
  test('serves a client with a certificate of its CA and no other', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'berth-etcd-tls-'));
    try {
      const ca = await createCa('etcd');
      const usages = ['server', 'client'] as const;
      const server = await issue(ca, { commonName: 'etcd', ipAddresses: ['127.0.0.1'], usages, days: 1 });
      const client = await issue(ca, { commonName: 'berth', usages: ['client'], days: 1 });
      const file = (name: string): string => join(folder, name);
      await writeFile(file('ca.crt'), ca.certPem);
      await writeFile(file('server.crt'), server.certPem);
      await writeFile(file('server.key'), server.keyPem);
      const files = ['--cert-file', file('server.crt'), '--key-file', file('server.key')];
      const args = ['--client-cert-auth', '--trusted-ca-file', file('ca.crt'), ...files];
      await using etcd = await startEtcd({ https: true, args });
      const c = context();
      const tls = { ca: ca.certPem, cert: client.certPem, key: client.keyPem };
      await using store = await EtcdStore.open({ endpoints: [etcd.endpoint], tls }, c);
      const from = await store.currentRevision(c);
      await store.create('/tls', value('1'), {}, c);
      expect((await take(store.watch(from, c), 1)).map(eventText)).toEqual(['put /tls=1']);
      const foreign = await issue(await createCa('other'), { commonName: 'berth', usages: ['client'], days: 1 });
      const wrong = { ca: ca.certPem, cert: foreign.certPem, key: foreign.keyPem };
      const refused = await EtcdStore.open({ endpoints: [etcd.endpoint], tls: wrong }, c).catch((e: unknown) => e);
      expect(isKind(refused, 'Unavailable')).toBe(true);
      c.abort();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('a renewed certificate', () => {
  const LIFE_MS = 12_000;

  test('is used by connections to come; writes and watches that go on notice nothing; without it they would end', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'berth-etcd-tls-'));
    const c = context();
    try {
      const ca = await createCa('etcd');
      const usages = ['server', 'client'] as const;
      const server = await issue(ca, { commonName: 'etcd', ipAddresses: ['127.0.0.1'], usages, days: 1 });
      const clientOf = async (days: number): Promise<{ ca: string; cert: string; key: string }> => {
        const { certPem, keyPem } = await issue(ca, { commonName: 'berth', usages: ['client'], days });
        return { ca: ca.certPem, cert: certPem, key: keyPem };
      };
      const file = (name: string): string => join(folder, name);
      await writeFile(file('ca.crt'), ca.certPem);
      await writeFile(file('server.crt'), server.certPem);
      await writeFile(file('server.key'), server.keyPem);
      const files = ['--cert-file', file('server.crt'), '--key-file', file('server.key')];
      await using etcd = await startEtcd({
        https: true,
        args: ['--client-cert-auth', '--trusted-ca-file', file('ca.crt'), ...files],
      });
      await using proxy = await CuttingProxy.start(etcd.port);
      const endpoints = [`https://127.0.0.1:${proxy.port}`];
      const short = await clientOf(LIFE_MS / 86_400_000);
      const endsAt = Date.now() + LIFE_MS;
      await using store = await EtcdStore.open({ endpoints, tls: short }, c);
      await using left = await EtcdStore.open({ endpoints, tls: short }, c);
      await using maintenance = new Maintenance(store, { endpoints, tls: short });
      const held = await store.admin.acquire('/berth/leader/tls', 'one', { ttlSeconds: 5 }, c);
      const events = take(store.watch(await store.currentRevision(c), c), 401);
      const write = async (from: number): Promise<void> => {
        for (let i = from; i < from + 200; i++) await store.create(`/tls/${i}`, value('1'), {}, c);
      };
      const writing = write(0);
      const renewed = await clientOf(1);
      store.useTls(renewed);
      maintenance.useTls(renewed);
      await writing;
      await eventually(async () => Date.now() > endsAt + 1_000, 'the first certificate has ended', 20_000);
      proxy.cut();
      await write(200);
      await maintenance.round(c);
      await store.create('/tls/last', value('1'), {}, c);
      expect((await events).map(eventText).at(-1)).toBe('put /tls/last=1');
      expect(held.lost.aborted).toBe(false);
      const refused = await left.get('/tls/0', c).catch((e: unknown) => e);
      expect(isKind(refused, 'Unavailable')).toBe(true);
      await held[Symbol.asyncDispose]();
    } finally {
      c.abort();
      await rm(folder, { recursive: true });
    }
  });
});

test('EtcdStore.open: an etcd that is not there is Unavailable', async () => {
  const e = await EtcdStore.open({ endpoints: ['http://127.0.0.1:1'] }, context()).catch((failure: unknown) => failure);
  expect(isKind(e, 'Unavailable')).toBe(true);
});
