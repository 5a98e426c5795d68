/**
 * OCI image layouts: a folder with `oci-layout`, `index.json` and `blobs/<algorithm>/<hex>`; what `skopeo copy … oci:` and
 * `docker save` write. Reading verifies every blob; writing puts index.json last, so a layout that was cut short has no index.
 * Source: image-spec image-layout.md.
 */
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, isKind, StatusError, writeFileAtomic } from '#lib/base';
import { FolderContentStore } from './content.ts';
import { algorithmOf, digestBytes, encodedOf } from './digest.ts';
import type { RemoteManifest, RemoteRepository } from './distribution.ts';
import {
  type Descriptor,
  descriptorJson,
  type Index,
  isIndexType,
  isManifestType,
  isNonDistributable,
  MANIFEST_BYTES_MAX,
  type Manifest,
  MEDIA_TYPES,
  parseManifest,
} from './image.ts';
import { digestMismatch, sizeMismatch } from './ingest.ts';
import { asString, parseJsonObject } from './json.ts';

const NAME = 'org.opencontainers.image.ref.name';
const CHUNK_BYTES = 256 * 1024;
const DEPTH_MAX = 4;

export class ImageLayout {
  readonly #folder: string;
  readonly #index: Index;

  private constructor(folder: string, index: Index) {
    this.#folder = folder;
    this.#index = index;
  }

  /** Throws Invalid when the folder is not a layout. */
  static async open(folder: string): Promise<ImageLayout> {
    const marker = await readPart(folder, 'oci-layout', 1024);
    const version = asString(parseJsonObject(marker, 'oci-layout')['imageLayoutVersion'], 'imageLayoutVersion');
    if (!version.startsWith('1.')) throw new StatusError('Invalid', `image layout version ${version} is not supported`);
    const index = parseManifest(await readPart(folder, 'index.json', MANIFEST_BYTES_MAX), MEDIA_TYPES.ociIndex);
    if (index.type !== 'index') throw new StatusError('Invalid', `${folder}/index.json is not an index`);
    return new ImageLayout(folder, index);
  }

  /** What the layout holds at its top; `name` is the tag, where there is one. */
  get entries(): readonly { readonly name: string | undefined; readonly descriptor: Descriptor }[] {
    return this.#index.manifests.map((descriptor) => ({ name: descriptor.annotations?.[NAME], descriptor }));
  }

  /** By name; without a name the layout must hold exactly one image. NotFound otherwise. */
  find(name: string | undefined): Descriptor {
    const found = name === undefined ? this.entries : this.entries.filter((e) => e.name === name);
    const [first] = found;
    if (!first || (name === undefined && found.length > 1))
      throw new StatusError('NotFound', `${this.#folder} holds ${found.length} images${name ? ` named ${name}` : ''}`);
    return first.descriptor;
  }

  /** A manifest or index, verified. */
  async document(d: Descriptor): Promise<{ bytes: Buffer; parsed: Manifest | Index }> {
    const bytes = await readPart(this.#folder, blobPath(d), MANIFEST_BYTES_MAX);
    if (bytes.length !== d.sizeBytes) throw sizeMismatch(d.digest, d.sizeBytes, bytes.length);
    const actual = digestBytes(algorithmOf(d.digest), bytes);
    if (actual !== d.digest) throw digestMismatch(d.digest, actual);
    return { bytes, parsed: parseManifest(bytes, d.mediaType) };
  }

  /** The bytes of a blob from `start`; who takes them verifies them. */
  stream(d: Descriptor, start: number): AsyncIterable<Uint8Array> {
    return createReadStream(join(this.#folder, blobPath(d)), { start, highWaterMark: CHUNK_BYTES });
  }

  async holds(d: Descriptor): Promise<boolean> {
    const info = await stat(join(this.#folder, blobPath(d))).catch(() => undefined);
    return info?.size === d.sizeBytes;
  }
}

/** Pushes an image with all of its platforms that the layout holds; the registry verifies the blobs. */
export async function pushLayout(
  layout: ImageLayout,
  d: Descriptor,
  target: { readonly to: RemoteRepository; readonly reference: string },
  c: Ctx,
  depth = 0,
): Promise<void> {
  if (depth > DEPTH_MAX) throw new StatusError('Invalid', 'the layout nests indexes too deeply');
  const { bytes, parsed } = await layout.document(d);
  const { to } = target;
  if (parsed.type === 'index') {
    for (const child of parsed.manifests)
      if (isDocument(child) && (await layout.holds(child)))
        await pushLayout(layout, child, { to, reference: child.digest }, c, depth + 1);
  } else {
    for (const blob of [parsed.config, ...parsed.layers])
      if (!isNonDistributable(blob.mediaType)) await to.pushBlob(blob, (start) => layout.stream(blob, start), {}, c);
  }
  await to.putManifest(target.reference, parsed.mediaType, bytes, c);
}

/** Pulls an image with all of its platforms into a new layout at `folder`, verified; gives its digest. */
export async function pullLayout(
  source: { readonly from: RemoteRepository; readonly reference: string; readonly name: string },
  folder: string,
  c: Ctx,
): Promise<Descriptor> {
  const store = await FolderContentStore.open(folder, { keepIngests: false });
  const top = await source.from.getManifest(source.reference, c);
  await pullDocument(source.from, store, top, c, 0);
  const descriptor: Descriptor = {
    mediaType: top.mediaType,
    digest: top.digest,
    sizeBytes: top.bytes.length,
    annotations: { [NAME]: source.name },
  };
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [descriptorJson(descriptor)] };
  await mkdir(folder, { recursive: true });
  await writeFileAtomic(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFileAtomic(join(folder, 'index.json'), JSON.stringify(index));
  return descriptor;
}

async function pullDocument(
  from: RemoteRepository,
  store: FolderContentStore,
  document: RemoteManifest,
  c: Ctx,
  depth: number,
): Promise<void> {
  if (depth > DEPTH_MAX) throw new StatusError('Invalid', 'the image nests indexes too deeply');
  const parsed = parseManifest(document.bytes, document.mediaType);
  if (parsed.type === 'index') {
    for (const child of parsed.manifests)
      if (isDocument(child)) await pullDocument(from, store, await from.getManifest(child.digest, c), c, depth + 1);
  } else {
    for (const blob of [parsed.config, ...parsed.layers]) {
      if (isNonDistributable(blob.mediaType) || (await store.stat(blob.digest))) continue;
      await from.fetchBlob(blob, store, { ref: encodedOf(blob.digest) }, c);
    }
  }
  if (await store.stat(document.digest)) return;
  const ingest = await store.begin(encodedOf(document.digest), { algorithm: algorithmOf(document.digest) });
  await ingest.write(document.bytes);
  await ingest.commit({ digest: document.digest });
}

function isDocument(d: Descriptor): boolean {
  return isManifestType(d.mediaType) || isIndexType(d.mediaType);
}

function blobPath(d: Descriptor): string {
  return `blobs/${algorithmOf(d.digest)}/${encodedOf(d.digest)}`;
}

async function readPart(folder: string, name: string, bytesMax: number): Promise<Buffer> {
  const path = join(folder, name);
  try {
    const { size } = await stat(path);
    if (size > bytesMax) throw new StatusError('TooLarge', `${path} has ${size} bytes, above the limit of ${bytesMax}`);
    return await readFile(path);
  } catch (e) {
    if (isKind(e, 'TooLarge')) throw e;
    throw new StatusError('Invalid', `${folder} is not a whole image layout: ${name} cannot be read`, { cause: e });
  }
}
