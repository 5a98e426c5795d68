/**
 * From a reference to an image's documents at a registry: index, manifest and config, each verified by digest. Mirrors of the
 * registry are asked first, in their order; what they cannot give comes from the registry itself.
 */
import { type Ctx, type Digest, isKind, parseDigest, StatusError } from '#lib/base';
import {
  CONFIG_BYTES_MAX,
  type ConfigFile,
  choosePlatform,
  type DistributionClient,
  formatReference,
  LAYERS_MAX,
  localPlatform,
  type Manifest,
  manifestReference,
  parseConfig,
  parseManifest,
  type Reference,
  type RemoteRepository,
} from '#lib/oci';
import type { PullOptions } from './images.ts';

export interface RemoteImage {
  readonly repository: RemoteRepository;
  readonly topDigest: Digest;
  readonly manifestDigest: Digest;
  readonly manifest: Manifest;
  readonly config: ConfigFile;
  /** Indexes, manifest and config as they came. */
  readonly documents: readonly { readonly digest: Digest; readonly bytes: Buffer }[];
}

export interface RegistryAccess {
  readonly client: DistributionClient;
  /** Base urls to ask first, by registry host. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
}

const INDEX_DEPTH_MAX = 4;

/**
 * NotFound, Unauthorized, Forbidden and Unavailable with the registry's words; Invalid for documents that are damaged, not of
 * an image, or without a match for this machine.
 */
export async function resolveImage(a: RegistryAccess, ref: Reference, o: PullOptions, c: Ctx): Promise<RemoteImage> {
  for (const baseUrl of a.mirrors[ref.host] ?? []) {
    try {
      return await readImage(a.client.repository(ref.host, ref.repository, { baseUrl }), ref, c);
    } catch (err) {
      if (isKind(err, 'Cancelled') || c.signal.aborted) throw err;
      c.log.debug({ err, mirror: baseUrl, image: formatReference(ref) }, 'mirror cannot give the image');
    }
  }
  const credentials = o.credentials?.(ref.host, ref.repository);
  return readImage(a.client.repository(ref.host, ref.repository, { credentials }), ref, c);
}

async function readImage(repository: RemoteRepository, ref: Reference, c: Ctx): Promise<RemoteImage> {
  const documents: { digest: Digest; bytes: Buffer }[] = [];
  let wanted = manifestReference(ref);
  for (let depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
    const got = await repository.getManifest(wanted, c);
    const digest = parseDigest(got.digest);
    documents.push({ digest, bytes: got.bytes });
    const document = parseManifest(got.bytes, got.mediaType);
    if (document.type === 'manifest') return readConfig(repository, document, documents, ref, c);
    const platform = localPlatform();
    const match = choosePlatform(document, platform);
    if (!match)
      throw new StatusError(
        'Invalid',
        `no match for platform ${platform.os}/${platform.architecture} in the manifest list of ${formatReference(ref)}`,
      );
    wanted = match.digest;
  }
  throw new StatusError('Invalid', `${formatReference(ref)} is an index of indexes nested too deeply`);
}

async function readConfig(
  repository: RemoteRepository,
  manifest: Manifest,
  documents: { digest: Digest; bytes: Buffer }[],
  ref: Reference,
  c: Ctx,
): Promise<RemoteImage> {
  const name = formatReference(ref);
  if (manifest.layers.length > LAYERS_MAX)
    throw new StatusError('Invalid', `${name} has ${manifest.layers.length} layers, more than ${LAYERS_MAX}`);
  const top = documents[0]?.digest;
  const own = documents.at(-1)?.digest;
  if (top === undefined || own === undefined) throw new StatusError('Internal', 'an image without a manifest');
  const bytes = await repository.getBlob(manifest.config, CONFIG_BYTES_MAX, c);
  const config = parseConfig(bytes);
  if (config.diffIds.length !== manifest.layers.length)
    throw new StatusError(
      'Invalid',
      `${name} is not a container image: ${manifest.layers.length} layers (config ${manifest.config.mediaType}), but ${config.diffIds.length} diff ids`,
    );
  const all = [...documents, { digest: parseDigest(manifest.config.digest), bytes }];
  return { repository, topDigest: top, manifestDigest: own, manifest, config, documents: all };
}
