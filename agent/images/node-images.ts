/** The `Images` contract on one node: finds, pulls and removes images, and makes container roots of them. */
import { statfs } from 'node:fs/promises';
import { allEnded, type Clock, type Ctx, type Digest, isDigest, StatusError } from '#lib/base';
import { type FolderContentStore, formatReference, parseReference } from '#lib/oci';
import type { UserNamespace } from '../user-namespaces/ranges.ts';
import { blobsInUse, type Held, layersInUse, planCollect } from './gc.ts';
import {
  BUILD_ROOT,
  type CollectRequest,
  ENGINE_ROOT,
  type Image,
  type Images,
  type PullOptions,
  VOLUME_ROOT,
} from './images.ts';
import type { Pins } from './pins.ts';
import type { Puller } from './pull.ts';
import { type ImageRecord, isNameless, type Records } from './records.ts';
import type { RootSource, Snapshotter } from './snapshot.ts';

export interface NodeImagesParts {
  readonly puller: Puller;
  readonly records: Records;
  readonly content: FolderContentStore;
  readonly snapshots: Snapshotter;
  readonly pins: Pins;
  readonly clock: Clock;
  /** Whose file system `collect` makes room on. */
  readonly folder: string;
  readonly held?: (() => Held) | undefined;
}

export class NodeImages implements Images {
  readonly #parts: NodeImagesParts;

  constructor(parts: NodeImagesParts) {
    this.#parts = parts;
  }

  async find(reference: string, c: Ctx): Promise<Image | undefined> {
    c.signal.throwIfAborted();
    const record = this.record(reference);
    return record && imageOf(record);
  }

  async pull(reference: string, o: PullOptions, c: Ctx): Promise<Image> {
    const startedMs = c.clock.monotonic();
    const record = await this.#parts.puller.pull(parseReference(reference), o, c);
    const durationMs = Math.round(c.clock.monotonic() - startedMs);
    c.log.info({ image: record.reference, digest: record.topDigest, durationMs }, 'image pulled');
    return imageOf(record);
  }

  async list(c: Ctx): Promise<readonly Image[]> {
    c.signal.throwIfAborted();
    return this.#parts.records.all().flatMap((r) => (isNameless(r) ? [] : [imageOf(r)]));
  }

