/**
 * A built image as files: an OCI image layout, as a folder or in a tar, or Docker's archive, which is the same with a
 * manifest.json that `docker load` reads. Layers are as the node stores them. Equal images give equal bytes.
 * Source: image-spec image-layout.md; moby image/tarexport; docker buildx "oci exporter", "docker exporter".
 */
import { constants, createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type Ctx,
  draftPath,
  hexOf,
  messageOf,
  removeDrafts,
  StatusError,
  sha256,
  syncPath,
  writeFileAtomic,
} from '#lib/base';
import { descriptorJson, encodedOf, MEDIA_TYPES, parseReference, type TarHeader, tarHeader, writeTar } from '#lib/oci';
import { manifestOf } from '../../images/built-manifest.ts';
import type { FinishedImage } from '../node/finish.ts';
import { type ArchiveOptions, checkDest } from './options.ts';

interface Part {
  readonly path: string;
  readonly sizeBytes: number;
  /** Bytes, or a file that has them. */
  readonly content: Buffer | string;
}

/**
 * What stands at `dest` is replaced only by a whole archive that is on the disk; a link is replaced, not followed. What a process
 * that was killed here left of the same archive is removed. Throws Invalid as `checkDest`, Unavailable when it cannot be written.
 */
export async function writeArchive(image: FinishedImage, o: ArchiveOptions, c: Ctx): Promise<void> {
  await checkDest(o);
  const parts = partsOf([image], o.type);
  try {
    await (o.tar ? writeTarFile(parts, o, c) : writeFolder(parts, o, c));
  } catch (e) {
    if (!(e instanceof Error && 'syscall' in e)) throw e;
    throw new StatusError('Unavailable', `${o.dest} was not written: ${messageOf(e)}`, { cause: e });
  }
}

async function writeTarFile(parts: readonly Part[], { dest }: ArchiveOptions, c: Ctx): Promise<void> {
  const folder = dirname(dest);
  // Of its own length: the name of `dest` may be as long as names can be.
  const base = `berth-archive-${hexOf(sha256(basename(dest))).slice(0, 12)}`;
  await removeDrafts(folder, base);
  const draft = draftPath(folder, base);
  try {
    const tar = Readable.from(writeTar(entriesOf(parts)));
    await pipeline(tar, createWriteStream(draft, { flags: 'wx' }), { signal: c.signal });
    await syncPath(draft);
    await rename(draft, dest);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Several images in one archive, as `docker save` gives it: each layer once. */
export function archiveOf(images: readonly FinishedImage[], type: 'oci' | 'docker'): AsyncGenerator<Uint8Array> {
  return writeTar(entriesOf(partsOf(images, type)));
}

/** In the order in which they are written: what names others comes last. */
function partsOf(images: readonly FinishedImage[], type: 'oci' | 'docker'): readonly Part[] {
  const blobs = new Map<string, Part>();
  const documents = new Map<string, Part>();
  for (const image of images) {
    for (const { blob, path } of image.layers)
      blobs.set(blob.digest, { path: blobPath(encodedOf(blob.digest)), sizeBytes: blob.sizeBytes, content: path });
    for (const bytes of [image.config, manifestBytes(image)])
      documents.set(sha256(bytes), part(blobPath(hexOf(sha256(bytes))), bytes));
  }
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: images.flatMap(indexEntries) };
  const docker = images.map(({ config, layers, references }) => ({
    Config: blobPath(hexOf(sha256(config))),
    RepoTags: references.length === 0 ? null : references.map(familiarTag),
    Layers: layers.map((l) => blobPath(encodedOf(l.blob.digest))),
  }));
  return [
    part('oci-layout', Buffer.from(JSON.stringify({ imageLayoutVersion: '1.0.0' }))),
    ...[...blobs.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    ...documents.values(),
    ...(type === 'docker' ? [part('manifest.json', Buffer.from(JSON.stringify(docker)))] : []),
    part('index.json', Buffer.from(JSON.stringify(index))),
  ];
}

function manifestBytes({ config, layers, manifest }: FinishedImage): Buffer {
  const blobs = layers.map((l) => l.blob);
  return manifest?.bytes ?? manifestOf(config, blobs);
}

function indexEntries(image: FinishedImage): readonly object[] {
  const bytes = manifestBytes(image);
  const mediaType = image.manifest?.mediaType ?? MEDIA_TYPES.ociManifest;
  const own = { mediaType, digest: sha256(bytes), sizeBytes: bytes.length };
  if (image.references.length === 0) return [descriptorJson(own)];
  return image.references.map((name) => {
    const { tag } = parseReference(name);
    const annotations = {
      'io.containerd.image.name': name,
      ...(tag === undefined ? {} : { 'org.opencontainers.image.ref.name': tag }),
    };
    return descriptorJson({ ...own, annotations });
  });
}

/** Docker writes familiar names here; its `load` reads both. */
function familiarTag(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/(?=[^/]+$))?/, '');
}

function part(path: string, content: Buffer): Part {
  return { path, content, sizeBytes: content.length };
}

const BLOBS_FOLDER = 'blobs/sha256';

function blobPath(hex: string): string {
  return `${BLOBS_FOLDER}/${hex}`;
}

async function* entriesOf(
  parts: readonly Part[],
): AsyncGenerator<{ header: TarHeader; body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> }> {
  for (const path of [dirname(BLOBS_FOLDER), BLOBS_FOLDER])
    yield { header: tarHeader({ type: 'folder', path }), body: [] };
  for (const { path, sizeBytes, content } of parts) {
    const header = tarHeader({ type: 'file', path, sizeBytes, mode: 0o644 });
    yield {
      header,
      body: typeof content === 'string' ? (createReadStream(content) as AsyncIterable<Buffer>) : [content],
    };
  }
}

/** Each file under a name of its own first: nothing is written through a link that stands there. */
async function writeFolder(parts: readonly Part[], { dest }: ArchiveOptions, c: Ctx): Promise<void> {
  const blobs = join(dest, BLOBS_FOLDER);
  await mkdir(blobs, { recursive: true });
  await removeDrafts(blobs);
  for (const { path, content, sizeBytes } of parts) {
    c.signal.throwIfAborted();
    const target = join(dest, path);
    if (typeof content !== 'string') {
      await writeFileAtomic(target, content);
      continue;
    }
    const draft = draftPath(blobs, basename(path));
    try {
      await copyFile(content, draft, constants.COPYFILE_EXCL);
      const { size } = await stat(draft);
      if (size !== sizeBytes) throw new StatusError('Invalid', `"${path}" has ${size} bytes, not ${sizeBytes}`);
      await syncPath(draft);
      await rename(draft, target);
    } finally {
      await rm(draft, { force: true });
    }
  }
}
