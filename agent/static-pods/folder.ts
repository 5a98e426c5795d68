/**
 * The folder of manifests (the kubelet's staticPodPath): one pod a file, names that begin with a dot are left out. Looked at
 * when something in it changes and every 20 seconds. A file that is wrong stops no other one, and while it is there the pod
 * that it last named runs on: a manifest that is being written must not end its pod. Nor must a folder that cannot be read.
 * Source: kubernetes pkg/kubelet/config/file.go, file_linux.go; fileCheckFrequency.
 */
import { type FSWatcher, watch } from 'node:fs';
import { constants, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Ctx, messageOf, readUpTo, StatusError, Wake } from '#lib/base';
import type { PodObject } from '../pods/model.ts';
import { fullName } from './full-name.ts';

export interface FolderDeps {
  readonly folder: string;
  readonly nodeName: string;
  readonly clock: Clock;
  /** A file that cannot be used, once for each thing that is wrong with it. */
  onMistake(path: string, message: string): void;
  /** Fields that were left out, once a version of the file. */
  onUnknown(path: string, fields: readonly string[]): void;
}

/** Of one manifest; etcd takes no larger object. */
const FILE_BYTES_MAX = 1 << 20;
const FILES_MAX = 500;
const CHECK_MS = 20_000;
/** While nothing can be watched: the folder may come. */
const MISSING_CHECK_MS = 1_000;
/** Editors write in several steps. */
const SETTLE_MS = 100;

interface Known {
  /** Inode, size and times: another one is another version. */
  readonly version: string;
  readonly pod: PodObject | undefined;
}

export class ManifestFolder {
  readonly #d: FolderDeps;
  readonly #known = new Map<string, Known>();
  readonly #mistakes = new Map<string, string>();

  constructor(d: FolderDeps) {
    this.#d = d;
  }

  /** The pods as the files say now, by `namespace/name`; of two files that name one pod the first by name counts. */
  async read(): Promise<ReadonlyMap<string, PodObject>> {
    const names = await this.#names();
    for (const name of [...this.#known.keys()]) if (!names.includes(name)) this.#forget(name);
    const pods = new Map<string, PodObject>();
    const files = new Map<string, string>();
    for (const name of names) {
      const pod = await this.#readFile(name);
      if (pod === undefined) continue;
      const key = fullName(pod);
      const other = files.get(key);
      if (other !== undefined) this.#mistake(name, `it names the pod ${key}, as ${other} does`);
      else {
        files.set(key, name);
        pods.set(key, pod);
      }
    }
    return pods;
  }

  /** Calls `onChange` whenever something may have changed, until the signal aborts. */
  async follow(onChange: () => Promise<void>, c: Ctx): Promise<void> {
    const events = new Wake();
    let watcher: FSWatcher | undefined;
    let watched: number | undefined;
    try {
      for (;;) {
        /* A folder that was removed and made again is another one, of which the watch sees nothing. */
        const inode = await stat(this.#d.folder).then(
          (x) => x.ino,
          () => undefined,
        );
        if (inode !== watched) {
          watcher?.close();
          watcher = this.#watch(() => events.kick());
          watched = watcher === undefined ? undefined : inode;
          if (watcher !== undefined) events.kick();
        }
        await events.sleepUntil(c.clock.now() + (watcher === undefined ? MISSING_CHECK_MS : CHECK_MS), c);
        events.clear();
        await c.clock.sleep(SETTLE_MS, c.signal);
        await onChange();
      }
    } finally {
      watcher?.close();
    }
  }

  /** undefined while the folder is not there: it is tried again at the next look. */
  #watch(onEvent: () => void): FSWatcher | undefined {
    try {
      const watcher = watch(this.#d.folder, { persistent: false }, (_event, name) => {
        if (name?.startsWith('.') !== true) onEvent();
      });
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      return undefined; // ENOENT, or the user's inotify watches are used up
    }
  }

  async #names(): Promise<readonly string[]> {
    try {
      const all = (await readdir(this.#d.folder)).filter((n) => !n.startsWith('.')).sort();
      if (all.length > FILES_MAX) this.#mistake('', `only the first ${FILES_MAX} of its ${all.length} files are read`);
      return all.slice(0, FILES_MAX);
    } catch (e) {
      if (isMissing(e)) return [];
      this.#mistake('', messageOf(e));
      // No descriptors left, an error of the disk: that says nothing of the pods, and to end them all would be the worst answer.
      return [...this.#known.keys()].sort();
    }
  }

  async #readFile(name: string): Promise<PodObject | undefined> {
    const path = join(this.#d.folder, name);
    const known = this.#known.get(name);
    try {
      const { text, version } = await readRegular(path, known?.version);
      if (text === undefined) return known?.pod;
      const entry = { version, pod: known?.pod };
      this.#known.set(name, entry);
      /* The table of types is loaded with the first manifest: most nodes have none. */
      const { parseManifest } = await import('./manifest.ts');
      const o = { path, nodeName: this.#d.nodeName, nowMs: this.#d.clock.now() };
      const { pod, unknown } = await parseManifest(text, o);
      if (unknown.length > 0) this.#d.onUnknown(path, unknown);
      this.#known.set(name, { version, pod });
      this.#mistakes.delete(name);
      return pod;
    } catch (e) {
      if (isMissing(e)) {
        this.#forget(name);
        return undefined;
      }
      this.#mistake(name, messageOf(e));
      return known?.pod;
    }
  }

  #forget(name: string): void {
    this.#known.delete(name);
    this.#mistakes.delete(name);
  }

  #mistake(name: string, message: string): void {
    if (this.#mistakes.get(name) === message) return;
    this.#mistakes.set(name, message);
    this.#d.onMistake(join(this.#d.folder, name), message);
  }
}

/** `text` is undefined when it is the version that is known. A fifo or a device must not be waited for. */
async function readRegular(path: string, known: string | undefined): Promise<{ text?: string; version: string }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const s = await file.stat({ bigint: true });
    if (s.isDirectory())
      throw new StatusError('Invalid', 'provided manifest path is a directory, not recursing into manifest path');
    if (!s.isFile()) throw new StatusError('Invalid', 'manifest path is not a directory or file');
    const version = `${s.ino} ${s.size} ${s.mtimeNs} ${s.ctimeNs}`;
    if (version === known) return { version };
    if (s.size > FILE_BYTES_MAX) throw new StatusError('Invalid', `it is larger than ${FILE_BYTES_MAX} bytes`);
    const bytes = await readUpTo(file, FILE_BYTES_MAX + 1);
    if (bytes.length > FILE_BYTES_MAX) throw new StatusError('Invalid', `it is larger than ${FILE_BYTES_MAX} bytes`);
    return { text: bytes.toString('utf8'), version };
  } finally {
    await file.close();
  }
}

function isMissing(e: unknown): boolean {
  return e instanceof Error && 'code' in e && e.code === 'ENOENT';
}
