import { expect, test } from 'vitest';
import { expositionText, realClock, VirtualClock } from '#lib/base';
import { context, storeConformance } from './conformance.ts';
import { MemoryStore } from './memory.ts';
import { meteredStore } from './metered.ts';

storeConformance('memory', async () => ({
  store: new MemoryStore({ clock: realClock }),
  [Symbol.asyncDispose]: async () => undefined,
}));

/* What counts for it must be a store like any other. */
storeConformance('metered', async () => ({
  store: meteredStore(new MemoryStore({ clock: realClock }), () => 'x', realClock),
  [Symbol.asyncDispose]: async () => undefined,
}));

test('metered store: operations and failures are counted, by the name that their key is given', async () => {
  const store = meteredStore(new MemoryStore({ clock: realClock }), (key) => key.split('/')[1] ?? '', realClock);
  const c = context();
  await store.create('/pods/a', Buffer.from('1'), {}, c);
  await expect(store.create('/pods/a', Buffer.from('1'), {}, c)).rejects.toMatchObject({ kind: 'AlreadyExists' });
  await store.get('/nodes/a', c);
  const text = expositionText(store.metrics());
  expect(text).toContain('etcd_requests_total{operation="create",type="pods"} 2\n');
  expect(text).toContain('etcd_request_errors_total{operation="create",type="pods"} 1\n');
  expect(text).toContain('etcd_request_duration_seconds_count{operation="get",type="nodes"} 1\n');
});

test('MemoryStore: a key with a time to live goes when it ends, unless it was written again', async () => {
  const clock = new VirtualClock();
  const store = new MemoryStore({ clock });
  const c = context();
  await store.create('/a', Buffer.from('1'), { ttlSeconds: 60 }, c);
  const b = await store.create('/b', Buffer.from('1'), { ttlSeconds: 60 }, c);
  await store.update('/b', Buffer.from('2'), b.revision, {}, c);
  await clock.advance(59_000);
  expect(await store.get('/a', c)).toBeDefined();
  await clock.advance(2_000);
  expect(await store.get('/a', c)).toBeUndefined();
  expect(await store.get('/b', c)).toBeDefined();
});

test('MemoryStore: a lost held key fences its writes and aborts its signal', async () => {
  const store = new MemoryStore({ clock: new VirtualClock() });
  const c = context();
  const held = await store.admin.acquire('/berth/leader/x', 'one', { ttlSeconds: 5 }, c);
  store.loseHeldKeys();
  expect(held.lost.aborted).toBe(true);
  await expect(store.create('/a', Buffer.from('1'), { fence: held.fence }, c)).rejects.toMatchObject({
    reason: 'Fenced',
  });
});
