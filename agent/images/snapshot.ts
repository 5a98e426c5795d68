/**
 * Unpacked layers and container roots in folders.
 *
 *   layers/<chain id>/fs           what the layer adds, in the format's own form     layer.json  {entries, bytes}
 *   roots/<container>/root.json    {imageId, layers}: what the root is made of, base first
 *   roots/<container>/merged       the root, beside what the format needs (upper, work)
 *   trash/                         half-made or half-removed things, emptied at the start
 *
 * A layer is unpacked in trash/ and renamed into place when its bytes were verified: a visible layer is whole, but for a power
 * loss, after which those that no record names are removed (unsynced.ts).
 * Life of a root: mountRoot -> (process restarts: mountRoot again) -> removeRoot. conformance: snapshot-conformance.ts.
 */
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import {
  allEnded,
  assert,
  type Ctx,
  type Digest,
  hexOf,
  isDigest,
  isKind,
  isMissing,
  parseDigest,
  type Random,
  StatusError,
  writeFileAtomic,
} from '#lib/base';
import { asSize, asString, asStrings, parseJsonObject } from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import type { UserNamespace } from '../user-namespaces/ranges.ts';

/** A layer's tar. `verify` is called after its end and throws when the bytes were not the expected ones. */
export interface LayerInput {
  /** Where it lies plain or as gzip, for who reads it as it is; absent: only `open` gives it. */
  readonly file?: string | undefined;
  /** What it may take of the disk. */
  readonly bytesMax: number;
  readonly entriesMax: number;
  /** The uncompressed bytes; at most once. */
  open(): Promise<Readable>;
  /** `diffId`: of the uncompressed bytes, from who read the file; else the stream has hashed what it gave. */
  verify(diffId?: Digest): Promise<void>;
  /** Lets go of files, also when the stream was never read. */
  close(): Promise<void>;
}

export interface LayerSize {
  readonly entries: number;
  readonly bytes: number;
}

/** What a root is made of. */
export interface RootSource {
  readonly imageId: Digest;
  /** Chain ids, base first. */
  readonly layers: readonly Digest[];
}

/** Unpacked, and seen by nobody. Disposing takes away what was not kept. */
export interface LayerDraft extends AsyncDisposable {
  keep(chainId: Digest): Promise<void>;
}

export interface Snapshotter {
  hasLayer(chainId: Digest): Promise<boolean>;
  /** Nothing happens when the layer is there. On failure nothing is left. Not on disk before the file system is synced. */
  addLayer(chainId: Digest, open: () => Promise<LayerInput>, c: Ctx): Promise<void>;
  /** A layer whose name is known only when all of it has come. Not on disk before the file system is synced. */
  draftLayer(open: () => Promise<LayerInput>, c: Ctx): Promise<LayerDraft>;
  layers(): Promise<readonly { chainId: Digest; bytes: number }[]>;
  /** Gone is fine. The caller knows that no root uses it. */
  removeLayer(chainId: Digest, c: Ctx): Promise<void>;
  /** The same id again gives the same root, whatever the source says, re-mounted if needed. NotFound when a layer is missing. */
  mountRoot(containerId: string, source: RootSource, c: Ctx, userNamespace?: UserNamespace): Promise<string>;
  /** Gone is fine. */
  removeRoot(containerId: string, c: Ctx): Promise<void>;
  /**
   * Resolves when it is a root no more; `gone` when nothing of it is left. An overlay's end syncs its whole file system, which
   * nobody needs to wait for.
   */
  discardRoot(containerId: string): Promise<{ gone(c: Ctx): Promise<void> }>;
  /** `source` is undefined when a crash cut the root's making short; it can only be removed. */
  roots(): Promise<readonly { containerId: string; source: RootSource | undefined }[]>;
}

/** A root's own folder as a layer: with overlayfs alone, whose upper folder has a layer's form already. */
export interface RootCommits {
  /** Undoes the root's mounts, which no process may use; where that lies which was written. */
  settle(containerId: string, c: Ctx): Promise<string>;
  /** That folder becomes the layer as it is, and the root is gone. Not on disk before the file system is synced. */
  promote(containerId: string, o: LayerSize & { readonly chainId: Digest }, c: Ctx): Promise<void>;
}

