/** Wires the parts of agent/images into the `Images` contract. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Ctx, type Logger, makePrivateFolder, type Random } from '#lib/base';
import { DistributionClient, FolderContentStore, type ProxyChoice } from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import { BuildStore } from './build-store.ts';
import { ImageCatalog } from './catalog.ts';
import { copyFormat } from './copy.ts';
import { type Held, heldBy } from './gc.ts';
import type { Images } from './images.ts';
import { NodeImages } from './node-images.ts';
import { overlayFormat, overlayWorks } from './overlay.ts';
import { Pins } from './pins.ts';
import { Puller } from './pull.ts';
import { Records } from './records.ts';
import { CertsFolder } from './registries/certs-folder.ts';
import type { RegistryAccess } from './registries/remote.ts';
import { FolderSnapshotter, type RootFormat, type Snapshotter } from './snapshot.ts';
import { removeUnsynced } from './unsynced.ts';

export interface ImagesOptions {
  readonly kernel: Kernel;
  /** `$BERTH_HOME`: content/, snapshots/ and images/ are made below. One file system. */
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Settings of registries in containerd's layout (registries/certs-folder.ts); it need not be there. */
  readonly certsFolder: string;
  /** Default: none. */
  readonly proxy?: ProxyChoice | undefined;
  /** `auto` takes overlayfs where it works, else plain copies. Default auto. */
  readonly snapshotter?: 'auto' | 'overlay' | 'copy';
  /** Layers and blobs that are not to be collected though no image has them. */
  readonly held?: (() => Held) | undefined;
  /** Images that were built, loaded or imported stay until somebody removes them, also without a name. Default true. */
  readonly keepsBuilt?: boolean;
}

export interface OpenImages extends Images, AsyncDisposable {
  /** What builds do with them. */
  readonly builds: BuildStore;
  /** From now on what `held` says is not collected either, as with ImagesOptions.held. */
  hold(held: () => Held): Disposable;
  /** Where lies what was written in a container's root; undefined: plain copies do not know it. */
  writableLayer(containerId: string): string | undefined;
  /** What people do with them. */
  readonly catalog: ImageCatalog;
  /** How registries are spoken to. */
  readonly registries: RegistryAccess;
  /** How roots are made. */
  readonly format: RootFormat['name'];
  /** As `removeRoot`, for who waits only until it is a root no more (snapshot.ts). */
  discardRoot(containerId: string): Promise<{ gone(c: Ctx): Promise<void> }>;
}

const OVERLAY_FOLDER = 'snapshots';

/**
 * Removes what a crash left half-made (unfinished blobs and layers), and is then ready. Container roots stay; those that are
 * no longer mounted (a reboot) are mounted again by `mountRoot`.
 */
export async function openImages(o: ImagesOptions, c: Ctx): Promise<OpenImages> {
  const { kernel, clock, random, log } = o;
  const holders = new Set(o.held === undefined ? [] : [o.held]);
  const held = (): Held => heldBy([...holders].map((holder) => holder()));
  await makePrivateFolder(o.folder);
  const content = await FolderContentStore.open(join(o.folder, 'content'), { keepIngests: false, durable: false });
  const records = await Records.open(join(o.folder, 'images'), clock, log);
  const format = await chooseFormat(o, c);
  /* The formats keep layers in different forms and must not meet. */
  const snapshotFolder = join(o.folder, format.name === 'overlay' ? OVERLAY_FOLDER : 'snapshots-copy');
  await mkdir(snapshotFolder, { recursive: true, mode: 0o700 });
  const snapshots = await FolderSnapshotter.open({ folder: snapshotFolder, format, kernel, random }, c);
  await dropIncomplete(records, snapshots, log);
  await removeUnsynced({ folder: o.folder, content, records, snapshots, held }, c);
  const pins = new Pins();
  const client = new DistributionClient({ random, proxy: o.proxy });
  const scratch = join(snapshotFolder, 'trash', 'scratch');
  const registries = { client, hosts: new CertsFolder(o.certsFolder, log) };
  const puller = new Puller({
    registries,
    content,
    snapshots,
    records,
    pins,
    kernel,
    folder: o.folder,
    scratch,
  });
  const images = new NodeImages({ puller, records, content, snapshots, pins, clock, folder: o.folder, held });
  const layers = { kernel, content, records, snapshots, pins, clock, random, folder: o.folder, scratch };
  return Object.assign(images, {
    writableLayer: (id: string) => (format.name === 'overlay' ? writableLayer(o.folder, id) : undefined),
    hold: (holder: () => Held): Disposable => {
      holders.add(holder);
      return { [Symbol.dispose]: () => void holders.delete(holder) };
    },
    builds: new BuildStore({ ...layers, images, registries, isKept: o.keepsBuilt ?? true }),
    catalog: new ImageCatalog({ images, records, content, snapshots, pins, clock }),
    registries,
    format: format.name,
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  });
}

/**
 * Where a container's own files are; with plain copies nowhere apart from the image's. `folder`: of all images.
 */
export function writableLayer(folder: string, containerId: string): string {
  return join(folder, OVERLAY_FOLDER, 'roots', containerId, 'upper');
}

/** An image whose layers are gone (another format, a cleaned folder) is no image: it is pulled again when wanted. */
async function dropIncomplete(records: Records, snapshots: Snapshotter, log: Logger): Promise<void> {
  const there = new Set((await snapshots.layers()).map((l) => l.chainId));
  for (const r of records.all()) {
    if (r.layers.every((l) => there.has(l.chainId))) continue;
    log.warn({ image: r.reference }, 'layers of an image are missing: it must be pulled again');
    await records.remove(r.reference);
  }
}

async function chooseFormat(o: ImagesOptions, c: Ctx): Promise<RootFormat> {
  const wanted = o.snapshotter ?? 'auto';
  const isOverlay = wanted === 'overlay' || (wanted === 'auto' && (await overlayWorks(o.kernel, o.folder, c)));
  return isOverlay ? overlayFormat(o.kernel) : copyFormat(o.kernel);
}
