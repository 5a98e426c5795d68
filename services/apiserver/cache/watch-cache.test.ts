import { afterEach, expect, test } from 'vitest';
import { Kinds, type KubeObject, kindInfo } from '#lib/api';
import { type Clock, type Ctx, isKind, realClock, StatusError, silentLogger, VirtualClock } from '#lib/base';
import {
  type Entry,
  MemoryStore,
  objectKey,
  type Revision,
  readRevision,
  type Store,
  type StoreEvent,
} from '#lib/store';
import { KindRegistry } from '../kind-registry.ts';
import { Storage } from '../storage.ts';
import { encodeStored, jsonParts } from './cached.ts';
import { WatchCache } from './watch-cache.ts';

const KIND = kindInfo(Kinds.configmaps);
const abort = new AbortController();
const c: Ctx = { signal: abort.signal, clock: realClock, log: silentLogger };
const opened: WatchCache[] = [];

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache[Symbol.asyncDispose]();
});

async function open(store: Store, clock: Clock = realClock): Promise<WatchCache> {
  const cache = await WatchCache.open({ store, kinds: new KindRegistry(), clock, log: silentLogger, freeze: true }, c);
  opened.push(cache);
  return cache;
}

function configMap(name: string, data: Record<string, string> = {}): KubeObject {
  return {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { name, namespace: 'default', uid: name },
    data,
  } as KubeObject;
}

async function write(store: Store, name: string): Promise<Entry> {
  return await store.create(objectKey(KIND, { namespace: 'default', name }), encodeStored(configMap(name)), {}, c);
}

const everything = { namespace: '', matches: undefined };

test('cached bytes: the revision is spliced in, the rest is as stored', async () => {
  const store = new MemoryStore({ clock: realClock });
  const storage = new Storage({ store, cache: await open(store) });
  const made = await storage.create(KIND, configMap('ä', { k: '"}' }), {}, c);
  const [head, tail] = jsonParts(made);
  expect(JSON.parse(head + tail.toString('utf8'))).toEqual(made.object);
  expect(made.object.metadata.resourceVersion).toBe(made.revision.toString());
  expect(made.bytes.toString()).not.toContain('resourceVersion');
});

test('own writes are readable at once and are not decoded again when the watch brings them', async () => {
  const store = new MemoryStore({ clock: realClock });
  const cache = await open(store);
  const storage = new Storage({ store, cache });
  const made = await storage.create(KIND, configMap('a'), {}, c);
  expect(cache.latest(KIND, made)).toBeDefined();
  await cache.consistent(c);
  expect(cache.of(KIND).get('default', 'a')?.object).toBe(made.object);
  const removed = await storage.remove(KIND, made, {}, c);
  expect(cache.latest(KIND, made)).toBeUndefined();
  expect(removed.revision).toBeGreaterThan(made.revision);
});

test('a consistent read sees what another process has written', async () => {
  const store = new MemoryStore({ clock: realClock });
  const cache = await open(store);
  for (let i = 0; i < 50; i++) {
    await write(store, `n${i}`);
    await cache.consistent(c);
    expect(cache.of(KIND).get('default', `n${i}`)).toBeDefined();
  }
});

/** Others write into the same etcd: the revision moves on, and no event comes. */
class SharedStore extends MemoryStore {
  foreign = 0n;
  nudges = 0;

  override async currentRevision(ctx: Ctx): Promise<Revision> {
    const own = await super.currentRevision(ctx);
    return readRevision(own / 128n + this.foreign);
  }

  override async create(key: string, value: Buffer, o: object, ctx: Ctx): Promise<Entry> {
    if (key.startsWith('/berth/progress/')) {
      this.nudges++;
      this.foreign = 0n;
    }
    return await super.create(key, value, o, ctx);
  }
}

test('an etcd shared with others: a read nudges the watch instead of hanging', async () => {
  const store = new SharedStore({ clock: realClock });
  const cache = await open(store);
  store.foreign = 1n;
  await cache.consistent(c);
  expect(store.nudges).toBe(1);
});

/** Loses history on demand, as a store that was compacted while the watch was away. */
class ForgetfulStore extends MemoryStore {
  forget: (() => void) | undefined;

  override async *watch(from: Revision, ctx: Ctx): AsyncIterable<readonly StoreEvent[]> {
    const cut = new AbortController();
    this.forget = () => cut.abort();
    yield* super.watch(from, { ...ctx, signal: AbortSignal.any([ctx.signal, cut.signal]) });
    if (ctx.signal.aborted) return;
    await write(this, 'while-away');
    await this.admin.compact(await this.currentRevision(ctx), ctx);
  }
}

