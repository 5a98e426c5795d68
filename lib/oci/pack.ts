/**
 * Packs files into a one-layer OCI image, deterministically: the same input gives the same digests on every machine. The
 * layer is stored uncompressed, because gzip's bytes differ between zlib versions.
 */
import { type Ctx, type Digest, StatusError, sha256, timeText } from '#lib/base';
import type { RemoteRepository } from './distribution.ts';
import { localPlatform, MEDIA_TYPES } from './image.ts';
import { tarBytes, tarHeader } from './tar.ts';
import type { TarHeader } from './tar-header.ts';

export type PackEntry =
  | { readonly type: 'file'; readonly path: string; readonly data: Uint8Array; readonly mode?: number }
  | { readonly type: 'folder'; readonly path: string; readonly mode?: number }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | { readonly type: 'hardlink'; readonly path: string; readonly target: string };

export interface PackOptions {
  /** Paths without a leading slash; parents are added; any order. Owner is 0:0, times are `createdMs`. */
  readonly entries: readonly PackEntry[];
  readonly config: {
    readonly user?: string;
    readonly env?: readonly string[];
    readonly entrypoint?: readonly string[];
    readonly cmd?: readonly string[];
    readonly workingDir?: string;
    /** `8080/tcp` */
    readonly exposedPorts?: readonly string[];
    readonly labels?: Readonly<Record<string, string>>;
    readonly stopSignal?: string;
    readonly volumes?: readonly string[];
  };
  /** Default: this machine's. */
  readonly architecture?: string;
  /** Wall time written everywhere. Default 0 (1970). */
  readonly createdMs?: number;
}

/** Blobs by digest; the manifest is one of them. */
export interface PackedImage {
  readonly manifestDigest: Digest;
  readonly manifestMediaType: string;
  readonly configDigest: Digest;
  /** In the order in which they must be pushed: the manifest last. */
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
}

/** Throws BadRequest for two entries of one path, an absolute path or one with `..`. */
export async function packImage(o: PackOptions): Promise<PackedImage> {
  const layer = await tarBytes(layerEntries(o.entries, BigInt(o.createdMs ?? 0) * 1_000_000n));
  const layerDigest = sha256(layer);
  const config = encode({
    created: timeText(o.createdMs ?? 0),
    architecture: o.architecture ?? localPlatform().architecture,
    os: 'linux',
    config: runConfig(o.config),
    rootfs: { type: 'layers', diff_ids: [layerDigest] },
    history: [{ created: timeText(o.createdMs ?? 0), created_by: 'berth pack' }],
  });
  const configDigest = sha256(config);
  const manifest = encode({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size: config.length },
    layers: [{ mediaType: MEDIA_TYPES.ociLayer, digest: layerDigest, size: layer.length }],
  });
  const manifestDigest = sha256(manifest);
  return {
    manifestDigest,
    manifestMediaType: MEDIA_TYPES.ociManifest,
    configDigest,
    blobs: new Map<Digest, Uint8Array>([
      [layerDigest, layer],
      [configDigest, config],
      [manifestDigest, manifest],
    ]),
  };
}

/** Pushes a packed image by the distribution protocol under `tag`. Idempotent: what is there is not sent again. */
export async function pushPacked(to: RemoteRepository, tag: string, image: PackedImage, c: Ctx): Promise<void> {
  const blobs = [...image.blobs].filter(([digest]) => digest !== image.manifestDigest);
  await Promise.all(blobs.map(([digest, bytes]) => to.pushBlob({ digest, sizeBytes: bytes.length }, bytes, {}, c)));
  const manifest = image.blobs.get(image.manifestDigest);
  if (manifest) await to.putManifest(tag, image.manifestMediaType, manifest, c);
}

/** Sorted by path, which also puts a folder before what it holds; hardlinks last, behind their targets. */
function layerEntries(entries: readonly PackEntry[], mtimeNs: bigint): { header: TarHeader; data: Uint8Array }[] {
  const byPath = new Map<string, PackEntry>();
  for (const e of entries) {
    if (e.path === '' || e.path.startsWith('/') || e.path.split('/').some((s) => s === '' || s === '.' || s === '..'))
      throw new StatusError('BadRequest', `"${e.path}" is not a plain relative path`);
    if (byPath.has(e.path)) throw new StatusError('BadRequest', `two entries are named "${e.path}"`);
    byPath.set(e.path, e);
  }
  for (const path of [...byPath.keys()]) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      if (!byPath.has(parent)) byPath.set(parent, { type: 'folder', path: parent });
    }
  }
  const order = (e: PackEntry): number => (e.type === 'hardlink' ? 1 : 0);
  return [...byPath.values()]
    .sort((a, b) => order(a) - order(b) || (a.path < b.path ? -1 : 1))
    .map((e) => layerEntry(e, mtimeNs));
}

function layerEntry(e: PackEntry, mtimeNs: bigint): { header: TarHeader; data: Uint8Array } {
  switch (e.type) {
    case 'file':
      return {
        header: tarHeader({ type: e.type, path: e.path, mode: e.mode ?? 0o644, sizeBytes: e.data.length, mtimeNs }),
        data: e.data,
      };
    case 'folder':
      return { header: tarHeader({ type: e.type, path: e.path, mode: e.mode ?? 0o755, mtimeNs }), data: EMPTY };
    case 'symlink':
    case 'hardlink':
      return { header: tarHeader({ type: e.type, path: e.path, linkPath: e.target, mtimeNs }), data: EMPTY };
  }
}

const EMPTY = new Uint8Array(0);

function runConfig(c: PackOptions['config']): object {
  const set = (keys: readonly string[]): object => Object.fromEntries([...keys].sort().map((k) => [k, {}]));
  return {
    ...(c.user && { User: c.user }),
    ...(c.exposedPorts && { ExposedPorts: set(c.exposedPorts) }),
    ...(c.env && { Env: c.env }),
    ...(c.entrypoint && { Entrypoint: c.entrypoint }),
    ...(c.cmd && { Cmd: c.cmd }),
    ...(c.workingDir && { WorkingDir: c.workingDir }),
    ...(c.labels && { Labels: Object.fromEntries(Object.entries(c.labels).sort()) }),
    ...(c.stopSignal && { StopSignal: c.stopSignal }),
    ...(c.volumes && { Volumes: set(c.volumes) }),
  };
}

function encode(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}
