/**
 * Pulls images. One flight per reference, per blob and per unpacked layer over all pulls of the node; three layers at a time;
 * a layer is unpacked as soon as its own bytes are here, while others still load. Nothing becomes visible before its digest,
 * size and diff id are verified; the record, which makes the image visible, is written last. What a failed pull leaves are
 * whole blobs and layers (the next pull uses them) and, after a lost connection, the beginning of a blob, which is continued.
 */
import { statfs } from 'node:fs/promises';
import { type Ctx, type Digest, hexOf, isKind, parseDigest, StatusError, sha256 } from '#lib/base';
import {
  CONFIG_BYTES_MAX,
  chainIds,
  type Descriptor,
  type FolderContentStore,
  formatReference,
  type Reference,
} from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import { blobsInUse, layersInUse } from './gc.ts';
import type { PullOptions, PullStep } from './images.ts';
import type { Pins } from './pins.ts';
import type { ImageRecord, Records } from './records.ts';
import { type RegistryAccess, type RemoteImage, resolveImage, sourcesOf } from './registries/remote.ts';
import type { Sources } from './registries/sources.ts';
import { forEachStaged, SingleFlight, type Stage } from './single-flight.ts';
import type { Snapshotter } from './snapshot.ts';
import { openLayer } from './unpack.ts';

export interface PullerParts {
  readonly registries: RegistryAccess;
  readonly content: FolderContentStore;
  readonly snapshots: Snapshotter;
  readonly records: Records;
  readonly pins: Pins;
  readonly kernel: Kernel;
  readonly folder: string;
  readonly scratch: string;
}

interface LayerToPull {
  readonly descriptor: Descriptor;
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly chainId: Digest;
}

type OnProgress = (p: PullStep) => void;

const FETCHES_AT_ONCE = 3;
const UNPACKS_AT_ONCE = 3;
/** Left free for everything else when a pull is checked against the disk. */
const RESERVE_BYTES = 16 * 1024 * 1024;

export class Puller {
  readonly #parts: PullerParts;
  readonly #images = new SingleFlight<ImageRecord>();
  readonly #blobs = new SingleFlight<void>();
  readonly #layers = new SingleFlight<void>();
  /** Who wants to hear of a flight's progress, by its key. */
  readonly #listeners = new Map<string, Set<OnProgress>>();

  constructor(parts: PullerParts) {
    this.#parts = parts;
  }

  async pull(ref: Reference, o: PullOptions, c: Ctx): Promise<ImageRecord> {
    const reference = formatReference(ref);
    const { sources, credentials } = await sourcesOf(this.#parts.registries, ref, o);
    /* Pulls with other credentials are other flights: who has none must not get what another's opened. */
    const key = `${reference} ${credentials}`;
    const heard = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, heard);
    if (o.onProgress) heard.add(o.onProgress);
    try {
      const before = this.#parts.records.get(reference);
      const { value } = await this.#images.run(key, (own) => this.#pullAlone(ref, sources, key, own), c);
      if (o.isKept !== true) return value;
      return await this.#keep(value, before?.id === value.id && before.isTracked === true, c);
    } catch (e) {
      throw asDiskFull(e, reference);
    } finally {
      if (o.onProgress) heard.delete(o.onProgress);
      if (heard.size === 0) this.#listeners.delete(key);
    }
  }

