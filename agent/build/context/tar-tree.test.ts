import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { tarBytes, tarHeader } from '#lib/oci';
import { TarTree } from './tar-tree.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-tar-tree-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('what is in a folder goes with it, also of the folder that was asked for last', async () => {
  const files = ['a/b/f', 'a/g', 'h'].map((path) => ({
    header: tarHeader({ type: 'file', path, sizeBytes: 1 }),
    data: Buffer.from('x'),
  }));
  const tar = (async function* () {
    yield await tarBytes(files);
  })();
  await using tree = await TarTree.receive(tar, { path: join(folder, 'bodies'), bytesMax: 100 }, c);
  expect(await tree.stat('a/b/f')).toBeDefined();
  tree.remove('a/b');
  expect(await tree.stat('a/b/f')).toBeUndefined();
  expect(await tree.stat('a/g')).toBeDefined();
  tree.remove('a');
  expect(await tree.stat('a/g')).toBeUndefined();
  tree.remove('h');
  expect(await tree.list('')).toEqual([]);
});
