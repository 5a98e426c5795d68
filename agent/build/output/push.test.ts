import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, hexOf, realClock, StatusError, sha256, silentLogger } from '#lib/base';
import { type Descriptor, MEDIA_TYPES } from '#lib/oci';
import type { FinishedImage, FinishedLayer } from '../node/finish.ts';
import { type PushOptions, type PushStep, pushImage, pushIndex, pushLayers } from './push.ts';
import { tidyPushedLayers } from './pushed-layers.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let base: string;
let folder: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'berth-push-'));
  folder = join(base, 'pushed');
});
afterEach(() => rm(base, { recursive: true, force: true }));

/** A registry in memory; `elsewhere`: blobs of other repositories, which it mounts. */
class Registry {
  readonly blobs = new Map<string, Buffer>();
  readonly elsewhere = new Map<string, string>();
  readonly sent: string[] = [];
  manifest: Buffer = Buffer.alloc(0);
  reference = '';
  /** Bytes of a blob that the registry has already from an upload that broke off. */
  resumesAt = 0;
  fails: Error | undefined;

  async hasBlob(digest: string): Promise<boolean> {
    return this.blobs.has(digest);
  }

  async mountBlob(digest: string, from: string): Promise<boolean> {
    if (this.elsewhere.get(digest) !== from) return false;
    this.blobs.set(digest, Buffer.alloc(0));
    return true;
  }

  async pushBlob(blob: Descriptor, source: Uint8Array | ((start: number) => AsyncIterable<Buffer>)): Promise<void> {
    const pieces: Uint8Array[] = [];
    if (source instanceof Uint8Array) pieces.push(source);
    else {
      for await (const piece of source(0)) pieces.push(piece);
      if (this.resumesAt > 0) {
        pieces.splice(0, pieces.length, Buffer.concat(pieces).subarray(0, this.resumesAt));
        for await (const piece of source(this.resumesAt)) pieces.push(piece);
      }
    }
    if (this.fails) throw this.fails;
    const bytes = Buffer.concat(pieces);
    expect([sha256(bytes), bytes.length]).toEqual([blob.digest, blob.sizeBytes]);
    this.sent.push(blob.digest);
    this.blobs.set(blob.digest, bytes);
  }

  async putManifest(reference: string, _mediaType: string, bytes: Buffer): Promise<string> {
    this.manifest = bytes;
    this.reference = reference;
    return sha256(bytes);
  }
}

function optionsOf(registry: Registry, o: Partial<PushOptions> = {}): PushOptions {
  return { to: registry as unknown as PushOptions['to'], tag: 'a', folder, ...o };
}

async function layer(text: string, mediaType: string = MEDIA_TYPES.ociLayer): Promise<FinishedLayer> {
  const digest = sha256(text);
  const path = join(base, hexOf(digest));
  await writeFile(path, text);
  return { blob: { mediaType, digest, sizeBytes: text.length }, diffId: digest, path };
}

function imageOf(...layers: FinishedLayer[]): FinishedImage {
  const config = Buffer.from('{}');
  return { id: sha256(config), config, references: [], layers };
}

const drafts = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.startsWith('.'));

test('layers go compressed, to the same bytes, and are compressed once', async () => {
  const l = await layer('some files');
  const [one, two, three] = [new Registry(), new Registry(), new Registry()];
  const first = await pushImage(imageOf(l), optionsOf(one), c);
  const [digest = ''] = one.sent;
  expect(gunzipSync(one.blobs.get(digest) ?? '').toString()).toBe('some files');
  expect(JSON.parse(one.manifest.toString()).layers).toMatchObject([{ digest, mediaType: MEDIA_TYPES.ociLayerGzip }]);
  // What is there already is known without reading the layer.
  two.blobs.set(digest, Buffer.alloc(0));
  await rm(l.path);
  expect(await pushImage(imageOf(l), optionsOf(two), c)).toEqual(first);
  expect(two.sent).toEqual([imageOf().id]);
  // And what is not there is made again.
  await expect(pushImage(imageOf(l), optionsOf(three), c)).rejects.toThrow('is not on this node any more: build');
  await layer('some files');
  expect(await pushImage(imageOf(l), optionsOf(three), c)).toEqual(first);
  expect(await drafts()).toEqual([]);
});

test('a push goes on where an upload broke off; the level of compression is fixed', async () => {
  const registry = new Registry();
  registry.resumesAt = 7;
  const l = await layer('some files, and some more');
  await pushImage(imageOf(l), optionsOf(registry, { tag: undefined }), c);
  // Known by its digest alone.
  expect(registry.reference).toBe(sha256(registry.manifest));
  const gz = registry.blobs.get(registry.sent[0] ?? '') ?? Buffer.alloc(0);
  expect(gz.equals(gzipSync('some files, and some more', { level: 6 }))).toBe(true);
  const text = 'abcdefgh'.repeat(2_000) + 'xyz'.repeat(500);
  await pushLayers([await layer(text)], { isAsItCame: false }, optionsOf(registry), c);
  const sizes = [1, 6, 9].map((level) => gzipSync(text, { level }).length);
  expect(registry.blobs.get(registry.sent.at(-1) ?? '')?.length).toBe(sizes[1]);
  expect(sizes[0]).not.toBe(sizes[1]);
});

test('an index of several platforms names each as it is', async () => {
  const registry = new Registry();
  const pushed = { mediaType: MEDIA_TYPES.ociManifest, digest: sha256('m'), sizeBytes: 1 };
  const platforms = [
    { os: 'linux', architecture: 'arm', variant: 'v7' },
    { os: 'linux', architecture: 'amd64' },
  ];
  const to = optionsOf(registry).to;
  await pushIndex(
    platforms.map((platform) => ({ platform, pushed })),
    { to, tag: 'both' },
    c,
  );
  const { manifests } = JSON.parse(registry.manifest.toString());
  expect(manifests.map((m: { platform: object }) => m.platform)).toEqual(platforms);
  expect(registry.reference).toBe('both');
});

