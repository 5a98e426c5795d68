/**
 * What a build does with the images of a node: layers from tars and from what a step wrote, images that no registry has seen.
 *
 * A session is one build's; all that it touches is kept from the collector until it ends, by when a record or the cache of
 * builds has it. Layers are made as those of a pull are: in a temporary place, then renamed, and synced once, by `putImage`,
 * before an image is told of. Their blobs are uncompressed tars, so that a layer's digest is its diff id.
 */
import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Ctx, type Digest, hexOf, parseDigest, type Random, StatusError, sha256 } from '#lib/base';
import {
  CONFIG_BYTES_MAX,
  chainIds,
  type Descriptor,
  type FolderContentStore,
  formatReference,
  MANIFEST_BYTES_MAX,
  MEDIA_TYPES,
  type Platform,
  parseConfig,
  parseManifest,
  parseReference,
} from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import { manifestOf } from './built-manifest.ts';
import { layersInUse } from './gc.ts';
import { BUILD_ROOT, type PullOptions } from './images.ts';
import type { NodeImages } from './node-images.ts';
import type { Pins } from './pins.ts';
import { isSamePlatform } from './platform.ts';
import type { ImageRecord, Records } from './records.ts';
import { pinnedFor, type RegistryAccess } from './registries/remote.ts';
import type { RemoteLayer } from './registries/sources.ts';
import type { RootCommits, Snapshotter } from './snapshot.ts';
import { tarOfBlob } from './tar-of-blob.ts';
import { openLayer, streamed } from './unpack.ts';

export interface BuildStoreParts {
  readonly images: NodeImages;
  readonly registries: RegistryAccess;
  readonly records: Records;
  readonly content: FolderContentStore;
  readonly snapshots: Snapshotter & RootCommits;
  readonly pins: Pins;
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly random: Random;
  /** Of all images. */
  readonly folder: string;
  readonly scratch: string;
  /** What is put stays until a person removes it. */
  readonly isKept: boolean;
}

export interface BuiltLayer {
  readonly diffId: Digest;
  readonly chainId: Digest;
  readonly bytes: number;
}

export interface BaseLayers {
  readonly record: ImageRecord;
  /** The config document. */
  readonly config: Buffer;
  readonly layers: readonly BuiltLayer[];
}

/** As it is stored. */
export interface StoredImage {
  readonly record: ImageRecord;
  readonly config: Buffer;
  readonly manifest: { readonly bytes: Buffer; readonly mediaType: string };
  /** Base first; `path` of the blob. */
  readonly layers: readonly { readonly blob: Descriptor; readonly diffId: Digest; readonly path: string }[];
}

export interface BuiltImage {
  /** Normalised; none: the image is known by its id alone, and gone with the next collection where images are not kept. */
  readonly references: readonly string[];
  readonly config: Buffer;
  readonly layers: readonly BuiltLayer[];
  /** As it came, with the layers that are here. Default: made anew. */
  readonly manifest?: Buffer | undefined;
}

export interface PutImage {
  readonly id: Digest;
  readonly manifest: Buffer;
  /** All that was written before that moment is on disk. */
  readonly syncedMs: number;
}

export class BuildStore {
  readonly #parts: BuildStoreParts;

  constructor(parts: BuildStoreParts) {
    this.#parts = parts;
  }

  /** At the start, when nobody builds: roots that a crash left. */
  async removeLeftovers(c: Ctx): Promise<void> {
    const { snapshots } = this.#parts;
    for (const { containerId } of await snapshots.roots())
      if (containerId.startsWith(BUILD_ROOT)) await snapshots.removeRoot(containerId, c);
  }

  /** Chain ids that an image or a root needs. */
  async layersInUse(): Promise<ReadonlySet<string>> {
    const { records, snapshots } = this.#parts;
    const sources = (await snapshots.roots()).flatMap((r) => (r.source ? [r.source] : []));
    return layersInUse(records.all(), sources);
  }

  /** Removes what neither an image nor the cache holds; gives the bytes. */
  sweep(c: Ctx): Promise<number> {
    return this.#parts.images.sweep(c);
  }

  session(): BuildSession {
    return new BuildSession(this.#parts);
  }
}

export class BuildSession implements Disposable {
  readonly #parts: BuildStoreParts;
  readonly #pinned: Disposable[] = [];
  /** Blobs of layers that came with a base image, as its manifest has them. */
  readonly #blobs = new Map<Digest, Descriptor>();

