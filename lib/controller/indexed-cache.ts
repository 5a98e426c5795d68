/**
 * Objects by key, with inverted indexes that change in the same step. Index values are computed once per change; an object
 * may have none or several values in one index. Namespaces are an index that always exists.
 */
import type { DeepReadonly, KubeObject } from '#lib/api';
import { assert } from '#lib/base';

export type IndexFunction<T> = (o: DeepReadonly<T>) => readonly string[];

interface Index<T> {
  readonly fn: IndexFunction<T>;
  /** Value -> key -> object. A value without objects has no entry. */
  readonly buckets: Map<string, Map<string, DeepReadonly<T>>>;
}

export class IndexedCache<T extends KubeObject> {
  readonly #objects = new Map<string, DeepReadonly<T>>();
  readonly #namespaces: Index<T> = { fn: (o) => [o.metadata.namespace ?? ''], buckets: new Map() };
  readonly #indexes = new Map<string, Index<T>>();

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): DeepReadonly<T> | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): readonly DeepReadonly<T>[] {
    if (namespace === undefined || namespace === '') return [...this.#objects.values()];
    return valuesOf(this.#namespaces, namespace);
  }

  byIndex(name: string, value: string): readonly DeepReadonly<T>[] {
    const index = this.#indexes.get(name);
    assert(index, `no index "${name}" was declared`);
    return valuesOf(index, value);
  }

  /** Builds the index over what is already here. Declaring a name again keeps the first function. */
  declareIndex(name: string, fn: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { fn, buckets: new Map() };
    this.#indexes.set(name, index);
    for (const [key, o] of this.#objects) insert(index, key, o);
  }

  put(key: string, next: DeepReadonly<T>): void {
    const previous = this.#objects.get(key);
    this.#objects.set(key, next);
    for (const index of this.#all()) {
      if (previous) withdraw(index, key, previous);
      insert(index, key, next);
    }
  }

  /** Gives what was there. */
  remove(key: string): DeepReadonly<T> | undefined {
    const previous = this.#objects.get(key);
    if (!previous) return undefined;
    this.#objects.delete(key);
    for (const index of this.#all()) withdraw(index, key, previous);
    return previous;
  }

  *#all(): Iterable<Index<T>> {
    yield this.#namespaces;
    yield* this.#indexes.values();
  }
}

function valuesOf<T>(index: Index<T>, value: string): readonly DeepReadonly<T>[] {
  const bucket = index.buckets.get(value);
  return bucket ? [...bucket.values()] : [];
}

function insert<T>(index: Index<T>, key: string, o: DeepReadonly<T>): void {
  for (const value of index.fn(o)) {
    const bucket = index.buckets.get(value);
    if (bucket) bucket.set(key, o);
    else index.buckets.set(value, new Map([[key, o]]));
  }
}

function withdraw<T>(index: Index<T>, key: string, o: DeepReadonly<T>): void {
  for (const value of index.fn(o)) {
    const bucket = index.buckets.get(value);
    bucket?.delete(key);
    if (bucket?.size === 0) index.buckets.delete(value);
  }
}
