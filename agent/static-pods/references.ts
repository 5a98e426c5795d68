/**
 * What of the API a static pod may not name: it must run without a control plane, and its node must not be asked for more than
 * its own. Pure. Source: kubernetes pkg/api/pod/util.go (HasAPIObjectReference, VisitPodSecretNames, VisitPodConfigmapNames).
 */
import type { Container, DeepReadonly, Pod, PodSpec, Volume } from '#lib/api';

/** The first kind of object that it refers to, in Kubernetes' words; undefined = none. */
export function apiReferenceOf(pod: DeepReadonly<Pod>): string | undefined {
  const { spec } = pod;
  if ((spec.serviceAccountName ?? '') !== '') return 'serviceaccounts';
  if (namesSecrets(spec)) return 'secrets';
  if (allContainers(spec).some((c) => envNames(c, 'configMapKeyRef', 'configMapRef'))) return 'configmaps';
  if ((spec.resourceClaims ?? []).length > 0) return 'resourceclaims';
  for (const v of spec.volumes ?? []) {
    const found = volumeReference(v);
    if (found !== undefined) return found;
  }
  return undefined;
}

type AnyContainer = Pick<DeepReadonly<Container>, 'env' | 'envFrom'>;

function allContainers(spec: DeepReadonly<PodSpec>): readonly AnyContainer[] {
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

function namesSecrets(spec: DeepReadonly<PodSpec>): boolean {
  if ((spec.imagePullSecrets ?? []).some((s) => (s.name ?? '') !== '')) return true;
  return allContainers(spec).some((c) => envNames(c, 'secretKeyRef', 'secretRef'));
}

function envNames(
  c: AnyContainer,
  key: 'secretKeyRef' | 'configMapKeyRef',
  whole: 'secretRef' | 'configMapRef',
): boolean {
  return (
    (c.env ?? []).some((e) => e.valueFrom?.[key] !== undefined) || (c.envFrom ?? []).some((e) => e[whole] !== undefined)
  );
}

const BY_VOLUME = {
  configMap: 'configmaps (via configmap volumes)',
  secret: 'secrets (via secret volumes)',
  csi: 'csidrivers (via CSI volumes)',
  glusterfs: 'endpoints (via glusterFS volumes)',
  persistentVolumeClaim: 'persistentvolumeclaims',
  ephemeral: 'persistentvolumeclaims (via ephemeral volumes)',
  azureFile: 'secrets (via azureFile volumes)',
} as const satisfies Partial<Record<keyof Volume, string>>;

const BY_PROJECTION = {
  configMap: 'configmaps (via projected volumes)',
  secret: 'secrets (via projected volumes)',
  serviceAccountToken: 'serviceaccounts (via projected volumes)',
  clusterTrustBundle: 'clustertrustbundles',
  podCertificate: 'podcertificates',
} as const;

function volumeReference(v: DeepReadonly<Volume>): string | undefined {
  for (const [field, text] of Object.entries(BY_VOLUME)) if (has(v, field)) return text;
  for (const source of v.projected?.sources ?? [])
    for (const [field, text] of Object.entries(BY_PROJECTION)) if (has(source, field)) return text;
  return undefined;
}

function has(value: object, field: string): boolean {
  return Reflect.get(value, field) !== undefined;
}
