/**
 * An image of the node into a registry. One that came from a registry goes as it came, under the same digest. Of what was built
 * here the layers are gzipped on the way, always to the same bytes, and what became of each is remembered by its diff id, so that
 * a layer which a registry has already is neither compressed nor sent again.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Ctx, type Digest, draftPath, isKind, isMissing, parseDigest, StatusError, sha256 } from '#lib/base';
import {
  type Descriptor,
  descriptorJson,
  isNonDistributable,
  MEDIA_TYPES,
  type Platform,
  type RemoteRepository,
} from '#lib/oci';
import { manifestOf } from '../../images/built-manifest.ts';
import { forEachLimited } from '../../images/single-flight.ts';
import type { FinishedImage, FinishedLayer } from '../node/finish.ts';
import { makePushedFolder, rememberedLayer, rememberLayer } from './pushed-layers.ts';

export interface PushOptions {
  readonly to: RemoteRepository;
  /** Undefined: known by its digest alone. */
  readonly tag: string | undefined;
  /** Of what is remembered, and of drafts (pushed-layers.ts). */
  readonly folder: string;
  readonly onLayer?: ((layer: FinishedLayer, step: PushStep) => void) | undefined;
  /** Other repositories of the same registry that may have a layer. */
  readonly mountFrom?: ((layer: FinishedLayer) => readonly string[]) | undefined;
}

export type PushStep =
  | { readonly phase: 'waiting' | 'exists' | 'pushed' }
  | { readonly phase: 'mounted'; readonly from: string }
  | { readonly phase: 'pushing'; readonly doneBytes: number; readonly totalBytes: number };

