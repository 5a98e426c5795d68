/**
 * Lines in a file that is set aside when it is full, and whose old ones are removed by number and age.
 * Set-aside files are named by their instant: `audit-2026-11-26T10-00-00.000.log`, as kube-apiserver's (lumberjack).
 * Invariants: one writer; a line is never split over two files; files are readable by their owner alone.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { Clock } from '#lib/base';

export interface RotatedFileOptions {
  readonly path: string;
  readonly bytesMax: number;
  /** Set aside, beside the one that is written. */
  readonly filesMax: number;
  readonly ageMsMax: number;
  readonly clock: Clock;
}

const MODE = 0o600;

export class RotatedFile implements AsyncDisposable {
  readonly #o: RotatedFileOptions;
  #file: FileHandle | undefined;
  #bytes = 0;
  #lastRotationMs = 0;

  constructor(o: RotatedFileOptions) {
    this.#o = o;
  }

  /** Whole lines, each with its end. One call at a time. */
  async write(lines: readonly string[]): Promise<void> {
    let waiting: string[] = [];
    let bytes = 0;
    for (const line of lines) {
      const size = Buffer.byteLength(line);
      if ((await this.#size()) + bytes + size > this.#o.bytesMax && this.#bytes + bytes > 0) {
        await this.#append(waiting);
        waiting = [];
        bytes = 0;
        await this.#rotate();
      }
      waiting.push(line);
      bytes += size;
    }
    await this.#append(waiting);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #size(): Promise<number> {
    await this.#opened();
    return this.#bytes;
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file !== undefined) return this.#file;
    await mkdir(dirname(this.#o.path), { recursive: true, mode: 0o700 });
    const file = await open(this.#o.path, 'a', MODE);
    this.#file = file;
    this.#bytes = (await file.stat()).size;
    return file;
  }

  async #append(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const file = await this.#opened();
    const bytes = Buffer.from(lines.join(''));
    await file.appendFile(bytes);
    this.#bytes += bytes.length;
  }

  async #rotate(): Promise<void> {
    await this[Symbol.asyncDispose]();
    // No two files of one name, however fast they fill.
    this.#lastRotationMs = Math.max(this.#o.clock.now(), this.#lastRotationMs + 1);
    await rename(this.#o.path, asideName(this.#o.path, this.#lastRotationMs));
    this.#bytes = 0;
    await this.#prune();
  }

  async #prune(): Promise<void> {
    const { path, filesMax, ageMsMax, clock } = this.#o;
    const folder = dirname(path);
    const aside = (await readdir(folder)).flatMap((name) => {
      const atMs = instantOf(path, name);
      return atMs === undefined ? [] : [{ name, atMs }];
    });
    aside.sort((a, b) => b.atMs - a.atMs);
    for (const [i, { name, atMs }] of aside.entries())
      if (i >= filesMax || clock.now() - atMs > ageMsMax) await rm(join(folder, name), { force: true });
  }
}

function asideName(path: string, atMs: number): string {
  const instant = new Date(atMs).toISOString().replaceAll(':', '-').replace(/Z$/, '');
  const extension = extname(path);
  return join(dirname(path), `${basename(path, extension)}-${instant}${extension}`);
}

/** When a file of this name was set aside; undefined for every other file. */
function instantOf(path: string, name: string): number | undefined {
  const extension = extname(path);
  const head = `${basename(path, extension)}-`;
  if (!name.startsWith(head) || !name.endsWith(extension)) return undefined;
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})$/.exec(
    name.slice(head.length, name.length - extension.length),
  );
  return match === null ? undefined : Date.parse(`${match[1]}T${match[2]}:${match[3]}:${match[4]}Z`);
}
