/**
 * Where COPY takes files from: the context that a client sent, or the root of another stage or image. Paths are relative to the
 * tree's root, with slashes, without `.` and `..`; '' is the root. Links never lead out of it.
 */
import type { Ctx, Digest } from '#lib/base';
import { StatusError } from '#lib/base';
import { NO_XATTRS } from '#lib/oci';

export type EntryType = 'file' | 'folder' | 'symlink' | 'char' | 'block' | 'fifo';

export interface Entry {
  readonly type: EntryType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  /** 0 for everything but files. */
  readonly sizeBytes: number;
  /** Of a symlink, as it is written. */
  readonly linkPath: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** Root's, of 1970, with nothing that a file of a build need not have. */
export function plainEntry(type: EntryType, mode: number, sizeBytes = 0): Entry {
  const plain = { uid: 0, gid: 0, mtimeNs: 0n, linkPath: '', deviceMajor: 0, deviceMinor: 0, xattrs: NO_XATTRS };
  return { type, mode, sizeBytes, ...plain };
}

export interface SourceTree {
  /** The entry itself, its parents without links among them. Undefined: not there. */
  stat(path: string, c: Ctx): Promise<Entry | undefined>;
  /** Names in a folder, sorted by their bytes. */
  list(path: string, c: Ctx): Promise<readonly string[]>;
  /** A file's bytes. */
  read(path: string, c: Ctx): AsyncIterable<Uint8Array>;
  /** A small file's bytes where they are in memory already: a stream for each of ten thousand is dear. */
  readNow?(path: string): Uint8Array | undefined;
  /** sha256 of a file's bytes. */
  contentOf(path: string, c: Ctx): Promise<Digest>;
}

const LINKS_MAX = 40;

/** `path` with its links followed below the root: `..` ends there. With `last` also one at its end. The end need not exist. */
export async function resolveIn(
  tree: SourceTree,
  path: string,
  o: { readonly last: boolean },
  c: Ctx,
): Promise<string> {
  const left = partsOf(path).reverse();
  let at: string[] = [];
  for (let links = 0; left.length > 0; ) {
    const part = left.pop() ?? '';
    if (part === '..') {
      at.pop();
      continue;
    }
    const entry = await tree.stat([...at, part].join('/'), c);
    if (entry?.type !== 'symlink' || (left.length === 0 && !o.last)) {
      at.push(part);
      continue;
    }
    if (++links > LINKS_MAX) throw new StatusError('Invalid', `too many levels of symbolic links: /${path}`);
    if (entry.linkPath.startsWith('/')) at = [];
    left.push(...partsOf(entry.linkPath).reverse());
  }
  return at.join('/');
}

/** Of a path as users write it: without empty parts and `.`. */
export function partsOf(path: string): string[] {
  return path.split('/').filter((p) => p !== '' && p !== '.');
}

/** An empty part, `.` or `..`. */
const UNCLEAN = /(^|\/)\.{0,2}(\/|$)/;

/** Below the root whatever it says: `..` and a leading slash are clipped. */
export function clipped(path: string): string {
  if (!UNCLEAN.test(path)) return path;
  const out: string[] = [];
  for (const part of partsOf(path)) {
    if (part === '..') out.pop();
    else out.push(part);
  }
  return out.join('/');
}

export function joined(folder: string, name: string): string {
  if (folder === '' || name === '') return folder + name;
  return `${folder}/${name}`;
}

/** By bytes, as sorted archives are. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** What `--link` copies onto. */
export const NO_FILES: SourceTree = {
  stat: async () => undefined,
  list: async () => [],
  read: (path) => {
    throw new StatusError('NotFound', `/${path} is not there`);
  },
  contentOf: async (path) => {
    throw new StatusError('NotFound', `/${path} is not there`);
  },
};
