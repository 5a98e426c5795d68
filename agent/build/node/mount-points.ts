/**
 * The places that mounts of a RUN make in its root: what was not there before and is still empty after it is taken away, and
 * the folder it stood in has its time again. So mounts leave no trace in a layer. Source: buildkit executor/stubs.go (the idea).
 */
import { lstat, rmdir, unlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import { clipped, resolveIn, type SourceTree } from '../context/tree.ts';

/** In s. */
type Times = ReadonlyMap<string, { readonly atime: number; readonly mtime: number }>;

export class MountPoints {
  readonly #tree: SourceTree;
  readonly #missing: ReadonlySet<string>;
  /** Folders that are there. */
  readonly #parents: Times;

  private constructor(tree: SourceTree, missing: ReadonlySet<string>, parents: Times) {
    this.#tree = tree;
    this.#missing = missing;
    this.#parents = parents;
  }

  /** Before the mounts: `tree` are the files of `root`. */
  static async look(root: string, tree: SourceTree, targets: readonly string[], c: Ctx): Promise<MountPoints> {
    const missing = new Set<string>();
    const parents = new Map<string, { atime: number; mtime: number }>();
    for (const target of targets) {
      const parts = (await resolveIn(tree, clipped(target), { last: true }, c)).split('/');
      for (let n = 1; n <= parts.length; n++) {
        const path = parts.slice(0, n).join('/');
        if (missing.has(path)) continue;
        if (path === '' || (await tree.stat(path, c)) !== undefined) continue;
        const parent = parts.slice(0, n - 1).join('/');
        if (!missing.has(parent) && !parents.has(parent)) {
          const { atimeMs, mtimeMs } = await lstat(join(root, parent));
          parents.set(parent, { atime: atimeMs / 1000, mtime: mtimeMs / 1000 });
        }
        missing.add(path);
      }
    }
    return new MountPoints(tree, missing, parents);
  }

  /** After the last process: what stands there now may be anything, and links are followed by nobody. */
  async takeAway(root: string, c: Ctx): Promise<void> {
    const touched = new Set<string>();
    for (const path of [...this.#missing].sort((a, b) => b.length - a.length)) {
      if (!(await this.#isPlain(path, c))) continue;
      const entry = await this.#tree.stat(path, c);
      const isStub = entry?.type === 'folder' || (entry?.type === 'file' && entry.sizeBytes === 0);
      if (!isStub) continue;
      const gone = await (entry?.type === 'folder' ? rmdir : unlink)(join(root, path)).then(
        () => true,
        () => false, // it holds something: it is the step's own now
      );
      if (gone) touched.add(path.slice(0, Math.max(path.lastIndexOf('/'), 0)));
    }
    for (const [path, { atime, mtime }] of this.#parents)
      if (touched.has(path) && (await this.#isPlain(path, c))) await utimes(join(root, path), atime, mtime);
  }

  /** All above it are folders and no links. */
  async #isPlain(path: string, c: Ctx): Promise<boolean> {
    for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1))
      if ((await this.#tree.stat(path.slice(0, at), c))?.type !== 'folder') return false;
    return path === '' || (await this.#tree.stat(path, c)) !== undefined;
  }
}
