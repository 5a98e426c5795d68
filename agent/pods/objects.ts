/** The API objects this node was given, by resource. One writer (the session), many readers; objects are never mutated. */
import type {
  ConfigMap,
  CSIDriver,
  DeepReadonly,
  EndpointSlice,
  KubeObject,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  RuntimeClass,
  Secret,
  Service,
  ServiceAccount,
  VolumeAttachment,
} from '#lib/api';
import type { DesiredChange, DesiredResource } from '../session/session.ts';

interface ByResource {
  pods: Pod;
  configmaps: ConfigMap;
  secrets: Secret;
  serviceaccounts: ServiceAccount;
  services: Service;
  endpointslices: EndpointSlice;
  nodes: Node;
  persistentvolumes: PersistentVolume;
  persistentvolumeclaims: PersistentVolumeClaim;
  namespaces: KubeObject;
  runtimeclasses: RuntimeClass;
  csidrivers: CSIDriver;
  volumeattachments: VolumeAttachment;
}

export class NodeObjects {
  readonly #maps = new Map<DesiredResource, Map<string, KubeObject>>();

  apply(change: DesiredChange): void {
    let map = this.#maps.get(change.resource);
    if (map === undefined) {
      map = new Map();
      this.#maps.set(change.resource, map);
    }
    if (change.type === 'remove') {
      const key = `${change.namespace}/${change.name}`;
      if (change.uid === '' || map.get(key)?.metadata.uid === change.uid) map.delete(key);
    } else map.set(`${change.object.metadata.namespace ?? ''}/${change.object.metadata.name}`, change.object);
  }

  get<R extends keyof ByResource>(
    resource: R,
    namespace: string,
    name: string,
  ): DeepReadonly<ByResource[R]> | undefined {
    return this.#maps.get(resource)?.get(`${namespace}/${name}`) as DeepReadonly<ByResource[R]> | undefined;
  }

  list<R extends keyof ByResource>(resource: R): DeepReadonly<ByResource[R]>[] {
    return [...(this.#maps.get(resource)?.values() ?? [])] as unknown as DeepReadonly<ByResource[R]>[];
  }
}
