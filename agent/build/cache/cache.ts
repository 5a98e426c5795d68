/**
 * What build steps have made, by their keys (../stage/keys.ts): one file for each, all held in memory too. Layers themselves are
 * those of agent/images, which asks here what it may not collect (`held`).
 *
 * Life of a step: made → put → found by later builds → least recently used, out. Nothing is written to disk durably for each
 * step: `synced` says that all that was put before is on disk with its layers; what was put after it and before a power
 * loss is forgotten when the cache is opened in another boot, since its layer may be torn.
 */
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Digest, hexOf, isDigest, type Logger, parseDigest, writeFileAtomic } from '#lib/base';
import { asSize, asString, optional, parseJsonObject } from '#lib/oci';

export interface CachedStep {
  readonly key: Digest;
  /** Of the layers with this one on top. */
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** Of the layer's tar. */
  readonly bytes: number;
  /** `RUN apk add git`: for people. */
  readonly title: string;
  /** When it was put here. */
  readonly createdMs: number;
  /** When the layer was made, here or elsewhere: what an image tells. */
  readonly builtMs: number;
  readonly usedMs: number;
  /** Times it was found since the cache was opened. */
  readonly uses: number;
}

export interface PruneRequest {
  /** So many bytes stay; the least recently used go first. Absent: none stay. */
  readonly keepBytes?: number | undefined;
  /** Not those that were used since. */
  readonly unusedForMs?: number | undefined;
  /** Not these. */
  readonly keeps?: ((step: CachedStep) => boolean) | undefined;
}

/** Titles are for people: a here-document may be long. */
const TITLE_CHARS_MAX = 500;

export class BuildCache {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #byKey = new Map<Digest, CachedStep>();

  private constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  static async open(o: { folder: string; bootId: string; clock: Clock; log: Logger }): Promise<BuildCache> {
    await mkdir(o.folder, { recursive: true, mode: 0o700 });
    const cache = new BuildCache(o.folder, o.clock);
    const mark = await readFile(join(o.folder, 'synced'), 'utf8').catch(() => ''); // the first start
    const [boot = '', at = '0'] = mark.split(' ');
    const wasOther = boot !== o.bootId;
    for (const name of await readdir(o.folder)) {
      if (name === 'synced') continue;
      const path = join(o.folder, name);
      try {
        const step = decode(name, await readFile(path), (await stat(path)).mtimeMs);
        if (wasOther && step.createdMs > Number(at)) await rm(path, { force: true });
        else cache.#byKey.set(step.key, step);
      } catch (err) {
        o.log.warn({ err, path }, 'a step of the build cache cannot be read: it will be made again');
        await rm(path, { force: true, recursive: true });
      }
    }
    if (wasOther) await writeFileAtomic(join(o.folder, 'synced'), `${o.bootId} ${o.clock.now()}`);
    return cache;
  }

  /** What is found counts as used now. */
  async find(key: Digest): Promise<CachedStep | undefined> {
    const step = this.#byKey.get(key);
    if (step === undefined) return undefined;
    const usedMs = this.#clock.now();
    this.#byKey.set(key, { ...step, usedMs, uses: step.uses + 1 });
    await utimes(this.#path(key), usedMs / 1000, usedMs / 1000).catch(() => undefined); // pruned meanwhile
    return step;
  }

  /** Its layer is there and whole. Default of `builtMs`: now. */
  async put(
    step: Omit<CachedStep, 'createdMs' | 'builtMs' | 'usedMs' | 'uses'> & { readonly builtMs?: number | undefined },
  ): Promise<void> {
    const now = this.#clock.now();
    const { key, chainId, diffId, bytes, builtMs = now } = step;
    const title = step.title.slice(0, TITLE_CHARS_MAX);
    const text = JSON.stringify({ version: 1, chainId, diffId, bytes, title, createdMs: now, builtMs });
    await writeFileAtomic(this.#path(key), text, { durable: false, mode: 0o600 });
    this.#byKey.set(key, { key, chainId, diffId, bytes, title, createdMs: now, builtMs, usedMs: now, uses: 0 });
  }

  /** A step whose layer turned out to be gone. */
  async forget(key: Digest): Promise<void> {
    this.#byKey.delete(key);
    await rm(this.#path(key), { force: true });
  }

  /** The file system was synced after everything that was put before `sinceMs`. */
  async synced(bootId: string, sinceMs: number): Promise<void> {
    await writeFileAtomic(join(this.#folder, 'synced'), `${bootId} ${sinceMs}`);
  }

  /** Layers and their tars that must not be collected. */
  held(): { readonly layers: ReadonlySet<Digest>; readonly blobs: ReadonlySet<Digest> } {
    const steps = [...this.#byKey.values()];
    return { layers: new Set(steps.map((s) => s.chainId)), blobs: new Set(steps.map((s) => s.diffId)) };
  }

  /** Most recently used first. */
  all(): readonly CachedStep[] {
    return [...this.#byKey.values()].sort((a, b) => b.usedMs - a.usedMs || (a.key < b.key ? -1 : 1));
  }

  /** Forgets steps; their layers go with the next collection of images. Gives what was forgotten. */
  async prune(o: PruneRequest): Promise<readonly CachedStep[]> {
    const out: CachedStep[] = [];
    let kept = 0;
    const now = this.#clock.now();
    for (const step of this.all()) {
      const isYoung = o.unusedForMs !== undefined && now - step.usedMs < o.unusedForMs;
      if (isYoung || o.keeps?.(step) === true || (o.keepBytes !== undefined && kept + step.bytes <= o.keepBytes)) {
        kept += step.bytes;
        continue;
      }
      await this.forget(step.key);
      out.push(step);
    }
    return out;
  }

  #path(key: Digest): string {
    return join(this.#folder, `${hexOf(key)}.json`);
  }
}

function decode(name: string, bytes: Buffer, usedMs: number): CachedStep {
  const key = `sha256:${name.replace(/\.json$/, '')}`;
  if (!isDigest(key)) throw new RangeError(`${name} is no step of the cache`);
  const doc = parseJsonObject(bytes, name);
  const createdMs = asSize(doc['createdMs'], 'createdMs');
  return {
    key,
    chainId: parseDigest(asString(doc['chainId'], 'chainId')),
    diffId: parseDigest(asString(doc['diffId'], 'diffId')),
    bytes: asSize(doc['bytes'], 'bytes'),
    title: asString(doc['title'], 'title'),
    createdMs,
    builtMs: optional(doc['builtMs'], asSize, 'builtMs') ?? createdMs,
    usedMs,
    uses: 0,
  };
}