export interface PushedManifest {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Fixed: another level would be other bytes under another digest. */
const GZIP_LEVEL = 6;
const AT_ONCE = 3;

export async function pushImage(image: FinishedImage, o: PushOptions, c: Ctx): Promise<PushedManifest> {
  const blobs = await pushLayers(image.layers, { isAsItCame: image.manifest !== undefined }, o, c);
  const config = { digest: sha256(image.config), sizeBytes: image.config.length };
  await o.to.pushBlob(config, image.config, {}, c);
  const { bytes, mediaType } = image.manifest ?? {
    bytes: manifestOf(
      image.config,
      image.layers.map((l) => blobs.get(l) ?? l.blob),
    ),
    mediaType: MEDIA_TYPES.ociManifest,
  };
  const digest = parseDigest(await o.to.putManifest(o.tag ?? sha256(bytes), mediaType, bytes, c));
  return { digest, sizeBytes: bytes.length, mediaType };
}

/** One name for images of several platforms, which are at the registry. Gives the index's digest. */
export async function pushIndex(
  images: readonly { readonly platform: Platform; readonly pushed: PushedManifest }[],
  o: { readonly to: RemoteRepository; readonly tag: string },
  c: Ctx,
): Promise<Digest> {
  const manifests = images.map(({ platform: { architecture, os, variant }, pushed: p }) => ({
    ...descriptorJson({ mediaType: p.mediaType, digest: p.digest, sizeBytes: p.sizeBytes }),
    platform: { architecture, os, ...(variant === undefined ? {} : { variant }) },
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
  return parseDigest(await o.to.putManifest(o.tag, MEDIA_TYPES.ociIndex, bytes, c));
}

/** Gives what each of them is at the registry. */
export async function pushLayers(
  layers: readonly FinishedLayer[],
  { isAsItCame }: { readonly isAsItCame: boolean },
  o: PushOptions,
  c: Ctx,
): Promise<ReadonlyMap<FinishedLayer, Descriptor>> {
  await makePushedFolder(o.folder);
  const blobs = new Map<FinishedLayer, Descriptor>();
  for (const l of layers) o.onLayer?.(l, { phase: 'waiting' });
  const push = async (l: FinishedLayer, own: Ctx): Promise<void> => {
    blobs.set(l, await pushLayer(l, isAsItCame, o, own));
  };
  await forEachLimited(layers, AT_ONCE, push, c);
  return blobs;
}

async function pushLayer(layer: FinishedLayer, isAsItCame: boolean, o: PushOptions, c: Ctx): Promise<Descriptor> {
  const { blob, path } = layer;
  if (isNonDistributable(blob.mediaType)) return blob;
  if (isAsItCame || blob.mediaType !== MEDIA_TYPES.ociLayer) {
    await send(layer, blob, path, o, c);
    return blob;
  }
  const known = await rememberedLayer(o.folder, layer.diffId);
  if (known !== undefined && (await isThere(layer, known, o, c))) return known;
  const draft = draftPath(o.folder, 'layer');
  try {
    const made = await gzipped(layer, draft, c);
    await rememberLayer(o.folder, layer.diffId, made);
    await send(layer, made, draft, o, c);
    return made;
  } finally {
    await rm(draft, { force: true });
  }
}

/** In this repository, or in another of the registry that gives it. */
async function isThere(layer: FinishedLayer, blob: Descriptor, o: PushOptions, c: Ctx): Promise<boolean> {
  if (await o.to.hasBlob(blob.digest, c)) {
    o.onLayer?.(layer, { phase: 'exists' });
    return true;
  }
  for (const from of o.mountFrom?.(layer) ?? []) {
    if (!(await o.to.mountBlob(blob.digest, from, c))) continue;
    o.onLayer?.(layer, { phase: 'mounted', from });
    return true;
  }
  return false;
}

async function send(layer: FinishedLayer, blob: Descriptor, path: string, o: PushOptions, c: Ctx): Promise<void> {
  if (await isThere(layer, blob, o, c)) return;
  const totalBytes = blob.sizeBytes;
  if ((await sizeOf(path)) !== totalBytes)
    throw new StatusError('NotFound', `layer ${blob.digest} is not on this node any more: pull the image again`);
  const source = async function* (start: number): AsyncGenerator<Buffer, void, void> {
    let doneBytes = start;
    for await (const piece of createReadStream(path, { start }) as AsyncIterable<Buffer>) {
      yield piece;
      doneBytes += piece.length;
      o.onLayer?.(layer, { phase: 'pushing', doneBytes, totalBytes });
    }
  };
  await o.to.pushBlob(blob, source, {}, c);
  o.onLayer?.(layer, { phase: 'pushed' });
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size; // not there
}

/** Throws Internal when what is stored is not the layer: under a new digest nobody would find out before it is unpacked. */
async function gzipped(layer: FinishedLayer, target: string, c: Ctx): Promise<Descriptor> {
  const [stored, made] = [new Sum(), new Sum()];
  const gzip = createGzip({ level: GZIP_LEVEL });
  const output = createWriteStream(target, { flags: 'wx' });
  try {
    await pipeline(
      createReadStream(layer.path),
      (b) => stored.of(b),
      gzip,
      (b) => made.of(b),
      output,
      {
        signal: c.signal,
      },
    );
  } catch (e) {
    if (isKind(e, 'Cancelled') || !isMissing(e)) throw e;
    throw new StatusError('NotFound', `${layer.path} is not on this node any more: build the image again`, {
      cause: e,
    });
  }
  if (stored.digest !== layer.diffId)
    throw new StatusError(
      'Internal',
      `layer ${layer.diffId} is damaged on this node: build the image again without the cache`,
    );
  return { mediaType: MEDIA_TYPES.ociLayerGzip, digest: made.digest, sizeBytes: made.sizeBytes };
}

/** Of bytes that go by. */
class Sum {
  readonly #hash = createHash('sha256');
  sizeBytes = 0;

  async *of(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    for await (const piece of bytes) {
      this.#hash.update(piece);
      this.sizeBytes += piece.length;
      yield piece;
    }
  }

  /** Once, after the last byte. */
  get digest(): Digest {
    return parseDigest(`sha256:${this.#hash.digest('hex')}`);
  }
}
