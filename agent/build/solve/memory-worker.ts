/** A worker without a node, for tests: roots are maps, layers what tars and commands put into them. */
import { type Ctx, type Digest, StatusError, sha256 } from '#lib/base';
import { chainIds, readTar, tarHeader } from '#lib/oci';
import { byBytes, type Entry, type SourceTree } from '../context/tree.ts';
import type { BaseImage, BuildWorker, FetchedFile, Layer, StepProcess, StepRoot } from './worker.ts';

export interface MemoryFile {
  readonly entry: Entry;
  readonly data: Buffer;
}

export type Files = Map<string, MemoryFile>;
/** A command: changes the files, prints, gives an exit code. */
export type Command = (files: Files, p: StepProcess, c: Ctx) => number | Promise<number>;

export function file(text: string, more: Partial<Entry> = {}): MemoryFile {
  const data = Buffer.from(text);
  return { entry: { ...entryOf(tarHeader({ type: 'file', path: 'x', sizeBytes: data.length })), ...more }, data };
}

export function folder(more: Partial<Entry> = {}): MemoryFile {
  return { entry: { ...entryOf(tarHeader({ type: 'folder', path: 'x' })), ...more }, data: Buffer.alloc(0) };
}

function entryOf(h: ReturnType<typeof tarHeader>): Entry {
  const { mode, uid, gid, mtimeNs, sizeBytes, linkPath, deviceMajor, deviceMinor, xattrs } = h;
  const type = h.type === 'hardlink' ? 'file' : h.type;
  return { type, mode, uid, gid, mtimeNs, sizeBytes, linkPath, deviceMajor, deviceMinor, xattrs };
}

export class MemoryTree implements SourceTree {
  readonly files: Files;

  constructor(files: Files) {
    this.files = files;
  }

  async stat(path: string): Promise<Entry | undefined> {
    return path === '' ? folder().entry : this.files.get(path)?.entry;
  }

  async list(path: string): Promise<readonly string[]> {
    const prefix = path === '' ? '' : `${path}/`;
    const below = [...this.files.keys()].filter((p) => p.startsWith(prefix)).map((p) => p.slice(prefix.length));
    return [...new Set(below.map((p) => p.split('/')[0] ?? ''))].filter((n) => n !== '').sort(byBytes);
  }

  async *read(path: string): AsyncGenerator<Uint8Array, void, void> {
    const found = this.files.get(path);
    if (found !== undefined) yield found.data;
  }

  async contentOf(path: string): Promise<Digest> {
    return sha256(this.files.get(path)?.data ?? '');
  }
}

export class MemoryWorker implements BuildWorker {
  readonly images = new Map<string, BaseImage>();
  readonly commands = new Map<string, Command>();
  readonly urls = new Map<string, string>();
  /** What a cache from elsewhere has, by its key. */
  readonly elsewhere = new Map<Digest, { readonly layer: Layer; readonly builtMs: number }>();
  readonly ran: string[] = [];
  /** Roots that nobody has taken away. */
  open = 0;
  readonly #roots = new Map<string, Files>([['', new Map()]]);

  filesOf(layers: readonly Layer[]): Files {
    return new Map(this.#roots.get(layers.at(-1)?.chainId ?? ''));
  }

  drop(chainId: Digest): void {
    this.#roots.delete(chainId);
  }

  async image(name: string): Promise<BaseImage> {
    const found = this.images.get(name);
    if (found === undefined) throw new StatusError('NotFound', `pull access denied for ${name}`);
    return found;
  }

  async hasLayer(layer: Pick<Layer, 'chainId'>): Promise<boolean> {
    return this.#roots.has(layer.chainId);
  }

  async imported(key: Digest): ReturnType<BuildWorker['imported']> {
    return this.elsewhere.get(key);
  }

  async root(layers: readonly Layer[]): Promise<StepRoot> {
    this.open++;
    const files = this.filesOf(layers);
    return {
      tree: new MemoryTree(files),
      owner: async (text) => ({ uid: text.startsWith('app') ? 1000 : 0, gid: 1000 }),
      run: (p, c) => this.#run(files, p, c),
      commit: async () =>
        this.#layer(
          layers,
          files,
          sha256(JSON.stringify([...files].map(([k, f]) => [k, f.entry.mode, f.entry.uid, f.data.toString()]))),
        ),
      [Symbol.asyncDispose]: async () => {
        this.open--;
      },
    };
  }

  async addLayer(below: readonly Layer[], tar: AsyncIterable<Uint8Array>): Promise<Layer> {
    const files = this.filesOf(below);
    const seen: unknown[] = [];
    for await (const { header, body } of readTar(tar)) {
      const pieces: Buffer[] = [];
      for await (const piece of body) pieces.push(piece);
      const data = Buffer.concat(pieces);
      files.set(header.path, { entry: entryOf(header), data });
      seen.push([header.path, header.type, header.mode, header.uid, header.gid, data.toString()]);
    }
    return this.#layer(below, files, sha256(JSON.stringify(seen)));
  }

  /** Files that begin with `archive:` name the text of the one file `inside`. */
  async archive(tree: SourceTree, path: string, c: Ctx): Promise<SourceTree | undefined> {
    let text = '';
    for await (const piece of tree.read(path, c)) text += Buffer.from(piece).toString();
    return text.startsWith('archive:') ? new MemoryTree(new Map([['inside', file(text.slice(8))]])) : undefined;
  }

  async fetch(url: string): Promise<FetchedFile> {
    const text = this.urls.get(url);
    if (text === undefined) throw new StatusError('NotFound', `${url}: 404`);
    return { tree: new MemoryTree(new Map([['f', file(text, { mode: 0o600 })]])), path: 'f' };
  }

  #layer(below: readonly Layer[], files: Files, diffId: Digest): Layer {
    const chainId = chainIds([...below.map((l) => l.diffId), diffId]).at(-1) ?? diffId;
    this.#roots.set(chainId, files);
    return { diffId, chainId, bytes: files.size };
  }

  async #run(files: Files, p: StepProcess, c: Ctx): Promise<number> {
    const text = p.argv.at(-1) ?? '';
    this.ran.push(text);
    const command = this.commands.get(text.split(' ')[0] ?? '');
    return command === undefined ? 0 : command(files, p, c);
  }
}
