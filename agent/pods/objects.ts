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
import { StatusError } from '#lib/base';
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
  /** Of Secrets that were here before the machine's restart: uid by key. */
  readonly #withheld = new Map<string, string>();

  apply(change: DesiredChange): void {
    if (change.resource === 'secrets' && this.#applyWithheld(change)) return;
    let map = this.#maps.get(change.resource);
    if (map === undefined) {
      map = new Map();
      this.#maps.set(change.resource, map);
    }
    if (change.type !== 'upsert') {
      const key = `${change.namespace}/${change.name}`;
      if (change.uid === '' || map.get(key)?.metadata.uid === change.uid) map.delete(key);
    } else map.set(`${change.object.metadata.namespace ?? ''}/${change.object.metadata.name}`, change.object);
  }

  /** Throws Unavailable while it is not known what it says: an optional one must not count as absent. */
  secret(namespace: string, name: string): DeepReadonly<Secret> | undefined {
    if (this.withheldSecret(namespace, name) !== undefined)
      throw new StatusError(
        'Unavailable',
        `secret "${name}" was only in memory when this node restarted: waiting for the control plane to send it again`,
      );
    return this.get('secrets', namespace, name);
  }

  /** The uid of one that waits for the control plane. */
  withheldSecret(namespace: string, name: string): string | undefined {
    return this.#withheld.get(`${namespace}/${name}`);
  }

  /** True when there is nothing else to do. */
  #applyWithheld(change: DesiredChange): boolean {
    const { namespace = '', name } = change.type === 'upsert' ? change.object.metadata : change;
    if (change.type === 'withheld') this.#withheld.set(`${namespace}/${name}`, change.uid);
    else this.#withheld.delete(`${namespace}/${name}`);
    return change.type === 'withheld';
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
