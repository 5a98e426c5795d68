/**
 * A built image as files: an OCI image layout, as a folder or in a tar, or Docker's archive, which is the same with a
 * manifest.json that `docker load` reads. Layers are as the node stores them. Equal images give equal bytes.
 * Source: image-spec image-layout.md; moby image/tarexport; docker buildx "oci exporter", "docker exporter".
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Ctx, hexOf, type Random, StatusError, sha256, writeFileAtomic } from '#lib/base';
import { descriptorJson, encodedOf, MEDIA_TYPES, parseReference, type TarHeader, tarHeader, writeTar } from '#lib/oci';
import { manifestOf } from '../../images/built-manifest.ts';
import type { FinishedImage } from '../node/finish.ts';

export interface ArchiveOptions {
  readonly type: 'oci' | 'docker';
  /** A file, or with `tar: false` a folder that is made. */
  readonly dest: string;
  readonly tar: boolean;
}

interface Part {
  readonly path: string;
  readonly sizeBytes: number;
  /** Bytes, or a file that has them. */
  readonly content: Buffer | string;
}

/** What stands at `dest` is replaced only by a whole archive. */
export async function writeArchive(
  image: FinishedImage,
  o: ArchiveOptions & { readonly random: Random },
  c: Ctx,
): Promise<void> {
  const parts = partsOf([image], o.type);
  if (!o.tar) return writeFolder(parts, o.dest, c);
  const draft = join(dirname(o.dest), `.berth-${o.random.hex(8)}`);
  try {
    await pipeline(Readable.from(writeTar(entriesOf(parts))), createWriteStream(draft, { flags: 'wx' }), {
      signal: c.signal,
    });
    await rename(draft, o.dest);
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

function blobPath(hex: string): string {
  return `blobs/sha256/${hex}`;
}

async function* entriesOf(
  parts: readonly Part[],
): AsyncGenerator<{ header: TarHeader; body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> }> {
  for (const path of ['blobs', 'blobs/sha256']) yield { header: tarHeader({ type: 'folder', path }), body: [] };
  for (const { path, sizeBytes, content } of parts) {
    const header = tarHeader({ type: 'file', path, sizeBytes, mode: 0o644 });
    yield {
      header,
      body: typeof content === 'string' ? (createReadStream(content) as AsyncIterable<Buffer>) : [content],
    };
  }
}

async function writeFolder(parts: readonly Part[], dest: string, c: Ctx): Promise<void> {
  await mkdir(join(dest, 'blobs', 'sha256'), { recursive: true });
  for (const { path, content } of parts) {
    c.signal.throwIfAborted();
    if (typeof content === 'string') await copyFile(content, join(dest, path));
    else await writeFileAtomic(join(dest, path), content.toString(), { durable: false });
  }
}

/** `type=oci,dest=app.tar`, `type=docker,dest=app.tar`, `type=oci,tar=false,dest=folder`. Throws Invalid. */
export function parseOutput(text: string): ArchiveOptions {
  const fields = new Map<string, string>();
  for (const field of text.split(',')) {
    const at = field.indexOf('=');
    if (at < 0) throw refused(text, `"${field}" is no key=value`);
    fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }
  const { type, dest, tar = 'true', ...others } = Object.fromEntries(fields);
  if (type !== 'oci' && type !== 'docker')
    throw refused(text, `type ${type ?? '(none)'} is not supported: use oci or docker, or --push for a registry`);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw refused(text, `${unknown} is not supported`);
  if (dest === undefined || dest === '') throw refused(text, 'dest is missing');
  if (dest === '-') throw refused(text, 'dest=- is not supported: name a file');
  if (tar !== 'true' && tar !== 'false') throw refused(text, 'tar is true or false');
  if (tar === 'false' && type === 'docker') throw refused(text, "Docker's archive is a tar");
  return { type, dest, tar: tar === 'true' };
}

function refused(text: string, why: string): StatusError {
  return new StatusError('Invalid', `--output ${text}: ${why}`);
}
