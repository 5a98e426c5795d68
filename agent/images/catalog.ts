/**
 * What people do with the images of a node, below the Docker Engine API (agent/engine/images): names given and taken, documents
 * and sizes read, what nobody needs removed. Each change is one record; what a crash cuts short is whole before or after it.
 */
import type { Clock, Ctx, Digest } from '#lib/base';
import { type FolderContentStore, formatReference, type Reference } from '#lib/oci';
import type { NodeImages } from './node-images.ts';
import type { Pins } from './pins.ts';
import type { ImageRecord, Records } from './records.ts';
import type { Snapshotter } from './snapshot.ts';

export interface CatalogParts {
  readonly images: NodeImages;
  readonly records: Records;
  readonly content: FolderContentStore;
  readonly snapshots: Snapshotter;
  readonly pins: Pins;
  readonly clock: Clock;
}

export class ImageCatalog {
  readonly #parts: CatalogParts;
  /** A layer never changes; those that are gone are forgotten with the next look. */
  #layerBytes: ReadonlyMap<Digest, number> = new Map();

  constructor(parts: CatalogParts) {
    this.#parts = parts;
  }

  /** Sorted by reference; nameless ones stand under their id (records.ts). */
  records(): readonly ImageRecord[] {
    return this.#parts.records.all();
  }

  /** By a normalised reference, by a digest that a registry gave it, by `sha256:…` of its id. */
  record(reference: string): ImageRecord | undefined {
    return this.#parts.images.record(reference);
  }

  /** A further name for the image, which becomes a kept one. Who had it before is nameless, or gone when nobody keeps it. */
  async tag(record: ImageRecord, r: Reference): Promise<ImageRecord> {
    const { pins, records, clock } = this.#parts;
    const repository = `${r.host}/${r.repository}`;
    const isOfRepository = record.repoDigest.startsWith(`${repository}@`);
    const { lastUsedMs: _, registryDigests, ...rest } = record;
    using _pinned = await pins.pin(keysOf(record));
    return await records.put({
      ...rest,
      reference: formatReference(r),
      repoDigest: `${repository}@${record.topDigest}`,
      isKept: true,
      taggedAtMs: clock.now(),
      ...(isOfRepository ? { registryDigests } : {}),
    });
  }

  /** An image without a name stays under its id. */
  untag(reference: string): Promise<void> {
    return this.#parts.records.untag(reference);
  }

  /** A registry has it now under this digest, in the repository of its reference. */
  async pushed(reference: string, digest: Digest): Promise<void> {
    const record = this.#parts.records.get(reference);
    if (record === undefined || record.registryDigests?.includes(digest) === true) return;
    const { lastUsedMs: _, ...rest } = record;
    await this.#parts.records.put({ ...rest, registryDigests: [...(record.registryDigests ?? []), digest] });
  }

  /** All names of the image, and what no other image and no root needs of its layers: those that are gone, base first. */
  async remove(id: Digest, c: Ctx): Promise<{ readonly freedBytes: number; readonly layers: readonly Digest[] }> {
    const { images, records, snapshots } = this.#parts;
    const own = records.all().filter((r) => r.id === id);
    for (const r of own) await records.remove(r.reference);
    const freedBytes = await images.sweep(c);
    const layers: Digest[] = [];
    for (const { chainId } of own[0]?.layers ?? []) if (!(await snapshots.hasLayer(chainId))) layers.push(chainId);
    return { freedBytes, layers };
  }

  /** A manifest, index or config; NotFound, TooLarge. */
  document(digest: Digest, bytesMax: number): Promise<Buffer> {
    return this.#parts.content.readAll(digest, bytesMax);
  }

  /** Unpacked sizes by chain id. */
  async layerBytes(): Promise<ReadonlyMap<Digest, number>> {
    const { records, snapshots } = this.#parts;
    const isKnown = records.all().every((r) => r.layers.every((l) => this.#layerBytes.has(l.chainId)));
    if (!isKnown) this.#layerBytes = new Map((await snapshots.layers()).map((l) => [l.chainId, l.bytes]));
    return this.#layerBytes;
  }

  /** Which roots stand on which image: those of pods too. */
  async users(): Promise<readonly { readonly containerId: string; readonly imageId: Digest }[]> {
    const roots = await this.#parts.snapshots.roots();
    return roots.flatMap(({ containerId, source }) => (source ? [{ containerId, imageId: source.imageId }] : []));
  }
}

function keysOf(r: ImageRecord): readonly string[] {
  return [...r.documents, ...r.layers.flatMap((l) => [l.digest, l.chainId])];
}
