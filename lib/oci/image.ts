/**
 * Image documents: descriptors, manifests, indexes and configs of the OCI and Docker schema 2 media types. Documents come
 * from strangers, so each is read field by field with size limits, and one that could be read as two kinds is refused
 * (CVE-2021-41190). Bytes are never rewritten: a document's digest is that of the bytes as they came.
 * Source: github.com/opencontainers/image-spec {descriptor,manifest,image-index,config}.md.
 */
import { type Digest, hexOf, parseDigest, StatusError, sha256 } from '#lib/base';
import { type AnyDigest, parseAnyDigest } from './digest.ts';
import {
  asArray,
  asObject,
  asSize,
  asString,
  asStringMap,
  asStrings,
  type JsonObject,
  optional,
  parseJsonObject,
} from './json.ts';

export const MEDIA_TYPES = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerManifestV1: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

/** Largest manifest or index taken, as the distribution spec recommends. */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
export const CONFIG_BYTES_MAX = 8 * 1024 * 1024;
/** overlayfs takes 500 lower folders; two stay in reserve. */
export const LAYERS_MAX = 498;
const INDEX_ENTRIES_MAX = 10_000;

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: AnyDigest;
  readonly sizeBytes: number;
  readonly platform?: Platform | undefined;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly urls?: readonly string[] | undefined;
}

