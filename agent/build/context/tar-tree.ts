/**
 * A context as the client sent it: the bodies of its tar's files in one file on disk, one after the other, and an index in
 * memory. Nothing of it is unpacked, so its names, links and devices reach no file system of this host.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { type Ctx, type Digest, parseDigest, StatusError, sha256 } from '#lib/base';
import { readTar, type TarBody, type TarHeader } from '#lib/oci';
import { byBytes, clipped, type Entry, plainEntry, type SourceTree } from './tree.ts';

interface Node {
  readonly entry: Entry;
  readonly data: { readonly offset: number; readonly digest: Digest } | undefined;
  readonly children: Map<string, Node> | undefined;
}

const ENTRIES_MAX = 2_000_000;
const READ_BYTES = 256 * 1024;
const PENDING_BYTES_MAX = 1024 * 1024;
/** Files up to this size are read from a window of the file: those of one folder mostly lie beside each other. */
const SMALL_BYTES_MAX = 64 * 1024;
const WINDOW_BYTES = 1024 * 1024;

interface Window {
  readonly from: number;
  readonly bytes: Promise<Buffer>;
  /** Once they have been read. */
  ready: Buffer | undefined;
}

/** Life: `receive` → reads → dispose, which removes the file. */
export class TarTree implements SourceTree, AsyncDisposable {
  readonly #path: string;
  /** Of an archive that is unpacked; a client's own ids mean nothing here: what it sends is root's. */
  readonly #keepsOwners: boolean;
  readonly #root: Node = { entry: plainEntry('folder', 0o755), data: undefined, children: new Map() };
  readonly #pending: Buffer[] = [];
  #pendingBytes = 0;
  #entries = 0;
  #bytes = 0;
  #window: Window | undefined;
  /** Of the file that was asked for last: the next one is mostly beside it. */
  #folder: { readonly prefix: string; readonly children: ReadonlyMap<string, Node> } | undefined;

  private constructor(path: string, keepsOwners: boolean) {
    this.#path = path;
    this.#keepsOwners = keepsOwners;
  }

  /** Reads `tar` (plain) to its end; bodies go to the file `path`. Throws Invalid for damage, TooLarge above `bytesMax`. */
  static async receive(
    tar: AsyncIterable<Uint8Array>,
    o: { readonly path: string; readonly bytesMax: number; readonly keepsOwners?: boolean },
    c: Ctx,
  ): Promise<TarTree> {
    const tree = new TarTree(o.path, o.keepsOwners ?? false);
    try {
      await using file = await open(o.path, 'wx', 0o600);
      for await (const { header, body } of readTar(tar)) {
        c.signal.throwIfAborted();
        await tree.#add(header, body, file, o.bytesMax);
      }
      await tree.#flush(file);
      return tree;
    } catch (e) {
      await tree[Symbol.asyncDispose]();
      throw e;
    }
  }

  /** Bytes of all files. */
  get sizeBytes(): number {
    return this.#bytes;
  }

  async stat(path: string): Promise<Entry | undefined> {
    return this.#node(path)?.entry;
  }

