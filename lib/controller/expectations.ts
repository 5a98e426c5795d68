/**
 * What a controller has done that its informer does not show yet. Without it a ReplicaSet that has just created ten pods,
 * and is looked at again before the informer has heard of them, would create ten more.
 *
 * Kept by uid, not by count: a created object is pending until the informer has shown that uid, a deleted one until the
 * informer shows it going or gone. A pending entry is given up after 5 minutes (the object came and went unseen).
 * Source: kubernetes pkg/controller/controller_utils.go ControllerExpectations (purpose; the counting is not copied).
 */
import type { Clock } from '#lib/base';

const GIVE_UP_MS = 5 * 60_000;

interface Pending {
  readonly created: Set<string>;
  readonly deleted: Set<string>;
  sinceMs: number;
}

export class Expectations {
  readonly #clock: Clock;
  readonly #byKey = new Map<string, Pending>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call with the uid that the create returned, unless the informer has it already. */
  created(key: string, uid: string): void {
    this.#pendingOf(key).created.add(uid);
  }

  /** Call before the delete is sent; take back with `sawGone` if it fails. */
  deleted(key: string, uid: string): void {
    this.#pendingOf(key).deleted.add(uid);
  }

  /** The informer shows an object that is not being deleted. */
  sawPresent(key: string, uid: string): void {
    this.#settle(key, (p) => p.created.delete(uid));
  }

  /** The informer shows the object with a deletionTimestamp, or shows it no longer. */
  sawGone(key: string, uid: string): void {
    this.#settle(key, (p) => {
      p.created.delete(uid);
      p.deleted.delete(uid);
    });
  }

  /** Whether the informer shows everything that was done for this key. */
  areMet(key: string): boolean {
    const p = this.#byKey.get(key);
    if (!p) return true;
    if (this.#clock.monotonic() - p.sinceMs < GIVE_UP_MS) return false;
    this.#byKey.delete(key);
    return true;
  }

  forget(key: string): void {
    this.#byKey.delete(key);
  }

  #pendingOf(key: string): Pending {
    let p = this.#byKey.get(key);
    if (!p) {
      p = { created: new Set(), deleted: new Set(), sinceMs: 0 };
      this.#byKey.set(key, p);
    }
    p.sinceMs = this.#clock.monotonic();
    return p;
  }

  #settle(key: string, change: (p: Pending) => void): void {
    const p = this.#byKey.get(key);
    if (!p) return;
    change(p);
    if (p.created.size === 0 && p.deleted.size === 0) this.#byKey.delete(key);
  }
}
