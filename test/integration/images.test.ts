/** Images on a real kernel: pulled from our own registry, mounted, run by chroot, removed; both snapshot formats. Needs root. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ctx, type Digest, realClock, realRandom, sha256, silentLogger } from '#lib/base';
import {
  DistributionClient,
  MEDIA_TYPES,
  packImage,
  pushPacked,
  type RemoteRepository,
  tarBytes,
  tarHeader,
} from '#lib/oci';
import { copyFormat } from '../../agent/images/copy.ts';
import type { Images } from '../../agent/images/images.ts';
import { openImages } from '../../agent/images/open.ts';
import { overlayFormat } from '../../agent/images/overlay.ts';
import { FolderSnapshotter } from '../../agent/images/snapshot.ts';
import { snapshotConformance } from '../../agent/images/snapshot-conformance.ts';
import type { Kernel } from '../../agent/kernel/kernel.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { type Registry, startRegistry } from '../../services/registry/registry.ts';

const context: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const helperPath = join(import.meta.dirname, '../../dist/berth-helper');
let folder: string;
let kernel: Kernel;
let registry: Registry;
let client: DistributionClient;
let busybox: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-images-'));
  kernel = await openKernel({ helperPath });
  registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: join(folder, 'registry'),
    log: silentLogger,
    clock: realClock,
    random: realRandom,
  });
  client = new DistributionClient({ random: realRandom });
  busybox = await readFile('/usr/bin/busybox');
});

afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  const left = await kernel.mounts.below(folder, context);
  await kernel[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
  expect(left).toEqual([]);
});

describe.each(['overlay', 'copy'] as const)('snapshotter %s', (name) => {
  snapshotConformance({
    test: (title, fn) =>
      test(`${name}: ${title}`, async () => {
        const own = await mkdtemp(join(folder, `${name}-`));
        const open = () =>
          FolderSnapshotter.open(
            {
              folder: own,
              format: name === 'overlay' ? overlayFormat(kernel) : copyFormat(kernel),
              kernel,
              random: realRandom,
            },
            context,
          );
        await fn({ snapshotter: await open(), reopen: open, context });
        expect(await readdir(join(own, 'trash'))).toEqual([]);
        expect(await kernel.mounts.below(own, context)).toEqual([]);
      }),
    equal: (actual, expected) => expect(actual).toEqual(expected),
  });
});

describe.each(['overlay', 'copy'] as const)('images with %s', (snapshotter) => {
  const openHere = async (home: string): Promise<Images & AsyncDisposable> =>
    openImages(
      {
        kernel,
        folder: home,
        clock: realClock,
        random: realRandom,
        log: silentLogger,
        snapshotter,
        certsFolder: join(folder, 'certs.d'),
      },
      context,
    );

  test('pull, mount, run, write, remove; nothing is left', async () => {
    const home = await mkdtemp(join(folder, 'home-'));
    await using images = await openHere(home);
    const reference = await pushSample(`sample/${snapshotter}`, 'v1');
    expect(await images.find(reference, context)).toBeUndefined();
    const seen = new Map<string, number>();
    const onProgress = (p: { layer: Digest; doneBytes: number }): void => void seen.set(p.layer, p.doneBytes);
    const image = await images.pull(reference, { onProgress }, context);
    expect(image.config.cmd).toEqual(['/bin/busybox', 'httpd', '-f']);
    expect([...seen.values()].every((n) => n > 0)).toBe(true);
    expect(await images.find(reference, context)).toEqual(image);
    expect((await images.find(image.repoDigest, context))?.id).toBe(image.id);
    const root = await images.mountRoot('c1', image, context);
    const out = await kernel.programs.run(['chroot', root, '/bin/busybox', 'cat', '/www/index.html'], {}, context);
    expect(out.stdout.toString()).toBe('hello');
    await writeFile(join(root, 'new'), 'mine');
    await expect(images.remove(reference, context)).rejects.toMatchObject({ kind: 'Conflict' });
    expect(await images.roots(context)).toEqual(['c1']);
    await images.removeRoot('c1', context);
    await images.remove(reference, context);
    expect(await images.list(context)).toEqual([]);
    expect(await filesBelow(home)).toEqual(['boot-id']);
  });

  test('a zstd layer, a gzip layer with two members, whiteouts', async () => {
    const home = await mkdtemp(join(folder, 'home-'));
    await using images = await openHere(home);
    const base = await tarOf([
      ['bin/busybox', busybox],
      ['a', Buffer.from('1')],
      ['b', Buffer.from('1')],
    ]);
    const top = await tarOf([
      ['.wh.a', Buffer.alloc(0)],
      ['c', Buffer.from('3')],
    ]);
    const cut = Math.floor(base.length / 2);
    const twoMembers = Buffer.concat([gzipSync(base.subarray(0, cut)), gzipSync(base.subarray(cut))]);
    const zstd = await kernel.programs.run(['zstd', '-q', '-c'], { stdin: top }, context);
    expect(zstd.code).toBe(0);
    const reference = await pushLayers('sample/layers', 'v1', [
      { bytes: twoMembers, tar: base, mediaType: MEDIA_TYPES.ociLayerGzip },
      { bytes: zstd.stdout, tar: top, mediaType: MEDIA_TYPES.ociLayerZstd },
    ]);
    const image = await images.pull(reference, {}, context);
    const root = await images.mountRoot('layers', image, context);
    expect((await readdir(root)).filter((n) => n.length === 1).sort()).toEqual(['b', 'c']);
    await images.removeRoot('layers', context);
  });
});

describe('images: what goes wrong', () => {
  test('each failure has its kind, and leaves nothing', async () => {
    const home = await mkdtemp(join(folder, 'home-'));
    await using images = await openImages(
      {
        kernel,
        folder: home,
        clock: realClock,
        random: realRandom,
        log: silentLogger,
        certsFolder: join(folder, 'certs.d'),
      },
      context,
    );
    const pull = (reference: string) => images.pull(reference, {}, context);
    await expect(pull('Not//a:reference')).rejects.toMatchObject({ kind: 'BadRequest', reason: 'InvalidImageName' });
    await expect(pull(`${registry.host}/no/such:v1`)).rejects.toMatchObject({ kind: 'NotFound' });
    await expect(pull(`${registry.host}/no/such:v1`)).rejects.toThrow(/manifest unknown/);
    const tar = await tarOf([['f', Buffer.from('content')]]);
    const wrong = await pushLayers('bad/diff-id', 'v1', [
      { bytes: tar, tar: Buffer.from('not this'), mediaType: MEDIA_TYPES.ociLayer },
    ]);
    await expect(pull(wrong)).rejects.toMatchObject({ kind: 'Invalid' });
    await expect(pull(wrong)).rejects.toThrow(/^digest mismatch/);
    expect(await images.list(context)).toEqual([]);
    expect(await readdir(join(home, 'snapshots/layers'))).toEqual([]);
    expect(await readdir(join(home, 'snapshots/trash'))).toEqual([]);
  });

  test('a blob whose bytes rotted in the registry is refused with digest mismatch', async () => {
    const home = await mkdtemp(join(folder, 'home-'));
    await using images = await openImages(
      {
        kernel,
        folder: home,
        clock: realClock,
        random: realRandom,
        log: silentLogger,
        certsFolder: join(folder, 'certs.d'),
      },
      context,
    );
    const tar = await tarOf([['f', Buffer.from('sound content')]]);
    const reference = await pushLayers('bad/rotten', 'v1', [{ bytes: tar, tar, mediaType: MEDIA_TYPES.ociLayer }]);
    const path = join(folder, 'registry/content/blobs/sha256', sha256(tar).slice(7));
    const rotten = Buffer.from(tar);
    rotten[600] = 0x21;
    await writeFile(path, rotten);
    await expect(images.pull(reference, {}, context)).rejects.toThrow(/digest mismatch/);
    await rm(path);
    expect(await readdir(join(home, 'content/ingest'))).toEqual([]);
  });

  test('a full disk is named and nothing half-made stays', async () => {
    const home = await mkdtemp(join(folder, 'small-'));
    await kernel.mounts.tmpfs(home, { sizeBytes: 24 * 1024 * 1024 }, context);
    try {
      await using images = await openImages(
        {
          kernel,
          folder: home,
          clock: realClock,
          random: realRandom,
          log: silentLogger,
          certsFolder: join(folder, 'certs.d'),
        },
        context,
      );
      /* 40 MB of zeros are a small blob: the disk fills up while it is unpacked. */
      const tar = await tarOf([['zeros', Buffer.alloc(40 * 1024 * 1024)]]);
      const reference = await pushLayers('big/zeros', 'v1', [
        { bytes: gzipSync(tar), tar, mediaType: MEDIA_TYPES.ociLayerGzip },
      ]);
      const failed = images.pull(reference, {}, context);
      await expect(failed).rejects.toMatchObject({ kind: 'Internal', reason: 'NoSpace' });
      await expect(failed).rejects.toThrow(/ENOSPC/);
      expect(await images.list(context)).toEqual([]);
      expect(await readdir(join(home, 'snapshots/layers'))).toEqual([]);
      expect(await readdir(join(home, 'snapshots/trash'))).toEqual([]);
      const random = await tarOf([['random', Buffer.from(realRandom.hex(15_000_000), 'hex')]]);
      const tooLarge = await pushLayers('big/random', 'v1', [
        { bytes: random, tar: random, mediaType: MEDIA_TYPES.ociLayer },
      ]);
      await expect(images.pull(tooLarge, {}, context)).rejects.toMatchObject({ kind: 'Internal', reason: 'NoSpace' });
      const small = await tarOf([['f', Buffer.from('fits')]]);
      const fits = await pushLayers('big/fits', 'v1', [{ bytes: small, tar: small, mediaType: MEDIA_TYPES.ociLayer }]);
      await images.pull(fits, {}, context);
    } finally {
      await kernel.mounts.unmount(home, context);
    }
  });
});

