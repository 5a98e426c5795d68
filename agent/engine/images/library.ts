/**
 * The node's images as Docker sees them: one for each id, with the names that stand for it.
 * Lookup: full id, name, then the prefix of an id that is one's alone. Source: moby daemon/images/image.go (GetImage).
 */
import { type Ctx, type Digest, isDigest } from '#lib/base';
import { CONFIG_BYTES_MAX, formatReference, parseReference } from '#lib/oci';
import type { ImageCatalog } from '../../images/catalog.ts';
import { imageOf } from '../../images/node-images.ts';
import { type ImageRecord, isNameless } from '../../images/records.ts';
import { badParameter, notFound } from '../http/contract.ts';
import type { EngineImage } from '../parts.ts';
import { type ReadDocument, readDocument } from './document.ts';
import { familiar, familiarName, familiarText, referenceOf } from './names.ts';

export interface LibraryImage {
  readonly id: Digest;
  /** Of all its names, sorted; at least one. */
  readonly records: readonly ImageRecord[];
}

export interface Found extends LibraryImage {
  /** The one that was named, else the first. */
  readonly record: ImageRecord;
  readonly isById: boolean;
}

const DOCUMENTS_MAX = 512;
const ID_PREFIX = /^(?:sha256:)?[0-9a-f]{1,64}$/;

export class ImageLibrary {
  readonly #catalog: ImageCatalog;
  /** The last used at the end. */
  readonly #documents = new Map<Digest, ReadDocument>();

  constructor(catalog: ImageCatalog) {
    this.#catalog = catalog;
  }

  all(): readonly LibraryImage[] {
    const byId = new Map<Digest, ImageRecord[]>();
    for (const r of this.#catalog.records()) {
      const known = byId.get(r.id);
      if (known === undefined) byId.set(r.id, [r]);
      else known.push(r);
    }
    return [...byId].map(([id, records]) => ({ id, records }));
  }

  byId(id: Digest): LibraryImage | undefined {
    const records = this.#catalog.records().filter((r) => r.id === id);
    return records.length === 0 ? undefined : { id, records };
  }

  /** Throws 404 "No such image: X", 400 for what is no name, or an id's prefix of several. */
  find(text: string): Found {
    const byFullId = this.#byFullId(text);
    if (byFullId !== undefined) return byFullId;
    const reference = /^sha256:[0-9a-f]*$/.test(text) ? undefined : referenceOf(text);
    const record = reference && this.#catalog.record(formatReference(reference));
    if (record !== undefined) return { ...this.#ofId(record.id), record, isById: false };
    const matches = ID_PREFIX.test(text) ? this.#byPrefix(text.replace(/^sha256:/, '')) : [];
    if (matches.length > 1) throw badParameter(`ambiguous reference: ${text}`);
    const [match] = matches;
    if (match !== undefined) return foundById(match);
    throw notFound(`No such image: ${reference === undefined ? text : familiar(reference)}`);
  }

  async document(image: LibraryImage): Promise<ReadDocument> {
    const known = this.#documents.get(image.id);
    const read = known ?? readDocument(image.id, await this.#catalog.document(image.id, CONFIG_BYTES_MAX));
    this.#documents.delete(image.id);
    this.#documents.set(image.id, read);
    const [oldest] = this.#documents.keys();
    if (oldest !== undefined && this.#documents.size > DOCUMENTS_MAX) this.#documents.delete(oldest);
    return read;
  }

  async engineImage(image: LibraryImage, record: ImageRecord, c: Ctx): Promise<EngineImage> {
    c.signal.throwIfAborted();
    const { document } = await this.document(image);
    return { document, image: imageOf(record), repoTags: repoTags(image) };
  }

  #byFullId(text: string): Found | undefined {
    const id = /^[0-9a-f]{64}$/.test(text) ? `sha256:${text}` : text;
    if (!isDigest(id)) return undefined;
    const image = this.byId(id);
    if (image === undefined) throw notFound(`No such image: ${text}`);
    return foundById(image);
  }

  #byPrefix(prefix: string): readonly LibraryImage[] {
    return prefix === '' ? [] : this.all().filter((i) => i.id.startsWith(`sha256:${prefix}`));
  }

  #ofId(id: Digest): LibraryImage {
    return { id, records: this.#catalog.records().filter((r) => r.id === id) };
  }
}

function foundById(image: LibraryImage): Found {
  const [record] = image.records;
  if (record === undefined) throw notFound(`No such image: ${image.id}`);
  return { ...image, record, isById: true };
}

/** Familiar; those with a tag. */
export function repoTags(image: LibraryImage): readonly string[] {
  return named(image).flatMap((r) => (r.reference.includes('@') ? [] : [familiarText(r.reference)]));
}

/** Familiar; as registries have it. */
export function repoDigests(image: LibraryImage): readonly string[] {
  const all = named(image).flatMap((r) => {
    const name = familiarName(parseReference(r.reference));
    const digests = r.registryDigests ?? (r.isTracked === true ? [r.topDigest] : []);
    return digests.map((digest) => `${name}@${digest}`);
  });
  return [...new Set(all)];
}

function named(image: LibraryImage): readonly ImageRecord[] {
  return image.records.filter((r) => !isNameless(r));
}
