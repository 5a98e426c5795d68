import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLogger, VirtualClock } from '#lib/base';
import { DesiredStore } from './desired.ts';
import type { DesiredChange } from './session.ts';

let folder = '';
const clock = new VirtualClock();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-desired-'));
});
afterEach(() => rm(folder, { recursive: true }));

const open = (): ReturnType<typeof DesiredStore.open> =>
  DesiredStore.open({ folder, memoryFolder: join(folder, 'memory') }, { clock, log: silentLogger });

function held(name: string, uid: string, extra: object = {}): Parameters<DesiredStore['upsert']>[0] {
  const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'd', uid }, ...extra };
  return { resource: 'pods', namespace: 'd', name, uid, bytes: Buffer.from(JSON.stringify(object)) };
}

function textOf(x: DesiredChange): string {
  return x.type === 'upsert'
    ? `+${x.resource} ${x.object.metadata.name} ${x.object.metadata.uid}`
    : `-${x.resource} ${x.name} ${x.uid}`;
}

test('desired: a repeated state gives nothing, another uid under the name a removal first', async () => {
  const { store } = await open();
  expect(store.upsert(held('a', '1')).map(textOf)).toEqual(['+pods a 1']);
  expect(store.upsert(held('a', '1'))).toEqual([]);
  expect(store.upsert(held('a', '1', { spec: {} })).map(textOf)).toEqual(['+pods a 1']);
  expect(store.upsert(held('a', '2')).map(textOf)).toEqual(['-pods a 1', '+pods a 2']);
  expect(store.remove('pods', 'd', 'a').map(textOf)).toEqual(['-pods a 2']);
  expect(store.remove('pods', 'd', 'a')).toEqual([]);
  await store.flush();
});

test('desired: everything comes back from disk, pods last, after changes while saving', async () => {
  const { store } = await open();
  for (let i = 0; i < 100; i++) store.upsert(held(`p${i % 20}`, `${i}`));
  store.upsert({ ...held('s', '1'), resource: 'secrets' });
  for (let i = 0; i < 10; i++) store.remove('pods', 'd', `p${i}`);
  await store.flush();
  const { changes } = await open();
  expect(changes.map(textOf)).toEqual([
    '+secrets s 1',
    ...Array.from({ length: 10 }, (_, i) => `+pods p${i + 10} ${i + 90}`),
  ]);
  expect((await readdir(join(folder, 'pods'))).filter((f) => !f.endsWith('.json'))).toEqual([]);
});

test('desired: a sync removes what was not named again, and only at its end', async () => {
  const { store } = await open();
  for (const name of ['keeps', 'goes', 'changes']) store.upsert(held(name, '1'));
  store.beginSync();
  store.upsert(held('keeps', '1'));
  store.upsert(held('changes', '2'));
  store.upsert(held('new', '1'));
  expect(store.endSync().map(textOf)).toEqual(['-pods goes 1']);
  expect(store.endSync()).toEqual([]);
  await store.flush();
});

test('desired: an interrupted sync removes nothing, the next one starts over', async () => {
  const { store } = await open();
  store.upsert(held('a', '1'));
  store.upsert(held('b', '1'));
  store.beginSync();
  store.upsert(held('a', '1'));
  store.beginSync();
  store.upsert(held('b', '1'));
  expect(store.endSync().map(textOf)).toEqual(['-pods a 1']);
  await store.flush();
});

test('desired: unreadable files and leftovers of a crash are skipped', async () => {
  const { store } = await open();
  store.upsert(held('a', '1'));
  await store.flush();
  await writeFile(join(folder, 'pods', 'd_broken.json'), '{"metadata":');
  await writeFile(join(folder, 'pods', 'd_a.json.1.1.tmp'), 'x');
  const { changes } = await open();
  expect(changes.map(textOf)).toEqual(['+pods a 1']);
  expect((await readdir(join(folder, 'pods'))).sort()).toEqual(['d_a.json', 'd_broken.json']);
});

test('desired: the longest names that the API takes come back too', async () => {
  const { store } = await open();
  const name = 'n'.repeat(253);
  const namespace = 'm'.repeat(63);
  const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, uid: '1' } };
  store.upsert({ resource: 'pods', namespace, name, uid: '1', bytes: Buffer.from(JSON.stringify(object)) });
  await store.flush();
  const again = await open();
  expect(again.changes.map(textOf)).toEqual([`+pods ${name} 1`]);
  again.store.remove('pods', namespace, name);
  await again.store.flush();
  expect((await open()).changes).toEqual([]);
});

