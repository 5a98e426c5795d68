/**
 * Folders that RUN --mount=type=cache shares between builds, below one folder, named by the hash of their id. `locked` ones
 * are one step's at a time; of `private` ones each step at the same time has its own; `shared` are everybody's.
 * Source: Dockerfile reference, "RUN --mount=type=cache".
 */
import { chmod, chown, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, hexOf, type Random, sha256 } from '#lib/base';
import { isThere } from '../../images/snapshot.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { KeyedLock } from '../../plugins/keyed-lock.ts';
import type { StepMount } from '../solve/worker.ts';
import { layOut } from './lay-out.ts';

type CacheMount = Extract<StepMount, { kind: 'cache' }>;

export class CacheMounts {
  readonly #folder: string;
  readonly #random: Random;
  readonly #kernel: Kernel;
  readonly #locks = new KeyedLock();
  readonly #taken = new Set<string>();

  constructor(o: { readonly folder: string; readonly random: Random; readonly kernel: Kernel }) {
    this.#folder = o.folder;
    this.#random = o.random;
    this.#kernel = o.kernel;
  }

  /** Of several locked ones, take them in the order of `lockOrder`, or two steps may wait for each other. */
  async use<T>(m: CacheMount, fn: (path: string) => Promise<T>, c: Ctx): Promise<T> {
    const name = hexOf(sha256(m.id));
    if (m.sharing === 'locked') return this.#locks.run(name, async () => fn(await this.#ready(name, m, c)), c);
    if (m.sharing === 'shared') return fn(await this.#locks.run(`make ${name}`, () => this.#ready(name, m, c), c));
    let own = name;
    for (let n = 1; this.#taken.has(own); n++) own = `${name}-${n}`;
    this.#taken.add(own);
    try {
      return await fn(await this.#ready(own, m, c));
    } finally {
      this.#taken.delete(own);
    }
  }

  /** Made whole in another place first: a cancelled copy of a seed is no cache. */
  async #ready(name: string, m: CacheMount, c: Ctx): Promise<string> {
    const path = join(this.#folder, name);
    if (await isThere(path)) return path;
    const draft = join(this.#folder, `.new-${this.#random.hex(8)}`);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    try {
      if (m.seed === undefined) await mkdir(draft);
      else await layOut(m.seed.tree, m.seed.source, draft, c);
      await chown(draft, m.uid, m.gid);
      await chmod(draft, m.mode);
      await rename(draft, path);
      return path;
    } finally {
      await this.#kernel.removeTree(draft, { ...c, signal: new AbortController().signal });
    }
  }
}

export function lockOrder(a: CacheMount, b: CacheMount): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