  constructor(parts: BuildStoreParts) {
    this.#parts = parts;
  }

  [Symbol.dispose](): void {
    for (const pin of this.#pinned.splice(0)) pin[Symbol.dispose]();
  }

  /** The local one unless `pull`; else pulled. */
  async image(reference: string, o: PullOptions & { readonly pull: boolean }, c: Ctx): Promise<BaseLayers> {
    const { images, content } = this.#parts;
    const local = o.pull ? undefined : await this.#pinnedRecord(reference);
    if (local === undefined) await images.pull(reference, o, c);
    const record = local ?? (await this.#pinnedRecord(reference));
    if (record === undefined) throw new StatusError('Unavailable', `image ${reference} was removed just now`);
    await this.#parts.records.touch(record.id);
    const manifest = parseManifest(await content.readAll(record.manifestDigest, MANIFEST_BYTES_MAX), undefined);
    const config = await content.readAll(record.id, CONFIG_BYTES_MAX);
    const { diffIds } = parseConfig(config);
    const layers = record.layers.map(({ chainId, digest }, i) => {
      const descriptor = manifest.type === 'manifest' ? manifest.layers[i] : undefined;
      const blob = descriptor ?? { mediaType: MEDIA_TYPES.ociLayer, digest, sizeBytes: 0 };
      this.#blobs.set(chainId, blob);
      return { diffId: diffIds[i] ?? digest, chainId, bytes: blob.sizeBytes };
    });
    return { record, config, layers };
  }

  /**
   * An image for another machine: the local one of that name if it is for `platform`, else it is pulled by its digest, so that
   * no name of this node stands for what does not run here.
   */
  async foreignImage(
    reference: string,
    o: PullOptions & { readonly pull: boolean; readonly platform: Platform },
    c: Ctx,
  ): Promise<BaseLayers> {
    const { registries } = this.#parts;
    if (!o.pull && this.isHere(reference)) {
      const local = await this.image(reference, { ...o, pull: false }, c);
      if (isSamePlatform(parseConfig(local.config).platform, o.platform)) return local;
    }
    const pinned = await pinnedFor(registries, parseReference(reference), o, c);
    return this.image(pinned, { ...o, isKept: false, pull: false }, c);
  }

  /** An image of this node, whatever its names: it stays while the session lasts. NotFound. */
  async stored(id: Digest): Promise<StoredImage> {
    const { content, records } = this.#parts;
    const find = (): ImageRecord | undefined => records.all().find((r) => r.id === id);
    const before = find();
    if (before !== undefined)
      await this.#pin([...before.documents, ...before.layers.flatMap((l) => [l.digest, l.chainId])]);
    const record = find();
    if (record === undefined || record.manifestDigest !== before?.manifestDigest)
      throw new StatusError('NotFound', `image ${id} was removed just now`);
    const bytes = await content.readAll(record.manifestDigest, MANIFEST_BYTES_MAX);
    const manifest = parseManifest(bytes, undefined);
    if (manifest.type !== 'manifest') throw new StatusError('Internal', `image ${id} has an index for a manifest`);
    const config = await content.readAll(id, CONFIG_BYTES_MAX);
    const { diffIds } = parseConfig(config);
    const layers = manifest.layers.map((blob, i) => {
      const diffId = diffIds[i];
      if (diffId === undefined) throw new StatusError('Internal', `image ${id} has a layer without a diff id`);
      return { blob, diffId, path: content.pathOf(blob.digest) };
    });
    return { record, config, manifest: { bytes, mediaType: manifest.mediaType }, layers };
  }

  /** Whether it is there whole, unpacked and as a tar; then it stays. */
  async hasLayer(l: Pick<BuiltLayer, 'chainId' | 'diffId'>): Promise<boolean> {
    const { content, snapshots } = this.#parts;
    if (this.#blobs.has(l.chainId)) return true;
    await this.#pin([l.chainId, l.diffId]);
    return (await snapshots.hasLayer(l.chainId)) && (await content.stat(l.diffId)) !== undefined;
  }

  /** As it is stored: what a manifest says of it. */
  blobOf(l: BuiltLayer): Descriptor {
    return this.#blobs.get(l.chainId) ?? { mediaType: MEDIA_TYPES.ociLayer, digest: l.diffId, sizeBytes: l.bytes };
  }

  /** A writable root, which `commitRoot` or `removeRoot` ends. */
  async mountRoot(layers: readonly BuiltLayer[], c: Ctx): Promise<{ readonly id: string; readonly path: string }> {
    const { random, snapshots } = this.#parts;
    const chain = layers.map((l) => l.chainId);
    await this.#pin(chain);
    const id = `${BUILD_ROOT}${random.hex(16)}`;
    try {
      const path = await snapshots.mountRoot(id, { imageId: chain.at(-1) ?? sha256(''), layers: chain }, c);
      return { id, path };
    } catch (e) {
      await this.removeRoot(id, c);
      throw e;
    }
  }

  /** Gone is fine. Goes on when the build was cancelled. */
  async removeRoot(id: string, c: Ctx): Promise<void> {
    await this.#parts.snapshots.removeRoot(id, { ...c, signal: new AbortController().signal });
  }

  /** Kept as a tar and unpacked in one pass. */
  async addLayer(below: readonly BuiltLayer[], tar: AsyncIterable<Uint8Array>, c: Ctx): Promise<BuiltLayer> {
    const { content, folder, random, snapshots } = this.#parts;
    const ingest = await content.begin(`build-${random.hex(16)}`);
    const stored = async function* (): AsyncGenerator<Uint8Array, void, void> {
      for await (const piece of tar) {
        c.signal.throwIfAborted();
        await ingest.write(piece);
        yield piece;
      }
    };
    try {
      await using draft = await snapshots.draftLayer(() => streamed(stored(), folder), c);
      const { digest, sizeBytes } = await ingest.commit({});
      const layer = layerOver(below, parseDigest(digest), sizeBytes);
      await this.#pin([layer.chainId, layer.diffId]);
      await draft.keep(layer.chainId);
      return layer;
    } finally {
      await ingest.abort();
    }
  }

  /** A layer whose blob somebody has written to a draft, and hashed: it goes in as it is, and is verified against `diffId`. */
  async adoptLayer(
    below: readonly BuiltLayer[],
    o: { readonly draft: string; readonly blob: Descriptor; readonly diffId: Digest },
    c: Ctx,
  ): Promise<BuiltLayer> {
    const { content, kernel, scratch, snapshots } = this.#parts;
    const { blob, diffId } = o;
    const digest = parseDigest(blob.digest);
    const layer = layerOver(below, diffId, blob.sizeBytes);
    await this.#pin([layer.chainId, digest]);
    if (await content.stat(digest)) await rm(o.draft, { force: true });
    else await content.adopt(o.draft, digest);
    await snapshots.addLayer(layer.chainId, () => openLayer({ content, kernel, scratch }, digest, diffId, c), c);
    this.#blobs.set(layer.chainId, blob);
    return layer;
  }

  /** Whether an image of that name is on this node. */
  isHere(reference: string): boolean {
    return this.#parts.images.record(formatReference(parseReference(reference))) !== undefined;
  }

  /**
   * A layer that somebody else has made: fetched, verified, and kept as one that was made here. Invalid where it is not the
   * tar `diffId` of so many bytes.
   */
  async fetchLayer(below: readonly BuiltLayer[], o: RemoteLayer, c: Ctx): Promise<BuiltLayer> {
    const { content, folder } = this.#parts;
    const { blob, bytes, diffId, from } = o;
    const digest = parseDigest(blob.digest);
    const known = layerOver(below, diffId, bytes);
    if (await this.hasLayer(known)) return known;
    const { bavail, bsize } = await statfs(folder);
    if (blob.sizeBytes + 2 * bytes > bavail * bsize)
      throw new StatusError('TooLarge', `there is no room for the ${bytes} bytes of the layer ${diffId}`);
    await this.#pin([digest]);
    if ((await content.stat(digest)) === undefined)
      await from.first('pull', (r) => r.fetchBlob(blob, content, { ref: `blob-${hexOf(digest)}` }, c), c);
    const layer = await this.addLayer(below, tarOfBlob(content.pathOf(digest), blob.mediaType, bytes), c);
    if (layer.diffId !== diffId)
      throw new StatusError('Invalid', `the layer ${digest} holds ${layer.diffId}, not ${diffId} as was told`);
    return layer;
  }

  /** A new path on the store's file system for what is on its way in; a start of the store removes what lies there. */
  draft(): string {
    const { folder, random } = this.#parts;
    return join(folder, 'content', 'ingest', `draft-${random.hex(16)}`);
  }

  /** What was written in the root becomes a layer over `below`; no process runs in it any more. The root is gone. */
  async commitRoot(
    id: string,
    below: readonly BuiltLayer[],
    o: { readonly latestMs: number | undefined },
    c: Ctx,
  ): Promise<BuiltLayer> {
    const { content, folder, kernel, random, snapshots } = this.#parts;
    const upper = await snapshots.settle(id, c);
    const file = join(folder, 'content', 'ingest', `packed-${random.hex(16)}`);
    try {
      const packed = await kernel.packFolder({ root: upper, file, overlay: true, latestMs: o.latestMs }, c);
      const layer = layerOver(below, packed.digest, packed.bytes);
      await this.#pin([layer.chainId, layer.diffId]);
      await content.adopt(file, layer.diffId);
      await snapshots.promote(id, { chainId: layer.chainId, entries: packed.entries, bytes: packed.bytes }, c);
      return layer;
    } finally {
      await rm(file, { force: true });
    }
  }

  /** Documents, one sync of all, then the records: an image that is told of is on disk. */
  async putImage(image: BuiltImage, c: Ctx): Promise<PutImage> {
    const { clock, folder, isKept, kernel, records } = this.#parts;
    const id = sha256(image.config);
    const blobs = image.layers.map((l) => this.blobOf(l));
    const manifest = image.manifest ?? manifestOf(image.config, blobs);
    const manifestDigest = sha256(manifest);
    await this.#pin([id, manifestDigest]);
    await this.#putDocument(id, image.config);
    await this.#putDocument(manifestDigest, manifest);
    const syncedMs = clock.now();
    await kernel.syncFileSystem(folder, c);
    const sizes = [image.config.length, manifest.length, ...blobs.map((b) => b.sizeBytes)];
    const { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels } = parseConfig(image.config);
    const isNamed = records.all().some((r) => r.id === id);
    const names = image.references.map(parseReference).map((r) => ({
      reference: formatReference(r),
      repoDigest: `${r.host}/${r.repository}@${manifestDigest}`,
    }));
    if (names.length === 0 && isKept && !isNamed) names.push({ reference: id, repoDigest: '' });
    for (const name of names) {
      await records.put({
        ...name,
        ...(isKept ? { isKept, taggedAtMs: syncedMs } : {}),
        id,
        sizeBytes: sizes.reduce((a, b) => a + b, 0),
        config: { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels },
        topDigest: manifestDigest,
        manifestDigest,
        layers: image.layers.map((l, i) => ({ chainId: l.chainId, digest: parseDigest(blobs[i]?.digest ?? l.diffId) })),
        documents: [id, manifestDigest],
      });
    }
    return { id, manifest, syncedMs };
  }

  /** Where a blob lies. */
  blobPath(digest: Descriptor['digest']): string {
    return this.#parts.content.pathOf(digest);
  }

  async #pinnedRecord(reference: string): Promise<ImageRecord | undefined> {
    const { images } = this.#parts;
    const before = images.record(reference);
    if (before === undefined) return undefined;
    await this.#pin([...before.documents, ...before.layers.flatMap((l) => [l.digest, l.chainId])]);
    return images.record(reference)?.manifestDigest === before.manifestDigest ? before : undefined;
  }

  async #putDocument(digest: Digest, bytes: Buffer): Promise<void> {
    const { content, random } = this.#parts;
    if (await content.stat(digest)) return;
    const ingest = await content.begin(`document-${hexOf(digest).slice(0, 32)}-${random.hex(8)}`);
    try {
      await ingest.write(bytes);
      await ingest.commit({ digest });
    } finally {
      await ingest.abort();
    }
  }

  async #pin(keys: readonly string[]): Promise<void> {
    this.#pinned.push(await this.#parts.pins.pin(keys));
  }
}

function layerOver(below: readonly BuiltLayer[], diffId: Digest, bytes: number): BuiltLayer {
  return { diffId, bytes, chainId: chainIds([...below.map((l) => l.diffId), diffId]).at(-1) ?? diffId };
}
