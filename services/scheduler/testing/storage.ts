/** Storage of scheduler tests: none, or what a test puts there. */
import type {
  CSINode,
  DeepReadonly,
  KubeObject,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
} from '#lib/api';
import { keyOf, keyText } from '#lib/api';
import type { Client } from '#lib/client';
import type { Informer, Listener } from '#lib/controller';
import type { StorageView } from '../framework.ts';
import { PodVolumes } from '../pod-volumes.ts';

/** An informer that tells what a test puts into it. */
export class PutInformer<T extends KubeObject> {
  readonly #objects = new Map<string, DeepReadonly<T>>();
  readonly #listeners = new Set<Listener<T>>();

  synced(): Promise<void> {
    return Promise.resolve();
  }

  get(key: { namespace: string; name: string }): DeepReadonly<T> | undefined {
    return this.#objects.get(keyText(key));
  }

  list(): readonly DeepReadonly<T>[] {
    return [...this.#objects.values()];
  }

  subscribe(listener: Listener<T>): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  put(next: DeepReadonly<T>): void {
    const key = keyText(keyOf(next));
    const previous = this.#objects.get(key);
    this.#objects.set(key, next);
    for (const l of this.#listeners) l(previous, next);
  }

  remove(object: DeepReadonly<T>): void {
    const key = keyText(keyOf(object));
    const previous = this.#objects.get(key);
    this.#objects.delete(key);
    for (const l of this.#listeners) l(previous, undefined);
  }

  asInformer(): Informer<T> {
    return this as unknown as Informer<T>;
  }
}

export interface TestStorage {
  readonly claims: PutInformer<PersistentVolumeClaim>;
  readonly volumes: PutInformer<PersistentVolume>;
  readonly classes: PutInformer<StorageClass>;
  readonly csiNodes: PutInformer<CSINode>;
}

export function testStorage(): TestStorage {
  return {
    claims: new PutInformer(),
    volumes: new PutInformer(),
    classes: new PutInformer(),
    csiNodes: new PutInformer(),
  };
}

export function podVolumes(s: TestStorage = testStorage(), client: Partial<Client> = {}): PodVolumes {
  return new PodVolumes(client as Client, {
    claims: s.claims.asInformer(),
    volumes: s.volumes.asInformer(),
    classes: s.classes.asInformer(),
    csiNodes: s.csiNodes.asInformer(),
  });
}

export const noStorage: StorageView = podVolumes();
