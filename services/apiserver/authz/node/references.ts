/**
 * The objects that a pod, or a volume, cannot do without: what its node may therefore read. Pure.
 * Source: kubernetes pkg/api/pod/util.go VisitPodSecretNames, pkg/api/persistentvolume/util.go VisitPVSecretNames.
 */
import type { DeepReadonly, PersistentVolume, Pod, Volume } from '#lib/api';

/** Names in the pod's own namespace. */
export interface PodReferences {
  readonly secrets: ReadonlySet<string>;
  readonly configMaps: ReadonlySet<string>;
  readonly claims: ReadonlySet<string>;
  readonly resourceClaims: ReadonlySet<string>;
  readonly serviceAccount: string;
}

const MIRROR = 'kubernetes.io/config.mirror';
const NONE: PodReferences = {
  secrets: new Set(),
  configMaps: new Set(),
  claims: new Set(),
  resourceClaims: new Set(),
  serviceAccount: '',
};

/** A mirror pod is its node's own claim, and gives it nothing. */
export function podReferences(pod: DeepReadonly<Pod>): PodReferences {
  if (pod.metadata.annotations?.[MIRROR] !== undefined) return NONE;
  const secrets = new Set<string>();
  const configMaps = new Set<string>();
  const claims = new Set<string>();
  for (const s of pod.spec.imagePullSecrets ?? []) addTo(secrets, s.name);
  const { initContainers = [], containers, ephemeralContainers = [] } = pod.spec;
  for (const container of [...initContainers, ...containers, ...ephemeralContainers]) {
    for (const from of container.envFrom ?? []) {
      addTo(secrets, from.secretRef?.name);
      addTo(configMaps, from.configMapRef?.name);
    }
    for (const e of container.env ?? []) {
      addTo(secrets, e.valueFrom?.secretKeyRef?.name);
      addTo(configMaps, e.valueFrom?.configMapKeyRef?.name);
    }
  }
  for (const volume of pod.spec.volumes ?? []) {
    for (const name of volumeSecrets(volume)) addTo(secrets, name);
    addTo(configMaps, volume.configMap?.name);
    for (const source of volume.projected?.sources ?? []) addTo(configMaps, source.configMap?.name);
    addTo(claims, volume.persistentVolumeClaim?.claimName);
    if (volume.ephemeral !== undefined) claims.add(`${pod.metadata.name}-${volume.name}`);
  }
  return {
    secrets,
    configMaps,
    claims,
    resourceClaims: resourceClaimsOf(pod),
    serviceAccount: pod.spec.serviceAccountName ?? '',
  };
}

/** `namespace/name` of the secrets that a node needs to mount the volume. */
export function volumeSecretKeys(volume: DeepReadonly<PersistentVolume>): readonly string[] {
  const { claimRef, csi, azureFile, cephfs, cinder, flexVolume, iscsi, rbd, scaleIO, storageos } = volume.spec;
  const claimed = claimRef?.namespace ?? '';
  const out: string[] = [];
  const add = (
    ref: { readonly name?: string | undefined; readonly namespace?: string | undefined } | undefined,
  ): void => {
    if (ref?.name) out.push(`${ref.namespace || claimed}/${ref.name}`);
  };
  if (azureFile !== undefined) add({ name: azureFile.secretName, namespace: azureFile.secretNamespace });
  for (const source of [cephfs, cinder, flexVolume, iscsi, rbd, scaleIO, storageos]) add(source?.secretRef);
  for (const ref of [csi?.nodePublishSecretRef, csi?.nodeStageSecretRef, csi?.nodeExpandSecretRef]) add(ref);
  return out;
}

function volumeSecrets(v: DeepReadonly<Volume>): (string | undefined)[] {
  const sources = [v.cephfs, v.cinder, v.flexVolume, v.iscsi, v.rbd, v.scaleIO, v.storageos];
  return [
    v.secret?.secretName,
    v.azureFile?.secretName,
    v.csi?.nodePublishSecretRef?.name,
    ...sources.map((s) => s?.secretRef?.name),
    ...(v.projected?.sources ?? []).map((s) => s.secret?.name),
  ];
}

/** Named by the pod, or made for it from a template: then its status says which. */
function resourceClaimsOf(pod: DeepReadonly<Pod>): ReadonlySet<string> {
  const names = new Set<string>();
  for (const claim of pod.spec.resourceClaims ?? []) addTo(names, claim.resourceClaimName);
  for (const status of pod.status?.resourceClaimStatuses ?? []) addTo(names, status.resourceClaimName);
  return names;
}

function addTo(set: Set<string>, name: string | undefined): void {
  if (name !== undefined && name !== '') set.add(name);
}
