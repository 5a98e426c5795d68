/** What every Store does; lib/store/memory.test.ts and test/integration/store.test.ts run it. */
import { setMaxListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ctx, isKind, type Logger, realClock, silentLogger } from '#lib/base';
import type { Entry, Revision, Store, StoreEvent } from './store.ts';
import { modRevisionOf } from './store-errors.ts';

export interface OpenStore extends AsyncDisposable {
  readonly store: Store;
}

export function context(log: Logger = silentLogger): Ctx & { abort(): void } {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return { signal: controller.signal, clock: realClock, log, abort: () => controller.abort() };
}

const value = (text: string): Buffer => Buffer.from(text);

/** Takes events until `count` have come. */
export async function take(watch: AsyncIterable<readonly StoreEvent[]>, count: number): Promise<StoreEvent[]> {
  const out: StoreEvent[] = [];
  for await (const batch of watch) {
    out.push(...batch);
    if (out.length >= count) return out;
  }
  return out;
}

/** `put key=value` or `delete key`. */
export function eventText(e: StoreEvent): string {
  return e.type === 'put' ? `put ${e.entry.key}=${e.entry.value.toString()}` : `delete ${e.key}`;
}

export function storeConformance(name: string, open: () => Promise<OpenStore>): void {
  describe(`store conformance: ${name}`, () => {
    let opened: OpenStore;
    let store: Store;
    const c = context();
    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    });
    afterAll(async () => {
      c.abort();
      await opened[Symbol.asyncDispose]();
    });

    singleKeys(() => store, c);
    lists(() => store, c);
    watches(() => store, c);
    fences(() => store, c);
  });
}

function singleKeys(store: () => Store, c: Ctx): void {
  test('get of an absent key is undefined', async () => {
    expect(await store().get('/one/absent', c)).toBeUndefined();
  });

  test('create, get, update, delete follow the revision', async () => {
    const created = await store().create('/one/a', value('1'), {}, c);
    expect(await store().get('/one/a', c)).toEqual(created);
    const updated = await store().update('/one/a', value('2'), created.revision, {}, c);
    expect(updated.revision > created.revision).toBe(true);
    expect((await store().get('/one/a', c))?.value.toString()).toBe('2');
    const removed = await store().delete('/one/a', updated.revision, {}, c);
    expect(removed > updated.revision).toBe(true);
    expect(await store().get('/one/a', c)).toBeUndefined();
  });

  test('create of an existing key is AlreadyExists and changes nothing', async () => {
    const first = await store().create('/one/b', value('1'), {}, c);
    await expectKind(store().create('/one/b', value('2'), {}, c), 'AlreadyExists');
    expect(await store().get('/one/b', c)).toEqual(first);
  });

  test('update and delete with an old revision, or of a key that is gone, are Conflict', async () => {
    const first = await store().create('/one/c', value('1'), {}, c);
    const second = await store().update('/one/c', value('2'), first.revision, {}, c);
    await expectKind(store().update('/one/c', value('3'), first.revision, {}, c), 'Conflict');
    await expectKind(store().delete('/one/c', first.revision, {}, c), 'Conflict');
    await store().delete('/one/c', second.revision, {}, c);
    await expectKind(store().update('/one/c', value('3'), second.revision, {}, c), 'Conflict');
    await expectKind(store().delete('/one/c', second.revision, {}, c), 'Conflict');
  });

  test('bytes come back as they were, the empty value included', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await store().create('/one/bytes', bytes, {}, c);
    await store().create('/one/empty', Buffer.alloc(0), {}, c);
    expect((await store().get('/one/bytes', c))?.value.equals(bytes)).toBe(true);
    expect((await store().get('/one/empty', c))?.value.byteLength).toBe(0);
  });

  test('of many concurrent updates at one revision exactly one wins', async () => {
    const first = await store().create('/one/race', value('0'), {}, c);
    const writes = Array.from({ length: 20 }, (_, i) =>
      store()
        .update('/one/race', value(`${i}`), first.revision, {}, c)
        .then(
          () => true,
          (e: unknown) => !isKind(e, 'Conflict'),
        ),
    );
    expect((await Promise.all(writes)).filter(Boolean)).toHaveLength(1);
  });

  test('writes at the same moment all get revisions of their own, in order of their events', async () => {
    const from = await store().currentRevision(c);
    const names = Array.from({ length: 150 }, (_, i) => `/group/${String(i).padStart(3, '0')}`);
    const entries = await Promise.all(names.map((key) => store().create(key, value(key), {}, c)));
    expect(new Set(entries.map((e) => e.revision)).size).toBe(150);
    const events = await take(store().watch(from, c), 150);
    const seen = events.map((e) => (e.type === 'put' ? e.entry.revision : e.revision));
    expect(seen).toEqual([...seen].sort(compare));
    for (const e of entries) expect(await store().get(e.key, c)).toEqual(e);
  });

  test('concurrent increments of a few keys lose none, and the watch has every step once, in order', async () => {
    const from = await store().currentRevision(c);
    const keys = [0, 1, 2].map((i) => `/count/${i}`);
    for (const key of keys) await store().create(key, value('0'), {}, c);
    const increment = async (key: string): Promise<void> => {
      for (;;) {
        const now = await store().get(key, c);
        if (now === undefined) throw new Error(`${key} is gone`);
        try {
          await store().update(key, value(`${Number(now.value.toString()) + 1}`), now.revision, {}, c);
          return;
        } catch (e) {
          if (!isKind(e, 'Conflict')) throw e;
        }
      }
    };
    const writers = Array.from({ length: 12 }, async (_, w) => {
      for (let i = 0; i < 15; i++) await increment(keys[(w + i) % keys.length] as string);
    });
    await Promise.all(writers);
    const events = await take(store().watch(from, c), keys.length + 12 * 15);
    for (const key of keys) {
      const steps = events.flatMap((e) =>
        e.type === 'put' && e.entry.key === key ? [Number(e.entry.value.toString())] : [],
      );
      expect(steps).toEqual(Array.from({ length: 61 }, (_, i) => i));
    }
  });

  test('a cancelled context rejects', async () => {
    const own = context();
    own.abort();
    await expect(store().get('/one/a', own)).rejects.toThrow();
    await expect(async () => store().create('/one/cancelled', value('1'), {}, own)).rejects.toThrow();
  });
}

