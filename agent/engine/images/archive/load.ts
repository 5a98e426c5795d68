/**
 * `POST /images/load`: Docker's archives, old and new, and OCI layouts in a tar. The whole is read before anything is made of it;
 * layers go in as they are, verified by their diff ids; an image is told of when it is on disk.
 * Source: moby daemon/internal/image/tarexport/load.go.
 */
import type { Readable } from 'node:stream';
import { type Ctx, type Digest, type Random, StatusError } from '#lib/base';
import { CONFIG_BYTES_MAX, formatReference, localPlatform, parseConfig, type Reference } from '#lib/oci';
import type { BuildSession, BuiltLayer } from '../../../images/build-store.ts';
import type { OpenImages } from '../../../images/open.ts';
import { isPlatform } from '../../../images/platform.ts';
import type { Kernel } from '../../../kernel/kernel.ts';
import { badParameter } from '../../http/contract.ts';
import type { ImageEvents } from '../events.ts';
import type { ImageLibrary } from '../library.ts';
import { familiar, isNameOnly, referenceOf, shortId } from '../names.ts';
import type { ProgressStream } from '../transfer/progress-stream.ts';
import { type ArchivedImage, imagesIn, promisedDigest } from './manifests.ts';
import { openArchive } from './open-archive.ts';
import { invalid, layerBlob, Spool } from './spool.ts';

export interface ArchiveParts {
  readonly images: OpenImages;
  readonly library: ImageLibrary;
  readonly events: ImageEvents;
  readonly kernel: Kernel;
  readonly random: Random;
}

export interface LoadRequest {
  readonly body: Readable;
  readonly isQuiet: boolean;
  /** '' = any. */
  readonly platform: string;
  /** Begun at the first call, when the body has been read. */
  readonly output: () => ProgressStream;
}

export async function loadImages(parts: ArchiveParts, r: LoadRequest, c: Ctx): Promise<void> {
  using session = parts.images.builds.session();
  const draft = (): string => session.draft();
  await using archive = await openArchive(r.body, { kernel: parts.kernel, draft }, c);
  await using spool = await Spool.read(archive.bytes, draft, c);
  const loaded: Digest[] = [];
  let names = 0;
  for (const image of await imagesIn(spool)) {
    const id = await loadOne(parts, { image, spool, session }, r, c);
    if (id === undefined) continue;
    loaded.push(id);
    names += image.names.length;
  }
  if (loaded.length === 0 && r.platform !== '')
    throw badParameter(`no suitable image for platform ${r.platform} in the archive`);
  if (names === 0) r.output().stream(loaded.map((id) => `Loaded image ID: ${id}\n`).join(''));
}

interface Source {
  readonly image: ArchivedImage;
  readonly spool: Spool;
  readonly session: BuildSession;
}

/** undefined: of another platform than was asked for. */
async function loadOne(parts: ArchiveParts, s: Source, r: LoadRequest, c: Ctx): Promise<Digest | undefined> {
  const { image, spool, session } = s;
  const config = await spool.document(image.config, CONFIG_BYTES_MAX);
  if (config === undefined) throw invalid(`${image.config} is not in it`);
  const own = spool.find(image.config)?.digest;
  const promised = promisedDigest(image.config);
  if (promised !== undefined && promised !== own) throw invalid(`${image.config} is not what its digest says`);
  const { diffIds, platform } = parseConfig(config);
  if (platform.os !== '' && platform.os !== 'linux') throw badParameter(`cannot load ${platform.os} image on linux`);
  if (r.platform !== '' && !isPlatform(r.platform, { ...localPlatform(), ...platform })) return undefined;
  if (diffIds.length !== image.layers.length)
    throw badParameter(
      `invalid manifest, layers length mismatch: expected ${image.layers.length}, got ${diffIds.length}`,
    );
  const references = image.names.map(taggedOf);
  const layers = await loadLayers(s, diffIds, r, c);
  for (const name of references) tellOfBefore(parts, name, own, r);
  const { id } = await session.putImage(
    { references: references.map(formatReference), config, layers, manifest: image.manifest?.bytes },
    c,
  );
  for (const name of references) r.output().stream(`Loaded image: ${familiar(name)}\n`);
  const found = parts.library.byId(id);
  if (found) await parts.events.emit('load', found);
  return id;
}

async function loadLayers(
  { image, spool, session }: Source,
  diffIds: readonly Digest[],
  r: LoadRequest,
  c: Ctx,
): Promise<readonly BuiltLayer[]> {
  const layers: BuiltLayer[] = [];
  for (const [i, diffId] of diffIds.entries()) {
    const name = image.layers[i] ?? '';
    const file = spool.find(name);
    if (file === undefined) throw invalid(`layer ${name} is not in it`);
    const told = image.manifest?.layers[i];
    const promised = promisedDigest(name);
    if (promised !== undefined && promised !== file.digest) throw invalid(`${name} is not what its digest says`);
    if (!r.isQuiet) r.output().progress('Loading layer', shortId(diffId), 0, file.sizeBytes);
    const blob = told?.digest === file.digest ? told : layerBlob(file);
    try {
      layers.push(await session.adoptLayer(layers, { draft: file.path, blob, diffId }, c));
    } catch (e) {
      if (!(e instanceof StatusError) || e.reason !== 'DigestMismatch') throw e;
      throw badParameter(`invalid diffID for layer ${i}: expected "${diffId}": ${e.message}`);
    }
    if (!r.isQuiet) r.output().progress('Loading layer', shortId(diffId), file.sizeBytes, file.sizeBytes);
  }
  return layers;
}

function taggedOf(name: string): Reference {
  const reference = referenceOf(name);
  if (isNameOnly(name) || reference.digest !== undefined) throw badParameter(`invalid tag "${name}"`);
  return reference;
}

function tellOfBefore(parts: ArchiveParts, name: Reference, id: Digest | undefined, r: LoadRequest): void {
  const before = parts.images.catalog.record(formatReference(name));
  if (before === undefined || before.id === id) return;
  r.output().stream(
    `The image ${familiar(name)} already exists, renaming the old one with ID ${before.id} to empty string\n`,
  );
}