test('a cancel in the middle of unpacking leaves nothing, and the next pull succeeds', async () => {
  const home = await mkdtemp(join(folder, 'home-'));
  await using images = await openImages(
    {
      kernel,
      folder: home,
      clock: realClock,
      random: realRandom,
      log: silentLogger,
      certsFolder: join(folder, 'certs.d'),
    },
    context,
  );
  const tar = await tarOf(Array.from({ length: 64 }, (_, i) => [`f${i}`, Buffer.alloc(2 * 1024 * 1024, i)] as const));
  const reference = await pushLayers('big/cancel', 'v1', [
    { bytes: gzipSync(tar, { level: 1 }), tar, mediaType: MEDIA_TYPES.ociLayerGzip },
  ]);
  const stop = new AbortController();
  const pulling = images.pull(reference, {}, { ...context, signal: stop.signal });
  const trash = join(home, 'snapshots/trash');
  while ((await readdir(trash)).length === 0) await realClock.sleep(2);
  stop.abort(new Error('changed my mind'));
  await expect(pulling).rejects.toThrow('changed my mind');
  expect(await readdir(trash)).toEqual([]);
  expect(await readdir(join(home, 'snapshots/layers'))).toEqual([]);
  const image = await images.pull(reference, {}, context);
  const root = await images.mountRoot('cancelled', image, context);
  expect(await readdir(root)).toHaveLength(64);
  await images.removeRoot('cancelled', context);
});

