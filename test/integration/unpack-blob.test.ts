/**
 * Stored blobs unpacked by the helper itself: gzip and SHA-256 against zlib's and OpenSSL's, bombs that end where the disk would,
 * and a short run of the fuzz of test/long. Needs root.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { constants, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, seededRandom, sha256, silentLogger } from '#lib/base';
import { tarBytes, tarHeader } from '#lib/oci';
import type { Kernel } from '../../agent/kernel/kernel.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { limitMs } from '../harness/time-limit.ts';
import { fuzzUnpack, sanitizedHelper } from '../harness/unpack-fuzz.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const MB = 1 << 20;
let folder: string;
let kernel: Kernel;
let count = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'berth-unpack-blob-'));
  kernel = await openKernel({ helperPath: resolve('dist/berth-helper') });
});
afterAll(async () => {
  await kernel[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function unpack(blob: Buffer, o: { bytesMax?: number; entriesMax?: number } = {}) {
  const [root, path] = [join(folder, `root-${++count}`), join(folder, `blob-${count}`)];
  mkdirSync(root);
  writeFileSync(path, blob);
  const unpacked = await kernel.unpackBlob({ root, path, bytesMax: 64 * MB, entriesMax: 100, ...o }, c);
  return { root, ...unpacked };
}

function tarOf(...files: readonly (readonly [string, Buffer])[]): Promise<Buffer> {
  const entries = files.map(([path, data]) => ({
    header: tarHeader({ type: 'file', path, sizeBytes: data.length }),
    data,
  }));
  return tarBytes(entries);
}

const CONTENTS: readonly (readonly [string, () => Buffer])[] = [
  ['nothing', () => Buffer.alloc(0)],
  ['zeros', () => Buffer.alloc(3 * MB)],
  ['bytes without order', () => Buffer.from(realRandom.hex(MB), 'hex')],
  ['text of this program', () => readFileSync(resolve('agent/native/supervise.c'))],
  ['a program', () => readFileSync('/bin/busybox')],
  ['matches of every distance', () => distances()],
];

test.each(CONTENTS)('gzip of %s, at every level and by every strategy, is what zlib says', async (_name, content) => {
  const data = content();
  const tar = await tarOf(['f', data]);
  const { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED } = constants;
  for (const level of [0, 1, 6, 9]) {
    for (const strategy of [Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED]) {
      const { root, diffId, bytes } = await unpack(gzipSync(tar, { level, strategy }));
      expect({ diffId, bytes }).toEqual({ diffId: sha256(tar), bytes: data.length });
      expect(readFileSync(join(root, 'f')).equals(data)).toBe(true);
    }
  }
});

test('a plain blob, several members, zeros and rubbish behind the end', async () => {
  const tar = await tarOf(['f', Buffer.from('content')]);
  expect((await unpack(tar)).diffId).toBe(sha256(tar));
  const members = Buffer.concat([
    gzipSync(tar.subarray(0, 700)),
    gzipSync(Buffer.alloc(0)),
    gzipSync(tar.subarray(700)),
  ]);
  expect((await unpack(members)).diffId).toBe(sha256(tar));
  for (const rest of [Buffer.alloc(4096), Buffer.from('rubbish'), Buffer.from([0x1f])])
    expect((await unpack(Buffer.concat([gzipSync(tar), rest]))).diffId).toBe(sha256(tar));
});

test('a blob that is cut anywhere is refused, in words', async () => {
  const random = seededRandom(7);
  const blob = gzipSync(await tarOf(['f', Buffer.from(random.hex(3000))]), { level: 6 });
  for (let at = 2; at < blob.length; at += 1 + random.below(60))
    await expect(unpack(blob.subarray(0, at)), `cut at ${at}`).rejects.toMatchObject({
      kind: 'Invalid',
      message: expect.stringMatching(/^unpack: .*(cut short|bad gzip header|no gzip header)/),
    });
});

test('a bomb ends where the disk would, having written no more; so does one of empty files', async () => {
  const bomb = gzipSync(await tarOf(['zeros', Buffer.alloc(200 * MB)]), { level: 9 });
  expect(bomb.length).toBeLessThan(MB);
  const before = freeBytes();
  await expect(unpack(bomb, { bytesMax: 8 * MB })).rejects.toThrow(
    /No space left on device: the layer unpacks to more than the 8388608 bytes that are free/,
  );
  expect(before - freeBytes()).toBeLessThan(32 * MB);
  /* Behind the end of the archive, where nothing is written. */
  const behind = Buffer.concat([gzipSync(await tarOf(['f', Buffer.alloc(1)])), gzipSync(Buffer.alloc(100 * MB))]);
  await expect(unpack(behind, { bytesMax: 8 * MB })).rejects.toThrow(/No space left on device/);
  const many = await tarOf(...Array.from({ length: 50 }, (_, i) => [`f${i}`, Buffer.alloc(0)] as const));
  await expect(unpack(many, { entriesMax: 20 })).rejects.toThrow(
    /the layer has more than the 20 entries that are free/,
  );
  expect(readdirSync(join(folder, `root-${count}`)).length).toBe(20);
});

test('damaged layers by the hundred, with sanitizers on: none reaches outside its root or breaks the helper', {
  timeout: limitMs(120_000),
}, async () => {
  const own = mkdtempSync(join(folder, 'fuzz-'));
  const work = join(own, 'work');
  mkdirSync(work);
  const seed = realRandom.below(1e9);
  const result = await fuzzUnpack({ seed, runs: 400, limitMs: 20_000, folder: work }, sanitizedHelper(own));
  expect(result.failures).toEqual([]);
  expect(result.unpacked).toBeGreaterThan(10);
  expect(result.refused).toBeGreaterThan(10);
});

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Repetitions at distances from 1 to the whole window, with lengths from 3 to the longest. */
function distances(): Buffer {
  const random = seededRandom(3);
  const parts: Buffer[] = [Buffer.from(random.hex(40_000), 'hex')];
  let all = Buffer.concat(parts);
  for (let i = 0; i < 300; i++) {
    const distance = 1 + random.below(Math.min(32_768, all.length));
    const piece = all.subarray(all.length - distance, all.length - distance + 3 + random.below(256));
    all = Buffer.concat([all, piece, Buffer.from([random.below(256)])]);
  }
  return all;
}
