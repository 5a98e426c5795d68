/**
 * `GET /images/json`, `GET /images/{name}/json`, `GET /images/{name}/history`.
 * Source: moby api/docs/v1.51.yaml; daemon/images/image_{list,inspect,history}.go; daemon/server/router/image.
 */
import { type Digest, timeText } from '#lib/base';
import { asObject, chainIds, parseReference } from '#lib/oci';
import { isNameless } from '../../images/records.ts';
import type { Filters } from '../http/filters.ts';
import { timestampOf } from '../http/timestamps.ts';
import type { ReadDocument } from './document.ts';
import { Glob } from './glob.ts';
import { type ImageLibrary, type LibraryImage, repoDigests, repoTags } from './library.ts';
import { familiarName, familiarText } from './names.ts';

export const LIST_FILTERS = ['before', 'dangling', 'label', 'reference', 'since', 'until'];

export interface Sizes {
  /** Unpacked, by chain id. */
  readonly layers: ReadonlyMap<Digest, number>;
}

export interface ListOptions extends Sizes {
  readonly filters: Filters;
  /** One more reference to match. */
  readonly pattern?: string | undefined;
  readonly version: number;
  readonly sharedSize: boolean;
  readonly manifests: boolean;
  readonly nowMs: number;
  /** How many of the engine's containers were made of it. */
  readonly containersOf: (id: Digest) => number;
}

interface Listed {
  readonly image: LibraryImage;
  readonly read: ReadDocument;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
}

/** Newest first. */
export async function listImages(library: ImageLibrary, o: ListOptions): Promise<readonly object[]> {
  const all = library.all();
  const isInTime = await timeFilter(library, o);
  const asked = o.pattern === undefined || o.pattern === '' ? [] : [o.pattern];
  const patterns = [...o.filters.get('reference'), ...asked].map((p) => new Glob(p));
  const dangling = o.filters.bool('dangling');
  const listed: Listed[] = [];
  for (const image of all) {
    const read = await library.document(image);
    if (!isInTime(read.document.createdAtMs) || !o.filters.hasLabels(read.document.config.Labels ?? {})) continue;
    const shown = patterns.length === 0 ? image : referencesOf(image, patterns);
    const [tags, digests] = [repoTags(shown), repoDigests(shown)];
    if (patterns.length > 0 && tags.length + digests.length === 0) continue;
    if (dangling !== undefined && dangling !== (repoTags(image).length === 0)) continue;
    listed.push({ image, read, tags, digests });
  }
  const shared = o.sharedSize ? sharedLayers(all) : undefined;
  const newest = (a: Listed, b: Listed): number =>
    b.read.document.createdAtMs - a.read.document.createdAtMs || (a.image.id < b.image.id ? -1 : 1);
  return listed.sort(newest).map((l) => summaryOf(l, shared, o));
}

function summaryOf(l: Listed, shared: ReadonlySet<Digest> | undefined, o: ListOptions): object {
  const { image, read, tags, digests } = l;
  const size = sizeOf(image, o.layers);
  const chain = chainOf(image);
  const sum = (ids: readonly Digest[]): number => ids.reduce((n, id) => n + (o.layers.get(id) ?? 0), 0);
  const isFake = o.version < 43 && tags.length === 0 && digests.length === 0;
  const containers = o.version < 51 ? -1 : o.containersOf(image.id);
  return {
    Containers: containers,
    Created: Math.floor(read.document.createdAtMs / 1000),
    Id: image.id,
    Labels: read.document.config.Labels ?? null,
    ParentId: '',
    ...(o.manifests && o.version >= 47 ? { Manifests: [manifestSummary(image, read, size)] } : {}),
    RepoDigests: isFake ? ['<none>@<none>'] : digests,
    RepoTags: isFake ? ['<none>:<none>'] : tags,
    SharedSize: shared === undefined ? -1 : sum(chain.filter((id) => shared.has(id))),
    Size: size,
    ...(o.version < 44 ? { VirtualSize: size } : {}),
  };
}

/** An image of this store is for one platform. Source: api/types/image/manifest.go. */
function manifestSummary(image: LibraryImage, { document }: ReadDocument, size: number): object {
  const [record] = image.records;
  const content = record?.sizeBytes ?? 0;
  const digest = record?.manifestDigest ?? image.id;
  return {
    ID: digest,
    Descriptor: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: content },
    Available: true,
    Size: { Content: content, Total: content + size },
    Kind: 'image',
    ImageData: {
      Platform: {
        architecture: document.architecture,
        os: document.os,
        ...(document.variant === '' ? {} : { variant: document.variant }),
      },
      Containers: [],
      Size: { Unpacked: size },
    },
  };
}

