import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { context, storeConformance } from '../conformance.ts';
import { MemoryStore } from '../memory.ts';
import type { Store } from '../store.ts';
import { KEY_BYTES, KeyCipher } from './envelope.ts';
import { Replica, SECRETS, sealedWith } from './testing.ts';

const value = (text: string): Buffer => Buffer.from(text);
const SECRET = `${SECRETS}default/a`;
let folder: string;
let store: MemoryStore;
const opened: Replica[] = [];
const c = context();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-sealing-'));
  store = new MemoryStore({ clock: realClock });
});
afterEach(async () => {
  for (const r of opened.splice(0)) await r[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** `host`: whose key file. */
async function open(host: string, o: { on?: Store; keyWaitMs?: number } = {}): Promise<Replica> {
  const replica = await Replica.open(
    { store: o.on ?? store, path: join(folder, host), keyWaitMs: o.keyWaitMs ?? 300 },
    c,
  );
  opened.push(replica);
  return replica;
}

async function copyKeys(from: string, to: string): Promise<void> {
  await writeFile(join(folder, to), await readFile(join(folder, from)), { mode: 0o600 });
}

storeConformance('memory, every value sealed', async () => {
  const own = await mkdtemp(join(tmpdir(), 'berth-sealing-'));
  const replica = await Replica.open(
    { store: new MemoryStore({ clock: realClock }), path: join(own, 'keys'), prefixes: ['/'] },
    c,
  );
  return {
    store: replica.sealed,
    [Symbol.asyncDispose]: async () => {
      await replica[Symbol.asyncDispose]();
      await rm(own, { recursive: true, force: true });
    },
  };
});

test('sealing: Secrets are sealed below and clear above, by get, list and watch; other objects pass as they are', async () => {
  const { sealed } = await open('one');
  const from = await sealed.currentRevision(c);
  const made = await sealed.create(SECRET, value('hunter2'), {}, c);
  await sealed.create('/registry/core/configmaps/default/a', value('open'), {}, c);
  expect(made.value.toString()).toBe('hunter2');
  const raw = await store.get(SECRET, c);
  expect([raw?.isSealed, raw?.value.includes('hunter2')]).toEqual([true, false]);
  expect((await store.get('/registry/core/configmaps/default/a', c))?.isSealed).toBeUndefined();
  expect((await sealed.get(SECRET, c))?.value.toString()).toBe('hunter2');
  const page = await sealed.list('/registry/', {}, c);
  expect(page.entries.map((e) => e.value.toString())).toEqual(['open', 'hunter2']);
  for await (const events of sealed.watch(from, c)) {
    const put = events.find((e) => e.type === 'put' && e.entry.key === SECRET);
    if (put?.type !== 'put') continue;
    expect(put.entry).toEqual(made);
    break;
  }
});

test('sealing: a value from before is read as it is, and sealed when it is written', async () => {
  const before = await store.create(SECRET, value('old'), {}, c);
  const { sealed } = await open('one');
  const read = await sealed.get(SECRET, c);
  expect(read?.value.toString()).toBe('old');
  await sealed.update(SECRET, value('new'), before.revision, {}, c);
  expect((await store.get(SECRET, c))?.isSealed).toBe(true);
  expect((await sealed.get(SECRET, c))?.value.toString()).toBe('new');
});

test('sealing: keys of service account tokens are sealed too, the agreement about keys is not', async () => {
  const { sealed } = await open('one');
  await sealed.create('/berth/service-account-keys', value('pem'), {}, c);
  expect((await store.get('/berth/service-account-keys', c))?.isSealed).toBe(true);
  expect((await store.list('/berth/sealing/', {}, c)).entries.some((e) => e.isSealed === true)).toBe(false);
});

test('sealing: a value that was moved to another key is refused', async () => {
  const { sealed } = await open('one');
  await sealed.create(SECRET, value('mine'), {}, c);
  const raw = await store.get(SECRET, c);
  await store.create(`${SECRETS}other/a`, raw?.value ?? value(''), { isSealed: true }, c);
  await expect(sealed.get(`${SECRETS}other/a`, c)).rejects.toThrow(/other\/a cannot be opened/);
  await expect(sealed.list(SECRETS, {}, c)).rejects.toThrow(/cannot be opened/);
});

test('sealing: a value of a key that nobody has fails the read and ends the watch; nothing is passed over', async () => {
  const { sealed } = await open('one', { keyWaitMs: 50 });
  const from = await sealed.currentRevision(c);
  const foreign = new KeyCipher(randomBytes(KEY_BYTES)).seal({
    provider: 'local',
    ref: value('unknown'),
    storeKey: SECRET,
    value: value('x'),
  });
  await store.create(SECRET, foreign, { isSealed: true }, c);
  const refused = {
    kind: 'Internal',
    message: expect.stringMatching(/secrets\/default\/a cannot.*key unknown is not in/),
  };
  await expect(sealed.get(SECRET, c)).rejects.toMatchObject(refused);
  await expect(sealed.list('/registry/', {}, c)).rejects.toMatchObject(refused);
  const watching = (async () => {
    for await (const _ of sealed.watch(from, c)) throw new Error('an event was handed out');
  })();
  await expect(watching).rejects.toMatchObject(refused);
});

test('sealing: a server without any key of the cluster does not open, and says what it lacks', async () => {
  const one = await open('one');
  await expect(open('two')).rejects.toThrow(/sealed with key [0-9a-f]{16}; .*two is not there.*Copy the key file/);
  await copyKeys('one', 'two');
  const two = await open('two');
  await one.sealed.create(SECRET, value('x'), {}, c);
  expect((await two.sealed.get(SECRET, c))?.value.toString()).toBe('x');
});

test('sealing: of servers that start together on different hosts one makes the key, the others say that they lack it', async () => {
  const started = await Promise.allSettled(['a', 'b', 'c'].map((h) => open(h)));
  expect(started.filter((s) => s.status === 'fulfilled').length).toBe(1);
  for (const s of started) if (s.status === 'rejected') expect(String(s.reason)).toMatch(/Copy the key file/);
});

test('sealing: a rotation gives the new key to the other servers, seals everything anew and retires the old key', async () => {
  const one = await open('one');
  await copyKeys('one', 'two');
  const two = await open('two');
  one.run();
  two.run();
  await store.create(`${SECRETS}default/never-sealed`, value('plain'), {}, c);
  for (let i = 0; i < 40; i++) await one.sealed.create(`${SECRETS}default/s${i}`, value(`v${i}`), {}, c);
  const [oldKey] = await one.keyIds();
  const { last } = await one.rotate();
  expect(last).toMatchObject({ retired: [oldKey], resealed: 41 });
  expect(await sealedWith(store, SECRETS)).toEqual({ [last?.keyId ?? '']: 41 });
  // On both disks, first; the old one is kept for backups.
  for (const r of [one, two]) await expect.poll(() => r.keyIds()).toEqual([last?.keyId, oldKey]);
  for (const r of [one, two]) expect((await r.sealed.get(`${SECRETS}default/s7`, c))?.value.toString()).toBe('v7');
  await two.sealed.create(`${SECRETS}default/after`, value('a'), {}, c);
  expect(Object.keys(await sealedWith(store, SECRETS))).toEqual([last?.keyId]);
});

test('sealing: the new key seals nothing while a living server does not have it', async () => {
  const one = await open('one');
  await copyKeys('one', 'two');
  const two = await open('two');
  one.run();
  // `two` lives but does not look after its keys.
  await one.request();
  for (let i = 0; i < 20; i++) await one.step();
  await one.sealed.create(SECRET, value('x'), {}, c);
  expect((await two.sealed.get(SECRET, c))?.value.toString()).toBe('x');
  expect((await one.record()).keys.map((k) => k.phase)).toEqual(['sealing', 'distributing']);
  two.run();
  await one.rotate();
  expect((await two.sealed.get(SECRET, c))?.value.toString()).toBe('x');
});

test('sealing: a server that was cut off during a rotation cannot write with the old key, and goes on with the new one', async () => {
  const one = await open('one');
  await copyKeys('one', 'two');
  const two = await open('two', { keyWaitMs: 2_000 });
  const made = await two.sealed.create(SECRET, value('1'), {}, c);
  await one.sealed.create(`${SECRETS}default/b`, value('b'), {}, c);
  two.pause(); // its lease is over, its memory is not
  one.run();
  const { last } = await one.rotate();
  // What it knows of the object is old, what it seals with is older: both are noticed.
  await expect(two.sealed.update(SECRET, value('2'), made.revision, {}, c)).rejects.toMatchObject({ kind: 'Conflict' });
  const entry = await two.sealed.get(SECRET, c);
  expect(entry?.value.toString()).toBe('1');
  await two.sealed.update(SECRET, value('2'), entry?.revision ?? made.revision, {}, c);
  expect(await sealedWith(store, SECRETS)).toEqual({ [last?.keyId ?? '']: 2 });
});

test('sealing: a server that starts while a rotation goes on is handed the new key', async () => {
  const one = await open('one');
  await copyKeys('one', 'two');
  one.run();
  await one.sealed.create(SECRET, value('x'), {}, c);
  await one.request();
  while ((await one.step()).did !== 'promoted') await realClock.sleep(5);
  const two = await open('two', { keyWaitMs: 5_000 });
  two.run();
  expect((await two.sealed.get(SECRET, c))?.value.toString()).toBe('x');
  await one.finish();
  expect((await two.sealed.get(SECRET, c))?.value.toString()).toBe('x');
});

test('sealing: a server that was off for a whole rotation has no key that counts, and does not open', async () => {
  const one = await open('one');
  await copyKeys('one', 'two');
  one.run();
  await one.sealed.create(SECRET, value('x'), {}, c);
  const { last } = await one.rotate();
  await expect(open('two')).rejects.toThrow(new RegExp(`key ${last?.keyId} is not in .*two, and no server`));
  await copyKeys('one', 'two');
  const two = await open('two');
  expect((await two.sealed.get(SECRET, c))?.value.toString()).toBe('x');
});

test('sealing: members and boxes of whoever may write to etcd, but has no key, are passed over', async () => {
  const one = await open('one');
  for (const [key, text] of [
    ['acks/x', '{'],
    ['acks/y', '{"publicKey":"!","knows":[],"sharedId":"?","proof":"?"}'],
    ['acks/z', JSON.stringify({ publicKey: 'AA==', knows: [], sharedId: (await one.keyIds())[0], proof: 'AA==' })],
    ['boxes/member-0/k', '[]'],
  ] as const)
    await store.create(`/berth/sealing/${key}`, value(text), {}, c);
  one.run();
  await one.rotate();
  const boxes = await store.list('/berth/sealing/boxes/', {}, c);
  expect(boxes.entries.map((e) => e.key)).toEqual(['/berth/sealing/boxes/member-0/k']);
});

/** Fails the n-th write, and all after it: as a process that is killed there. */
function dyingStore(inner: Store, writes: number): Store {
  let left = writes;
  const dead = new Error('killed');
  const write = async <T>(fn: () => Promise<T>): Promise<T> => {
    if (left-- <= 0) throw dead;
    return await fn();
  };
  return {
    admin: inner.admin,
    get: (key, ctx) => inner.get(key, ctx),
    list: (prefix, o, ctx) => inner.list(prefix, o, ctx),
    create: (key, v, o, ctx) => write(() => inner.create(key, v, o, ctx)),
    update: (key, v, at, o, ctx) => write(() => inner.update(key, v, at, o, ctx)),
    delete: (key, at, o, ctx) => write(() => inner.delete(key, at, o, ctx)),
    watch: (from, ctx) => inner.watch(from, ctx),
    currentRevision: (ctx) => inner.currentRevision(ctx),
  };
}

test('sealing: a rotation that is killed at any write goes on at the next leader, and no value is ever unreadable', async () => {
  const one = await open('one');
  one.run();
  for (let i = 0; i < 12; i++) await one.sealed.create(`${SECRETS}default/s${i}`, value(`v${i}`), {}, c);
  let rotations = 0;
  for (let writes = 0; writes < 26; writes++) {
    // Off while the last rotation ended, so it was given its file by hand.
    await copyKeys('one', 'two');
    await one.request();
    const dying = await open('two', { on: dyingStore(store, writes + 1) }).catch(() => undefined);
    if (dying === undefined) continue; // killed while it started
    await dying.finish().catch((e: Error) => expect(e.message).toBe('killed'));
    await dying[Symbol.asyncDispose]();
    for (const e of (await one.sealed.list(SECRETS, {}, c)).entries)
      expect(e.value.toString()).toBe(`v${e.key.slice(`${SECRETS}default/s`.length)}`);
    const before = (await one.record()).last?.keyId;
    const { last } = await one.finish();
    if (last?.keyId !== before) rotations++;
    expect(await sealedWith(store, SECRETS)).toEqual({ [last?.keyId ?? '']: 12 });
  }
  expect(rotations).toBeGreaterThan(5);
});

test('sealing: writers on two servers go on while keys are rotated again and again; nothing is lost', async () => {
  const one = await open('one');
  await copyKeys('one', 'two');
  const two = await open('two');
  one.run();
  two.run();
  const written = new Map<string, string>();
  let isOver = false;
  const write = async (r: Replica, name: string): Promise<void> => {
    const key = `${SECRETS}default/${name}`;
    let entry = await r.sealed.create(key, value(`${name}-0`), {}, c);
    for (let n = 1; !isOver; n++) {
      try {
        entry = await r.sealed.update(key, value(`${name}-${n}`), entry.revision, {}, c);
      } catch (e) {
        expect(e).toMatchObject({ kind: 'Conflict' });
        entry = (await r.sealed.get(key, c)) ?? entry;
      }
      written.set(key, entry.value.toString());
      await realClock.sleep(1);
    }
  };
  const writers = [write(one, 'a'), write(one, 'b'), write(two, 'c'), write(two, 'd')];
  for (let i = 0; i < 3; i++) await one.rotate();
  isOver = true;
  await Promise.all(writers);
  expect(written.size).toBe(4);
  for (const r of [one, two])
    for (const [key, text] of written) expect((await r.sealed.get(key, c))?.value.toString()).toBe(text);
  await one.finish();
  expect(Object.keys(await sealedWith(store, SECRETS))).toEqual([(await one.record()).last?.keyId]);
});
