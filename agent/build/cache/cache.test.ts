import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Digest, sha256, silentLogger, VirtualClock } from '#lib/base';
import { BuildCache } from './cache.ts';

let folder: string;
let clock: VirtualClock;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-build-cache-'));
  clock = new VirtualClock();
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const open = (bootId = 'one'): Promise<BuildCache> => BuildCache.open({ folder, bootId, clock, log: silentLogger });

async function put(cache: BuildCache, name: string, bytes = 10): Promise<Digest> {
  const key = sha256(`key ${name}`);
  await cache.put({
    key,
    chainId: sha256(`chain ${name}`),
    diffId: sha256(`diff ${name}`),
    bytes,
    title: `RUN ${name}`,
  });
  await clock.advance(1_000);
  return key;
}

const titles = (steps: readonly { title: string }[]): string[] => steps.map((s) => s.title);

test('what was put is found, also by the next agent, and its layer is held', async () => {
  const key = await put(await open(), 'a', 42);
  const cache = await open();
  expect(await cache.find(key)).toMatchObject({
    chainId: sha256('chain a'),
    diffId: sha256('diff a'),
    bytes: 42,
    title: 'RUN a',
  });
  expect(await cache.find(sha256('other'))).toBeUndefined();
  expect([...cache.held().layers]).toEqual([sha256('chain a')]);
});

test('after a power loss only what was synced is there', async () => {
  const cache = await open('one');
  const before = await put(cache, 'before');
  await cache.synced('one', clock.now());
  await clock.advance(1);
  const after = await put(cache, 'after');
  const again = await open('one');
  expect(await again.find(after)).toBeDefined();
  const next = await open('two');
  expect(await next.find(before)).toBeDefined();
  expect(await next.find(after)).toBeUndefined();
  // What is left was synced: a third boot loses nothing more.
  expect(await (await open('three')).find(before)).toBeDefined();
});

test('the least recently used go first, down to what may stay', async () => {
  const cache = await open();
  const a = await put(cache, 'a');
  await put(cache, 'b');
  await put(cache, 'c');
  await cache.find(a);
  expect(titles(await cache.prune({ keepBytes: 20 }))).toEqual(['RUN b']);
  expect(titles(cache.all())).toEqual(['RUN a', 'RUN c']);
  expect(titles((await open()).all()).sort()).toEqual(['RUN a', 'RUN c']);
  expect(titles(await cache.prune({}))).toEqual(['RUN a', 'RUN c']);
  expect((await readdir(folder)).filter((n) => n.endsWith('.json'))).toEqual([]);
});

test('what was used lately stays whatever its size; a step larger than all that may stay goes', async () => {
  const cache = await open();
  await put(cache, 'old', 5);
  await clock.advance(60_000);
  await put(cache, 'large', 1_000);
  expect(titles(await cache.prune({ keepBytes: 100, unusedForMs: 30_000 }))).toEqual(['RUN old']);
  expect(titles(await cache.prune({ keepBytes: 100 }))).toEqual(['RUN large']);
});

test('a file that cannot be read is told and forgotten, the others stay', async () => {
  const key = await put(await open(), 'a');
  await writeFile(join(folder, `${'0'.repeat(64)}.json`), '{"torn":');
  await writeFile(join(folder, 'stray'), '');
  const cache = await open();
  expect(await cache.find(key)).toBeDefined();
  expect(await readdir(folder)).toHaveLength(2);
});

test('a step whose layer is gone is forgotten', async () => {
  const cache = await open();
  const key = await put(cache, 'a');
  await cache.forget(key);
  expect(await cache.find(key)).toBeUndefined();
  expect([...cache.held().layers]).toEqual([]);
});
