/**
 * From a reference to an image's documents at a registry: index, manifest and config, each verified by digest. The node's
 * settings say where to ask (registries/): mirrors first, in their order; what they cannot give comes from the registry itself.
 */
import { type Ctx, type Digest, parseDigest, StatusError, sha256 } from '#lib/base';
import {
  CONFIG_BYTES_MAX,
  type ConfigFile,
  choosePlatform,
  type DistributionClient,
  formatReference,
  isAnyDigest,
  isMirrorOf,
  LAYERS_MAX,
  localPlatform,
  type Manifest,
  manifestReference,
  type Platform,
  parseConfig,
  parseManifest,
  type Reference,
} from '#lib/oci';
import type { PullOptions } from '../images.ts';
import type { RegistryHosts } from './certs-folder.ts';
import { Sources } from './sources.ts';

export interface RemoteImage {
  readonly sources: Sources;
  readonly topDigest: Digest;
  readonly manifestDigest: Digest;
  readonly manifest: Manifest;
  readonly config: ConfigFile;
  /** Indexes, manifest and config as they came. */
  readonly documents: readonly { readonly digest: Digest; readonly bytes: Buffer }[];
}

export interface RegistryAccess {
  readonly client: DistributionClient;
  readonly hosts: RegistryHosts;
}

/** A mirror is tried once, then the next is. */
const MIRROR_ATTEMPTS = 1;
const INDEX_DEPTH_MAX = 4;

export interface Asked {
  readonly sources: Sources;
  /** Of all credentials that are shown: who brings others is told other things. */
  readonly credentials: Digest;
}

/** Credentials are those for the place that is asked: a mirror gets what pull secrets have under its own name. */
export async function sourcesOf(a: RegistryAccess, ref: Reference, o: PullOptions): Promise<Asked> {
  const hosts = await a.hosts.hostsOf(ref.host);
  const sources = hosts.map((host, i) => {
    const isMirror = i < hosts.length - 1 && isMirrorOf(ref.host, host);
    const credentials = o.credentials?.(isMirror ? new URL(host.url).host : ref.host, ref.repository);
    const attempts = isMirror ? MIRROR_ATTEMPTS : undefined;
    const repository = a.client.repository(ref.host, ref.repository, { at: host, credentials, attempts });
    return { host, repository, credentials };
  });
  return {
    sources: new Sources(sources),
    credentials: sha256(JSON.stringify(sources.map((s) => s.credentials ?? null))),
  };
}

/** The bytes of a document that is on this node; undefined: it is not. */
export type KnownDocument = (digest: Digest) => Promise<Buffer | undefined>;

/**
 * NotFound, Unauthorized, Forbidden and Unavailable with the registry's words; Invalid for documents that are damaged, not of
 * an image, or without a match for `platform` (this machine's). A config that `known` has is not fetched: who was given the manifest may have it.
 */
export async function resolveImage(
  sources: Sources,
  ref: Reference,
  c: Ctx,
  o: { readonly known?: KnownDocument; readonly platform?: Platform } = {},
): Promise<RemoteImage> {
  const documents: { digest: Digest; bytes: Buffer }[] = [];
  let wanted = manifestReference(ref);
  for (let depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
    const reference = wanted;
    const need = isAnyDigest(reference) ? 'pull' : 'resolve';
    const got = await sources.first(need, (r) => r.getManifest(reference, c), c);
    const digest = parseDigest(got.digest);
    documents.push({ digest, bytes: got.bytes });
    const document = parseManifest(got.bytes, got.mediaType);
    if (document.type === 'manifest') return readConfig({ sources, known: o.known }, document, documents, ref, c);
    const platform = o.platform ?? localPlatform();
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

/** The reference, by digest, of what an image has for `platform`. */
export async function pinnedFor(
  a: RegistryAccess,
  ref: Reference,
  o: PullOptions & { readonly platform: Platform },
  c: Ctx,
): Promise<string> {
  const { sources } = await sourcesOf(a, ref, o);
  const { manifestDigest } = await resolveImage(sources, ref, c, { platform: o.platform });
  return formatReference({ host: ref.host, repository: ref.repository, digest: manifestDigest });
}

async function readConfig(
  { sources, known }: { readonly sources: Sources; readonly known: KnownDocument | undefined },
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
  const bytes =
    (await known?.(parseDigest(manifest.config.digest))) ??
    (await sources.first('pull', (r) => r.getBlob(manifest.config, CONFIG_BYTES_MAX, c), c));
  const config = parseConfig(bytes);
  if (config.diffIds.length !== manifest.layers.length)
    throw new StatusError(
      'Invalid',
      `${name} is not a container image: ${manifest.layers.length} layers (config ${manifest.config.mediaType}), but ${config.diffIds.length} diff ids`,
    );
  const all = [...documents, { digest: parseDigest(manifest.config.digest), bytes }];
  return { sources, topDigest: top, manifestDigest: own, manifest, config, documents: all };
}
