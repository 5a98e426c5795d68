/**
 * Which blobs somebody is about to need, so that the collector leaves them alone. A client asks for a blob (HEAD), mounts it or
 * uploads it, and only later pushes the manifest that names it: in between, nothing on disk tells the blob from rubbish.
 *
 *   held      by requests that are under way: never collected
 *   touched   when a request last let go of it: not collected for a grace period
 *   removing  the collector has it: who wants to hold it waits, and then sees that it is gone
 *
 * The three are the lock of a digest. They live in memory only: after a start every blob counts as touched at the start, so that
 * a client whose HEAD was answered before a crash finds its blob still there.
 */
import type { Clock } from '#lib/base';
import type { AnyDigest } from '#lib/oci';

export class Leases {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #held = new Map<AnyDigest, number>();
  readonly #touched = new Map<AnyDigest, number>();
  readonly #removing = new Map<AnyDigest, Promise<boolean>>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
  }

  /** Runs `fn` while none of `digests` can be collected. */
  async hold<T>(digests: readonly AnyDigest[], fn: () => Promise<T>): Promise<T> {
    const taken: AnyDigest[] = [];
    try {
      for (const d of new Set(digests)) {
        for (let busy = this.#removing.get(d); busy !== undefined; busy = this.#removing.get(d))
          await busy.catch(() => undefined); // the collector tells of it
        this.#held.set(d, (this.#held.get(d) ?? 0) + 1);
        taken.push(d);
      }
      return await fn();
    } finally {
      for (const d of taken) this.#release(d);
    }
  }

  /**
   * Runs `remove` unless the blob is held or was touched at `beforeMs` (monotonic) or later; meanwhile nobody can hold it. Gives
   * whether it was removed.
   */
  async removeUnless(digest: AnyDigest, beforeMs: number, remove: () => Promise<boolean>): Promise<boolean> {
    if (this.#held.has(digest) || this.#removing.has(digest)) return false;
    if ((this.#touched.get(digest) ?? this.#startedAt) >= beforeMs) return false;
    const work = remove();
    this.#removing.set(digest, work);
    try {
      return await work;
    } finally {
      this.#removing.delete(digest);
    }
  }

  /** Forgets touches before `beforeMs`, which protect nothing any more; never those that the start protects. */
  forget(beforeMs: number): void {
    if (beforeMs <= this.#startedAt) return;
    for (const [d, at] of this.#touched) if (at < beforeMs) this.#touched.delete(d);
  }

  #release(digest: AnyDigest): void {
    const holders = (this.#held.get(digest) ?? 1) - 1;
    if (holders > 0) this.#held.set(digest, holders);
    else this.#held.delete(digest);
    this.#touched.set(digest, this.#clock.monotonic());
  }
}
