/** What every `ContentStore` must do: only whole, verified blobs are visible; an ingest can stop and go on; nothing half-made shows. */
import { text } from 'node:stream/consumers';
import { type ErrorKind, StatusError } from '#lib/base';
import type { BlobInfo, ContentStore } from './content.ts';
import { type AnyDigest, digestBytes } from './digest.ts';

export interface ContentSuite {
  test(name: string, fn: (store: ContentStore) => Promise<void>): void;
  equal(actual: unknown, expected: unknown): void;
}

export function contentConformance({ test, equal }: ContentSuite): void {
  const HELLO = Buffer.from('hello world');
  const DIGEST = digestBytes('sha256', HELLO);

  test('a committed blob is read whole and in ranges', async (store) => {
    await put(store, HELLO, DIGEST);
    equal((await store.stat(DIGEST))?.sizeBytes, 11);
    equal(await text(await store.read(DIGEST)), 'hello world');
    equal(await text(await store.read(DIGEST, { start: 6 })), 'world');
    equal(await text(await store.read(DIGEST, { start: 2, end: 5 })), 'llo');
    equal(await text(await store.read(DIGEST, { start: 5, end: 5 })), '');
    equal((await store.readAll(DIGEST, 11)).toString(), 'hello world');
    equal(await kindOf(store.readAll(DIGEST, 10)), 'TooLarge');
    equal(
      (await infos(store)).map((b) => b.digest),
      [DIGEST],
    );
  });

  test('nothing shows before commit, nor after abort', async (store) => {
    const ingest = await store.begin('one');
    await ingest.write(HELLO);
    equal(await store.stat(DIGEST), undefined);
    equal(await kindOf(store.read(DIGEST)), 'NotFound');
    await ingest.abort();
    await ingest.abort();
    equal(await store.ingests(), []);
    equal(await infos(store), []);
  });

  test('wrong digests and sizes are refused and forgotten', async (store) => {
    const wrong = digestBytes('sha256', 'other');
    equal(await kindOf(put(store, HELLO, wrong)), 'Invalid');
    equal(await kindOf(put(store, HELLO, DIGEST, 12)), 'Invalid');
    equal(await store.ingests(), []);
    equal(await infos(store), []);
  });

  test('an ingest goes on where it was left', async (store) => {
    {
      await using first = await store.begin('two');
      await first.write(HELLO.subarray(0, 4));
    }
    equal(
      (await store.ingests()).map((i) => i.ref),
      ['two'],
    );
    const second = await store.begin('two');
    equal(second.offset, 4);
    await second.write(HELLO.subarray(4));
    await second.commit({ digest: DIGEST, sizeBytes: 11 });
    equal(await text(await store.read(DIGEST)), 'hello world');
  });

  test('reset forgets the bytes and the hash', async (store) => {
    const ingest = await store.begin('three');
    await ingest.write(Buffer.from('rubbish'));
    await ingest.reset();
    equal(ingest.offset, 0);
    await ingest.write(HELLO);
    await ingest.commit({ digest: DIGEST });
    equal(await text(await store.read(DIGEST)), 'hello world');
  });

  test('two ingests of one digest both succeed', async (store) => {
    const [a, b] = [await store.begin('a'), await store.begin('b')];
    for (const i of [a, b]) await i.write(HELLO);
    await Promise.all([a, b].map((i) => i.commit({ digest: DIGEST })));
    equal((await infos(store)).length, 1);
  });

  test('sha512, whether announced or not', async (store) => {
    const digest = digestBytes('sha512', HELLO);
    const announced = await store.begin('announced', { algorithm: 'sha512' });
    await announced.write(HELLO);
    await announced.commit({ digest });
    await store.remove(digest);
    await put(store, HELLO, digest);
    equal(await text(await store.read(digest)), 'hello world');
  });

  test('many pieces of all sizes keep their order', async (store) => {
    const parts = Array.from({ length: 400 }, (_, i) => Buffer.alloc((i * 7919) % 30_000, i));
    const all = Buffer.concat(parts);
    const ingest = await store.begin('many');
    await Promise.all(parts.map((p) => ingest.write(p)));
    const digest = digestBytes('sha256', all);
    await ingest.commit({ digest, sizeBytes: all.length });
    equal((await store.readAll(digest, all.length)).equals(all), true);
  });

  test('an empty blob', async (store) => {
    const digest = digestBytes('sha256', '');
    await put(store, Buffer.alloc(0), digest, 0);
    equal(await text(await store.read(digest)), '');
  });

  test('removal', async (store) => {
    await put(store, HELLO, DIGEST);
    equal(await store.remove(DIGEST), true);
    equal(await store.remove(DIGEST), false);
    equal(await store.stat(DIGEST), undefined);
  });
}

async function put(store: ContentStore, bytes: Buffer, digest: AnyDigest, sizeBytes?: number): Promise<void> {
  const ingest = await store.begin('put');
  await ingest.write(bytes);
  await ingest.commit({ digest, sizeBytes });
}

async function infos(store: ContentStore): Promise<BlobInfo[]> {
  const out: BlobInfo[] = [];
  for await (const b of store.list()) out.push(b);
  return out;
}

async function kindOf(result: Promise<unknown>): Promise<ErrorKind | 'none'> {
  return result.then(
    () => 'none',
    (e: unknown) => (e instanceof StatusError ? e.kind : 'Internal'),
  );
}