async function timeFilter(library: ImageLibrary, o: ListOptions): Promise<(createdAtMs: number) => boolean> {
  const created = async (text: string): Promise<number> =>
    (await library.document(library.find(text))).document.createdAtMs;
  const before: number[] = [];
  for (const text of o.filters.get('before')) before.push(await created(text));
  for (const text of o.filters.get('until')) before.push(timestampOf(text, o.nowMs));
  const since: number[] = [];
  for (const text of o.filters.get('since')) since.push(await created(text));
  return (ms) => before.every((b) => ms < b) && since.every((s) => ms > s);
}

/** The image with those of its names that fit one of the patterns, in their familiar or full form, with or without tag. */
function referencesOf(image: LibraryImage, patterns: readonly Glob[]): LibraryImage {
  const records = image.records.filter((r) => {
    if (isNameless(r)) return false;
    const ref = parseReference(r.reference);
    const forms = [familiarText(r.reference), familiarName(ref), r.reference, `${ref.host}/${ref.repository}`];
    return patterns.some((p) => forms.some((form) => p.matches(form)));
  });
  return { id: image.id, records };
}

function sharedLayers(all: readonly LibraryImage[]): ReadonlySet<Digest> {
  const counts = new Map<Digest, number>();
  for (const image of all) for (const id of new Set(chainOf(image))) counts.set(id, (counts.get(id) ?? 0) + 1);
  return new Set([...counts].filter(([, n]) => n > 1).map(([id]) => id));
}

function chainOf(image: LibraryImage): readonly Digest[] {
  return image.records[0]?.layers.map((l) => l.chainId) ?? [];
}

/** Unpacked, as Docker counts. */
export function sizeOf(image: LibraryImage, layers: ReadonlyMap<Digest, number>): number {
  return chainOf(image).reduce((n, id) => n + (layers.get(id) ?? 0), 0);
}

const ZERO_TIME = '0001-01-01T00:00:00Z';

export function inspectImage(
  image: LibraryImage,
  { document, raw }: ReadDocument,
  o: Sizes & { readonly version: number },
): object {
  const size = sizeOf(image, o.layers);
  const created = typeof raw['created'] === 'string' ? raw['created'] : '';
  const taggedAtMs = Math.max(0, ...image.records.map((r) => r.taggedAtMs ?? 0));
  const text = (key: string): string => (typeof raw[key] === 'string' ? raw[key] : '');
  return {
    Id: image.id,
    RepoTags: repoTags(image),
    RepoDigests: repoDigests(image),
    Parent: '',
    Comment: text('comment') || (document.history.at(-1)?.comment ?? ''),
    ...(created === '' && o.version >= 44 ? {} : { Created: created === '' ? ZERO_TIME : created }),
    ...(o.version < 45 ? { Container: '', ContainerConfig: configAnswer({}, 49) } : {}),
    DockerVersion: text('docker_version'),
    Author: document.author,
    Config: configAnswer(asObject(raw['config'] ?? {}, 'config'), o.version),
    Architecture: document.architecture,
    ...(document.variant === '' ? {} : { Variant: document.variant }),
    Os: document.os,
    ...(text('os.version') === '' ? {} : { OsVersion: text('os.version') }),
    Size: size,
    ...(o.version < 44 ? { VirtualSize: size } : {}),
    GraphDriver: { Data: null, Name: 'overlayfs' },
    RootFS: { Type: 'layers', ...(document.diffIds.length === 0 ? {} : { Layers: document.diffIds }) },
    Metadata: { LastTagTime: taggedAtMs === 0 ? ZERO_TIME : timeText(taggedAtMs) },
  };
}

/** What the image says, with the fields that clients of that version expect to be there. Source: inspect_response.go. */
function configAnswer(config: Readonly<Record<string, unknown>>, version: number): object {
  const always = { Cmd: null, Entrypoint: null, Env: null, Labels: null, OnBuild: null, User: '', Volumes: null };
  const old = {
    ...{ AttachStderr: false, AttachStdin: false, AttachStdout: false, Domainname: '', Hostname: '', Image: '' },
    ...{ OpenStdin: false, StdinOnce: false, Tty: false },
  };
  return { ...(version < 50 ? old : {}), ...always, WorkingDir: '', ...config };
}

/** Newest first. Source: image_history.go. */
export function historyOf(image: LibraryImage, { document }: ReadDocument, o: Sizes): readonly object[] {
  const chain = chainIds(document.diffIds);
  let layer = 0;
  const steps = document.history.map((h) => {
    const id = h.isEmptyLayer ? undefined : chain[layer++];
    return {
      Comment: h.comment,
      Created: Math.floor(h.createdAtMs / 1000),
      CreatedBy: h.createdBy,
      Size: id === undefined ? 0 : (o.layers.get(id) ?? 0),
    };
  });
  const tags = repoTags(image);
  return steps.reverse().map((step, i) => ({
    Id: i === 0 ? image.id : '<missing>',
    Tags: i === 0 && tags.length > 0 ? tags : null,
    ...step,
  }));
}