function lists(store: () => Store, c: Ctx): void {
  test('list gives the keys of the prefix in byte order with a revision to watch from', async () => {
    for (const key of ['/list/b', '/list/a', '/list/a/x', '/listing', '/list/A'])
      await store().create(key, value(key), {}, c);
    const page = await store().list('/list/', {}, c);
    expect(page.entries.map((e) => e.key)).toEqual(['/list/A', '/list/a', '/list/a/x', '/list/b']);
    expect(page.more).toBe(false);
    expect(page.remaining).toBe(0);
    expect(page.revision >= (page.entries.at(-1) as Entry).revision).toBe(true);
  });

  test('pages of a list at its first revision are one consistent state', async () => {
    for (let i = 0; i < 7; i++) await store().create(`/page/${i}`, value(`${i}`), {}, c);
    const first = await store().list('/page/', { limit: 3 }, c);
    expect([first.more, first.remaining]).toEqual([true, 4]);
    const third = await store().get('/page/3', c);
    if (third) await store().delete('/page/3', third.revision, {}, c);
    await store().create('/page/31', value('new'), {}, c);
    const keys = first.entries.map((e) => e.key);
    for (let page = first; page.more; ) {
      page = await store().list('/page/', { limit: 3, after: keys.at(-1), at: first.revision }, c);
      expect(page.revision).toBe(first.revision);
      keys.push(...page.entries.map((e) => e.key));
    }
    expect(keys).toEqual(['/page/0', '/page/1', '/page/2', '/page/3', '/page/4', '/page/5', '/page/6']);
  });

  test('a list without a limit is whole, however long', async () => {
    await Promise.all(
      Array.from({ length: 1234 }, (_, i) =>
        store().create(`/many/${String(i).padStart(5, '0')}`, value(`${i}`), {}, c),
      ),
    );
    const page = await store().list('/many/', {}, c);
    expect(page.entries.map((e) => Number(e.value.toString()))).toEqual(Array.from({ length: 1234 }, (_, i) => i));
  });

  test('a list at a compacted revision is Expired', async () => {
    const old = await store().currentRevision(c);
    await store().create('/compact/a', value('1'), {}, c);
    await store().create('/compact/b', value('1'), {}, c);
    const now = await store().currentRevision(c);
    await store().admin.compact(now, c);
    await store().admin.compact(old, c);
    await expectKind(store().list('/compact/', { at: old }, c), 'Expired');
    // Before the first transaction: etcd would take its revision 0 for "now".
    await expectKind(store().list('/compact/', { at: 1n as Revision }, c), 'Expired');
    expect((await store().list('/compact/', { at: now }, c)).entries).toHaveLength(2);
  });
}

