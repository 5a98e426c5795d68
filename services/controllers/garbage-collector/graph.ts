/**
 * Who owns whom, over all kinds: every object by uid, and the dependents of every uid, present or not.
 *
 * Invariant: `dependentsOf(u)` are exactly the known objects with an owner reference to u. Changed one object at a time.
 */
import type { DeepReadonly, KindRef, KubeObject, OwnerReference } from '#lib/api';

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

export interface Item {
  readonly kind: KindRef;
  readonly object: DeepReadonly<KubeObject>;
}

export class OwnerGraph {
  readonly #items = new Map<string, Item>();
  readonly #dependents = new Map<string, Map<string, Item>>();

  get size(): number {
    return this.#items.size;
  }

  get(uid: string): Item | undefined {
    return this.#items.get(uid);
  }

  dependentsOf(uid: string): readonly Item[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }

  put(item: Item): void {
    const uid = uidOf(item);
    const before = this.#items.get(uid);
    this.#items.set(uid, item);
    if (before) this.#unlink(before);
    for (const owner of ownersOf(item)) {
      const dependents = this.#dependents.get(owner.uid) ?? new Map<string, Item>();
      dependents.set(uid, item);
      this.#dependents.set(owner.uid, dependents);
    }
  }

  remove(uid: string): void {
    const before = this.#items.get(uid);
    if (!before) return;
    this.#items.delete(uid);
    this.#unlink(before);
  }

  #unlink(item: Item): void {
    for (const owner of ownersOf(item)) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uidOf(item));
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
  }
}

export function uidOf(item: Item): string {
  return item.object.metadata.uid ?? '';
}

export function ownersOf(item: Item): readonly DeepReadonly<OwnerReference>[] {
  return item.object.metadata.ownerReferences ?? [];
}

export function isGoing(item: Item): boolean {
  return item.object.metadata.deletionTimestamp !== undefined;
}

export function hasFinalizer(item: Item, finalizer: string): boolean {
  return (item.object.metadata.finalizers ?? []).includes(finalizer);
}

/** An owner must be in the namespace of its dependent, or in none. */
export function isElsewhere(owner: Item, dependent: Item): boolean {
  const home = owner.object.metadata.namespace ?? '';
  return home !== '' && home !== (dependent.object.metadata.namespace ?? '');
}

/** Waits for its dependents to go before it goes itself. */
export function isForeground(item: Item): boolean {
  return isGoing(item) && hasFinalizer(item, FOREGROUND);
}

export function isOrphaning(item: Item): boolean {
  return isGoing(item) && hasFinalizer(item, ORPHAN);
}

/** Dependents that an owner in foreground deletion has to wait for. */
export function blockersOf(dependents: readonly Item[], ownerUid: string): readonly Item[] {
  return dependents.filter((d) => ownersOf(d).some((o) => o.uid === ownerUid && o.blockOwnerDeletion === true));
}
