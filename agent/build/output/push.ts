/**
 * A built image into a registry. Layers are gzipped on the way, always to the same bytes, and what became of each is
 * remembered by its diff id, so that a layer which a registry has already is neither compressed nor sent again.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Ctx, type Digest, hexOf, parseDigest, type Random, sha256, writeFileAtomic } from '#lib/base';
import { asSize, asString, type Descriptor, MEDIA_TYPES, parseJsonObject, type RemoteRepository } from '#lib/oci';
import { manifestOf } from '../../images/build-store.ts';
import type { FinishedImage, FinishedLayer } from '../node/finish.ts';

export interface PushOptions {
  readonly to: RemoteRepository;
  readonly tag: string;
  /** Of what is remembered, and of drafts. */
  readonly folder: string;
  readonly random: Random;
}

/** Fixed: another level would be other bytes under another digest. */
const GZIP_LEVEL = 6;
const AT_ONCE = 3;

/** The manifest's digest in the registry. */
export async function pushImage(image: FinishedImage, o: PushOptions, c: Ctx): Promise<Digest> {
  await mkdir(o.folder, { recursive: true, mode: 0o700 });
  const blobs: Descriptor[] = [];
  for (let at = 0; at < image.layers.length; at += AT_ONCE)
    blobs.push(...(await Promise.all(image.layers.slice(at, at + AT_ONCE).map((l) => pushLayer(l, o, c)))));
  const config = { digest: sha256(image.config), sizeBytes: image.config.length };
  await o.to.pushBlob(config, image.config, {}, c);
  const manifest = manifestOf(image.config, blobs);
  return parseDigest(await o.to.putManifest(o.tag, MEDIA_TYPES.ociManifest, manifest, c));
}

async function pushLayer(layer: FinishedLayer, o: PushOptions, c: Ctx): Promise<Descriptor> {
  const { blob, path } = layer;
  if (blob.mediaType !== MEDIA_TYPES.ociLayer) {
    await o.to.pushBlob(blob, (start) => createReadStream(path, { start }) as AsyncIterable<Buffer>, {}, c);
    return blob;
  }
  const known = await remembered(layer.diffId, o);
  if (known !== undefined && (await o.to.hasBlob(known.digest, c))) return known;
  const draft = join(o.folder, `.draft-${o.random.hex(8)}`);
  try {
    const made = await gzipped(path, draft, c);
    const text = JSON.stringify({ version: 1, digest: made.digest, sizeBytes: made.sizeBytes });
    await writeFileAtomic(memoPath(layer.diffId, o), text, { durable: false });
    await o.to.pushBlob(made, (start) => createReadStream(draft, { start }) as AsyncIterable<Buffer>, {}, c);
    return made;
  } finally {
    await rm(draft, { force: true });
  }
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
  await pipeline(createReadStream(source), gzip, counted, createWriteStream(target, { flags: 'wx' }), {
    signal: c.signal,
  });
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
