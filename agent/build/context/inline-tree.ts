/** Files that stand in the Dockerfile itself (here-documents of COPY and ADD): mode 0644, root's. */
import { type Ctx, type Digest, StatusError, sha256 } from '#lib/base';
import { byBytes, type Entry, plainEntry, type SourceTree } from './tree.ts';

export class InlineTree implements SourceTree {
  readonly #files: ReadonlyMap<string, Buffer>;

  constructor(files: readonly { readonly name: string; readonly content: string }[]) {
    this.#files = new Map(files.map((f) => [f.name, Buffer.from(f.content)]));
  }

  async stat(path: string): Promise<Entry | undefined> {
    const bytes = this.#files.get(path);
    if (bytes === undefined) return undefined;
    return plainEntry('file', 0o644, bytes.length);
  }

  async list(): Promise<readonly string[]> {
    return [...this.#files.keys()].sort(byBytes);
  }

  async *read(path: string): AsyncGenerator<Uint8Array, void, void> {
    yield this.#bytes(path);
  }

  async contentOf(path: string, _c: Ctx): Promise<Digest> {
    return sha256(this.#bytes(path));
  }

  #bytes(path: string): Buffer {
    const bytes = this.#files.get(path);
    if (bytes === undefined) throw new StatusError('NotFound', `${path} is no file of the Dockerfile`);
    return bytes;
  }
}