test('lost history: everything is listed anew and watchers are told to do the same', async () => {
  const store = new ForgetfulStore({ clock: realClock });
  const cache = await open(store);
  await write(store, 'a');
  await cache.consistent(c);
  const watcher = cache.of(KIND).watchNow(everything, { withState: false });
  store.forget?.();
  await expect(watcher.take(c.signal)).rejects.toSatisfy((e) => isKind(e, 'Expired'));
  await cache.consistent(c);
  expect([...cache.of(KIND).items('')].map((x) => x.name)).toEqual(['a', 'while-away']);
});

/** An etcd restored from a backup under a running server: the same keys, an older revision. */
class RestoredStore extends MemoryStore {
  #now: MemoryStore = new MemoryStore({ clock: realClock });
  #restored = new AbortController();

  restore(): void {
    this.#now = new MemoryStore({ clock: realClock });
    this.#restored.abort();
    this.#restored = new AbortController();
  }

  override list(...args: Parameters<MemoryStore['list']>): ReturnType<MemoryStore['list']> {
    return this.#now.list(...args);
  }

  override create(...args: Parameters<MemoryStore['create']>): Promise<Entry> {
    return this.#now.create(...args);
  }

  override currentRevision(ctx: Ctx): Promise<Revision> {
    return this.#now.currentRevision(ctx);
  }

  override async *watch(from: Revision, ctx: Ctx): AsyncIterable<readonly StoreEvent[]> {
    if (from > (await this.currentRevision(ctx))) throw new StatusError('Expired', 'restored');
    yield* this.#now.watch(from, { ...ctx, signal: AbortSignal.any([ctx.signal, this.#restored.signal]) });
  }
}

test('a store restored from a backup: the cache follows it from the older revision', async () => {
  const store = new RestoredStore({ clock: realClock });
  const cache = await open(store);
  const storage = new Storage({ store, cache });
  for (let i = 0; i < 9; i++) await storage.create(KIND, configMap(`lost${i}`), {}, c);
  await cache.consistent(c);
  const watcher = cache.of(KIND).watchNow(everything, { withState: false });
  store.restore();
  await expect(watcher.take(c.signal)).rejects.toSatisfy((e) => isKind(e, 'Expired'));
  const after = cache.of(KIND).watchNow(everything, { withState: false });
  await write(store, 'new');
  expect((await after.take(c.signal))?.map((e) => e.cached.name)).toEqual(['new']);
  await cache.consistent(c);
  expect([...cache.of(KIND).items('')].map((x) => x.name)).toEqual(['new']);
  expect(cache.latest(KIND, { namespace: 'default', name: 'lost8' })).toBeUndefined();
});

test('a watch of a kind that nobody has looked at yet resumes from any revision since the cache was filled', async () => {
  const store = new MemoryStore({ clock: realClock });
  const [one, other] = [await open(store), await open(store)];
  const seen = await one.consistent(c);
  await store.create(
    objectKey(kindInfo(Kinds.nodes), { namespace: '', name: 'n' }),
    encodeStored(configMap('n')),
    {},
    c,
  );
  await other.consistent(c);
  const watcher = other.of(KIND).watchFrom(seen, everything);
  await write(store, 'a');
  expect((await watcher.take(c.signal))?.map((e) => e.cached.name)).toEqual(['a']);
});

test('a watcher that does not read is ended, the others go on', async () => {
  const store = new MemoryStore({ clock: realClock });
  const storage = new Storage({ store, cache: await open(store) });
  const { cache } = storage;
  const slow = cache.of(KIND).watchNow(everything, { withState: false });
  const quick = cache.of(KIND).watchNow(everything, { withState: false });
  let current = await storage.create(KIND, configMap('a'), {}, c);
  let seen = 0;
  for (let i = 0; i < 10_001; i++) {
    const object = configMap('a', { i: String(i) });
    current = await storage.replace(KIND, current, { object, bytes: encodeStored(object) }, {}, c);
    if (i % 1_000 === 0) {
      await cache.consistent(c);
      seen += (await quick.take(c.signal))?.length ?? 0;
    }
  }
  expect(seen).toBe(10_002);
  await slow.take(c.signal);
  await expect(slow.take(c.signal)).rejects.toSatisfy((e) => isKind(e, 'Expired'));
});

test('the ring: a watch resumes from any revision it still holds, and gets Expired beyond', async () => {
  const store = new MemoryStore({ clock: realClock });
  const cache = await open(store);
  const first = await write(store, 'n0');
  for (let i = 1; i < 20; i++) await write(store, `n${i}`);
  await cache.consistent(c);
  const events = await cache.of(KIND).watchFrom(first.revision, everything).take(c.signal);
  expect(events?.map((e) => e.cached.name)).toEqual(Array.from({ length: 19 }, (_, i) => `n${i + 1}`));
  expect(() => cache.of(KIND).watchFrom(1n as Revision, everything)).toThrow('too old resource version');
});

