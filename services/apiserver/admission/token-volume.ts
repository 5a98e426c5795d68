/**
 * The volume by which a pod's containers reach the API: token, authority and namespace, projected. Pure.
 * Source: kubernetes plugin/pkg/admission/serviceaccount/admission.go (shouldAutomount, mountServiceAccountToken,
 * TokenVolumeSource).
 */
import type { Container, DeepReadonly, PodSpec, ServiceAccount, Volume } from '#lib/api';

export const TOKEN_MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
export const TOKEN_VOLUME_PREFIX = 'kube-api-access-';
/** One hour and 7 s: the server knows it by this and makes it a year (authn/service-account-claims.ts). */
const TOKEN_SECONDS = 3_607;
const FILE_MODE = 0o644;

/** The pod's word counts before its account's; both silent means yes. */
export function wantsToken(spec: DeepReadonly<PodSpec>, account: DeepReadonly<ServiceAccount>): boolean {
  return spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
}

/** Mounts the volume where a container has nothing at that path, in place. `suffix` makes its name unique in the pod. */
export function mountToken(spec: PodSpec, suffix: string): void {
  const known = (spec.volumes ?? []).find((v) => v.name.startsWith(TOKEN_VOLUME_PREFIX));
  const name = known?.name ?? TOKEN_VOLUME_PREFIX + suffix;
  let isUsed = false;
  const withMount = (container: Container): Container => {
    const mounts = container.volumeMounts ?? [];
    if (mounts.some((m) => m.mountPath === TOKEN_MOUNT_PATH)) return container;
    isUsed = true;
    return { ...container, volumeMounts: [...mounts, { name, readOnly: true, mountPath: TOKEN_MOUNT_PATH }] };
  };
  if (spec.initContainers !== undefined) spec.initContainers = spec.initContainers.map(withMount);
  // Absent, or null as Go writes it: validation says so later.
  if (Array.isArray(spec.containers)) spec.containers = spec.containers.map(withMount);
  if (isUsed && known === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: FILE_MODE,
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}