test('collect removes the least recently used images that no root uses', async () => {
  const home = await mkdtemp(join(folder, 'home-'));
  await using images = await openImages(
    {
      kernel,
      folder: home,
      clock: realClock,
      random: realRandom,
      log: silentLogger,
      certsFolder: join(folder, 'certs.d'),
    },
    context,
  );
  const references: string[] = [];
  for (const n of [1, 2, 3]) {
    const tar = await tarOf([['f', Buffer.from(`content ${n}`)]]);
    references.push(await pushLayers(`gc/n${n}`, 'v1', [{ bytes: tar, tar, mediaType: MEDIA_TYPES.ociLayer }]));
  }
  for (const r of references) await images.pull(r, {}, context);
  const used = await images.find(references[0] ?? '', context);
  if (!used) throw new Error('the image is not there');
  await images.mountRoot('gc', used, context);
  expect(await images.collect({ freeBytes: 0, minAgeMs: 0 }, context)).toBe(0);
  expect(await images.collect({ freeBytes: Number.MAX_SAFE_INTEGER, minAgeMs: 3_600_000 }, context)).toBe(0);
  expect(await images.list(context)).toHaveLength(3);
  expect(await images.collect({ freeBytes: Number.MAX_SAFE_INTEGER, minAgeMs: 0 }, context)).toBeGreaterThan(0);
  expect((await images.list(context)).map((i) => i.reference)).toEqual([references[0]]);
  await images.removeRoot('gc', context);
});

async function pushSample(name: string, tag: string): Promise<string> {
  const image = await packImage({
    entries: [
      { type: 'file', path: 'bin/busybox', data: busybox, mode: 0o755 },
      { type: 'symlink', path: 'bin/sh', target: 'busybox' },
      { type: 'file', path: 'www/index.html', data: Buffer.from('hello') },
    ],
    config: { cmd: ['/bin/busybox', 'httpd', '-f'] },
  });
  await pushPacked(client.repository(registry.host, name), tag, image, context);
  return `${registry.host}/${name}:${tag}`;
}

async function pushLayers(
  name: string,
  tag: string,
  layers: readonly { bytes: Buffer; tar: Buffer; mediaType: string }[],
): Promise<string> {
  const to: RemoteRepository = client.repository(registry.host, name);
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map((l) => sha256(l.tar)) },
    }),
  );
  const blob = async (bytes: Buffer, mediaType: string): Promise<object> => {
    const digest = sha256(bytes);
    await to.pushBlob({ digest, sizeBytes: bytes.length }, bytes, {}, context);
    return { mediaType, digest, size: bytes.length };
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: await blob(config, MEDIA_TYPES.ociConfig),
    layers: await Promise.all(layers.map((l) => blob(l.bytes, l.mediaType))),
  };
  await to.putManifest(tag, MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)), context);
  return `${registry.host}/${name}:${tag}`;
}

function tarOf(files: readonly (readonly [string, Buffer])[]): Promise<Buffer> {
  return tarBytes(
    files.map(([path, data]) => ({
      header: tarHeader({ type: 'file', path, mode: 0o755, sizeBytes: data.length }),
      data,
    })),
  );
}

async function filesBelow(path: string): Promise<string[]> {
  const all = await readdir(path, { recursive: true });
  const out: string[] = [];
  for (const name of all) if ((await stat(join(path, name))).isFile()) out.push(name);
  return out;
}