/** How a format turns layers into a root: overlay.ts, copy.ts. */
export interface RootFormat {
  readonly name: 'overlay' | 'copy';
  /** Unpacks a layer into the empty folder `target`; `diffId` when it has read the input's file. */
  unpack(target: string, input: LayerInput, c: Ctx): Promise<LayerSize & { readonly diffId?: Digest }>;
  /** Makes the root appear at `root/merged`; again is fine. `layers`: folders, base first, maybe none. */
  build(root: string, layers: readonly string[], c: Ctx, userNamespace?: UserNamespace): Promise<void>;
  /** Undoes what build mounted; gone is fine. The files are removed by the caller. */
  dismantle(root: string, c: Ctx): Promise<void>;
}

const CONTAINER_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$/;

export class FolderSnapshotter implements Snapshotter, RootCommits {
  readonly #folder: string;
  readonly #format: RootFormat;
  readonly #kernel: Kernel;
  readonly #random: Random;

  private constructor(o: { folder: string; format: RootFormat; kernel: Kernel; random: Random }) {
    this.#folder = o.folder;
    this.#format = o.format;
    this.#kernel = o.kernel;
    this.#random = o.random;
  }

  static async open(
    o: { folder: string; format: RootFormat; kernel: Kernel; random: Random },
    c: Ctx,
  ): Promise<FolderSnapshotter> {
    const trash = join(o.folder, 'trash');
    for (const point of await o.kernel.mounts.below(trash, c)) await o.kernel.mounts.unmount(point, c);
    await o.kernel.removeTree(trash, c);
    for (const part of ['layers', 'roots', 'trash'])
      await mkdir(join(o.folder, part), { recursive: true, mode: 0o700 });
    return new FolderSnapshotter(o);
  }