  async #pullAlone(ref: Reference, sources: Sources, key: string, c: Ctx): Promise<ImageRecord> {
    const { pins, records } = this.#parts;
    const image = await resolveImage(sources, ref, c, { known: (d) => this.#document(d) });
    const layers = layersOf(image);
    const documents = image.documents.map((d) => d.digest);
    using _pinned = await pins.pin([...documents, ...layers.flatMap((l) => [l.digest, l.chainId])]);
    await this.#checkSpace(layers, ref);
    for (const d of image.documents) await this.#storeDocument(d.digest, d.bytes, c);
    const onProgress: OnProgress = (p) => {
      for (const fn of this.#listeners.get(key) ?? []) fn(p);
    };
    const missing = await this.#missing(layers, onProgress);
    const tell = (l: LayerToPull, phase: PullStep['phase']): void => onProgress(stepOf(l, phase));
    const stages: readonly Stage<LayerToPull>[] = [
      {
        limit: FETCHES_AT_ONCE,
        run: async (layer, own) => {
          await this.#fetchOnce(image.sources, layer, onProgress, own);
          if (missing.has(layer)) tell(layer, 'downloaded');
        },
      },
      {
        limit: UNPACKS_AT_ONCE,
        run: async (layer, own) => {
          if (missing.has(layer)) tell(layer, 'extracting');
          await this.#unpackOnce(layer, own);
          if (missing.has(layer)) tell(layer, 'extracted');
        },
      },
    ];
    await forEachStaged(layers, stages, c);
    await this.#sync(documents, layers, c);
    return records.put(recordOf(ref, image, layers));
  }

  /** Whole and unharmed; what is not is fetched again. */
  async #document(digest: Digest): Promise<Buffer | undefined> {
    const { content } = this.#parts;
    if ((await content.stat(digest)) === undefined) return undefined;
    const bytes = await content.readAll(digest, CONFIG_BYTES_MAX).catch(() => undefined);
    return bytes !== undefined && sha256(bytes) === digest ? bytes : undefined;
  }

  /** Those that are not here whole, which all are told of before the first begins. */
  async #missing(layers: readonly LayerToPull[], onProgress: OnProgress): Promise<ReadonlySet<LayerToPull>> {
    const { content, snapshots } = this.#parts;
    const missing = new Set<LayerToPull>();
    for (const l of layers) {
      const isHere = (await snapshots.hasLayer(l.chainId)) && (await content.stat(l.digest)) !== undefined;
      if (!isHere) missing.add(l);
    }
    for (const l of layers) onProgress(stepOf(l, missing.has(l) ? 'waiting' : 'exists'));
    return missing;
  }

