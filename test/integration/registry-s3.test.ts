/** The S3 driver of the registry's content against an S3 server of our own: conformance, faults, crashes, and a registry on it. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { type AnyDigest, DistributionClient, digestBytes, packImage, pushPacked } from '#lib/oci';
import { contentConformance } from '../../lib/oci/content-conformance.ts';
import { startRegistry } from '../../services/registry/registry.ts';
import { S3ContentStore } from '../../services/registry/s3/store.ts';
import { error, type Fault, TestS3 } from '../harness/s3.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const PART = 64 * 1024;
let folder: string;
let s3: TestS3;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-s3-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  s3 = await new TestS3().open();
});
afterEach(() => s3[Symbol.asyncDispose]());

async function open(own?: string): Promise<S3ContentStore> {
  const at = own ?? (await mkdtemp(join(folder, 's-')));
  const backoff = { initialMs: 1, maxMs: 5 };
  const base = { clock: realClock, random: realRandom, log: silentLogger, partBytes: PART, backoff };
  return S3ContentStore.open({ ...base, settings: s3.settings, folder: at });
}

async function put(store: S3ContentStore, bytes: Buffer): Promise<AnyDigest> {
  const digest = digestBytes('sha256', bytes);
  const ingest = await store.begin(`put-${realRandom.hex(4)}`);
  await ingest.write(bytes);
  await ingest.commit({ digest });
  return digest;
}

describe('content store in a bucket', () => {
  contentConformance({
    test: (name, fn) =>
      test(name, async () => {
        await using store = await open();
        await fn(store);
      }),
    equal: (actual, expected) => expect(actual).toEqual(expected),
  });
});

test('large blobs go in parts, ranges are read, lists come by pages, other prefixes are not seen', async () => {
  await using store = await open();
  s3.objects.set('other/blobs/sha256/x', { bytes: Buffer.from('x'), modifiedMs: 0 });
  const big = randomBytes(5 * PART + 17);
  const digests = [await put(store, big)];
  for (let i = 0; i < 7; i++) digests.push(await put(store, Buffer.from(`small ${i}`)));
  expect(s3.asked.filter((a) => a.includes('partNumber'))).toHaveLength(6);
  expect(s3.uploads.size).toBe(0);
  const [first = digests[0]] = digests;
  if (first === undefined) throw new Error('no digest');
  const part = await store.read(first, { start: PART - 3, end: PART + 3 });
  expect(Buffer.concat(await part.toArray()).equals(big.subarray(PART - 3, PART + 3))).toBe(true);
  const seen: string[] = [];
  for await (const { digest } of store.list()) seen.push(digest);
  expect(seen).toEqual([...digests].sort());
  const asked = s3.asked.length;
  expect((await store.stat(first))?.sizeBytes).toBe(big.length);
  expect(s3.asked).toHaveLength(asked);
});

test('what passes is tried again: errors, slow down, cut connections, a completion whose answer is lost or holds an error', async () => {
  await using store = await open();
  s3.faults.push({ on: /^PUT/, times: 2, act: answers((res) => error(res, 503, 'SlowDown', 'reduce your rate')) });
  s3.faults.push({ on: /^HEAD/, act: cut });
  await put(store, Buffer.from('a'));
  s3.faults.push({ on: /partNumber=2/, act: cut });
  s3.faults.push({
    on: /^POST .*uploadId/,
    act: cutInsteadOfAnswer,
  });
  const big = randomBytes(3 * PART);
  const digest = await put(store, big);
  expect((await store.readAll(digest, big.length)).equals(big)).toBe(true);
  expect(s3.uploads.size).toBe(0);
  s3.faults.push({
    on: /^POST .*uploadId/,
    times: 9,
    act: answers((res) => res.end('<Error><Code>InternalError</Code></Error>')),
  });
  await expect(put(store, randomBytes(3 * PART))).rejects.toMatchObject({
    kind: 'Unavailable',
    message: /InternalError/,
  });
  expect([s3.uploads.size, s3.faults.length]).toEqual([0, expect.any(Number)]);
});

test('a download that breaks goes on from where it was; damage of a document is noticed', async () => {
  await using store = await open();
  const big = randomBytes(4 * PART);
  const digest = await put(store, big);
  s3.faults.push({
    on: /^GET .*blobs/,
    act: (_, res) => {
      res.writeHead(206, { 'content-length': big.length });
      res.write(big.subarray(0, PART), () => res.destroy());
      return true;
    },
  });
  expect(Buffer.concat(await (await store.read(digest)).toArray()).equals(big)).toBe(true);
  const key = `reg/blobs/sha256/${digest.slice(7)}`;
  s3.objects.set(key, { bytes: Buffer.alloc(big.length), modifiedMs: 0 });
  await expect(store.readAll(digest, big.length)).rejects.toThrow(/digest mismatch/);
  s3.objects.delete(key);
  await expect(store.read(digest).then((s) => s.toArray())).rejects.toMatchObject({ kind: 'NotFound' });
});

test('a download that nobody reads is given up: its connection ends', async () => {
  await using store = await open();
  const digest = await put(store, randomBytes(4 * PART));
  const ended = new Promise<void>((resolve) => {
    s3.faults.push({
      on: /^GET .*blobs/,
      act: (_, res) => {
        res.writeHead(206, { 'content-length': 4 * PART });
        res.write(Buffer.alloc(PART));
        res.once('close', resolve);
        return true;
      },
    });
  });
  const stream = await store.read(digest);
  stream.destroy();
  await ended;
});

test('a wrong key, bucket or endpoint is told at the start; nothing of it reaches a client as its own mistake', async () => {
  const base = {
    clock: realClock,
    random: realRandom,
    log: silentLogger,
    backoff: { initialMs: 1, maxMs: 2 },
    folder: join(folder, 'w'),
  };
  const opened = (o: object) => S3ContentStore.open({ ...base, settings: { ...s3.settings, ...o } });
  for (const [o, words] of [
    [{ secretAccessKey: 'no' }, /SignatureDoesNotMatch/],
    [{ bucket: 'none' }, /NoSuchBucket/],
    [{ endpoint: 'http://127.0.0.1:1' }, /cannot be reached/],
  ] as const)
    await expect(opened(o)).rejects.toMatchObject({ kind: 'Unavailable', message: words });
});

test('a registry on a bucket: push, pull, restart, collection; what a crash left goes, what was acknowledged stays', async () => {
  const own = await mkdtemp(join(folder, 'registry-'));
  const start = () =>
    startRegistry({
      ...{
        listen: { host: '127.0.0.1', port: 0 },
        folder: own,
        log: silentLogger,
        clock: realClock,
        random: realRandom,
      },
      s3: s3.settings,
    });
  const image = await packImage({ entries: [{ type: 'file', path: 'f', data: randomBytes(300_000) }], config: {} });
  await using client = new DistributionClient({ random: realRandom });
  {
    await using registry = await start();
    await pushPacked(client.repository(registry.host, 'app'), 'v1', image, c);
    const half = client.repository(registry.host, 'app');
    await expect(
      half.pushBlob({ digest: digestBytes('sha256', 'never'), sizeBytes: 9 }, Buffer.from('something'), {}, c),
    ).rejects.toThrow();
  }
  for (let n = 0; n < 3 * s3.pageKeys; n++)
    s3.uploads.set(`crashed-${n}`, { key: `reg/blobs/sha256/${n >> 1}`, parts: new Map() });
  await using registry = await start();
  expect(s3.uploads.size).toBe(0);
  const from = client.repository(registry.host, 'app');
  const manifest = await from.getManifest('v1', c);
  expect(manifest.digest).toBe(image.manifestDigest);
  for (const [digest, bytes] of image.blobs) {
    const got = await from
      .getBlob({ mediaType: '', digest, sizeBytes: bytes.length }, 1 << 20, c)
      .catch(() => undefined);
    if (digest !== image.manifestDigest) expect(got?.equals(bytes)).toBe(true);
  }
  await from.deleteManifest(image.manifestDigest, c);
  const { blobs } = await registry.maintenance.once(c, 0);
  expect(blobs).toBe(image.blobs.size);
  expect([...s3.objects.keys()]).toEqual([]);
  expect(await readdir(join(own, 's3', 'blobs', 'sha256'))).toEqual([]);
});

function answers(fn: (res: ServerResponse) => void): Fault['act'] {
  return (_, res) => {
    fn(res);
    return true;
  };
}

function cut(req: IncomingMessage): boolean {
  req.socket.destroy();
  return true;
}

/** The work is done, and nobody hears of it. */
function cutInsteadOfAnswer(req: IncomingMessage, res: ServerResponse): boolean {
  Object.assign(res, { end: () => req.socket.destroy() });
  return false;
}
