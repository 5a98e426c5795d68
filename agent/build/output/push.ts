/**
 * An image of the node into a registry. One that came from a registry goes as it came, under the same digest. Of what was built
 * here the layers are gzipped on the way, always to the same bytes, and what became of each is remembered by its diff id, so that
 * a layer which a registry has already is neither compressed nor sent again.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import {
  type Ctx,
  type Digest,
  hexOf,
  isKind,
  parseDigest,
  type Random,
  StatusError,
  sha256,
  writeFileAtomic,
} from '#lib/base';
import {
  asSize,
  asString,
  type Descriptor,
  descriptorJson,
  isNonDistributable,
  MEDIA_TYPES,
  type Platform,
  parseJsonObject,
  type RemoteRepository,
} from '#lib/oci';
import { manifestOf } from '../../images/built-manifest.ts';
import { forEachLimited } from '../../images/single-flight.ts';
import type { FinishedImage, FinishedLayer } from '../node/finish.ts';

export interface PushOptions {
  readonly to: RemoteRepository;
  /** Undefined: known by its digest alone. */
  readonly tag: string | undefined;
  /** Of what is remembered, and of drafts. */
  readonly folder: string;
  readonly random: Random;
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
  await mkdir(o.folder, { recursive: true, mode: 0o700 });
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
  const known = await remembered(layer.diffId, o);
  if (known !== undefined && (await isThere(layer, known, o, c))) return known;
  const draft = join(o.folder, `.draft-${o.random.hex(8)}`);
  try {
    const made = await gzipped(path, draft, c);
    const text = JSON.stringify({ version: 1, digest: made.digest, sizeBytes: made.sizeBytes });
    await writeFileAtomic(memoPath(layer.diffId, o), text, { durable: false });
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

async function gzipped(source: string, target: string, c: Ctx): Promise<Descriptor> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const counted = async function* (bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    for await (const piece of bytes) {
      hash.update(piece);
      sizeBytes += piece.length;
      yield piece;
    }
  };
  const gzip = createGzip({ level: GZIP_LEVEL });
  try {
    await pipeline(createReadStream(source), gzip, counted, createWriteStream(target, { flags: 'wx' }), {
      signal: c.signal,
    });
  } catch (e) {
    if (isKind(e, 'Cancelled') || !(e instanceof Error && 'code' in e && e.code === 'ENOENT')) throw e;
    throw new StatusError('NotFound', `${source} is not on this node any more: build the image again`, { cause: e });
  }
  return { mediaType: MEDIA_TYPES.ociLayerGzip, digest: parseDigest(`sha256:${hash.digest('hex')}`), sizeBytes };
}

async function remembered(diffId: Digest, o: PushOptions): Promise<Descriptor | undefined> {
  try {
    const doc = parseJsonObject(await readFile(memoPath(diffId, o)), 'a pushed layer');
    const digest = parseDigest(asString(doc['digest'], 'digest'));
    return { mediaType: MEDIA_TYPES.ociLayerGzip, digest, sizeBytes: asSize(doc['sizeBytes'], 'sizeBytes') };
  } catch {
    return undefined; // never pushed, or torn by a power loss: compressed anew
  }
}

function memoPath(diffId: Digest, o: PushOptions): string {
  return join(o.folder, `${hexOf(diffId)}.json`);
}
