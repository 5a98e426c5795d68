/**
 * What one build asks of this node: images and layers of its store, containers for RUN, files for ADD. Its end takes away all
 * that it made beside layers: roots, mounts, fetched and laid out files.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, type Digest, StatusError } from '#lib/base';
import { localPlatform, type Platform, parseConfig, parseJsonObject, type Transport } from '#lib/oci';
import type { BuildSession } from '../../images/build-store.ts';
import type { PullOptions } from '../../images/images.ts';
import { isSamePlatform, platformText } from '../../images/platform.ts';
import type { ImportedCaches } from '../cache/imported.ts';
import type { SourceTree } from '../context/tree.ts';
import type { BaseImage, BuildWorker, FetchedFile, Layer, StepRoot } from '../solve/worker.ts';
import { openArchive } from './archive.ts';
import type { CacheMounts } from './cache-mounts.ts';
import { fetchFile } from './fetch.ts';
import { layOut } from './lay-out.ts';
import { NodeRoot, type RootHost } from './root.ts';
import type { BuildStepHost } from './step-container.ts';

export interface WorkerOptions {
  readonly step: BuildStepHost;
  readonly session: BuildSession;
  readonly caches: CacheMounts;
  readonly transport: Transport;
  /** Of pulls of bases. */
  readonly pulls: PullOptions;
  /** What a name of a base that is here stands for in the store: an id, say; undefined: itself. */
  readonly localName: ((name: string, c: Ctx) => Promise<string | undefined>) | undefined;
  readonly imports: ImportedCaches;
  /** New, for this build alone. */
  readonly scratch: string;
}

export class NodeBuildWorker implements BuildWorker, AsyncDisposable {
  readonly #o: WorkerOptions;
  readonly #roots = new Map<SourceTree, string>();
  readonly #laidOut = new Map<SourceTree, Map<string, Promise<string>>>();
  readonly #images = new Map<string, Promise<BaseImage>>();
  readonly #c: Ctx;
  #made = 0;

  constructor(o: WorkerOptions, c: Ctx) {
    this.#o = o;
    this.#c = { ...c, signal: new AbortController().signal };
  }

  static async open(o: WorkerOptions, c: Ctx): Promise<NodeBuildWorker> {
    await mkdir(o.scratch, { recursive: true, mode: 0o700 });
    return new NodeBuildWorker(o, c);
  }

  /** Once a build: a tag that moves meanwhile is one image in all of it. */
  image(name: string, o: { readonly platform: Platform; readonly pull: boolean }, c: Ctx): Promise<BaseImage> {
    const key = `${platformText(o.platform)} ${name}`;
    const known = this.#images.get(key);
    if (known !== undefined) return known;
    const image = this.#image(name, o, c);
    image.catch(() => this.#images.delete(key));
    this.#images.set(key, image);
    return image;
  }

  hasLayer(layer: Pick<Layer, 'chainId' | 'diffId'>): Promise<boolean> {
    return this.#o.session.hasLayer(layer);
  }

  imported(key: Digest, below: readonly Layer[], c: Ctx): ReturnType<BuildWorker['imported']> {
    return this.#o.imports.take(key, below, c);
  }

  async root(layers: readonly Layer[], c: Ctx): Promise<StepRoot> {
    const { session, step, scratch } = this.#o;
    const { id, path } = await session.mountRoot(layers, c);
    const mounts: RootHost['mounts'] = {
      kernel: step.kernel,
      caches: this.#o.caches,
      folderOf: (tree) => this.#roots.get(tree),
      laidOut: (tree, source, own) => this.#layOutOnce(tree, source, own),
    };
    const root = new NodeRoot({ session, step, mounts, scratch }, { id, path, layers }, this.#c);
    this.#roots.set(root.tree, path);
    return root;
  }

  addLayer(below: readonly Layer[], tar: AsyncIterable<Uint8Array>, c: Ctx): Promise<Layer> {
    return this.#o.session.addLayer(below, tar, c);
  }

  archive(tree: SourceTree, path: string, c: Ctx): Promise<SourceTree | undefined> {
    return openArchive(tree, path, { kernel: this.#o.step.kernel, path: this.#fresh('archive') }, c);
  }

  fetch(url: string, o: { readonly checksum: string | undefined }, c: Ctx): Promise<FetchedFile> {
    return fetchFile(url, { transport: this.#o.transport, folder: this.#fresh('fetched'), ...o }, c);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#o.step.kernel.removeTree(this.#o.scratch, this.#c);
    this.#o.session[Symbol.dispose]();
  }

  async #image(name: string, o: { platform: Platform; pull: boolean }, c: Ctx): Promise<BaseImage> {
    const { localName, pulls, session } = this.#o;
    const known = (o.pull ? undefined : await localName?.(name, c)) ?? name;
    const isOwn = isSamePlatform(o.platform, localPlatform());
    const { record, config, layers } = isOwn
      ? await session.image(known, { ...pulls, pull: o.pull }, c)
      : await session.foreignImage(known, { ...pulls, ...o }, c);
    const { platform } = parseConfig(config);
    if (!isSamePlatform(platform, o.platform))
      throw new StatusError(
        'Invalid',
        `image ${name} is for ${platform.os}/${platform.architecture}, not for ${o.platform.os}/${o.platform.architecture}`,
      );
    const id: Digest = record.id;
    return { id, platform, config: parseJsonObject(config, 'image config'), layers };
  }

  #layOutOnce(tree: SourceTree, source: string, c: Ctx): Promise<string> {
    const ofTree = this.#laidOut.get(tree) ?? new Map<string, Promise<string>>();
    this.#laidOut.set(tree, ofTree);
    const known = ofTree.get(source);
    if (known !== undefined) return known;
    const target = this.#fresh('tree');
    const made = layOut(tree, source, target, c).then(() => target);
    made.catch(() => ofTree.delete(source));
    ofTree.set(source, made);
    return made;
  }

  #fresh(what: string): string {
    return join(this.#o.scratch, `${what}-${++this.#made}`);
  }
}
