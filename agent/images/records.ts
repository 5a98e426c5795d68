/**
 * What images this node has: one file for each reference, `images/<sha256 of the reference>.json`, all held in memory too. A
 * record is written last, when all of its layers are unpacked, and removed first. Its file's mtime is when it was last used.
 */
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Digest, hexOf, type Logger, parseDigest, sha256, writeFileAtomic } from '#lib/base';
import {
  asArray,
  asObject,
  asSize,
  asString,
  asStringMap,
  asStrings,
  type JsonObject,
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

  async put(record: Omit<ImageRecord, 'lastUsedMs'>): Promise<ImageRecord> {
    await writeFileAtomic(this.#path(record.reference), JSON.stringify({ version: 1, ...record }));
    const stored = { ...record, lastUsedMs: this.#clock.now() };
    this.#byReference.set(record.reference, stored);
    return stored;
  }

  async remove(reference: string): Promise<void> {
    this.#byReference.delete(reference);
    await rm(this.#path(reference), { force: true });
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
