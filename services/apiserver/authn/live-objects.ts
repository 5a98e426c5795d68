/**
 * Whether the objects that a token speaks of are still there: from the watch cache, and from the store itself before a
 * "no", since the cache may not have seen yet what another server wrote.
 */
import { type DeepReadonly, type KindRef, type KubeObject, kindInfo } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Storage } from '../storage.ts';

export class LiveObjects {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** `uid`, when given, must be the object's. */
  async find<T extends KubeObject>(
    kind: KindRef<T>,
    key: { readonly namespace: string; readonly name: string; readonly uid?: string },
    c: Ctx,
  ): Promise<DeepReadonly<T> | undefined> {
    const info = kindInfo(kind);
    const known = this.#storage.latest(info, key)?.object as DeepReadonly<T> | undefined;
    if (known !== undefined && (key.uid === undefined || known.metadata.uid === key.uid)) return known;
    return (await this.#storage.current(info, key, c))?.object as DeepReadonly<T> | undefined;
  }
}
