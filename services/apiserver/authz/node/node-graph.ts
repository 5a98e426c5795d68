/**
 * Whether an object belongs to what runs on a node: node <- pod <- secret, config map, claim <- volume <- secret, service
 * account. Kubernetes keeps a graph of it beside its informers; here the watch cache, which is in the same process, is
 * asked directly: the pods of one namespace are looked at, those of other nodes no further than their spec.nodeName.
 * Source: kubernetes plugin/pkg/auth/authorizer/node/graph.go.
 */
import {
  type DeepReadonly,
  type KindInfo,
  type KindRef,
  Kinds,
  type KubeObject,
  kindInfo,
  type PersistentVolume,
  type Pod,
} from '#lib/api';
import type { WatchCache } from '../../cache/watch-cache.ts';
import { type PodReferences, podReferences, volumeSecretKeys } from './references.ts';

export class NodeGraph {
  readonly #cache: WatchCache;
  readonly #kinds = new Map<KindRef, KindInfo>();

  constructor(cache: WatchCache) {
    this.#cache = cache;
  }

  hasPod(node: string, namespace: string, name: string): boolean {
    return this.#get<Pod>(Kinds.pods, namespace, name)?.spec.nodeName === node;
  }

  hasSecret(node: string, namespace: string, name: string): boolean {
    if (this.#podsUse(node, namespace, (r) => r.secrets.has(name))) return true;
    const key = `${namespace}/${name}`;
    for (const { object } of this.#cache.of(this.#kind(Kinds.persistentvolumes)).items('')) {
      const volume = object as DeepReadonly<PersistentVolume>;
      if (volumeSecretKeys(volume).includes(key) && this.#usesVolume(node, volume)) return true;
    }
    return false;
  }

  hasConfigMap(node: string, namespace: string, name: string): boolean {
    return this.#podsUse(node, namespace, (r) => r.configMaps.has(name));
  }

  hasClaim(node: string, namespace: string, name: string): boolean {
    return this.#podsUse(node, namespace, (r) => r.claims.has(name));
  }

  hasResourceClaim(node: string, namespace: string, name: string): boolean {
    return this.#podsUse(node, namespace, (r) => r.resourceClaims.has(name));
  }

  hasServiceAccount(node: string, namespace: string, name: string): boolean {
    return this.#podsUse(node, namespace, (r) => r.serviceAccount === name);
  }

  hasVolume(node: string, name: string): boolean {
    const volume = this.#get<PersistentVolume>(Kinds.persistentvolumes, '', name);
    return volume !== undefined && this.#usesVolume(node, volume);
  }

  /** VolumeAttachments and ResourceSlices say themselves which node they are of. */
  isNamedBy(kind: KindRef, node: string, name: string): boolean {
    const object = this.#get<KubeObject & { spec?: { nodeName?: string } }>(kind, '', name);
    return object?.spec?.nodeName === node;
  }

  #usesVolume(node: string, volume: DeepReadonly<PersistentVolume>): boolean {
    const claim = volume.spec.claimRef;
    if (claim?.name === undefined || claim.namespace === undefined) return false;
    return this.hasClaim(node, claim.namespace, claim.name);
  }

  #podsUse(node: string, namespace: string, uses: (r: PodReferences) => boolean): boolean {
    if (namespace === '') return false;
    for (const { object } of this.#cache.of(this.#kind(Kinds.pods)).items(namespace)) {
      const pod = object as DeepReadonly<Pod>;
      if (pod.spec.nodeName === node && uses(podReferences(pod))) return true;
    }
    return false;
  }

  #get<T extends KubeObject>(kind: KindRef, namespace: string, name: string): DeepReadonly<T> | undefined {
    return this.#cache.of(this.#kind(kind)).get(namespace, name)?.object as DeepReadonly<T> | undefined;
  }

  #kind(kind: KindRef): KindInfo {
    let info = this.#kinds.get(kind);
    if (info === undefined) {
      info = kindInfo(kind);
      this.#kinds.set(kind, info);
    }
    return info;
  }
}
