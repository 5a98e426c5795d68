/**
 * Points at which a process may be told to die: before and after each call by which an agent changes its machine (requests of
 * the native helper, files written, orders to supervisors) or tells of it (reports). "After" is a call that was done and
 * whose answer was never seen. Death is SIGKILL by its own hand: nothing is flushed, closed or told.
 */
import fs from 'node:fs';
import promises, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Helper } from '../../../agent/kernel/linux/helper.ts';
import { SupervisorLink } from '../../../agent/runtime/supervisor.ts';
import { Reports } from '../../../agent/session/reports.ts';

/** Of node:fs/promises, what changes a file system. */
const CHANGES = [
  'appendFile',
  'chmod',
  'chown',
  'copyFile',
  'lchown',
  'link',
  'mkdir',
  'mkdtemp',
  'rename',
  'rm',
  'rmdir',
  'symlink',
  'truncate',
  'unlink',
  'utimes',
  'writeFile',
] as const;

type Callable = (this: unknown, ...args: unknown[]) => unknown;

export interface Death {
  readonly point: number;
  readonly moment: 'before' | 'after';
  readonly call: string;
}

export class FaultPoints {
  readonly #deathPath: string;
  #diesAt = Number.POSITIVE_INFINITY;
  #count = 0;
  /** Two points for each. */
  #calls: string[] = [];

  /** `deathPath`: where the last thing it does is written down. */
  constructor(deathPath: string) {
    this.#deathPath = deathPath;
  }

  /** Counts from here; dies at the nth point, from 1 on. */
  arm(n: number): void {
    this.#diesAt = n;
    this.#count = 0;
    this.#calls = [];
  }

  /** Points passed since the last `arm`, and the calls. */
  get passed(): { points: number; calls: readonly string[] } {
    return { points: this.#count, calls: this.#calls };
  }

  /** Once, before anything is opened. */
  async install(): Promise<void> {
    for (const name of CHANGES) this.#wrap(promises, name, (args) => `${name} ${String(args[0])}`);
    await this.#wrapFiles();
    syncBuiltinESMExports();
    this.#wrap(Helper.prototype, 'request', (args) => `helper ${String(args[0])} ${fieldsText(args[1])}`);
    this.#wrap(SupervisorLink.prototype, 'kill', (args) => `supervisor kill ${String(args[0])}`);
    for (const name of ['reportPodStatus', 'reportPodRemoved'] as const)
      this.#wrap(Reports.prototype, name, () => `session ${name}`);
  }

  /** A file opened for writing is made by its opening; what is written to it, and its sync, are calls of their own. */
  async #wrapFiles(): Promise<void> {
    const file: FileHandle = await promises.open('/dev/null', 'r');
    const prototype: object = Object.getPrototypeOf(file);
    await file.close();
    for (const name of ['writeFile', 'write', 'sync', 'datasync']) this.#wrap(prototype, name, () => `file.${name}`);
    const isWriting = (args: readonly unknown[]): boolean => typeof args[1] === 'string' && args[1] !== 'r';
    this.#wrap(promises, 'open', (args) => (isWriting(args) ? `open ${String(args[0])}` : undefined));
  }

  /** `text` names a call, or says that this one changes nothing. */
  #wrap(owner: object, name: string, text: (args: readonly unknown[]) => string | undefined): void {
    const original = Reflect.get(owner, name) as Callable;
    const points = this;
    const wrapped: Callable = function (...args) {
      const call = text(args);
      if (call === undefined) return original.apply(this, args);
      points.#calls.push(call);
      points.#pass('before', call);
      const result = original.apply(this, args);
      if (!(result instanceof Promise)) {
        points.#pass('after', call);
        return result;
      }
      return result.finally(() => points.#pass('after', call));
    };
    Reflect.set(owner, name, wrapped);
  }

  #pass(moment: Death['moment'], call: string): void {
    if (++this.#count < this.#diesAt) return;
    const death: Death = { point: this.#count, moment, call };
    fs.writeFileSync(this.#deathPath, JSON.stringify(death));
    process.kill(process.pid, 'SIGKILL');
    /* The signal is there before the next line of this thread; should it not be, nothing more may happen. */
    for (;;);
  }
}

function fieldsText(fields: unknown): string {
  const words = Array.isArray(fields) ? fields.map((f) => (typeof f === 'string' ? f : '')) : [];
  return words
    .filter((w) => w !== '')
    .join(' ')
    .slice(0, 120);
}
