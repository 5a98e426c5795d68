/**
 * Roots as plain copies, for hosts where overlayfs does not work (state on overlayfs itself, on some network file systems).
 * A layer is unpacked without its whiteouts, which are kept as lists in `removals.json` beside it; a root is made by laying
 * the layers one over another: removals first, then the layer's files, a file replacing whatever had its name.
 * (image-spec layer.md "Whiteouts": a whiteout hides lower layers only.)
 */
import { chmod, lstat, mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Ctx, StatusError, writeFileAtomic } from '#lib/base';
import { asStrings, parseJsonObject, readTar, type TarEntry, writeTar } from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import { isThere, type LayerSize, type RootFormat } from './snapshot.ts';

/** Paths below the root, without a leading slash; '' is the root. */
interface Removals {
  readonly removed: readonly string[];
  /** Folders whose lower content is hidden. */
  readonly opaque: readonly string[];
}

const PREFIX = '.wh.';
const OPAQUE = '.wh..wh..opq';
const COPY_TIMEOUT_MS = 30 * 60 * 1000;

export function copyFormat(kernel: Kernel): RootFormat {
  return {
    name: 'copy',
    unpack: async (target, input, c) => unpack(kernel, target, await input.open(), c),
    async build(root, layers, c, userNamespace) {
      if (userNamespace !== undefined)
        throw new StatusError('Unimplemented', 'user namespaces need overlayfs, which does not work on this node');
      await build(kernel, root, layers, c);
    },
    async dismantle(root, c) {
      for (const point of await kernel.mounts.below(root, c)) await kernel.mounts.unmount(point, c);
    },
  };
}

async function unpack(kernel: Kernel, target: string, stream: Readable, c: Ctx): Promise<LayerSize> {
  const removed: string[] = [];
  const opaque: string[] = [];
  const rest = writeTar(withoutWhiteouts(readTar(stream), { removed, opaque }));
  const size = await kernel.unpackLayer({ root: target, input: Readable.from(rest, { objectMode: false }) }, c);
  await writeFileAtomic(join(target, '..', 'removals.json'), JSON.stringify({ removed, opaque }));
  return size;
}

async function* withoutWhiteouts(
  entries: AsyncIterable<TarEntry>,
  found: { removed: string[]; opaque: string[] },
): AsyncGenerator<TarEntry, void, void> {
  for await (const entry of entries) {
    const parts = entry.header.path.split('/').filter((p) => p !== '' && p !== '.');
    const name = parts.at(-1) ?? '';
    if (!name.startsWith(PREFIX)) yield entry;
    else if (name === OPAQUE) found.opaque.push(parts.slice(0, -1).join('/'));
    else if (!name.startsWith('.wh..wh.'))
      found.removed.push([...parts.slice(0, -1), name.slice(PREFIX.length)].join('/'));
  }
}

/** `merged` appears by a rename when it is whole, so a crash in between leaves nothing that looks like a root. */
async function build(kernel: Kernel, root: string, layers: readonly string[], c: Ctx): Promise<void> {
  const done = join(root, 'done');
  if (await isThere(done)) return;
  const merged = join(root, 'merged');
  const making = join(root, 'making');
  await kernel.removeTree(making, c);
  await kernel.removeTree(merged, c);
  await mkdir(making, { recursive: true, mode: 0o755 });
  for (const layer of layers) {
    await applyRemovals(kernel, making, await readRemovals(layer), c);
    await clearConflicts(kernel, layer, making, c);
    const argv = ['cp', '-a', '--reflink=auto', '--remove-destination', '-T', layer, making];
    const result = await kernel.programs.run(argv, { timeoutMs: COPY_TIMEOUT_MS }, c);
    if (result.code !== 0)
      throw new StatusError('Internal', `copy of a layer failed: ${result.stderr.toString().trim()}`);
  }
  await chmod(making, 0o755); // the root folder's mode in the container, whatever a layer or our umask says
  await rename(making, merged);
  await mkdir(done);
}

async function readRemovals(layer: string): Promise<Removals> {
  const doc = parseJsonObject(await readFile(join(layer, '..', 'removals.json')), 'removals.json');
  return { removed: asStrings(doc['removed'], 'removed'), opaque: asStrings(doc['opaque'], 'opaque') };
}

async function applyRemovals(kernel: Kernel, root: string, removals: Removals, c: Ctx): Promise<void> {
  for (const path of removals.opaque) {
    const folder = await inside(root, path);
    if (!folder || !(await isFolder(folder))) continue;
    for (const name of await readdir(folder)) await kernel.removeTree(join(folder, name), c);
  }
  for (const path of removals.removed) {
    const target = await inside(root, path);
    if (target) await kernel.removeTree(target, c);
  }
}

/** Where `path` lies below `root`; undefined when a parent is missing or a link, or the path leads out: nothing to remove. */
async function inside(root: string, path: string): Promise<string | undefined> {
  const parts = path.split('/').filter((p) => p !== '');
  if (parts.includes('..')) return undefined;
  let at = root;
  for (const part of parts) {
    if (!(await isFolder(at))) return undefined;
    at = join(at, part);
  }
  return at;
}

/** Removes what cp cannot replace: a folder where the layer has a file, and a file where it has a folder. */
async function clearConflicts(kernel: Kernel, layer: string, target: string, c: Ctx): Promise<void> {
  c.signal.throwIfAborted();
  for (const entry of await readdir(layer, { withFileTypes: true })) {
    const [from, to] = [join(layer, entry.name), join(target, entry.name)];
    const isThereAsFolder = await isFolder(to);
    if (entry.isDirectory() && isThereAsFolder) await clearConflicts(kernel, from, to, c);
    else if (entry.isDirectory() || isThereAsFolder) await kernel.removeTree(to, c);
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (e) {
    if (e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR')) return false;
    throw e;
  }
}
