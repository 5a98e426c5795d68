/**
 * What a repository holds, as files beside the shared content store:
 *
 *   repositories/<name>/_layers/<algorithm>-<hex>            empty: this blob may be read through this repository
 *   repositories/<name>/_manifests/<algorithm>-<hex>         JSON {mediaType, subject?}: this digest is a manifest here
 *   repositories/<name>/_tags/<tag>                          the digest
 *   repositories/<name>/_referrers/<subject>/<digest>        the referring manifest's descriptor as JSON
 *
 * A path component of a name never begins with "_", so names and these folders cannot meet. Every change is durable when its
 * call resolves. Callers hold `lock` around changes of manifests and tags.
 */
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMissing, syncPath, writeFileAtomic } from '#lib/base';
import { type AnyDigest, isAnyDigest, isTag } from '#lib/oci';
import { Recent } from './recent.ts';

export interface ManifestLink {
  readonly mediaType: string;
  readonly subject?: AnyDigest | undefined;
}

export interface KnownManifest extends ManifestLink {
  /** When it was pushed last, wall ms. */
  readonly pushedMs: number;
}

/** Characters of links and tags that are kept in memory. */
const RECENT_MAX = 4 * 1024 * 1024;

export class Repositories {
  readonly #folder: string;
  readonly #recent = new Recent<string>({ sizeMax: RECENT_MAX, sizeOf: (text) => text.length + 200 });
  readonly #locks = new Map<string, Promise<void>>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<Repositories> {
    await mkdir(folder, { recursive: true });
    return new Repositories(folder);
  }

  /** The caller has checked the name. */
  get(name: string): Repository {
    return new Repository(name, join(this.#folder, name), this.#recent);
  }

  /** Names of all repositories that hold anything, sorted. */
  async names(): Promise<readonly string[]> {
    const out: string[] = [];
    const walk = async (path: string): Promise<void> => {
      const entries = await list(join(this.#folder, path));
      if (entries.some((e) => e === '_manifests' || e === '_layers')) out.push(path);
      for (const e of entries) if (!e.startsWith('_')) await walk(path === '' ? e : `${path}/${e}`);
    };
    await walk('');
    return out.sort();
  }

  /** One change of a repository at a time. */
  async lock<T>(name: string, fn: () => Promise<T>): Promise<T> {
    const before = this.#locks.get(name) ?? Promise.resolve();
    const result = before.then(fn);
    const settled = result.then(
      () => undefined,
      () => undefined,
    );
    this.#locks.set(name, settled);
    try {
      return await result;
    } finally {
      if (this.#locks.get(name) === settled) this.#locks.delete(name);
    }
  }
}

export class Repository {
  readonly name: string;
  readonly #folder: string;
  /** Of texts by path; this process alone writes them. */
  readonly #recent: Recent<string>;

  constructor(name: string, folder: string, recent: Recent<string>) {
    this.name = name;
    this.#folder = folder;
    this.#recent = recent;
  }

  async exists(): Promise<boolean> {
    return (await isThere(join(this.#folder, '_manifests'))) || (await isThere(join(this.#folder, '_layers')));
  }

  hasBlob(digest: AnyDigest): Promise<boolean> {
    return isThere(this.#path('_layers', fileName(digest)));
  }

  async linkBlob(digest: AnyDigest): Promise<void> {
    const path = this.#path('_layers', fileName(digest));
    await ensureFolder(dirname(path));
    const file = await open(path, 'w');
    await file.close();
    await syncPath(dirname(path));
  }

  unlinkBlob(digest: AnyDigest): Promise<boolean> {
    return remove(this.#path('_layers', fileName(digest)));
  }

  blobs(): Promise<readonly AnyDigest[]> {
    return this.#digests('_layers');
  }

  async manifest(digest: AnyDigest): Promise<ManifestLink | undefined> {
    const text = await this.#read(this.#path('_manifests', fileName(digest)));
    if (text === undefined) return undefined;
    const value: unknown = JSON.parse(text);
    const field = (key: string): string | undefined => {
      const v: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
      return typeof v === 'string' ? v : undefined;
    };
    const subject = field('subject');
    return {
      mediaType: field('mediaType') ?? '',
      subject: subject !== undefined && isAnyDigest(subject) ? subject : undefined,
    };
  }

  /** With when it was pushed last. */
  async datedManifest(digest: AnyDigest): Promise<KnownManifest | undefined> {
    const link = await this.manifest(digest);
    const dated = link && (await readDated(this.#path('_manifests', fileName(digest))));
    return dated && { ...link, pushedMs: dated.modifiedMs };
  }

  linkManifest(digest: AnyDigest, link: ManifestLink): Promise<void> {
    return this.#write(this.#path('_manifests', fileName(digest)), JSON.stringify(link));
  }

  unlinkManifest(digest: AnyDigest): Promise<boolean> {
    return this.#remove(this.#path('_manifests', fileName(digest)));
  }

  manifests(): Promise<readonly AnyDigest[]> {
    return this.#digests('_manifests');
  }

  async tag(tag: string): Promise<AnyDigest | undefined> {
    const text = await this.#read(this.#path('_tags', tag));
    return text !== undefined && isAnyDigest(text) ? text : undefined;
  }

  /** With when it was pushed last, wall ms. */
  async tagged(tag: string): Promise<{ readonly digest: AnyDigest; readonly pushedMs: number } | undefined> {
    const found = await readDated(this.#path('_tags', tag));
    return found !== undefined && isAnyDigest(found.text)
      ? { digest: found.text, pushedMs: found.modifiedMs }
      : undefined;
  }

  setTag(tag: string, digest: AnyDigest): Promise<void> {
    return this.#write(this.#path('_tags', tag), digest);
  }

  removeTag(tag: string): Promise<boolean> {
    return this.#remove(this.#path('_tags', tag));
  }

  /** Sorted by code unit. */
  async tags(): Promise<readonly string[]> {
    return (await list(this.#path('_tags'))).filter(isTag).sort();
  }

  /** `descriptor`: the referring manifest's, as JSON. */
  addReferrer(subject: AnyDigest, referrer: AnyDigest, descriptor: string): Promise<void> {
    return write(this.#path('_referrers', fileName(subject), fileName(referrer)), descriptor);
  }

  removeReferrer(subject: AnyDigest, referrer: AnyDigest): Promise<boolean> {
    return remove(this.#path('_referrers', fileName(subject), fileName(referrer)));
  }

  /** Descriptors as JSON, sorted by digest. */
  async referrers(subject: AnyDigest): Promise<readonly string[]> {
    const folder = this.#path('_referrers', fileName(subject));
    const out: string[] = [];
    for (const name of (await list(folder)).sort()) {
      const text = digestOfFile(name) === undefined ? undefined : await read(join(folder, name));
      if (text !== undefined) out.push(text);
    }
    return out;
  }

  #read(path: string): Promise<string | undefined> {
    return this.#recent.read(path, () => read(path));
  }

  async #write(path: string, text: string): Promise<void> {
    this.#recent.forget(path);
    try {
      await write(path, text);
    } finally {
      this.#recent.forget(path);
    }
  }

  async #remove(path: string): Promise<boolean> {
    this.#recent.forget(path);
    try {
      return await remove(path);
    } finally {
      this.#recent.forget(path);
    }
  }

  #path(...parts: string[]): string {
    return join(this.#folder, ...parts);
  }

  async #digests(kind: string): Promise<readonly AnyDigest[]> {
    const names = await list(this.#path(kind));
    return names.map(digestOfFile).filter((d) => d !== undefined);
  }
}

function fileName(digest: AnyDigest): string {
  return digest.replace(':', '-');
}

function digestOfFile(name: string): AnyDigest | undefined {
  const digest = name.replace('-', ':');
  return isAnyDigest(digest) ? digest : undefined;
}

async function write(path: string, text: string): Promise<void> {
  await ensureFolder(dirname(path));
  await writeFileAtomic(path, text);
}

/** Folders that were made are synced into their parents, or a power loss could take them with all they hold. */
async function ensureFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let at = dirname(path); at.length >= dirname(first).length; at = dirname(at)) await syncPath(at);
}

async function remove(path: string): Promise<boolean> {
  try {
    await rm(path);
  } catch (e) {
    if (isMissing(e)) return false;
    throw e;
  }
  await syncPath(dirname(path));
  return true;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (e) {
    if (isMissing(e)) return undefined;
    throw e;
  }
}

async function readDated(path: string): Promise<{ text: string; modifiedMs: number } | undefined> {
  try {
    await using file = await open(path, 'r');
    return { text: await file.readFile('utf8'), modifiedMs: (await file.stat()).mtimeMs };
  } catch (e) {
    if (isMissing(e)) return undefined;
    throw e;
  }
}

async function list(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (e) {
    if (isMissing(e)) return [];
    throw e;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (e) {
    if (isMissing(e)) return false;
    throw e;
  }
}
