/**
 * What images an archive holds: by Docker's manifest.json, else by the index of an OCI layout.
 * Source: moby daemon/internal/image/tarexport (manifestItem); image-spec image-layout.md; containerd's annotations of names.
 */
import { type Digest, parseDigest } from '#lib/base';
import {
  algorithmOf,
  asArray,
  asObject,
  asString,
  asStrings,
  choosePlatform,
  type Descriptor,
  encodedOf,
  isIndexType,
  LAYERS_MAX,
  localPlatform,
  MANIFEST_BYTES_MAX,
  optional,
  parseManifest,
} from '#lib/oci';
import { invalid, type Spool } from './spool.ts';

export interface ArchivedImage {
  /** Names in the archive. */
  readonly config: string;
  /** Base first. */
  readonly layers: readonly string[];
  readonly names: readonly string[];
  readonly manifest?: { readonly bytes: Buffer; readonly layers: readonly Descriptor[] } | undefined;
}

const DEPTH_MAX = 4;
const IMAGES_MAX = 1_000;
const NAME = 'io.containerd.image.name';
const REF_NAME = 'org.opencontainers.image.ref.name';

export async function imagesIn(spool: Spool): Promise<readonly ArchivedImage[]> {
  const ofLayout = await fromLayout(spool);
  const docker = await spool.document('manifest.json', MANIFEST_BYTES_MAX);
  if (docker === undefined) {
    if (ofLayout === undefined) throw invalid('does not contain a manifest.json');
    return ofLayout;
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(docker.toString('utf8'));
  } catch (e) {
    throw invalid(`failed to decode manifest.json: ${e instanceof Error ? e.message : String(e)}`);
  }
  const items = asArray(parsed, 'manifest.json');
  if (items.length > IMAGES_MAX) throw invalid(`it has more than ${IMAGES_MAX} images`);
  return items.map((value, i) => {
    const item = asObject(value, `manifest.json[${i}]`);
    const image = {
      config: asString(item['Config'], `manifest.json[${i}].Config`),
      layers: optional(item['Layers'], asStrings, `manifest.json[${i}].Layers`) ?? [],
      names: optional(item['RepoTags'], asStrings, `manifest.json[${i}].RepoTags`) ?? [],
    };
    if (image.layers.length > LAYERS_MAX) throw invalid(`an image has more than ${LAYERS_MAX} layers`);
    const same = ofLayout?.find((o) => o.config === image.config && o.layers.join() === image.layers.join());
    return { ...image, manifest: same?.manifest };
  });
}

/** undefined: it is no layout. */
async function fromLayout(spool: Spool): Promise<readonly ArchivedImage[] | undefined> {
  const index = await spool.document('index.json', MANIFEST_BYTES_MAX);
  if (index === undefined || spool.find('oci-layout') === undefined) return undefined;
  const top = parseManifest(index, undefined);
  if (top.type !== 'index') throw invalid('index.json is no index');
  const out = new Map<string, ArchivedImage>();
  for (const d of top.manifests.slice(0, IMAGES_MAX)) {
    const image = await imageOf(spool, d, 0);
    if (image === undefined) continue;
    const names = [...(out.get(image.config)?.names ?? []), ...namesOf(d)];
    out.set(image.config, { ...image, names });
  }
  return [...out.values()];
}

/** undefined: an attestation, or for other platforms alone. */
async function imageOf(spool: Spool, d: Descriptor, depth: number): Promise<ArchivedImage | undefined> {
  if (depth > DEPTH_MAX) throw invalid('indexes are nested too deeply');
  const name = blobName(d);
  const file = spool.find(name);
  const bytes = await spool.document(name, MANIFEST_BYTES_MAX);
  if (file === undefined || bytes === undefined) return undefined;
  if (algorithmOf(d.digest) !== 'sha256' || file.digest !== d.digest)
    throw invalid(`${name} is not what its digest says`);
  const document = parseManifest(bytes, d.mediaType);
  if (document.type === 'index') {
    const chosen = choosePlatform(document, localPlatform());
    return chosen && imageOf(spool, chosen, depth + 1);
  }
  if (isIndexType(document.config.mediaType) || d.platform?.os === 'unknown') return undefined;
  return {
    config: blobName(document.config),
    layers: document.layers.map(blobName),
    names: [],
    manifest: { bytes, layers: document.layers },
  };
}

function namesOf(d: Descriptor): readonly string[] {
  const full = d.annotations?.[NAME];
  if (full !== undefined) return [full];
  const ref = d.annotations?.[REF_NAME];
  /* A mere tag names nothing. */
  return ref !== undefined && /[:/]/.test(ref) ? [ref] : [];
}

function blobName(d: Pick<Descriptor, 'digest'>): string {
  return `blobs/${algorithmOf(d.digest)}/${encodedOf(d.digest)}`;
}

/** The digest that a blob's name promises. */
export function promisedDigest(name: string): Digest | undefined {
  const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
  return hex === undefined ? undefined : parseDigest(`sha256:${hex}`);
}
