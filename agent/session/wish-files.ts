/**
 * Where the wish lies: one file per object, `<folder>/<resource>/<namespace>_<name>.json` (a hash when that is too long), 0600,
 * replaced atomically. Not fsynced: it must survive a crash of the agent, and after a crash of the machine no container runs on.
 *
 * What a Secret says never touches that folder (ADR 22): its body lies in `memoryFolder`, which a restart of the machine
 * empties, and on disk is only that there was one, by name and uid. The body is written first and removed last.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeObject } from '#lib/api';
import { hexOf, type Logger, removeFile, sha256, writeFileAtomic } from '#lib/base';
import type { DesiredResource } from './session.ts';

export interface WishFolders {
  readonly folder: string;
  /** Lies in memory; for the bodies of Secrets. */
  readonly memoryFolder: string;
}

export interface SavedObject {
  readonly object: KubeObject;
  readonly bytes: Buffer;
  /** Only its name and uid are known any more. */
  readonly isWithheld: boolean;
  /** An agent that kept Secrets on disk wrote it: it is to be saved anew. */
  readonly isExposed: boolean;
}

const IN_MEMORY: DesiredResource = 'secrets';
/** Of 255 bytes, with room for what an atomic write adds. */
const FILE_NAME_MAX = 200;

export class WishFiles {
  readonly #folders: WishFolders;
  readonly #log: Logger;

  constructor(folders: WishFolders, log: Logger) {
    this.#folders = folders;
    this.#log = log;
  }

  async open(resources: readonly DesiredResource[]): Promise<void> {
    for (const resource of resources)
      for (const folder of this.#foldersOf(resource)) await mkdir(folder, { recursive: true, mode: 0o700 });
  }

  /** Sorted by file. What cannot be read is skipped. */
  async load(resource: DesiredResource): Promise<readonly SavedObject[]> {
    const [disk = '', memory] = this.#foldersOf(resource);
    const onDisk = await this.#filesIn(disk);
    if (memory === undefined) return (await Promise.all(onDisk.map((f) => this.#read(disk, f)))).flatMap(whole);
    const out: SavedObject[] = [];
    for (const file of [...new Set([...onDisk, ...(await this.#filesIn(memory))])].sort()) {
      const body = await this.#read(memory, file);
      const mark = body === undefined ? await this.#read(disk, file) : undefined;
      if (body !== undefined) out.push(...whole(body));
      else if (mark !== undefined) {
        const isExposed = 'data' in mark.object || 'stringData' in mark.object;
        out.push({ ...mark, isWithheld: !isExposed, isExposed });
      }
    }
    return out;
  }

  /** `held` undefined: it is gone. */
  async save(id: string, held: { uid: string; bytes: Buffer } | undefined): Promise<void> {
    const [resource = '', file = ''] = id.split('/');
    const name = `${file.length <= FILE_NAME_MAX ? file : hexOf(sha256(id))}.json`;
    const disk = join(this.#folders.folder, resource, name);
    const memory = resource === IN_MEMORY ? join(this.#folders.memoryFolder, resource, name) : undefined;
    if (held === undefined) {
      await removeFile(disk);
      if (memory !== undefined) await removeFile(memory);
      return;
    }
    if (memory !== undefined) await writeFileAtomic(memory, held.bytes, { mode: 0o600, durable: false });
    const text = memory === undefined ? held.bytes : markOf(held.bytes);
    await writeFileAtomic(disk, text, { mode: 0o600, durable: false });
  }

  #foldersOf(resource: DesiredResource): readonly string[] {
    const { folder, memoryFolder } = this.#folders;
    return [folder, ...(resource === IN_MEMORY ? [memoryFolder] : [])].map((f) => join(f, resource));
  }

  async #filesIn(folder: string): Promise<readonly string[]> {
    const files = (await readdir(folder)).sort();
    for (const file of files) if (file.endsWith('.tmp')) await rm(join(folder, file), { force: true });
    return files.filter((file) => !file.endsWith('.tmp'));
  }

  async #read(folder: string, file: string): Promise<{ object: KubeObject; bytes: Buffer } | undefined> {
    const path = join(folder, file);
    const bytes = await readFile(path).catch((e: unknown) => {
      if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
      throw e;
    });
    if (bytes === undefined) return undefined;
    const object = parseObject(bytes);
    if (object === undefined) this.#log.warn({ path }, 'skipped an unreadable object of the saved wish');
    return object === undefined ? undefined : { object, bytes };
  }
}

function whole(read: { object: KubeObject; bytes: Buffer } | undefined): SavedObject[] {
  return read === undefined ? [] : [{ ...read, isWithheld: false, isExposed: false }];
}

/** That there is one. */
function markOf(bytes: Buffer): string {
  const { namespace, name, uid } = parseObject(bytes)?.metadata ?? {};
  return JSON.stringify({ metadata: { namespace, name, uid } });
}

export function parseObject(bytes: Buffer): KubeObject | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    const isObject = typeof value === 'object' && value !== null && 'metadata' in value;
    return isObject && typeof value.metadata === 'object' && value.metadata !== null
      ? (value as KubeObject)
      : undefined;
  } catch {
    // Told by the callers, who know where the bytes came from.
    return undefined;
  }
}
