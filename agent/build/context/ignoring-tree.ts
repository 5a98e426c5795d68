/**
 * A folder of the user's as a context, without what .dockerignore names; nothing is copied. All in it is root's: a host's
 * owners mean nothing in an image.
 */
import type { Ctx, Digest } from '#lib/base';
import { StatusError } from '#lib/base';
import type { IgnorePatterns } from './patterns.ts';
import { type Entry, joined, type SourceTree } from './tree.ts';

export class IgnoringTree implements SourceTree {
  readonly #tree: SourceTree;
  readonly #ignored: IgnorePatterns;

  constructor(tree: SourceTree, ignored: IgnorePatterns) {
    this.#tree = tree;
    this.#ignored = ignored;
  }

  async stat(path: string, c: Ctx): Promise<Entry | undefined> {
    const entry = await this.#tree.stat(path, c);
    if (entry === undefined || !(await this.#isShown(path, entry, c))) return undefined;
    return { ...entry, uid: 0, gid: 0 };
  }

  async list(path: string, c: Ctx): Promise<readonly string[]> {
    const out: string[] = [];
    for (const name of await this.#tree.list(path, c))
      if ((await this.stat(joined(path, name), c)) !== undefined) out.push(name);
    return out;
  }

  read(path: string, c: Ctx): AsyncIterable<Uint8Array> {
    if (this.#ignored.ignores(path)) throw new StatusError('NotFound', `/${path} is not in the context`);
    return this.#tree.read(path, c);
  }

  async contentOf(path: string, c: Ctx): Promise<Digest> {
    if (this.#ignored.ignores(path)) throw new StatusError('NotFound', `/${path} is not in the context`);
    return this.#tree.contentOf(path, c);
  }

  /** An ignored folder is there for what was taken back below it. */
  async #isShown(path: string, entry: Entry, c: Ctx): Promise<boolean> {
    c.signal.throwIfAborted();
    if (path === '' || !this.#ignored.ignores(path)) return true;
    if (entry.type !== 'folder' || !this.#ignored.readmits) return false;
    for (const name of await this.#tree.list(path, c)) {
      const below = joined(path, name);
      const child = await this.#tree.stat(below, c);
      if (child !== undefined && (await this.#isShown(below, child, c))) return true;
    }
    return false;
  }
}