  hasLayer(chainId: Digest): Promise<boolean> {
    return isThere(this.#layer(chainId));
  }

  async addLayer(chainId: Digest, open: () => Promise<LayerInput>, c: Ctx): Promise<void> {
    if (await this.hasLayer(chainId)) return;
    await using draft = await this.draftLayer(open, c);
    await draft.keep(chainId);
  }

  async draftLayer(open: () => Promise<LayerInput>, c: Ctx): Promise<LayerDraft> {
    const temporary = this.#trash();
    const draft: LayerDraft = {
      keep: (chainId) => renameUnlessThere(temporary, this.#layer(chainId)),
      [Symbol.asyncDispose]: async () => {
        if (await isThere(temporary)) await this.#remove(temporary, c);
      },
    };
    try {
      await mkdir(join(temporary, 'fs'), { recursive: true });
      const size = await this.#unpack(join(temporary, 'fs'), await open(), c);
      await writeFileAtomic(join(temporary, 'layer.json'), JSON.stringify(size), { durable: false });
      return draft;
    } catch (e) {
      await draft[Symbol.asyncDispose]();
      throw e;
    }
  }

  async layers(): Promise<readonly { chainId: Digest; bytes: number }[]> {
    const out: { chainId: Digest; bytes: number }[] = [];
    for (const name of await readdir(join(this.#folder, 'layers'))) {
      const chainId = `sha256:${name}`;
      if (isDigest(chainId)) out.push({ chainId, bytes: await this.#layerBytes(chainId) });
    }
    return out;
  }

  async removeLayer(chainId: Digest, c: Ctx): Promise<void> {
    await this.#discard(this.#layer(chainId), c);
  }

  async mountRoot(containerId: string, source: RootSource, c: Ctx, userNamespace?: UserNamespace): Promise<string> {
    const root = this.#root(containerId);
    const known = await this.#source(containerId);
    const { layers } = known ?? source;
    const there = await Promise.all(layers.map((l) => this.hasLayer(l)));
    const missing = layers.find((_, i) => there[i] !== true);
    if (missing !== undefined)
      throw new StatusError('NotFound', `layer ${missing} of the image is not unpacked on this node: pull it again`);
    await mkdir(root, { recursive: true, mode: 0o700 });
    const folders = layers.map((l) => join(this.#layer(l), 'fs'));
    await allEnded([this.#format.build(root, folders, c, userNamespace), known ?? this.#describeRoot(root, source)]);
    return join(root, 'merged');
  }

  /** Not synced: after a power loss the container is gone as well, and the folder's name is enough to remove it. */
  #describeRoot(root: string, source: RootSource): Promise<void> {
    return writeFileAtomic(join(root, 'root.json'), JSON.stringify(source), { durable: false });
  }

  async removeRoot(containerId: string, c: Ctx): Promise<void> {
    const root = this.#root(containerId);
    if (!(await isThere(root))) return;
    await this.#format.dismantle(root, c);
    await this.#discard(root, c);
  }

  async discardRoot(containerId: string): Promise<{ gone(c: Ctx): Promise<void> }> {
    const trash = this.#trash();
    try {
      /* What is mounted in it goes with it. */
      await rename(this.#root(containerId), trash);
    } catch (e) {
      ignoreMissing(e);
      return { gone: async () => undefined };
    }
    return {
      gone: async (c) => {
        await this.#format.dismantle(trash, c);
        await this.#remove(trash, c);
      },
    };
  }

  async settle(containerId: string, c: Ctx): Promise<string> {
    if (this.#format.name !== 'overlay')
      throw new StatusError('Unavailable', 'overlayfs does not work here: what a root holds cannot become a layer');
    await this.#format.dismantle(this.#root(containerId), c);
    return join(this.#root(containerId), 'upper');
  }

  async promote(containerId: string, o: LayerSize & { readonly chainId: Digest }, c: Ctx): Promise<void> {
    const upper = await this.settle(containerId, c);
    const { chainId, entries, bytes } = o;
    const temporary = this.#trash();
    try {
      await mkdir(temporary);
      await rename(upper, join(temporary, 'fs'));
      await writeFileAtomic(join(temporary, 'layer.json'), JSON.stringify({ entries, bytes }), { durable: false });
      await renameUnlessThere(temporary, this.#layer(chainId));
    } finally {
      if (await isThere(temporary)) await this.#remove(temporary, c);
    }
    await this.removeRoot(containerId, c);
  }

  async roots(): Promise<readonly { containerId: string; source: RootSource | undefined }[]> {
    const names = (await readdir(join(this.#folder, 'roots'))).filter((n) => CONTAINER_ID.test(n)).sort();
    const out: { containerId: string; source: RootSource | undefined }[] = [];
    for (const containerId of names) out.push({ containerId, source: await this.#source(containerId) });
    return out;
  }

  async #unpack(target: string, input: LayerInput, c: Ctx): Promise<LayerSize> {
    try {
      const { entries, bytes, diffId } = await this.#format.unpack(target, input, c);
      await input.verify(diffId);
      return { entries, bytes };
    } finally {
      await input.close();
    }
  }

  async #source(containerId: string): Promise<RootSource | undefined> {
    const bytes = await readFile(join(this.#root(containerId), 'root.json')).catch(ignoreMissing);
    /* Not synced when written: after a power loss it may be empty or torn. */
    return bytes && decodeSource(bytes);
  }

  async #layerBytes(chainId: Digest): Promise<number> {
    const bytes = await readFile(join(this.#layer(chainId), 'layer.json')).catch(ignoreMissing);
    return bytes ? asSize(parseJsonObject(bytes, 'layer.json')['bytes'], 'layer.bytes') : 0;
  }

  /** Away at once by a rename, then removed at leisure; a crash in between leaves it in trash/. */
  async #discard(path: string, c: Ctx): Promise<void> {
    const trash = this.#trash();
    try {
      await rename(path, trash);
    } catch (e) {
      if (isMissing(e)) return;
      throw e;
    }
    await this.#remove(trash, c);
  }

  /** Cleaning up goes on when the caller was cancelled; the kernel's own time limits end it. */
  async #remove(path: string, c: Ctx): Promise<void> {
    await this.#kernel.removeTree(path, { ...c, signal: new AbortController().signal });
  }

  #layer(chainId: Digest): string {
    return join(this.#folder, 'layers', hexOf(chainId));
  }

  #root(containerId: string): string {
    assert(CONTAINER_ID.test(containerId), `bad container id ${containerId}`);
    return join(this.#folder, 'roots', containerId);
  }

  #trash(): string {
    return join(this.#folder, 'trash', this.#random.hex(8));
  }
}

export async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(ignoreMissing)) !== undefined;
}

function decodeSource(bytes: Buffer): RootSource | undefined {
  try {
    const doc = parseJsonObject(bytes, 'root.json');
    return {
      imageId: parseDigest(asString(doc['imageId'], 'root.imageId')),
      layers: asStrings(doc['layers'], 'root.layers').map(parseDigest),
    };
  } catch (e) {
    if (isKind(e, 'Invalid')) return undefined;
    throw e;
  }
}

/** Another unpacker of the same layer may have been faster: its result is as good. */
async function renameUnlessThere(source: string, target: string): Promise<void> {
  try {
    await rename(source, target);
  } catch (e) {
    if (!(e instanceof Error && 'code' in e && (e.code === 'ENOTEMPTY' || e.code === 'EEXIST'))) throw e;
  }
}

function ignoreMissing(e: unknown): undefined {
  if (!isMissing(e)) throw e;
}
