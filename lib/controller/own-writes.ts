/**
 * Which of our own writes an informer does not show yet. A plan made from several objects, one of which is behind what we
 * have just written, may be wrong although each single write is guarded by a resourceVersion: so wait for the informer.
 *
 * Resource versions of one kind are compared as integers (KEP-5504 makes that part of the API). An entry is given up after
 * 30 s. Source: the mutation cache of k8s.io/client-go tools/cache (purpose).
 */
import type { DeepReadonly, KubeObject } from '#lib/api';
import type { Clock } from '#lib/base';

const GIVE_UP_MS = 30_000;
const REMEMBERED_MAX = 10_000;

export class OwnWrites {
  readonly #clock: Clock;
  readonly #byUid = new Map<string, { readonly revision: bigint; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call with what a create or update returned. */
  wrote(o: DeepReadonly<KubeObject>): void {
    const uid = o.metadata.uid;
    if (uid === undefined) return;
    this.#byUid.delete(uid);
    this.#byUid.set(uid, { revision: revisionOf(o), atMs: this.#clock.monotonic() });
    if (this.#byUid.size <= REMEMBERED_MAX) return;
    const [oldest] = this.#byUid.keys();
    if (oldest !== undefined) this.#byUid.delete(oldest);
  }

  /** Whether this cached object is at least as new as what we wrote. */
  isCurrent(cached: DeepReadonly<KubeObject>): boolean {
    const uid = cached.metadata.uid ?? '';
    const known = this.#byUid.get(uid);
    if (!known) return true;
    if (revisionOf(cached) < known.revision && this.#clock.monotonic() - known.atMs < GIVE_UP_MS) return false;
    this.#byUid.delete(uid);
    return true;
  }
}

function revisionOf(o: DeepReadonly<KubeObject>): bigint {
  const text = o.metadata.resourceVersion ?? '';
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}