  /** What a pod has pulled by a Secret stays tracked; else it is as an image that was here before all pods. */
  #keep(record: ImageRecord, isTracked: boolean, c: Ctx): Promise<ImageRecord> {
    const { lastUsedMs: _, ...rest } = record;
    return this.#parts.records.put({ ...rest, isTracked, isKept: true, taggedAtMs: c.clock.now() });
  }

  /** Once for all layers and blobs; what another pull has made but not recorded may not be on disk yet either. */
  async #sync(documents: readonly Digest[], layers: readonly LayerToPull[], c: Ctx): Promise<void> {
    const { folder, kernel, records } = this.#parts;
    const blobs = blobsInUse(records.all());
    const chains = layersInUse(records.all(), []);
    const isSynced =
      layers.every((l) => chains.has(l.chainId) && blobs.has(l.digest)) && documents.every((d) => blobs.has(d));
    if (!isSynced) await kernel.syncFileSystem(folder, c);
  }

  #fetchOnce(from: Sources, layer: LayerToPull, onProgress: OnProgress, c: Ctx): Promise<void> {
    return this.#shared(this.#blobs, layer.digest, (own) => this.#fetch(from, layer, onProgress, own), c);
  }

  async #unpackOnce(layer: LayerToPull, c: Ctx): Promise<void> {
    if (await this.#parts.snapshots.hasLayer(layer.chainId)) return;
    await this.#shared(this.#layers, layer.chainId, (own) => this.#unpack(layer, own), c);
  }

  async #fetch(from: Sources, layer: LayerToPull, onProgress: OnProgress, c: Ctx): Promise<void> {
    const { content } = this.#parts;
    const { descriptor, digest } = layer;
    const totalBytes = descriptor.sizeBytes;
    const held = await content.stat(digest);
    if (held?.sizeBytes === totalBytes) {
      return;
    }
    const ref = `blob-${hexOf(digest)}`;
    try {
      const onBytes = (doneBytes: number): void =>
        onProgress({ layer: digest, phase: 'downloading', doneBytes, totalBytes });
      await from.first('pull', (r) => r.fetchBlob(descriptor, content, { ref, onBytes }, c), c);
    } catch (e) {
      if (!isKind(e, 'Unavailable') && !c.signal.aborted) await content.removeIngest(ref);
      throw e;
    }
  }

  async #unpack(layer: LayerToPull, c: Ctx): Promise<void> {
    const { content, kernel, scratch, snapshots } = this.#parts;
    try {
      await snapshots.addLayer(
        layer.chainId,
        () => openLayer({ content, kernel, scratch }, layer.digest, layer.diffId, c),
        c,
      );
    } catch (e) {
      throw isKind(e, 'NotFound') ? new StatusError('Internal', e.message, { cause: e }) : e;
    }
  }

  /** Joins a flight; if that fails by what only its starter brought (an account, a mirror), goes on with an own one. */
  async #shared(flights: SingleFlight<void>, key: Digest, fn: (c: Ctx) => Promise<void>, c: Ctx): Promise<void> {
    let isOwn = false;
    const own = (flightCtx: Ctx): Promise<void> => {
      isOwn = true;
      return fn(flightCtx);
    };
    for (;;) {
      try {
        await flights.run(key, own, c);
        return;
      } catch (e) {
        if (isOwn || c.signal.aborted) throw e;
        c.log.debug({ err: e, digest: key }, 'a shared download failed: trying on my own');
      }
    }
  }

  async #storeDocument(digest: Digest, bytes: Buffer, c: Ctx): Promise<void> {
    const { content } = this.#parts;
    await this.#blobs.run(
      digest,
      async () => {
        if (await content.stat(digest)) return;
        const ingest = await content.begin(`blob-${hexOf(digest)}`);
        await ingest.reset();
        await ingest.write(bytes);
        await ingest.commit({ digest, sizeBytes: bytes.length });
      },
      c,
    );
  }

  async #checkSpace(layers: readonly LayerToPull[], ref: Reference): Promise<void> {
    let needed = RESERVE_BYTES;
    for (const l of layers) if (!(await this.#parts.content.stat(l.digest))) needed += l.descriptor.sizeBytes;
    const { bavail, bsize } = await statfs(this.#parts.folder);
    if (bavail * bsize < needed) throw diskFull(formatReference(ref), `${needed} bytes needed, ${bavail * bsize} free`);
  }
}

function stepOf({ digest: layer, descriptor }: LayerToPull, phase: PullStep['phase']): PullStep {
  return { layer, phase, doneBytes: phase === 'waiting' ? 0 : descriptor.sizeBytes, totalBytes: descriptor.sizeBytes };
}

function layersOf(image: RemoteImage): readonly LayerToPull[] {
  const chains = chainIds(image.config.diffIds);
  return image.manifest.layers.map((descriptor, i) => {
    const [diffId, chainId] = [image.config.diffIds[i], chains[i]];
    if (diffId === undefined || chainId === undefined) throw new StatusError('Internal', 'a layer without a diff id');
    return { descriptor, digest: parseDigest(descriptor.digest), diffId, chainId };
  });
}

function recordOf(ref: Reference, image: RemoteImage, layers: readonly LayerToPull[]): Omit<ImageRecord, 'lastUsedMs'> {
  const { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels } = image.config;
  const sizes = [...image.documents.map((d) => d.bytes.length), ...layers.map((l) => l.descriptor.sizeBytes)];
  return {
    reference: formatReference(ref),
    id: parseDigest(image.manifest.config.digest),
    repoDigest: `${ref.host}/${ref.repository}@${image.topDigest}`,
    sizeBytes: sizes.reduce((a, b) => a + b, 0),
    config: { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels },
    isTracked: true,
    registryDigests: [image.topDigest],
    topDigest: image.topDigest,
    manifestDigest: image.manifestDigest,
    layers: layers.map((l) => ({ digest: l.digest, chainId: l.chainId })),
    documents: image.documents.map((d) => d.digest),
  };
}

/** A full disk is told as such, whoever met it: Node by its code, the native helper by the C library's words. */
function asDiskFull(e: unknown, reference: string): unknown {
  for (let at: unknown = e, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const code = 'code' in at ? at.code : undefined;
    if (code === 'ENOSPC' || code === 'EDQUOT' || at.message.includes('No space left on device'))
      return diskFull(reference, at.message, e);
  }
  return e;
}

function diskFull(reference: string, detail: string, cause?: unknown): StatusError {
  const text = `no space left on device (ENOSPC) for image ${reference}: ${detail}`;
  return new StatusError('Internal', text, { reason: 'NoSpace', cause });
}