test('a layer that is damaged on the disk is neither sent nor remembered', async () => {
  const l = await layer('some files');
  await writeFile(l.path, 'some filez');
  const registry = new Registry();
  await expect(pushImage(imageOf(l), optionsOf(registry), c)).rejects.toThrow(`layer ${l.diffId} is damaged`);
  expect([registry.sent, registry.manifest.length, await readdir(folder)]).toEqual([[], 0, []]);
});

test.each(['', '{', '[]', '{"digest":"sha256:short","sizeBytes":1}', '{"digest":7}'])(
  'what is remembered but torn is compressed anew: %j',
  async (text) => {
    const l = await layer('some files');
    await mkdir(folder);
    const memo = join(folder, `${hexOf(l.diffId)}.json`);
    await writeFile(memo, text);
    const registry = new Registry();
    await pushImage(imageOf(l), optionsOf(registry), c);
    expect(JSON.parse(await readFile(memo, 'utf8'))).toMatchObject({ digest: registry.sent[0] });
  },
);

test('a push that fails leaves no draft and no manifest, and the next one has nothing to compress that arrived', async () => {
  const l = await layer('some files');
  const registry = new Registry();
  registry.fails = new StatusError('Unavailable', 'the line is dead');
  await expect(pushImage(imageOf(l), optionsOf(registry), c)).rejects.toThrow('the line is dead');
  expect([await drafts(), registry.manifest.length]).toEqual([[], 0]);
  registry.fails = undefined;
  await pushImage(imageOf(l), optionsOf(registry), c);
  expect(registry.sent).toHaveLength(2);
});

test('a cancel leaves no draft', async () => {
  const stop = new AbortController();
  const registry = new Registry();
  const pushing = pushLayers([await layer('x'.repeat(100_000))], { isAsItCame: false }, optionsOf(registry), {
    ...c,
    signal: stop.signal,
  });
  stop.abort(new StatusError('Cancelled', 'enough'));
  await expect(pushing).rejects.toThrow('enough');
  expect([await drafts(), registry.sent]).toEqual([[], []]);
});

test('what came compressed, or from a registry, goes as it is; what nobody may hand on is not sent', async () => {
  const gz = await layer('as it came', MEDIA_TYPES.dockerLayerGzip);
  const foreign = await layer('of Windows', 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip');
  const plain = await layer('plain, from a registry');
  const registry = new Registry();
  const blobs = await pushLayers([gz, foreign], { isAsItCame: false }, optionsOf(registry), c);
  expect([blobs.get(gz), blobs.get(foreign), registry.sent]).toEqual([gz.blob, foreign.blob, [gz.blob.digest]]);
  await pushLayers([plain], { isAsItCame: true }, optionsOf(registry), c);
  expect(registry.sent).toEqual([gz.blob.digest, plain.blob.digest]);
  await writeFile(gz.path, 'as it cam');
  const again = pushLayers([gz], { isAsItCame: true }, optionsOf(new Registry()), c);
  await expect(again).rejects.toThrow('is not on this node any more: pull the image again');
});

test('a repository of the same registry gives its layer; each step is told', async () => {
  const l = await layer('shared');
  const first = new Registry();
  await pushLayers([l], { isAsItCame: false }, optionsOf(first), c);
  const second = new Registry();
  second.elsewhere.set(first.sent[0] ?? '', 'other');
  const steps: PushStep[] = [];
  const onLayer = (_: FinishedLayer, step: PushStep): void => void steps.push(step);
  const o = { onLayer, mountFrom: () => ['none', 'other'] };
  await pushLayers([l], { isAsItCame: false }, optionsOf(second, o), c);
  await pushLayers([l], { isAsItCame: false }, optionsOf(second, o), c);
  expect(steps).toEqual([
    ...[{ phase: 'waiting' }, { phase: 'mounted', from: 'other' }],
    ...[{ phase: 'waiting' }, { phase: 'exists' }],
  ]);
  const third: PushStep[] = [];
  const tell = (_: FinishedLayer, step: PushStep): void => void third.push(step);
  await pushLayers([l], { isAsItCame: false }, optionsOf(new Registry(), { onLayer: tell }), c);
  const totalBytes = first.blobs.get(first.sent[0] ?? '')?.length;
  expect(third).toEqual([
    ...[{ phase: 'waiting' }, { phase: 'pushing', doneBytes: totalBytes, totalBytes }, { phase: 'pushed' }],
  ]);
});

test('what is remembered is bounded, the oldest first; drafts of killed processes go, those of living ones stay', async () => {
  await mkdir(folder);
  const names = ['c', 'a', 'b'].map((letter) => `${letter.repeat(64)}.json`);
  for (const [i, name] of names.entries()) {
    await writeFile(join(folder, name), '{}');
    await utimes(join(folder, name), 1_000 + i, 1_000 + i);
  }
  const living = `.layer.${process.ppid}.1.tmp`;
  for (const name of [living, `.layer.${0x7fffffff}.2.tmp`, 'other']) await writeFile(join(folder, name), '');
  await tidyPushedLayers(folder, 3);
  expect((await readdir(folder)).sort()).toEqual([living, 'other', ...names].sort());
  await tidyPushedLayers(folder, 2);
  expect((await readdir(folder)).sort()).toEqual([living, 'other', ...names.slice(1)].sort());
  await tidyPushedLayers(join(base, 'none'));
  expect(existsSync(join(base, 'none'))).toBe(false);
});
