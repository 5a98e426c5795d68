/**
 * What images this node has: one file for each reference, `images/<sha256 of the reference>.json`, all held in memory too. A
 * record is written last, when all of its layers are unpacked, and removed first. Its file's mtime is when it was last used.
 * A kept image that loses its last name stays under its id (`sha256:…`), which is no name, until it is removed or named again.
 */
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Digest, hexOf, isDigest, type Logger, parseDigest, sha256, writeFileAtomic } from '#lib/base';
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
} from '#lib/oci';
import type { Image, ImageConfig } from './images.ts';

export interface LayerRecord {
  /** Of the blob as it is stored, compressed or not. */
  readonly digest: Digest;
  readonly chainId: Digest;
}

export interface ImageRecord extends Image {
  /** What `reference` stood for: of an index or of the manifest. */
  readonly topDigest: Digest;
  readonly manifestDigest: Digest;
  /** Base first. */
  readonly layers: readonly LayerRecord[];
  /** Indexes, manifest and config: kept in the content store. */
  readonly documents: readonly Digest[];
  readonly lastUsedMs: number;
  /** By a person, who alone removes it: the collector never does. */
  readonly isKept?: boolean | undefined;
  /** Under which digests a registry has it, in the repository of its reference. */
  readonly registryDigests?: readonly Digest[] | undefined;
  /** When a person gave it this name. */
  readonly taggedAtMs?: number | undefined;
}

/** It has lost its names, or never had one. */
export function isNameless(r: Pick<Image, 'reference'>): boolean {
  return isDigest(r.reference);
}

export class Records {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #byReference = new Map<string, ImageRecord>();

  private constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  static async open(folder: string, clock: Clock, log: Logger): Promise<Records> {
    await mkdir(folder, { recursive: true });
    const records = new Records(folder, clock);
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      if (!name.endsWith('.json')) {
        await rm(path, { force: true, recursive: true });
        continue;
      }
      try {
        const record = decode(await readFile(path), (await stat(path)).mtimeMs);
        records.#byReference.set(record.reference, record);
      } catch (err) {
        log.warn({ err, path }, 'image record cannot be read: the image must be pulled again');
        await rm(path, { force: true });
      }
    }
    return records;
  }

  get(reference: string): ImageRecord | undefined {
    return this.#byReference.get(reference);
  }

  /** Sorted by reference. */
  all(): readonly ImageRecord[] {
    return [...this.#byReference.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1));
  }

  /** The name passes from another image to this one; a kept image that had no other stays under its id. */
  async put(given: Omit<ImageRecord, 'lastUsedMs'>): Promise<ImageRecord> {
    const { reference, id } = given;
    const before = this.get(reference);
    if (before !== undefined && before.id !== id) await this.#keepNameless(before);
    const stored = await this.#write(before?.id === id ? inherit(before, given) : given);
    if (!isNameless(given)) await this.remove(id);
    return stored;
  }

  async remove(reference: string): Promise<void> {
    if (!this.#byReference.delete(reference)) return;
    await rm(this.#path(reference), { force: true });
  }

  /** The name goes; the image stays, under its id when it has no other, until who took its name removes it. */
  async untag(reference: string): Promise<void> {
    const record = this.get(reference);
    if (record === undefined || isNameless(record)) return;
    await this.#keepNameless({ ...record, isKept: true });
    await this.remove(reference);
  }

  /** Written before the last name goes: a crash in between leaves both, which `put` and `remove` mend. */
  async #keepNameless(record: ImageRecord): Promise<void> {
    if (record.isKept !== true) return;
    if (this.all().some((r) => r.id === record.id && r.reference !== record.reference)) return;
    await this.#write({ ...record, reference: record.id });
  }

  async #write(record: Omit<ImageRecord, 'lastUsedMs'>): Promise<ImageRecord> {
    await writeFileAtomic(this.#path(record.reference), JSON.stringify({ version: 1, ...record }));
    const stored = { ...record, lastUsedMs: this.#clock.now() };
    this.#byReference.set(record.reference, stored);
    return stored;
  }

  /** Every reference of the image was used now. */
  async touch(imageId: Digest): Promise<void> {
    const now = this.#clock.now();
    const used = this.all().filter((r) => r.id === imageId);
    for (const r of used) this.#byReference.set(r.reference, { ...r, lastUsedMs: now });
    for (const r of used) await utimes(this.#path(r.reference), now / 1000, now / 1000).catch(() => undefined); // removed meanwhile
  }

  #path(reference: string): string {
    return join(this.#folder, `${hexOf(sha256(reference))}.json`);
  }
}

/** The same image under the same name again: who kept it keeps it, and what registries have stays known. */
function inherit(before: ImageRecord, given: Omit<ImageRecord, 'lastUsedMs'>): Omit<ImageRecord, 'lastUsedMs'> {
  const registryDigests = [...new Set([...(before.registryDigests ?? []), ...(given.registryDigests ?? [])])];
  return {
    ...given,
    ...(before.isKept === true ? { isKept: true, taggedAtMs: given.taggedAtMs ?? before.taggedAtMs } : {}),
    ...(registryDigests.length === 0 ? {} : { registryDigests }),
  };
}

function decode(bytes: Buffer, lastUsedMs: number): ImageRecord {
  const doc = parseJsonObject(bytes, 'image record');
  const digest = (key: string): Digest => parseDigest(asString(doc[key], key));
  return {
    reference: asString(doc['reference'], 'reference'),
    id: digest('id'),
    repoDigest: asString(doc['repoDigest'], 'repoDigest'),
    sizeBytes: asSize(doc['sizeBytes'], 'sizeBytes'),
    config: decodeConfig(asObject(doc['config'], 'config')),
    isTracked: doc['isTracked'] === true,
    topDigest: digest('topDigest'),
    manifestDigest: digest('manifestDigest'),
    layers: asArray(doc['layers'], 'layers').map((value) => {
      const layer = asObject(value, 'layer');
      return {
        digest: parseDigest(asString(layer['digest'], 'layer.digest')),
        chainId: parseDigest(asString(layer['chainId'], 'layer.chainId')),
      };
    }),
    documents: asStrings(doc['documents'], 'documents').map(parseDigest),
    lastUsedMs,
    ...decodeKept(doc),
  };
}

function decodeKept(doc: JsonObject): Pick<ImageRecord, 'isKept' | 'registryDigests' | 'taggedAtMs'> {
  const registryDigests = optional(doc['registryDigests'], asStrings, 'registryDigests')?.map(parseDigest);
  const taggedAtMs = optional(doc['taggedAtMs'], asSize, 'taggedAtMs');
  return {
    ...(doc['isKept'] === true ? { isKept: true } : {}),
    ...(registryDigests === undefined ? {} : { registryDigests }),
    ...(taggedAtMs === undefined ? {} : { taggedAtMs }),
  };
}

function decodeConfig(o: JsonObject): ImageConfig {
  return {
    user: asString(o['user'], 'config.user'),
    env: asStrings(o['env'], 'config.env'),
    entrypoint: asStrings(o['entrypoint'], 'config.entrypoint'),
    cmd: asStrings(o['cmd'], 'config.cmd'),
    workingDir: asString(o['workingDir'], 'config.workingDir'),
    stopSignal: asString(o['stopSignal'], 'config.stopSignal'),
    volumes: asStrings(o['volumes'], 'config.volumes'),
    labels: asStringMap(o['labels'], 'config.labels'),
  };
}