function watches(store: () => Store, c: Ctx): void {
  test('a watch from a list has exactly the later changes', async () => {
    const a = await store().create('/watch/a', value('1'), {}, c);
    const { revision } = await store().list('/watch/', {}, c);
    const a2 = await store().update('/watch/a', value('2'), a.revision, {}, c);
    await store().create('/watch/b', value('1'), {}, c);
    const gone = await store().delete('/watch/a', a2.revision, {}, c);
    const events = await take(store().watch(revision, c), 3);
    expect(events.map(eventText)).toEqual(['put /watch/a=2', 'put /watch/b=1', 'delete /watch/a']);
    expect(events.at(-1)).toMatchObject({ type: 'delete', revision: gone });
  });

  test('a watch from any event of a burst has exactly the rest', async () => {
    const from = await store().currentRevision(c);
    await Promise.all(Array.from({ length: 40 }, (_, i) => store().create(`/burst/${i}`, value(`${i}`), {}, c)));
    const all = await take(store().watch(from, c), 40);
    for (const cutAfter of [0, 1, 17, 38]) {
      const last = all[cutAfter];
      const rest = await take(store().watch(last?.type === 'put' ? last.entry.revision : from, c), 39 - cutAfter);
      expect(rest.map(eventText)).toEqual(all.slice(cutAfter + 1).map(eventText));
    }
  });

  test('a live watch delivers and ends when its context is cancelled', async () => {
    const own = context();
    const from = await store().currentRevision(c);
    const watching = (async () => {
      const seen: string[] = [];
      for await (const batch of store().watch(from, own)) {
        seen.push(...batch.map(eventText));
        if (seen.length >= 2) own.abort();
      }
      return seen;
    })();
    await store().create('/live/a', value('1'), {}, c);
    await store().create('/live/b', value('1'), {}, c);
    expect(await watching).toEqual(['put /live/a=1', 'put /live/b=1']);
  });

  test('an idle watch ends when its context is cancelled', async () => {
    const own = context();
    const watching = take(store().watch(await store().currentRevision(c), own), 1);
    own.abort();
    expect(await watching).toEqual([]);
  });

  test('a watch from a compacted revision is Expired', async () => {
    const old = await store().currentRevision(c);
    for (let i = 0; i < 3; i++) await store().create(`/watch-compact/${i}`, value('1'), {}, c);
    await store().admin.compact(await store().currentRevision(c), c);
    await expectKind(take(store().watch(old, c), 1), 'Expired');
  });

  test('currentRevision is not older than any acknowledged write', async () => {
    for (let i = 0; i < 5; i++) {
      const entry = await store().create(`/current/${i}`, value('1'), {}, c);
      const [x, y] = await Promise.all([store().currentRevision(c), store().currentRevision(c)]);
      expect(x >= entry.revision && y >= entry.revision).toBe(true);
      expect(modRevisionOf(x as Revision) >= modRevisionOf(entry.revision)).toBe(true);
    }
  });
}

function fences(store: () => Store, c: Ctx): void {
  test('one holder at a time; a write with a passed-on fence is Fenced', async () => {
    const first = await store().admin.acquire('/berth/leader/x', 'one', { ttlSeconds: 5 }, c);

    let taken = false;
    const waiting = store()
      .admin.acquire('/berth/leader/x', 'two', { ttlSeconds: 5 }, c)
      .then((held) => {
        taken = true;
        return held;
      });
    const entry = await store().create('/fenced/a', value('1'), { fence: first.fence }, c);
    expect(taken).toBe(false);
    await first[Symbol.asyncDispose]();
    const second = await waiting;
    const options = { fence: first.fence };
    await expectFenced(store().update('/fenced/a', value('2'), entry.revision, options, c));
    await expectFenced(store().create('/fenced/b', value('2'), options, c));
    await expectFenced(store().delete('/fenced/a', entry.revision, options, c));
    await store().update('/fenced/a', value('2'), entry.revision, { fence: second.fence }, c);
    await second[Symbol.asyncDispose]();
    await expectFenced(store().create('/fenced/c', value('2'), { fence: second.fence }, c));
  });

  test('a waiting acquire can be cancelled', async () => {
    const held = await store().admin.acquire('/berth/leader/y', 'one', { ttlSeconds: 5 }, c);
    const own = context();
    const waiting = store().admin.acquire('/berth/leader/y', 'two', { ttlSeconds: 5 }, own);
    own.abort();
    await expect(waiting).rejects.toThrow();
    await held[Symbol.asyncDispose]();
  });

  test('health tells sizes', async () => {
    const health = await store().admin.health(c);
    expect(health.sizeBytes).toBeGreaterThan(0);
    expect(health.quotaBytes).toBeGreaterThan(health.sizeBytes);
  });
}

async function expectKind(promise: Promise<unknown>, kind: Parameters<typeof isKind>[1]): Promise<void> {
  const e = await promise.then(
    () => new Error('it succeeded'),
    (failure: unknown) => failure,
  );
  if (!isKind(e, kind)) throw new Error(`expected ${kind}`, { cause: e });
}

async function expectFenced(promise: Promise<unknown>): Promise<void> {
  await expect(promise).rejects.toMatchObject({ kind: 'Conflict', reason: 'Fenced' });
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
