/**
 * The layer of a COPY or ADD as a tar: what was selected, at its destination, with the owner and mode asked for. Folders above
 * the destination are in it as the root below has them, since an overlay shows a folder as its upper-most layer says.
 * Entries are sorted by their paths, each once, so that equal copies are equal bytes.
 */
import { type Ctx, StatusError } from '#lib/base';
import { type TarHeader, tarHeader, writeTar } from '#lib/oci';
import type { ModeChange } from './modes.ts';
import type { Selected } from './select.ts';
import { byBytes, clipped, type Entry, joined, resolveIn, type SourceTree } from './tree.ts';

export interface LayerOptions {
  /** What the layer will lie on; of `--link` an empty one. */
  readonly below: SourceTree;
  /** Absolute, as the instruction says it. */
  readonly destination: string;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly mode: ModeChange | undefined;
  /** No mtime is later. */
  readonly latestMs?: number | undefined;
}

interface Planned {
  readonly header: TarHeader;
  /** Undefined: no bytes. */
  readonly source: { readonly tree: SourceTree; readonly path: string } | undefined;
  /** Nothing is there below. */
  readonly isNew: boolean;
}

/** Of one instruction: what is copied, from one tree or from several. */
export interface Part {
  readonly tree: SourceTree;
  readonly selected: readonly Selected[];
  /** Whoever the copies belong to otherwise: an archive's own owners. */
  readonly keepsOwners?: boolean;
}

/** Whether copies go into the destination: it ends in a slash, or is a folder already. */
export async function isFolderAt(below: SourceTree, destination: string, c: Ctx): Promise<boolean> {
  if (destination.endsWith('/')) return true;
  const real = await resolveIn(below, clipped(destination), { last: true }, c);
  return real === '' || (await below.stat(real, c))?.type === 'folder';
}

/** The paths and contents that a key of the build cache is made of: no times, and the owner only as it lands. */
export async function contentKey(part: Part, s: Selected, o: LayerOptions, c: Ctx): Promise<string> {
  const { entry } = s;
  const own = part.keepsOwners === true ? undefined : o.owner;
  const content = entry.type === 'file' ? await part.tree.contentOf(s.source, c) : entry.linkPath;
  const device = [entry.deviceMajor, entry.deviceMinor];
  const xattrs = entry.xattrs.size === 0 ? [] : [...entry.xattrs].map(([k, v]) => [k, v.toString('base64')]).sort();
  return JSON.stringify([entry.type, modeOf(entry, o), ownerOf(entry, own), content, device, xattrs]);
}

/** Throws Conflict where a folder would stand on a file, or a file on a folder. */
export async function layerOf(
  parts: readonly Part[],
  o: LayerOptions,
  c: Ctx,
): Promise<AsyncGenerator<Uint8Array, void, void>> {
  const planned = new Map<string, Planned>();
  const base = await resolveIn(o.below, clipped(o.destination), { last: true }, c);
  for (const part of parts) for (const s of part.selected) await plan(planned, part, s, joined(base, s.landing), o, c);
  const paths = [...planned.keys()].sort(byBytes);
  return writeTar(entriesOf(paths, planned, c));
}

async function plan(
  planned: Map<string, Planned>,
  part: Part,
  s: Selected,
  path: string,
  o: LayerOptions,
  c: Ctx,
): Promise<void> {
  if (path === '') return;
  // A layer's reader takes such a name for the removal of another file (image-spec layer.md).
  if (path.includes('.wh.') && path.split('/').some((name) => name.startsWith('.wh.')))
    throw new StatusError('Invalid', `/${path}: names that begin with .wh. cannot be kept in an image`);
  // Below a folder that this layer makes there is nothing yet.
  const isNew = await planParents(planned, path, o, c);
  const there = isNew ? undefined : await o.below.stat(path, c);
  const isFolder = s.entry.type === 'folder';
  if (there !== undefined && isFolder !== (there.type === 'folder')) {
    if (isFolder) throw new StatusError('Conflict', `cannot copy to non-directory: /${path}`);
    throw new StatusError('Conflict', `cannot copy over a directory: /${path}`);
  }
  const before = planned.get(path);
  if (before !== undefined && isFolder !== (before.header.type === 'folder'))
    throw new StatusError('Conflict', `two sources land on /${path}, and one of them is a folder`);
  // A folder that is there keeps what it is: its contents are copied, not itself.
  if (isFolder && (before !== undefined || there !== undefined)) {
    if (before === undefined && there !== undefined) planned.set(path, folderAsIs(path, there));
    return;
  }
  const source = s.entry.type === 'file' ? { tree: part.tree, path: s.source } : undefined;
  const header = headerOf(path, s.entry, o, part.keepsOwners === true ? undefined : o.owner);
  planned.set(path, { header, source, isNew: there === undefined });
}

