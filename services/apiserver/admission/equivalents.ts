/**
 * Other rows whose objects are the same stored ones: what `matchPolicy: Equivalent` may match besides what was asked for.
 * Source: k8s.io/apimachinery/pkg/runtime/mapper.go EquivalentResourceRegistry.
 */
import type { KindInfo } from '#lib/api';
import type { KindRegistry } from '../kind-registry.ts';

export class Equivalents {
  readonly #kinds: KindRegistry;
  /** Kept until a kind comes, changes or goes. */
  #known: { readonly of: readonly KindInfo[]; readonly byKind: Map<KindInfo, readonly KindInfo[]> };

  constructor(kinds: KindRegistry) {
    this.#kinds = kinds;
    this.#known = { of: kinds.all(), byKind: new Map() };
  }

  of(requested: KindInfo): readonly KindInfo[] {
    const all = this.#kinds.all();
    if (this.#known.of !== all) this.#known = { of: all, byKind: new Map() };
    const known = this.#known.byKind.get(requested);
    if (known !== undefined) return known;
    const stored = this.#kinds.of(requested);
    const found = all.filter((k) => k !== requested && stored !== undefined && this.#kinds.of(k) === stored);
    this.#known.byKind.set(requested, found);
    return found;
  }
}