test('history that is old goes, also where nothing happens any more; the last of it stays', async () => {
  const clock = new VirtualClock();
  const store = new MemoryStore({ clock: realClock });
  const cache = await open(store, clock);
  const first = await write(store, 'n0');
  for (let i = 1; i < 400; i++) await write(store, `n${i}`);
  await cache.consistent(c);
  expect(await cache.of(KIND).watchFrom(first.revision, everything).take(c.signal)).toHaveLength(399);
  await clock.advance(80_000);
  const lease = { kind: 'Lease', apiVersion: 'coordination.k8s.io/v1', metadata: { name: 'l', namespace: 'x' } };
  const key = objectKey(Kinds.leases, { namespace: 'x', name: 'l' });
  await store.create(key, encodeStored(lease as KubeObject), {}, c);
  await cache.consistent(c);
  expect(() => cache.of(KIND).watchFrom(first.revision, everything)).toThrow('too old resource version');
  const recent = (first.revision + (399n - 200n) * 128n) as Revision;
  expect(await cache.of(KIND).watchFrom(recent, everything).take(c.signal)).toHaveLength(200);
});

test('history and what waits for a slow watcher are bounded in bytes', async () => {
  const store = new MemoryStore({ clock: realClock });
  const cache = await open(store);
  const storage = new Storage({ store, cache });
  let latest = await storage.create(KIND, configMap('big'), {}, c);
  await cache.consistent(c);
  const { revision } = latest;
  const slow = cache.of(KIND).watchFrom(revision, everything);
  for (let i = 0; i < 90; i++) {
    const object = configMap('big', { text: `${i}`.padEnd(1 << 20, 'x') });
    latest = await storage.replace(KIND, latest, { object, bytes: encodeStored(object) }, {}, c);
    await cache.consistent(c);
  }
  const waiting = (await slow.take(abort.signal)) ?? [];
  expect(waiting.length).toBeGreaterThan(60);
  expect(waiting.length).toBeLessThan(70);
  await expect(slow.take(abort.signal)).rejects.toSatisfy((e) => isKind(e, 'Expired'));
  expect(() => cache.of(KIND).watchFrom(revision, everything)).toThrow('too old resource version');
  const kept = cache.of(KIND).watchFrom((latest.revision - 128n * 20n) as Revision, everything);
  expect(await kept.take(abort.signal)).toHaveLength(20);
});

test('history is bounded in bytes over all resources; who holds most gives first', async () => {
  const store = new MemoryStore({ clock: realClock });
  const cache = await open(store);
  const write1MiB = (info: { group: string; resource: string }, n: number): Promise<Entry> => {
    const object = configMap(`big${n}`, { text: 'x'.repeat(1 << 20) });
    return store.create(objectKey(info, { namespace: 'default', name: `big${n}` }), encodeStored(object), {}, c);
  };
  const secrets = kindInfo(Kinds.secrets);
  const quiet = kindInfo(Kinds.leases);
  const before = (await write1MiB(quiet, 0)).revision;
  await write1MiB(quiet, 1);
  for (let n = 0; n < 25; n++) for (const kind of [KIND, secrets]) await write1MiB(kind, n);
  await cache.consistent(c);
  const bytes = [...cache.resources()].map((r) => r.historyBytes).reduce((a, b) => a + b);
  expect(bytes).toBeGreaterThan(30 << 20);
  expect(bytes).toBeLessThanOrEqual(32 << 20);
  expect(await cache.of(quiet).watchFrom(before, everything).take(c.signal)).toHaveLength(1);
  for (const kind of [KIND, secrets]) {
    expect(() => cache.of(kind).watchFrom(before, everything)).toThrow('too old resource version');
    expect(cache.of(kind).historyBytes).toBeGreaterThan(14 << 20);
  }
});

test('what stops to match is told as it matched, with the revision of the change', async () => {
  const store = new MemoryStore({ clock: realClock });
  const cache = await open(store);
  const storage = new Storage({ store, cache });
  const labelled = (label: string): KubeObject => {
    const object = configMap('a');
    return { ...object, metadata: { ...object.metadata, labels: { label } } };
  };
  const made = await storage.create(KIND, labelled('yes'), {}, c);
  await cache.consistent(c);
  const matches = (x: { object: { metadata: { labels?: { readonly [k: string]: string } | undefined } } }): boolean =>
    x.object.metadata.labels?.['label'] === 'yes';
  const watcher = cache.of(KIND).watchFrom(made.revision, { namespace: '', matches });
  const object = labelled('no');
  const next = await storage.replace(KIND, made, { object, bytes: encodeStored(object) }, {}, c);
  await cache.consistent(c);
  const [event] = (await watcher.take(abort.signal)) ?? [];
  expect(event).toMatchObject({ type: 'DELETED', cached: { revision: next.revision } });
  expect(event?.cached.object.metadata).toMatchObject({
    labels: { label: 'yes' },
    resourceVersion: next.revision.toString(),
  });
});