/** Those that are missing are made by root, 0755. Whether the last of them is not there below. */
async function planParents(planned: Map<string, Planned>, path: string, o: LayerOptions, c: Ctx): Promise<boolean> {
  let isNew = false;
  for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
    const parent = path.slice(0, at);
    const known = planned.get(parent);
    if (known !== undefined) {
      if (known.header.type !== 'folder')
        throw new StatusError('Conflict', `/${parent} is no folder: /${path} cannot be in it`);
      isNew = known.isNew;
      continue;
    }
    const there: Entry | undefined = isNew ? undefined : await o.below.stat(parent, c);
    isNew = there === undefined;
    if (there !== undefined && there.type !== 'folder')
      throw new StatusError('Conflict', `cannot copy to /${path}: /${parent} is not a directory`);
    const made = tarHeader({ type: 'folder', path: parent, ...owned(o), mtimeNs: latestNs(o) ?? 0n });
    planned.set(parent, there === undefined ? { header: made, source: undefined, isNew } : folderAsIs(parent, there));
  }
  return isNew;
}

function folderAsIs(path: string, e: Entry): Planned {
  const { mode, uid, gid, mtimeNs, xattrs } = e;
  const header = tarHeader({ type: 'folder', path, mode, uid, gid, mtimeNs, xattrs });
  return { header, source: undefined, isNew: false };
}

function headerOf(path: string, e: Entry, o: LayerOptions, owner: LayerOptions['owner']): TarHeader {
  const [uid, gid] = ownerOf(e, owner);
  const latest = latestNs(o);
  const mtimeNs = latest !== undefined && e.mtimeNs > latest ? latest : e.mtimeNs;
  const { type, sizeBytes, linkPath, deviceMajor, deviceMinor, xattrs } = e;
  const [mode, userName, groupName] = [modeOf(e, o), '', ''];
  return {
    type,
    path,
    linkPath,
    mode,
    uid,
    gid,
    sizeBytes,
    mtimeNs,
    userName,
    groupName,
    deviceMajor,
    deviceMinor,
    xattrs,
  };
}

function modeOf(e: Entry, o: LayerOptions): number {
  return o.mode === undefined || e.type === 'symlink' ? e.mode : o.mode(e.mode, e.type === 'folder');
}

function ownerOf(e: Entry, owner: LayerOptions['owner']): readonly [number, number] {
  return owner === undefined ? [e.uid, e.gid] : [owner.uid, owner.gid];
}

function owned(o: LayerOptions): { uid?: number; gid?: number } {
  return o.owner === undefined ? {} : { uid: o.owner.uid, gid: o.owner.gid };
}

function latestNs(o: LayerOptions): bigint | undefined {
  return o.latestMs === undefined ? undefined : BigInt(Math.floor(o.latestMs)) * 1_000_000n;
}

function* entriesOf(
  paths: readonly string[],
  planned: ReadonlyMap<string, Planned>,
  c: Ctx,
): Generator<{ header: TarHeader; body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> }> {
  for (const path of paths) {
    c.signal.throwIfAborted();
    const p = planned.get(path);
    if (p === undefined) continue;
    yield { header: p.header, body: bodyOf(p, c) };
  }
}

function bodyOf({ source }: Planned, c: Ctx): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (source === undefined) return [];
  const now = source.tree.readNow?.(source.path);
  return now === undefined ? source.tree.read(source.path, c) : [now];
}
