/**
 * `POST /images/{name}/push`: one tag, or all of a repository. Mirrors are not pushed to.
 * Source: moby daemon/internal/distribution/{push,push_v2}.go.
 */
import { join } from 'node:path';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import { formatReference, MEDIA_TYPES, parseReference, type Reference, type RemoteRepository } from '#lib/oci';
import type { FinishedImage, FinishedLayer } from '../../../build/node/finish.ts';
import { type PushStep, pushImage } from '../../../build/output/push.ts';
import type { StoredImage } from '../../../images/build-store.ts';
import type { RegistryCredentials } from '../../../images/images.ts';
import type { OpenImages } from '../../../images/open.ts';
import { type ImageRecord, isNameless } from '../../../images/records.ts';
import { notFound } from '../../http/contract.ts';
import type { ImageEvents } from '../events.ts';
import type { ImageLibrary } from '../library.ts';
import { familiar, familiarName, shortId } from '../names.ts';
import type { ProgressStream } from './progress-stream.ts';

export interface PushParts {
  readonly images: OpenImages;
  readonly library: ImageLibrary;
  readonly events: ImageEvents;
  /** Of what became of layers when they were compressed. */
  readonly folder: string;
}

export interface PushRequest {
  readonly reference: Reference;
  readonly allTags: boolean;
  readonly credentials: RegistryCredentials | undefined;
  readonly output: ProgressStream;
}

/** Of repositories that are asked for one layer. */
const MOUNTS_MAX = 3;

export async function pushImages(parts: PushParts, r: PushRequest, c: Ctx): Promise<void> {
  const { host, repository } = r.reference;
  const name = familiarName(r.reference);
  r.output.status(`The push refers to repository [${host}/${repository}]`);
  const records = parts.images.catalog.records().filter((x) => !isNameless(x) && isOf(x, r.reference));
  if (records.length === 0) throw notFound(`An image does not exist locally with the tag: ${name}`);
  const wanted = r.allTags
    ? records.filter((x) => !x.reference.includes('@'))
    : records.filter((x) => x.reference === formatReference(r.reference));
  if (wanted.length === 0)
    throw notFound(r.allTags ? `no tags to push for ${name}` : `tag does not exist: ${familiar(r.reference)}`);
  for (const record of wanted) await pushOne(parts, record, r, c);
  const [first] = wanted;
  const image = first && parts.library.byId(first.id);
  if (image) await parts.events.emit('push', image, { id: r.allTags ? name : familiar(r.reference), name });
}

async function pushOne(parts: PushParts, record: ImageRecord, r: PushRequest, c: Ctx): Promise<void> {
  const { images } = parts;
  const { tag = 'latest' } = parseReference(record.reference);
  const to = await remoteOf(images, r);
  using session = images.builds.session();
  const stored = await session.stored(record.id);
  try {
    const pushed = await pushImage(
      finishedOf(stored, images.catalog.records()),
      {
        to,
        tag,
        folder: join(parts.folder, 'pushed'),
        onLayer: (layer, step) => tell(r.output, layer, step),
        mountFrom: (layer) => repositoriesWith(layer, r.reference, images.catalog.records()),
      },
      c,
    );
    await images.catalog.pushed(record.reference, pushed.digest);
    r.output.status(`${tag}: digest: ${pushed.digest} size: ${pushed.sizeBytes}`);
    r.output.aux({ Tag: tag, Digest: pushed.digest, Size: pushed.sizeBytes });
  } catch (e) {
    throw pushError(e, r.reference);
  }
}

async function remoteOf(images: OpenImages, r: PushRequest): Promise<RemoteRepository> {
  const { host, repository } = r.reference;
  const { client, hosts } = images.registries;
  const own = (await hosts.hostsOf(host)).at(-1);
  if (own !== undefined && !own.capabilities.has('push'))
    throw new StatusError('Invalid', `the settings of registry ${host} do not let it be pushed to`);
  return client.repository(host, repository, { credentials: r.credentials, at: own });
}

/** As it came, when a registry has it so, or nothing of it would be compressed. */
export function finishedOf(stored: StoredImage, records: readonly ImageRecord[]): FinishedImage {
  const { record, config, layers, manifest } = stored;
  const isAtRegistry = records.some(
    (x) =>
      x.manifestDigest === record.manifestDigest &&
      (x.topDigest !== x.manifestDigest || x.registryDigests?.includes(x.manifestDigest) === true),
  );
  const isCompressed = layers.every((l) => l.blob.mediaType !== MEDIA_TYPES.ociLayer);
  return {
    id: record.id,
    references: [record.reference],
    config,
    layers,
    ...(isAtRegistry || isCompressed ? { manifest } : {}),
  };
}

/** Repositories beside this one that got an image with this layer from here, or had it. */
function repositoriesWith(layer: FinishedLayer, r: Reference, records: readonly ImageRecord[]): readonly string[] {
  const isWith = (x: ImageRecord): boolean => x.layers.some((l) => l.digest === layer.blob.digest);
  const isThere = (x: ImageRecord): boolean => !isNameless(x) && (x.registryDigests ?? []).length > 0;
  const names = records.filter((x) => isThere(x) && isWith(x)).map((x) => parseReference(x.reference));
  const others = names.filter((n) => n.host === r.host && n.repository !== r.repository).map((n) => n.repository);
  return [...new Set(others)].slice(0, MOUNTS_MAX);
}

function tell(out: ProgressStream, layer: FinishedLayer, step: PushStep): void {
  const id = shortId(layer.diffId);
  switch (step.phase) {
    case 'waiting':
      out.status('Preparing', id);
      return;
    case 'pushing':
      out.progress('Pushing', id, step.doneBytes, step.totalBytes);
      return;
    case 'pushed':
      out.status('Pushed', id);
      return;
    case 'exists':
      out.status('Layer already exists', id);
      return;
    case 'mounted':
      out.status(`Mounted from ${step.from}`, id);
      return;
  }
}

function isOf(x: ImageRecord, r: Reference): boolean {
  const own = parseReference(x.reference);
  return own.host === r.host && own.repository === r.repository;
}

/** The registry's words, as Docker tells them. */
function pushError(e: unknown, r: Reference): unknown {
  if (!(e instanceof StatusError) || (e.kind !== 'Unauthorized' && e.kind !== 'Forbidden')) return e;
  const words = messageOf(e)
    .replace(`${r.host}/${r.repository}`, '')
    .replace(/^[:@][^ ]* /, '');
  const isTold = /unauthorized|denied/.test(words);
  const kind = e.kind === 'Unauthorized' ? 'unauthorized' : 'denied';
  const message = isTold ? words : `${kind}: requested access to the resource is denied: ${words}`;
  return new StatusError(e.kind, message, { cause: e });
}
