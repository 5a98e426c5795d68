import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ConfigMap, Kinds, type Pod } from '#lib/api';
import { type Ctx, isKind, VirtualClock } from '#lib/base';
import type { Client, ListQuery, WatchEvent, WatchQuery } from '#lib/client';
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

const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

async function put(name: string, labels: Record<string, string> = {}): Promise<ConfigMap> {
  return (await client.create(Kinds.configmaps, { metadata: { ...key(name), labels } }, c)) as ConfigMap;
}

async function label(name: string, labels: Record<string, string | null>): Promise<ConfigMap> {
  const body = { metadata: { labels } };
  return (await client.patch(Kinds.configmaps, key(name), { type: 'merge', body }, c)) as ConfigMap;
}

/** Collects until `count` events came. */
async function take(q: WatchQuery, count: number, ctx: Ctx = c): Promise<WatchEvent<ConfigMap>[]> {
  const events: WatchEvent<ConfigMap>[] = [];
  for await (const e of client.watch<ConfigMap>(Kinds.configmaps, q, ctx)) {
    events.push(e);
    if (events.length >= count) break;
  }
  return events;
}

function short(events: readonly WatchEvent<ConfigMap>[]): string[] {
  return events.map((e) => (e.type === 'BOOKMARK' ? 'BOOKMARK' : `${e.type} ${e.object.metadata.name}`));
}

describe('watch (kubernetes-api.md 9)', () => {
  test('from a list: every later change once, in order, a removal with its own revision', async () => {
    const { resourceVersion } = await client.list(Kinds.configmaps, {}, c);
    const made = await put('a');
    await label('a', { x: '1' });
    await client.delete(Kinds.configmaps, key('a'), {}, c);
    const events = await take({ resourceVersion }, 3);
    expect(short(events)).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a']);
    const revisions = events.map((e) => (e.type === 'BOOKMARK' ? 0n : BigInt(e.object.metadata.resourceVersion ?? 0)));
    expect(revisions[0]).toBe(BigInt(made.metadata.resourceVersion ?? 0));
    expect([...revisions].sort((a, b) => (a < b ? -1 : 1))).toEqual(revisions);
    expect(new Set(revisions).size).toBe(3);
    const resumed = await take({ resourceVersion: revisions[1]?.toString() }, 1);
    expect(short(resumed)).toEqual(['DELETED a']);
  });

  test('without resourceVersion: the state first, then changes', async () => {
    await put('a');
    await put('b');
    const watching = take({ namespace: 'default' }, 3);
    await label('b', { x: '1' });
    expect(short(await watching).slice(0, 2)).toEqual(['ADDED a', 'ADDED b']);
  });

  test('selector transitions: starts to match = ADDED, stops = DELETED, and only these', async () => {
    const { resourceVersion } = await client.list(Kinds.configmaps, {}, c);
    await put('a');
    await put('other', { app: 'y' });
    await label('a', { app: 'x' });
    await label('a', { more: '1' });
    await label('a', { app: null });
    await label('a', { more: '2' });
    await put('z', { app: 'x' });
    const events = await take({ resourceVersion, labelSelector: 'app=x' }, 4);
    expect(short(events)).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a', 'ADDED z']);
  });

  test('field selector on the node of pods; other namespaces are not seen', async () => {
    const { resourceVersion } = await client.list(Kinds.pods, {}, c);
    for (const name of ['p', 'q']) {
      const spec = { containers: [{ name: 'main', image: 'busybox' }] };
      await client.create<Pod>(Kinds.pods, { metadata: { ...key(name) }, spec } as never, c);
    }
    const target = { kind: 'Node', name: 'n1' };
    await client.createSub(Kinds.pods, key('q'), 'binding', { metadata: { name: 'q' }, target }, c);
    for await (const e of client.watch<Pod>(Kinds.pods, { resourceVersion, fieldSelector: 'spec.nodeName=n1' }, c)) {
      expect(e).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'q' } } });
      break;
    }
  });

  test('sendInitialEvents: the state, then a bookmark that marks its end', async () => {
    await put('a');
    const q = {
      namespace: 'default',
      sendInitialEvents: true,
      resourceVersionMatch: 'NotOlderThan',
      allowWatchBookmarks: true,
    } as const;
    const events = await take(q, 2);
    expect(short(events)).toEqual(['ADDED a', 'BOOKMARK']);
    expect(events[1]).toMatchObject({ initialEventsEnd: true });
    await expect(take({ sendInitialEvents: true }, 1)).rejects.toSatisfy((e) => isKind(e, 'Invalid'));
  });

  test('a time limit ends it cleanly', async () => {
    expect(await take({ namespace: 'default', timeoutSeconds: 0.05, resourceVersion: '0' }, 1_000)).toHaveLength(0);
  });

  test.each([
    ['at its end', 5],
    ['when one was due just before its end', 61],
  ])('a bookmark %s says no more than what was told: a slow reader misses nothing', async (_when, timeoutSeconds) => {
    const clock = new VirtualClock();
    await using own = await startTestServer({ clock });
    const create = (name: string) => own.client.create<ConfigMap>(Kinds.configmaps, { metadata: key(name) }, c);
    const { resourceVersion } = await own.client.list(Kinds.configmaps, {}, c);
    const q = { resourceVersion, allowWatchBookmarks: true, timeoutSeconds };
    const watch = own.client.watch<ConfigMap>(Kinds.configmaps, q, c)[Symbol.asyncIterator]();
    const first = watch.next();
    await create('a');
    expect((await first).value).toMatchObject({ type: 'ADDED' });
    await clock.advance(timeoutSeconds * 1_000);
    const late = await create('late');
    const rest: WatchEvent<ConfigMap>[] = [];
    for (let n = await watch.next(); n.done !== true; n = await watch.next()) rest.push(n.value);
    expect(short(rest)).toEqual(['BOOKMARK']);
    const [last] = rest;
    expect(BigInt(last?.type === 'BOOKMARK' ? last.resourceVersion : 0)).toBeLessThan(
      BigInt(late.metadata.resourceVersion ?? 0),
    );
  });

  test('a revision from before this server and from the future', async () => {
    await expect(take({ resourceVersion: '1' }, 1)).rejects.toSatisfy(
      (e) => isKind(e, 'Expired') && e.message.startsWith('too old resource version: 1 ('),
    );
    const far = (10n ** 15n).toString();
    await expect(client.list(Kinds.configmaps, { resourceVersion: far }, c)).rejects.toSatisfy(
      (e) => isKind(e, 'DeadlineExceeded') && e.details.causes?.[0]?.reason === 'ResourceVersionTooLarge',
    );
  });

  test('stopping the server ends watches without an error', async () => {
    const watching = take({ namespace: 'default', resourceVersion: '0' }, 1_000);
    await new Promise((resolve) => setImmediate(resolve));
    await server[Symbol.asyncDispose]();
    expect(await watching).toEqual([]);
  });
});

