/**
 * What containers and emptyDirs take of the disk. Only walking tells, so it is known from the last walk, which begins when
 * somebody asks and the one before is a minute old: `du` outside this process, one at a time, many folders each.
 * Source: kubernetes pkg/volume/util/fs (DiskUsage), cadvisor fs (du every minute).
 */
import { type Clock, type Ctx, type Logger, messageOf, type Scope } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';

export interface DiskUsagesOptions {
  readonly programs: Programs;
  /** What to walk. */
  readonly folders: () => readonly string[];
  /** Owns the walk. */
  readonly scope: Scope;
  readonly clock: Clock;
  readonly log: Logger;
}

const KEEP_MS = 60_000;
const WALK_LIMIT_MS = 60_000;
const FOLDERS_AT_A_TIME = 50;

export class DiskUsages {
  readonly #o: DiskUsagesOptions;
  #bytes: ReadonlyMap<string, number> = new Map();
  #walkedAtMs: number | undefined;
  #isWalking = false;

  constructor(o: DiskUsagesOptions) {
    this.#o = o;
  }

  /** By folder, as of the last walk; a folder that was not yet there has none. */
  read(): ReadonlyMap<string, number> {
    const now = this.#o.clock.monotonic();
    const isDue = this.#walkedAtMs === undefined || now - this.#walkedAtMs >= KEEP_MS;
    if (isDue && !this.#isWalking) {
      this.#isWalking = true;
      this.#o.scope.spawn('measure disk use', (signal) =>
        this.#walk({ signal, clock: this.#o.clock, log: this.#o.log }),
      );
    }
    return this.#bytes;
  }

  /** What was known of them before, when they cannot be walked in time: a pod with millions of files hides no others. */
  async #measured(folders: readonly string[], c: Ctx): Promise<readonly (readonly [string, number])[]> {
    try {
      /* Files that vanish meanwhile make it end with 1; the sums stand. */
      const argv = ['du', '-s', '-k', '-x', '--', ...folders];
      const { stdout } = await this.#o.programs.run(argv, { timeoutMs: WALK_LIMIT_MS }, c);
      const lines = [...stdout.toString('utf8').matchAll(/^(\d+)\t(.*)$/gm)];
      return lines.map(([, kib, path = '']) => [path, Number(kib) * 1024] as const);
    } catch (e) {
      c.signal.throwIfAborted();
      c.log.warn({ err: messageOf(e) }, 'measuring disk use failed');
      return folders.flatMap((path) => {
        const bytes = this.#bytes.get(path);
        return bytes === undefined ? [] : [[path, bytes] as const];
      });
    }
  }

  async #walk(c: Ctx): Promise<void> {
    try {
      const next = new Map<string, number>();
      const folders = this.#o.folders();
      for (let at = 0; at < folders.length; at += FOLDERS_AT_A_TIME) {
        const some = folders.slice(at, at + FOLDERS_AT_A_TIME);
        for (const [path, bytes] of await this.#measured(some, c)) next.set(path, bytes);
      }
      this.#bytes = next;
    } finally {
      this.#walkedAtMs = this.#o.clock.monotonic();
      this.#isWalking = false;
    }
  }
}
