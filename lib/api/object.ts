/**
 * The shape every API object has, and the typed name of a kind. `KindRef<T>` carries the TypeScript type of its objects
 * as a phantom, so that `client.get(Kinds.pods, key)` gives a Pod.
 */
import type { ObjectMeta } from './gen/types/meta-v1.ts';

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

export interface KindRef<T extends KubeObject = KubeObject> {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Plural, as in URLs. */
  readonly resource: string;
  readonly namespaced: boolean;
  /** Never set: carries T for the compiler. */
  readonly __object?: T;
}

/** `namespace` is '' for cluster-scoped kinds. */
export interface ObjectKey {
  readonly namespace: string;
  readonly name: string;
}

export type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

export function ref<T extends KubeObject>(k: Omit<KindRef, '__object'>): KindRef<T> {
  return k as KindRef<T>;
}

/** `apps/v1`, or `v1` for the core group. */
export function apiVersionOf(k: Pick<KindRef, 'group' | 'version'>): string {
  return k.group === '' ? k.version : `${k.group}/${k.version}`;
}

export function keyOf(o: DeepReadonly<{ metadata: ObjectMeta }>): ObjectKey {
  return { namespace: o.metadata.namespace ?? '', name: o.metadata.name };
}

/** `namespace/name`, or `name` for cluster scope: for maps and logs. */
export function keyText(k: ObjectKey): string {
  return k.namespace === '' ? k.name : `${k.namespace}/${k.name}`;
}
