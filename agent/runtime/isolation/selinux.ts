/**
 * seLinuxOptions as labels, where SELinux is on; elsewhere they are ignored, as the kubelet and the CRI runtimes do. What an
 * option leaves out is the policy's own for containers (container-selinux). A container that names none gets no label.
 * Source: kubernetes pkg/kubelet/kuberuntime/security_context.go; opencontainers/selinux label.InitLabels.
 */
import type { ContainerSpec, PodObject } from '../../pods/model.ts';
import type { HostSecurity } from './settings.ts';

export interface SeLinuxLabels {
  readonly process: string;
  readonly mount: string;
}

export function seLinuxLabelOf(
  pod: PodObject,
  container: ContainerSpec,
  host: Pick<HostSecurity, 'seLinux'>,
): SeLinuxLabels | undefined {
  const options = container.securityContext?.seLinuxOptions ?? pod.spec.securityContext?.seLinuxOptions;
  if (!host.seLinux || options === undefined) return undefined;
  const { user = 'system_u', role = 'system_r', type = 'container_t', level = 's0' } = options;
  return {
    process: [user, role, type, level].join(':'),
    mount: [user, 'object_r', 'container_file_t', level].join(':'),
  };
}