  async list(path: string): Promise<readonly string[]> {
    return [...(this.#node(path)?.children?.keys() ?? [])].sort(byBytes);
  }

  async *read(path: string): AsyncGenerator<Uint8Array, void, void> {
    const node = this.#node(path);
    if (node?.data === undefined) throw new StatusError('NotFound', `/${path} is no file of the context`);
    if (node.entry.sizeBytes === 0) return;
    const { offset } = node.data;
    if (node.entry.sizeBytes <= SMALL_BYTES_MAX) {
      yield await this.#small(offset, node.entry.sizeBytes);
      return;
    }
    yield* createReadStream(this.#path, {
      start: offset,
      end: offset + node.entry.sizeBytes - 1,
      highWaterMark: READ_BYTES,
    }) as AsyncIterable<Buffer>;
  }

  readNow(path: string): Uint8Array | undefined {
    const node = this.#node(path);
    const [bytes, from] = [this.#window?.ready, this.#window?.from ?? 0];
    if (node?.data === undefined || bytes === undefined) return undefined;
    const at = node.data.offset - from;
    const end = at + node.entry.sizeBytes;
    return at >= 0 && end <= bytes.length ? bytes.subarray(at, end) : undefined;
  }

  async contentOf(path: string): Promise<Digest> {
    return this.#node(path)?.data?.digest ?? sha256('');
  }

  /** Takes a file or folder out, as if the client had not sent it: what .dockerignore names. */
  remove(path: string): void {
    const at = path.lastIndexOf('/');
    this.#node(path.slice(0, Math.max(at, 0)))?.children?.delete(path.slice(at + 1));
    this.#folder = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #small(offset: number, size: number): Promise<Buffer> {
    for (;;) {
      const window = this.#window;
      if (window !== undefined && offset >= window.from && offset + size <= window.from + WINDOW_BYTES) {
        const bytes = (await window.bytes).subarray(offset - window.from, offset - window.from + size);
        if (bytes.length === size) return bytes;
        throw new StatusError('Internal', `the bodies of a context were cut short at ${offset}`);
      }
      this.#window = this.#windowAt(offset);
    }
  }

  #windowAt(from: number): Window {
    const window: Window = { from, bytes: this.#readAt(from), ready: undefined };
    void window.bytes.then(
      (bytes) => {
        window.ready = bytes;
      },
      () => undefined, // told to whoever reads it
    );
    return window;
  }

  async #readAt(offset: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(WINDOW_BYTES);
    await using file = await open(this.#path, 'r');
    const { bytesRead } = await file.read(buffer, 0, WINDOW_BYTES, offset);
    return buffer.subarray(0, bytesRead);
  }

  #node(path: string): Node | undefined {
    if (path === '') return this.#root;
    const at = path.lastIndexOf('/') + 1;
    const known = this.#folder;
    if (known?.prefix.length === at && path.startsWith(known.prefix)) return known.children.get(path.slice(at));
    let node: Node | undefined = this.#root;
    for (const part of path.slice(0, at).split('/')) if (part !== '') node = node?.children?.get(part);
    const children = node?.children;
    if (children === undefined) return undefined;
    this.#folder = { prefix: path.slice(0, at), children };
    return children.get(path.slice(at));
  }

  async #add(header: TarHeader, body: TarBody, file: FileHandle, bytesMax: number): Promise<void> {
    if (++this.#entries > ENTRIES_MAX)
      throw new StatusError('TooLarge', `the context has more than ${ENTRIES_MAX} entries`);
    const path = clipped(header.path);
    if (header.type === 'hardlink') {
      const target = this.#node(clipped(header.linkPath));
      if (target === undefined || target.children !== undefined)
        throw new StatusError(
          'Invalid',
          `the context's "${header.path}" is a link to "${header.linkPath}", which is not there`,
        );
      this.#put(path, target);
      return;
    }
    const entry = entryOf(header, this.#keepsOwners);
    if (entry.type === 'folder') {
      const known = this.#node(path)?.children;
      this.#put(path, { entry, data: undefined, children: known ?? new Map() });
      return;
    }
    const data = entry.type === 'file' ? await this.#store(entry.sizeBytes, body, file, bytesMax) : undefined;
    this.#put(path, { entry, data, children: undefined });
  }

  async #store(
    sizeBytes: number,
    body: TarBody,
    file: FileHandle,
    bytesMax: number,
  ): Promise<{ offset: number; digest: Digest }> {
    if (this.#bytes + sizeBytes > bytesMax)
      throw new StatusError('TooLarge', `the context has more than the ${bytesMax} bytes that there is room for`);
    const offset = this.#bytes;
    const all = body.atOnce();
    if (all !== undefined) {
      await this.#keep(all, file);
      return { offset, digest: sha256(all) };
    }
    const hash = createHash('sha256');
    for await (const piece of body) {
      hash.update(piece);
      await this.#keep(piece, file);
    }
    return { offset, digest: parseDigest(`sha256:${hash.digest('hex')}`) };
  }

  async #keep(piece: Buffer, file: FileHandle): Promise<void> {
    this.#bytes += piece.length;
    this.#pendingBytes += piece.length;
    this.#pending.push(piece);
    if (this.#pendingBytes >= PENDING_BYTES_MAX) await this.#flush(file);
  }

  /** Many small files are few writes. */
  async #flush(file: FileHandle): Promise<void> {
    const [pieces, from] = [this.#pending.splice(0), this.#bytes - this.#pendingBytes];
    this.#pendingBytes = 0;
    const bytes = Buffer.concat(pieces);
    for (let done = 0; done < bytes.length; )
      done += (await file.write(bytes, done, bytes.length - done, from + done)).bytesWritten;
  }

  /** Missing parents are made; a later entry of a name replaces an earlier one. */
  #put(path: string, node: Node): void {
    if (path === '') return;
    this.#folder = undefined;
    const parts = path.split('/');
    const name = parts.pop() ?? '';
    let folder = this.#root;
    for (const part of parts) {
      let next = folder.children?.get(part);
      if (next?.children === undefined) {
        next = { entry: plainEntry('folder', 0o755), data: undefined, children: new Map() };
        folder.children?.set(part, next);
      }
      folder = next;
    }
    folder.children?.set(name, node);
  }
}

function entryOf(h: TarHeader, keepsOwners: boolean): Entry {
  const { type, mode, mtimeNs, sizeBytes, linkPath, deviceMajor, deviceMinor, xattrs } = h;
  if (type === 'hardlink') throw new StatusError('Internal', 'a hard link is no entry of its own');
  const [uid, gid] = keepsOwners ? [h.uid, h.gid] : [0, 0];
  return { type, mode, uid, gid, mtimeNs, sizeBytes, linkPath, deviceMajor, deviceMinor, xattrs };
}