  async remove(reference: string, c: Ctx): Promise<void> {
    const record = this.record(reference);
    if (!record) throw new StatusError('NotFound', `image ${reference} is not on this node`);
    const others = this.#parts.records.all().filter((r) => r.id === record.id && r.reference !== record.reference);
    const user = (await this.#parts.snapshots.roots()).find((r) => r.source?.imageId === record.id);
    if (user && others.length === 0)
      throw new StatusError('Conflict', `image ${record.reference} is used by container ${user.containerId}`);
    await this.#parts.records.remove(record.reference);
    await this.sweep(c);
  }

  async mountRoot(containerId: string, image: Image, c: Ctx, userNamespace?: UserNamespace): Promise<string> {
    const { pins, records, snapshots } = this.#parts;
    const record = records.get(image.reference) ?? records.all().find((r) => r.id === image.id);
    const known = record?.id === image.id ? record : records.all().find((r) => r.id === image.id);
    if (!known) return this.#remount(containerId, image, c, userNamespace);
    const layers = known.layers.map((l) => l.chainId);
    using _pinned = await pins.pin(layers);
    const source = { imageId: image.id, layers };
    const [path] = await allEnded([
      snapshots.mountRoot(containerId, source, c, userNamespace),
      records.touch(image.id),
    ]);
    return path;
  }

  async removeRoot(containerId: string, c: Ctx): Promise<void> {
    await this.#parts.snapshots.removeRoot(containerId, c);
  }

  discardRoot(containerId: string): Promise<{ gone(c: Ctx): Promise<void> }> {
    return this.#parts.snapshots.discardRoot(containerId);
  }

  async roots(c: Ctx, prefix?: string): Promise<readonly string[]> {
    c.signal.throwIfAborted();
    const ids = (await this.#parts.snapshots.roots()).map((r) => r.containerId);
    const others = [VOLUME_ROOT, BUILD_ROOT, ENGINE_ROOT];
    return ids.filter((id) => (prefix === undefined ? !others.some((o) => id.startsWith(o)) : id.startsWith(prefix)));
  }

  async collect(o: CollectRequest, c: Ctx): Promise<number> {
    const { clock, records } = this.#parts;
    /* What is used now was last used now: its age counts from when its last container is gone. */
    for (const id of new Set((await this.#sources()).map((s) => s.imageId))) await records.touch(id);
    const nowMs = clock.now();
    const isOld = (r: ImageRecord): boolean => o.unusedForMs !== undefined && nowMs - r.lastUsedMs > o.unusedForMs;
    const candidates = planCollect(records.all(), await this.#sources(), { nowMs, minAgeMs: o.minAgeMs });
    let freed = 0;
    if (!(await this.#hasFree(o))) freed += await this.sweep(c);
    for (const candidate of candidates) {
      if (!isOld(candidate) && (await this.#hasFree(o))) continue;
      /* Used or pulled again since the plan was made: it stays. */
      const now = records.get(candidate.reference);
      const isUsed = (await this.#sources()).some((r) => r.imageId === candidate.id);
      if (isUsed || now?.lastUsedMs !== candidate.lastUsedMs) continue;
      await records.remove(candidate.reference);
      c.log.info({ image: candidate.reference }, isOld(candidate) ? 'old image removed' : 'image removed to make room');
      freed += await this.sweep(c);
    }
    return freed;
  }

  /** An image whose record is gone: only a root that exists already can be mounted. */
  async #remount(containerId: string, image: Image, c: Ctx, userNamespace?: UserNamespace): Promise<string> {
    const { pins, snapshots } = this.#parts;
    const source = (await snapshots.roots()).find((r) => r.containerId === containerId)?.source;
    if (!source) throw new StatusError('NotFound', `image ${image.reference} is not on this node: pull it again`);
    using _pinned = await pins.pin(source.layers);
    return snapshots.mountRoot(containerId, source, c, userNamespace);
  }

  /** By the reference as it is, else by digest: an image pulled by tag is also there under its digests. By `sha256:…` of its id too. */
  record(reference: string): ImageRecord | undefined {
    const { records } = this.#parts;
    if (isDigest(reference)) return records.get(reference) ?? records.all().find((r) => r.id === reference);
    const ref = parseReference(reference);
    const exact = records.get(formatReference(ref));
    if (exact || ref.digest === undefined) return exact;
    const prefix = `${ref.host}/${ref.repository}@`;
    return records
      .all()
      .find((r) => r.repoDigest.startsWith(prefix) && digestsOf(r).some((digest) => digest === ref.digest));
  }

  /** Removes layers and blobs that nothing needs; gives the bytes. */
  async sweep(c: Ctx): Promise<number> {
    const { content, held, pins, records, snapshots } = this.#parts;
    let freed = 0;
    /* Roots are read once for all layers, and again for each that is about to go. */
    const isLayerUsed = async (chainId: Digest): Promise<boolean> =>
      layersInUse(records.all(), await this.#sources(), held?.()).has(chainId);
    const used = layersInUse(records.all(), await this.#sources(), held?.());
    for (const { chainId, bytes } of await snapshots.layers()) {
      if (used.has(chainId)) continue;
      const remove = async (): Promise<boolean> => {
        if (await isLayerUsed(chainId)) return false;
        await snapshots.removeLayer(chainId, c);
        return true;
      };
      if (await pins.removeUnlessPinned(chainId, remove)) freed += bytes;
    }
    for await (const { digest, sizeBytes } of content.list()) {
      const remove = async (): Promise<boolean> =>
        !blobsInUse(records.all(), held?.()).has(digest) && content.remove(digest);
      if (await pins.removeUnlessPinned(digest, remove)) freed += sizeBytes;
    }
    return freed;
  }

  async #sources(): Promise<readonly RootSource[]> {
    return (await this.#parts.snapshots.roots()).flatMap((r) => (r.source ? [r.source] : []));
  }

  async #hasFree(o: CollectRequest): Promise<boolean> {
    const { bavail, bsize, files, ffree } = await statfs(this.#parts.folder);
    return bavail * bsize >= o.freeBytes && (files === 0 || ffree >= (o.freeFiles ?? 0));
  }
}

function digestsOf(r: ImageRecord): readonly Digest[] {
  return [r.topDigest, r.manifestDigest, ...(r.registryDigests ?? [])];
}

export function imageOf(r: ImageRecord): Image {
  const { reference, id, repoDigest, sizeBytes, config, isTracked } = r;
  return { reference, id, repoDigest, sizeBytes, config, isTracked };
}
