import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FolderContentStore } from './content.ts';
import { contentConformance } from './content-conformance.ts';
import { digestBytes } from './digest.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-content-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('content store in a folder', () => {
  contentConformance({
    test: (name, fn) =>
      test(name, async () => {
        await fn(await FolderContentStore.open(await mkdtemp(join(folder, 's-')), { keepIngests: false }));
      }),
    equal: (actual, expected) => expect(actual).toEqual(expected),
  });

  test('a crash leaves only ingests, which the next start removes, or keeps when told to', async () => {
    const own = await mkdtemp(join(folder, 'crash-'));
    const store = await FolderContentStore.open(own, { keepIngests: false });
    const abandoned = await store.begin('abandoned');
    await abandoned.write(Buffer.from('half'));
    await abandoned[Symbol.asyncDispose]();
    await FolderContentStore.open(own, { keepIngests: true });
    expect(await readdir(join(own, 'ingest'))).toEqual(['abandoned']);
    await FolderContentStore.open(own, { keepIngests: false });
    expect(await readdir(join(own, 'ingest'))).toEqual([]);
  });

  test('bytes that were changed on disk behind a closed ingest are noticed', async () => {
    const own = await mkdtemp(join(folder, 'tamper-'));
    const store = await FolderContentStore.open(own, { keepIngests: true });
    const first = await store.begin('x');
    await first.write(Buffer.from('hello'));
    await first[Symbol.asyncDispose]();
    await writeFile(join(own, 'ingest/x'), 'jello');
    const second = await store.begin('x');
    await expect(second.commit({ digest: digestBytes('sha256', 'hello') })).rejects.toMatchObject({
      reason: 'DigestMismatch',
    });
  });
});
