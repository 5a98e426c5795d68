/**
 * Which ConfigMaps, Secrets, ServiceAccounts and claims a pod names, and the volumes of those claims. Pure.
 * Source: kubernetes pkg/api/v1/pod/util.go, Visit*Names.
 */
import {
  type Container,
  claimNameOf,
  type DeepReadonly,
  type PersistentVolumeClaim,
  type Pod,
  type Volume,
} from '#lib/api';

export type ReferenceResource =
  | 'configmaps'
  | 'secrets'
  | 'serviceaccounts'
  | 'persistentvolumeclaims'
  | 'persistentvolumes';

export interface Reference {
  readonly resource: ReferenceResource;
  readonly name: string;
}

/** A claim of the pod's namespace by its name. */
export type ClaimLookup = (name: string) => DeepReadonly<PersistentVolumeClaim> | undefined;

/** Each once, in no promised order; all in the pod's own namespace, but for volumes. */
export function referencesOf(pod: DeepReadonly<Pod>, claimOf: ClaimLookup): readonly Reference[] {
  const found = new Map<string, Reference>();
  const add = (resource: ReferenceResource, name: string | undefined): void => {
    if (name !== undefined && name !== '') found.set(`${resource}/${name}`, { resource, name });
  };
  const spec = pod.spec;
  if (spec === undefined) return [];
  add('serviceaccounts', spec.serviceAccountName);
  for (const s of spec.imagePullSecrets ?? []) add('secrets', s.name);
  for (const v of spec.volumes ?? []) {
    addVolume(v, add);
    const claim = claimNameOf(pod, v);
    add('persistentvolumeclaims', claim);
    if (claim !== undefined) add('persistentvolumes', claimOf(claim)?.spec.volumeName);
  }
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
  for (const c of containers) addContainer(c, add);
  return [...found.values()];
}

type Add = (resource: ReferenceResource, name: string | undefined) => void;

function addVolume(v: DeepReadonly<Volume>, add: Add): void {
  add('configmaps', v.configMap?.name);
  add('secrets', v.secret?.secretName);
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
