/**
 * The root of a stage or image as a source, and as what a destination is looked up in. Nobody else writes there meanwhile, so
 * names may be looked at one after the other; a link is never followed by the host's own rules.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, type Digest, parseDigest } from '#lib/base';
import { byBytes, type Entry, type EntryType, type SourceTree } from './tree.ts';

const READ_BYTES = 256 * 1024;
const MODE_BITS = 0o7777n;

/** Of the files of a folder of the tree that have some: by name, by key. */
export type XattrsOf = (folder: string, c: Ctx) => Promise<ReadonlyMap<string, ReadonlyMap<string, Buffer>>>;

const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

export class FolderTree implements SourceTree {
  readonly #root: string;
  readonly #xattrsOf: XattrsOf | undefined;
  readonly #xattrs = new Map<string, ReturnType<XattrsOf>>();

  /** `root`: an absolute path, mounted and at rest. Without `xattrsOf` files have no extended attributes. */
  constructor(root: string, xattrsOf?: XattrsOf) {
    this.#root = root;
    this.#xattrsOf = xattrsOf;
  }

  async stat(path: string, c: Ctx): Promise<Entry | undefined> {
    const full = join(this.#root, path);
    const s = await lstat(full, { bigint: true }).catch(ignoreMissing);
    if (s === undefined) return undefined;
    const type = typeOf(s);
    // A socket is nothing that an image could hold.
    if (type === undefined) return undefined;
    const isDevice = type === 'char' || type === 'block';
    return {
      type,
      mode: Number(s.mode & MODE_BITS),
      uid: Number(s.uid),
      gid: Number(s.gid),
      mtimeNs: s.mtimeNs,
      sizeBytes: type === 'file' ? Number(s.size) : 0,
      linkPath: type === 'symlink' ? await readlink(full) : '',
      deviceMajor: isDevice ? Number((s.rdev >> 8n) & 0xfffn) : 0,
      deviceMinor: isDevice ? Number((s.rdev & 0xffn) | ((s.rdev >> 12n) & 0xfff00n)) : 0,
      xattrs: type === 'file' ? await this.#xattrsAt(path, c) : NO_XATTRS,
    };
  }

  /** A folder is asked once, when the first of its files is looked at. */
  async #xattrsAt(path: string, c: Ctx): Promise<ReadonlyMap<string, Buffer>> {
    if (this.#xattrsOf === undefined) return NO_XATTRS;
    const at = path.lastIndexOf('/');
    const folder = path.slice(0, Math.max(at, 0));
    const known = this.#xattrs.get(folder) ?? this.#xattrsOf(folder, c);
    this.#xattrs.set(folder, known);
    try {
      return (await known).get(path.slice(at + 1)) ?? NO_XATTRS;
    } catch (e) {
      this.#xattrs.delete(folder);
      throw e;
    }
  }

  async list(path: string): Promise<readonly string[]> {
    return (await readdir(join(this.#root, path))).sort(byBytes);
  }

  read(path: string): AsyncIterable<Uint8Array> {
    return createReadStream(join(this.#root, path), { highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>;
  }

  async contentOf(path: string, c: Ctx): Promise<Digest> {
    const hash = createHash('sha256');
    for await (const piece of this.read(path)) {
      c.signal.throwIfAborted();
      hash.update(piece);
    }
    return parseDigest(`sha256:${hash.digest('hex')}`);
  }
}

interface Kinds {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isCharacterDevice(): boolean;
  isBlockDevice(): boolean;
  isFIFO(): boolean;
}

function typeOf(s: Kinds): EntryType | undefined {
  if (s.isFile()) return 'file';
  if (s.isDirectory()) return 'folder';
  if (s.isSymbolicLink()) return 'symlink';
  if (s.isCharacterDevice()) return 'char';
  if (s.isBlockDevice()) return 'block';
  return s.isFIFO() ? 'fifo' : undefined;
}

function ignoreMissing(e: unknown): undefined {
  const code = e instanceof Error && 'code' in e ? e.code : undefined;
  if (code !== 'ENOENT' && code !== 'ENOTDIR') throw e;
}
