/**
 * Which ConfigMaps, Secrets, ServiceAccounts and claims a pod names, the volumes of those claims, and what its node needs for the
 * volumes of CSI drivers. Pure.
 * Source: kubernetes pkg/api/v1/pod/util.go, Visit*Names.
 */
import {
  attachmentName,
  type Container,
  claimNameOf,
  type DeepReadonly,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type Volume,
} from '#lib/api';

export type ReferenceResource =
  | 'configmaps'
  | 'secrets'
  | 'serviceaccounts'
  | 'persistentvolumeclaims'
  | 'persistentvolumes'
  | 'volumeattachments';

export interface Reference {
  readonly resource: ReferenceResource;
  /** '' for what is in none. */
  readonly namespace: string;
  readonly name: string;
}

export interface StorageLookup {
  /** A claim of the pod's namespace. */
  claim(name: string): DeepReadonly<PersistentVolumeClaim> | undefined;
  volume(name: string): DeepReadonly<PersistentVolume> | undefined;
}

/** Each once, in no promised order. */
export function referencesOf(pod: DeepReadonly<Pod>, storage: StorageLookup): readonly Reference[] {
  const found = new Map<string, Reference>();
  const put = (r: Reference): void => void (r.name !== '' && found.set(`${r.resource}/${r.namespace}/${r.name}`, r));
  const add: Add = (resource, name = '') => put({ resource, namespace: pod.metadata.namespace ?? '', name });
  const spec = pod.spec;
  if (spec === undefined) return [];
  add('serviceaccounts', spec.serviceAccountName);
  for (const s of spec.imagePullSecrets ?? []) add('secrets', s.name);
  for (const v of spec.volumes ?? []) {
    addVolume(v, add);
    const claim = claimNameOf(pod, v);
    add('persistentvolumeclaims', claim);
    const volumeName = claim === undefined ? undefined : storage.claim(claim)?.spec.volumeName;
    if (volumeName === undefined || volumeName === '') continue;
    put({ resource: 'persistentvolumes', namespace: '', name: volumeName });
    for (const r of volumeReferences(storage.volume(volumeName), spec.nodeName ?? '')) put(r);
  }
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
  for (const c of containers) addContainer(c, add);
  return [...found.values()];
}

/** The Secrets by which a driver's volume is mounted, and the object by which it is attached to the node. */
export function volumeReferences(
  volume: DeepReadonly<PersistentVolume> | undefined,
  nodeName: string,
): readonly Reference[] {
  const csi = volume?.spec.csi;
  if (csi === undefined || nodeName === '') return [];
  const secrets = [csi.nodeStageSecretRef, csi.nodePublishSecretRef, csi.nodeExpandSecretRef];
  return [
    { resource: 'volumeattachments', namespace: '', name: attachmentName(csi, nodeName) },
    ...secrets.flatMap((s) =>
      s?.name === undefined ? [] : [{ resource: 'secrets' as const, namespace: s.namespace ?? '', name: s.name }],
    ),
  ];
}

type Add = (resource: ReferenceResource, name: string | undefined) => void;

function addVolume(v: DeepReadonly<Volume>, add: Add): void {
  add('configmaps', v.configMap?.name);
  add('secrets', v.secret?.secretName);
  add('secrets', v.csi?.nodePublishSecretRef?.name);
  for (const source of v.projected?.sources ?? []) {
    add('configmaps', source.configMap?.name);
    add('secrets', source.secret?.name);
  }
}

function addContainer(c: DeepReadonly<Pick<Container, 'env' | 'envFrom'>>, add: Add): void {
  for (const e of c.env ?? []) {
    add('configmaps', e.valueFrom?.configMapKeyRef?.name);
    add('secrets', e.valueFrom?.secretKeyRef?.name);
  }
  for (const from of c.envFrom ?? []) {
    add('configmaps', from.configMapRef?.name);
    add('secrets', from.secretRef?.name);
  }
}