describe('list', () => {
  test('pages: all at the first page’s revision, even when objects come and go in between', async () => {
    for (const n of ['a', 'b', 'c', 'd', 'e']) await put(n);
    const names = async (
      q: ListQuery,
    ): Promise<{ names: string[]; next: string | undefined; left: number | undefined; rv: string }> => {
      const page = await client.list<ConfigMap>(Kinds.configmaps, { namespace: 'default', limit: 2, ...q }, c);
      const { continue: next, remainingItemCount: left, resourceVersion: rv } = page;
      return { names: page.items.map((i) => i.metadata.name), next, left, rv };
    };
    const first = await names({});
    expect(first).toMatchObject({ names: ['a', 'b'], left: 3 });
    const unchanged = await names({ continue: first.next });
    expect(unchanged).toMatchObject({ names: ['c', 'd'], left: 1, rv: first.rv });
    await client.delete(Kinds.configmaps, key('c'), {}, c);
    await put('cc');
    const second = await names({ continue: first.next });
    expect(second).toMatchObject({ names: ['c', 'd'], rv: first.rv });
    const third = await names({ continue: second.next });
    expect(third).toMatchObject({ names: ['e'], next: undefined, rv: first.rv });
    await expect(names({ continue: 'x' })).rejects.toThrow('continue key is not valid');
    await expect(names({ continue: first.next, resourceVersion: '5' })).rejects.toThrow(
      'specifying resource version is not allowed when using continue',
    );
  });

  test('a page whose revision was compacted: Expired, with a token to go on from the newest state', async () => {
    for (const n of ['a', 'b', 'c']) await put(n);
    const first = await client.list(Kinds.configmaps, { namespace: 'default', limit: 1 }, c);
    await put('bb');
    await server.store.admin.compact(await server.store.currentRevision(c), c);
    const q = { namespace: 'default', limit: 1 };
    const error = await client.list(Kinds.configmaps, { ...q, continue: first.continue }, c).catch((e: unknown) => e);
    expect(isKind(error, 'Expired')).toBe(true);
    const { token } = error as { token: string };
    const rest = await client.list(Kinds.configmaps, { namespace: 'default', continue: token }, c);
    expect(rest.items.map((i) => i.metadata.name)).toEqual(['b', 'bb', 'c']);
  });

  test('limit counts matching objects, and remainingItemCount is left out with selectors', async () => {
    for (const [i, n] of ['a', 'b', 'c', 'd', 'e', 'f'].entries()) await put(n, { even: String(i % 2 === 0) });
    const page = await client.list<ConfigMap>(
      Kinds.configmaps,
      { namespace: 'default', labelSelector: 'even=true', limit: 2 },
      c,
    );
    expect(page.items.map((i) => i.metadata.name)).toEqual(['a', 'c']);
    expect(page.continue).toBeDefined();
    expect(page.remainingItemCount).toBeUndefined();
  });

  test('Exact gives the past, 0 the cache, and nonsense is refused', async () => {
    const made = await put('a');
    await put('b');
    const rv = made.metadata.resourceVersion;
    const past = await client.list(
      Kinds.configmaps,
      { namespace: 'default', resourceVersion: rv, resourceVersionMatch: 'Exact' },
      c,
    );
    expect(past.items.map((i) => i.metadata.name)).toEqual(['a']);
    await expect(client.list(Kinds.configmaps, { resourceVersionMatch: 'Exact' }, c)).rejects.toSatisfy((e) =>
      isKind(e, 'Invalid'),
    );
    await expect(client.list(Kinds.configmaps, { resourceVersion: 'abc' }, c)).rejects.toSatisfy((e) =>
      isKind(e, 'Invalid'),
    );
    await expect(client.list(Kinds.pods, { fieldSelector: 'foo=bar' }, c)).rejects.toThrow(
      'field label not supported: foo',
    );
  });
});