function secret(name: string, uid: string, text: string): Parameters<DesiredStore['upsert']>[0] {
  const data = { password: Buffer.from(text).toString('base64') };
  return { ...held(name, uid, { kind: 'Secret', data }), resource: 'secrets' };
}

async function onDisk(): Promise<string> {
  const files = await readdir(join(folder, 'secrets'));
  return (await Promise.all(files.map((f) => readFile(join(folder, 'secrets', f), 'utf8')))).join('\n');
}

test('desired: what a Secret says is never on the disk, and comes back from memory (ADR 22)', async () => {
  const { store } = await open();
  store.upsert(secret('db', '1', 'correct-horse'));
  await store.flush();
  expect(JSON.parse(await onDisk())).toEqual({ metadata: { name: 'db', namespace: 'd', uid: '1' } });
  const { changes } = await open();
  expect(changes).toMatchObject([{ type: 'upsert', object: { data: { password: expect.any(String) } } }]);
});

test('desired: after a restart of the machine a Secret is withheld until it is named again', async () => {
  const { store } = await open();
  store.upsert(secret('db', '1', 'correct-horse'));
  store.upsert(secret('gone', '2', 'x'));
  await store.flush();
  await rm(join(folder, 'memory'), { recursive: true });
  const again = await open();
  expect(again.changes).toEqual([
    { type: 'withheld', resource: 'secrets', namespace: 'd', name: 'db', uid: '1' },
    { type: 'withheld', resource: 'secrets', namespace: 'd', name: 'gone', uid: '2' },
  ]);
  again.store.beginSync();
  expect(again.store.upsert(secret('db', '1', 'correct-horse')).map(textOf)).toEqual(['+secrets db 1']);
  expect(again.store.endSync().map(textOf)).toEqual(['-secrets gone 2']);
  await again.store.flush();
  expect((await open()).changes.map(textOf)).toEqual(['+secrets db 1']);
});

test('desired: a removed Secret leaves neither body nor mark', async () => {
  const { store } = await open();
  store.upsert(secret('db', '1', 'x'));
  await store.flush();
  store.remove('secrets', 'd', 'db');
  await store.flush();
  expect(await readdir(join(folder, 'secrets'))).toEqual([]);
  expect(await readdir(join(folder, 'memory/secrets'))).toEqual([]);
});

test('desired: what an older agent kept on the disk is used, and taken off it', async () => {
  await open();
  await writeFile(join(folder, 'secrets', 'd_db.json'), secret('db', '1', 'correct-horse').bytes);
  const { store, changes } = await open();
  expect(changes.map(textOf)).toEqual(['+secrets db 1']);
  await store.flush();
  expect(await onDisk()).not.toContain('password');
  expect((await open()).changes.map(textOf)).toEqual(['+secrets db 1']);
});

test('desired: a status alone is written within a second, with what came after it; what is asked of the pod at once', async () => {
  const { store } = await open();
  const pod = (phase: string, more: object = {}): Parameters<DesiredStore['upsert']>[0] =>
    held('p', '1', { metadata: { name: 'p', namespace: 'd', uid: '1', generation: 1, ...more }, status: { phase } });
  const phaseOnDisk = async (): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, 'pods/d_p.json'), 'utf8')).status.phase;
  const settled = async (): Promise<void> => {
    await expect.poll(() => readdir(join(folder, 'pods'))).toEqual(['d_p.json']);
  };
  store.upsert(pod('New'));
  await store.flush();
  expect(await phaseOnDisk()).toBe('New');
  for (const phase of ['Pending', 'Running']) expect(store.upsert(pod(phase))).toHaveLength(1);
  await settled();
  expect(await phaseOnDisk()).toBe('New');
  await clock.advance(1_000);
  await expect.poll(phaseOnDisk).toBe('Running');
  store.upsert(pod('Failed'));
  await expect.poll(phaseOnDisk).toBe('Failed');
  store.upsert(pod('Ready'));
  store.upsert(pod('Deleted', { deletionTimestamp: '2026-01-01T00:00:00Z' }));
  await expect.poll(phaseOnDisk).toBe('Deleted');
  store.upsert(pod('Ended', { deletionTimestamp: '2026-01-01T00:00:00Z' }));
  store.remove('pods', 'd', 'p');
  await expect.poll(() => readdir(join(folder, 'pods'))).toEqual([]);
  await clock.advance(1_000);
  await store.flush();
  expect(await readdir(join(folder, 'pods'))).toEqual([]);
});