export interface Manifest {
  readonly type: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Base first. */
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export interface Index {
  readonly type: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** The parts of an image config that running needs; unknown fields stay in the bytes. */
export interface ConfigFile {
  readonly platform: Platform;
  /** sha256 of each uncompressed layer, base first. */
  readonly diffIds: readonly Digest[];
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly stopSignal: string;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPES.ociIndex || mediaType === MEDIA_TYPES.dockerIndex;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPES.ociManifest || mediaType === MEDIA_TYPES.dockerManifest;
}

/** Layers that registries need not hold (image-spec layer.md#non-distributable-layers; Docker's foreign layers). */
export function isNonDistributable(mediaType: string): boolean {
  return mediaType.includes('.nondistributable.') || mediaType.includes('.foreign.');
}

/**
 * Reads a manifest or index. `contentType` is the transport's type; the document's own mediaType must agree when both are
 * there. Throws Invalid; Unimplemented for Docker's schema 1.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest | Index {
  if (bytes.length > MANIFEST_BYTES_MAX)
    throw new StatusError('TooLarge', `manifest of ${bytes.length} bytes is above the limit of ${MANIFEST_BYTES_MAX}`);
  const doc = parseJsonObject(bytes, 'manifest');
  const declared = contentType?.split(';')[0]?.trim().toLowerCase() || undefined;
  if (doc['schemaVersion'] === 1 || declared === MEDIA_TYPES.dockerManifestV1)
    throw new StatusError('Unimplemented', 'Docker image manifest schema 1 is not supported: push the image again');
  if (doc['schemaVersion'] !== 2) throw new StatusError('Invalid', 'manifest.schemaVersion is not 2');
  const own = optional(doc['mediaType'], asString, 'manifest.mediaType');
  const mediaType = own ?? (isIndexType(declared ?? '') || isManifestType(declared ?? '') ? declared : guessType(doc));
  if (mediaType === undefined) throw new StatusError('Invalid', 'the manifest says no media type');
  if (own !== undefined && declared !== undefined && isKnownType(declared) && own !== declared)
    throw new StatusError('Invalid', `manifest.mediaType is ${own}, but it was sent as ${declared}`);
  return isIndexType(mediaType) ? readIndex(doc, mediaType) : readManifest(doc, mediaType);
}

export function parseConfig(bytes: Uint8Array): ConfigFile {
  const doc = parseJsonObject(bytes, 'image config');
  const run = optional(doc['config'], asObject, 'config.config') ?? {};
  const rootfs = optional(doc['rootfs'], asObject, 'config.rootfs') ?? {};
  const text = (v: unknown, what: string): string => optional(v, asString, what) ?? '';
  const list = (v: unknown, what: string): readonly string[] => optional(v, asStrings, what) ?? [];
  const keys = (v: unknown, what: string): readonly string[] => Object.keys(optional(v, asObject, what) ?? {}).sort();
  return {
    platform: readPlatform(doc, 'config'),
    diffIds: list(rootfs['diff_ids'], 'config.rootfs.diff_ids').map(parseDigest),
    user: text(run['User'], 'config.User'),
    env: list(run['Env'], 'config.Env'),
    entrypoint: list(run['Entrypoint'], 'config.Entrypoint'),
    cmd: list(run['Cmd'], 'config.Cmd'),
    workingDir: text(run['WorkingDir'], 'config.WorkingDir'),
    stopSignal: text(run['StopSignal'], 'config.StopSignal'),
    volumes: keys(run['Volumes'], 'config.Volumes'),
    exposedPorts: keys(run['ExposedPorts'], 'config.ExposedPorts'),
    labels: optional(run['Labels'], asStringMap, 'config.Labels') ?? {},
  };
}

export function parseDescriptor(value: unknown, what: string): Descriptor {
  const d = asObject(value, what);
  return {
    mediaType: asString(d['mediaType'], `${what}.mediaType`),
    digest: parseAnyDigest(asString(d['digest'], `${what}.digest`)),
    sizeBytes: asSize(d['size'], `${what}.size`),
    platform: optional(d['platform'], (v, w) => readPlatform(asObject(v, w), w), `${what}.platform`),
    artifactType: optional(d['artifactType'], asString, `${what}.artifactType`),
    annotations: optional(d['annotations'], asStringMap, `${what}.annotations`),
    urls: optional(d['urls'], asStrings, `${what}.urls`),
  };
}

/** The wire form of a descriptor: fields in the order of the spec, absent ones left out. */
export function descriptorJson(d: Descriptor): object {
  return {
    mediaType: d.mediaType,
    digest: d.digest,
    size: d.sizeBytes,
    ...(d.urls && { urls: d.urls }),
    ...(d.annotations && { annotations: d.annotations }),
    ...(d.artifactType && { artifactType: d.artifactType }),
    ...(d.platform && { platform: d.platform }),
  };
}

/** This machine as an image platform. */
export function localPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
  return { os: 'linux', architecture: names[process.arch] ?? process.arch };
}

/** The first entry that runs on `wanted`; attestations (unknown/unknown) and entries without a platform never match. */
export function choosePlatform(index: Index, wanted: Platform): Descriptor | undefined {
  const variants = variantsOf(wanted);
  for (const variant of variants) {
    const found = index.manifests.find(
      (m) =>
        (isManifestType(m.mediaType) || isIndexType(m.mediaType)) &&
        m.platform?.os === wanted.os &&
        m.platform.architecture === wanted.architecture &&
        (variant === undefined || normalVariant(m.platform) === variant),
    );
    if (found) return found;
  }
  return undefined;
}

/** ChainID of each layer, base first (image-spec config.md#layer-chainid). */
export function chainIds(diffIds: readonly Digest[]): readonly Digest[] {
  const out: Digest[] = [];
  for (const diff of diffIds) {
    const parent = out.at(-1);
    out.push(parent === undefined ? diff : sha256(`${parent} sha256:${hexOf(diff)}`));
  }
  return out;
}

function readIndex(doc: JsonObject, mediaType: string): Index {
  if ('layers' in doc || 'fsLayers' in doc || 'config' in doc)
    throw new StatusError('Invalid', 'the index also has fields of a manifest (config or layers)');
  const manifests = asArray(doc['manifests'], 'index.manifests');
  if (manifests.length > INDEX_ENTRIES_MAX) throw new StatusError('Invalid', 'the index has too many entries');
  return {
    type: 'index',
    mediaType,
    manifests: manifests.map((m, i) => parseDescriptor(m, `index.manifests[${i}]`)),
    ...readCommon(doc),
  };
}

function readManifest(doc: JsonObject, mediaType: string): Manifest {
  if ('manifests' in doc || 'fsLayers' in doc)
    throw new StatusError('Invalid', 'the manifest also has fields of an index (manifests)');
  const layers = asArray(doc['layers'], 'manifest.layers');
  return {
    type: 'manifest',
    mediaType,
    config: parseDescriptor(doc['config'], 'manifest.config'),
    layers: layers.map((l, i) => parseDescriptor(l, `manifest.layers[${i}]`)),
    ...readCommon(doc),
  };
}

function readCommon(doc: JsonObject): Pick<Manifest, 'subject' | 'artifactType' | 'annotations'> {
  return {
    subject: optional(doc['subject'], parseDescriptor, 'manifest.subject'),
    artifactType: optional(doc['artifactType'], asString, 'manifest.artifactType'),
    annotations: optional(doc['annotations'], asStringMap, 'manifest.annotations'),
  };
}

function readPlatform(o: JsonObject, what: string): Platform {
  return {
    os: optional(o['os'], asString, `${what}.os`) ?? '',
    architecture: optional(o['architecture'], asString, `${what}.architecture`) ?? '',
    variant: optional(o['variant'], asString, `${what}.variant`) || undefined,
  };
}

function guessType(doc: JsonObject): string | undefined {
  if ('manifests' in doc) return MEDIA_TYPES.ociIndex;
  return 'config' in doc || 'layers' in doc ? MEDIA_TYPES.ociManifest : undefined;
}

function isKnownType(mediaType: string): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType);
}

/** What an absent variant means: every machine of the architecture runs it. */
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

function normalVariant(p: Platform): string | undefined {
  if (p.variant !== undefined) return p.variant;
  return DEFAULT_VARIANTS[p.architecture];
}

/** What runs on `p`, best first; undefined = any. */
function variantsOf(p: Platform): readonly (string | undefined)[] {
  if (p.architecture === 'arm') {
    const all = ['v8', 'v7', 'v6', 'v5'];
    return all.slice(Math.max(all.indexOf(p.variant ?? 'v7'), 0));
  }
  return [p.variant ?? DEFAULT_VARIANTS[p.architecture], undefined];
}
