/**
 * Folders that RUN --mount=type=cache shares between builds, below one folder, named by the hash of their id. `locked` ones
 * are one step's at a time; of `private` ones each step at the same time has its own; `shared` are everybody's.
 * Beside each stands NAME.json with its id and what it took when it was last measured; that file's time is its last use.
 * Source: Dockerfile reference, "RUN --mount=type=cache".
 */
import { chmod, chown, mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, hexOf, isKind, type Random, sha256, writeFileAtomic } from '#lib/base';
import { asSize, asString, parseJsonObject } from '#lib/oci';
import { isThere } from '../../images/snapshot.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { KeyedLock } from '../../plugins/keyed-lock.ts';
import type { StepMount } from '../solve/worker.ts';
import { layOut } from './lay-out.ts';

type CacheMount = Extract<StepMount, { kind: 'cache' }>;

export interface CacheMountUsage {
  readonly name: string;
  readonly id: string;
  /** When it was last measured; 0 while it is in use. */
  readonly bytes: number;
  readonly usedMs: number;
  readonly isInUse: boolean;
}

const MARK = /^([0-9a-f]{64}(?:-\d+)?)\.json$/;
const MEASURE_TIMEOUT_MS = 5 * 60_000;

export class CacheMounts {
  readonly #folder: string;
  readonly #random: Random;
  readonly #kernel: Kernel;
  readonly #locks = new KeyedLock();
  readonly #users = new Map<string, number>();
  readonly #removing = new Map<string, Promise<void>>();

  constructor(o: { readonly folder: string; readonly random: Random; readonly kernel: Kernel }) {
    this.#folder = o.folder;
    this.#random = o.random;
    this.#kernel = o.kernel;
  }

  /** Of several locked ones, take them in the order of `lockOrder`, or two steps may wait for each other. */
  async use<T>(m: CacheMount, fn: (path: string) => Promise<T>, c: Ctx): Promise<T> {
    const name = hexOf(sha256(m.id));
    const held = (own: string): Promise<T> => this.#held(own, m, async () => fn(await this.#ready(own, m, c)), c);
    if (m.sharing === 'locked') return this.#locks.run(name, () => held(name), c);
    if (m.sharing === 'shared')
      return this.#held(
        name,
        m,
        async () => fn(await this.#locks.run(`make ${name}`, () => this.#ready(name, m, c), c)),
        c,
      );
    let own = name;
    for (let n = 1; this.#users.has(own); n++) own = `${name}-${n}`;
    // Who wants the first one locked waits for it.
    return own === name ? this.#locks.run(name, () => held(name), c) : held(own);
  }

  /** Of a crash. */
  async removeLeftovers(c: Ctx): Promise<void> {
    for (const name of await readdir(this.#folder).catch(() => []))
      if (/^\.(new|gone)-/.test(name)) await this.#kernel.removeTree(join(this.#folder, name), c);
  }

  /** Most recently used first. */
  async all(c: Ctx): Promise<readonly CacheMountUsage[]> {
    const out: CacheMountUsage[] = [];
    for (const file of await readdir(this.#folder).catch(() => [])) {
      const [, name] = MARK.exec(file) ?? [];
      if (name === undefined) continue;
      const path = join(this.#folder, file);
      const { mtimeMs } = await stat(path);
      const mark = decodeMark(await readFile(path), name);
      const isInUse = this.#users.has(name);
      const bytes = mark.bytes === 0 && !isInUse ? await this.#measure(name, mark.id, c) : mark.bytes;
      out.push({ name, id: mark.id, bytes, usedMs: mtimeMs, isInUse });
    }
    return out.sort((a, b) => b.usedMs - a.usedMs || (a.name < b.name ? -1 : 1));
  }

  /** Those that no step has go, the least recently used first, until `keepBytes` are left. Gives what went. */
  async prune(
    o: { readonly keepBytes: number; readonly unusedForMs?: number | undefined },
    c: Ctx,
  ): Promise<readonly CacheMountUsage[]> {
    const gone: CacheMountUsage[] = [];
    let kept = 0;
    for (const m of await this.all(c)) {
      const isYoung = o.unusedForMs !== undefined && c.clock.now() - m.usedMs < o.unusedForMs;
      if (isYoung || kept + m.bytes <= o.keepBytes || !(await this.#remove(m.name, c))) kept += m.bytes;
      else gone.push(m);
    }
    return gone;
  }

  /** Not removed meanwhile; measured again afterwards. */
  async #held<T>(name: string, m: CacheMount, fn: () => Promise<T>, c: Ctx): Promise<T> {
    this.#users.set(name, (this.#users.get(name) ?? 0) + 1);
    try {
      await this.#removing.get(name);
      c.signal.throwIfAborted();
      return await fn();
    } finally {
      const left = (this.#users.get(name) ?? 1) - 1;
      if (left === 0) this.#users.delete(name);
      else this.#users.set(name, left);
      await this.#mark(name, { id: m.id, bytes: 0 });
    }
  }

  /** False when somebody has it. */
  async #remove(name: string, c: Ctx): Promise<boolean> {
    if (this.#users.has(name) || this.#removing.has(name)) return false;
    const away = join(this.#folder, `.gone-${this.#random.hex(8)}`);
    const removing = (async (): Promise<void> => {
      await rename(join(this.#folder, name), away).catch(ignoreMissing);
      await rm(join(this.#folder, `${name}.json`), { force: true });
    })();
    this.#removing.set(name, removing);
    try {
      await removing;
    } finally {
      this.#removing.delete(name);
    }
    await this.#kernel.removeTree(away, { ...c, signal: new AbortController().signal });
    return true;
  }

  /** By coreutils: a cache may have a hundred thousand files. */
  async #measure(name: string, id: string, c: Ctx): Promise<number> {
    const argv = ['du', '-s', '--block-size=1', join(this.#folder, name)];
    const { code, stdout } = await this.#kernel.programs.run(argv, { timeoutMs: MEASURE_TIMEOUT_MS }, c);
    if (this.#users.has(name) || code !== 0) return 0;
    const bytes = Number.parseInt(stdout.toString(), 10);
    const path = join(this.#folder, `${name}.json`);
    const { atime, mtime } = await stat(path);
    await this.#mark(name, { id, bytes });
    await utimes(path, atime, mtime);
    return bytes;
  }

  async #mark(name: string, mark: { readonly id: string; readonly bytes: number }): Promise<void> {
    if (!(await isThere(join(this.#folder, name)))) return;
    await writeFileAtomic(join(this.#folder, `${name}.json`), JSON.stringify(mark), { durable: false, mode: 0o600 });
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

function decodeMark(bytes: Buffer, name: string): { readonly id: string; readonly bytes: number } {
  try {
    const doc = parseJsonObject(bytes, name);
    return { id: asString(doc['id'], 'id'), bytes: asSize(doc['bytes'], 'bytes') };
  } catch (e) {
    // Torn by a power loss: it counts as small, and is the first to go.
    if (isKind(e, 'Invalid')) return { id: '', bytes: 0 };
    throw e;
  }
}

function ignoreMissing(e: unknown): void {
  if (!(e instanceof Error && 'code' in e && e.code === 'ENOENT')) throw e;
}

export function lockOrder(a: CacheMount, b: CacheMount): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
