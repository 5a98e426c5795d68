/**
 * The last touch of a container's specification: what its program may ask of the kernel. By default it runs under the seccomp
 * profile RuntimeDefault and with no_new_privs.
 * Source: kubernetes pkg/kubelet/kuberuntime/security_context.go; pod.spec.containers[].securityContext of the API.
 */
import type { ContainerSpec, PodObject } from '../../pods/model.ts';
import type { OciCapabilities, OciDevice, OciSpec } from '../oci-spec.ts';
import { appArmorOf } from './apparmor.ts';
import { hostDevices } from './host-devices.ts';
import { seccompOf } from './seccomp.ts';
import { seLinuxLabelOf } from './selinux.ts';
import type { IsolationSettings } from './settings.ts';

/** Throws StatusError where a profile that was asked for cannot be had. */
export async function isolate(
  spec: OciSpec,
  { pod, container }: { readonly pod: PodObject; readonly container: ContainerSpec },
  s: IsolationSettings,
): Promise<OciSpec> {
  const isPrivileged = container.securityContext?.privileged === true;
  const capabilities = capabilitiesOf(spec, container, s.host.capabilities);
  const profile = container.securityContext?.seccompProfile ?? pod.spec.securityContext?.seccompProfile;
  const seccomp = await seccompOf({ profile, isPrivileged, capabilities: capabilities.bounding }, s);
  const apparmorProfile = isPrivileged ? undefined : await appArmorOf(pod, container, s.host);
  const label = seLinuxLabelOf(pod, container, s.host);
  const { maskedPaths } = spec.linux;
  return {
    ...spec,
    process: {
      ...spec.process,
      capabilities,
      noNewPrivileges: !mayGainPrivileges(container, s),
      ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
      ...(label === undefined ? {} : { selinuxLabel: label.process }),
    },
    linux: {
      ...spec.linux,
      ...(seccomp === undefined ? {} : { seccomp }),
      ...(isPrivileged ? { devices: await allDevices(spec.linux.devices ?? []) } : {}),
      ...(maskedPaths === undefined ? {} : { maskedPaths: [...maskedPaths, ...s.host.maskedPaths] }),
      ...(label === undefined ? {} : { mountLabel: label.mount }),
    },
  };
}

/** Those that plugins gave it stand where they say. */
async function allDevices(own: readonly OciDevice[]): Promise<OciDevice[]> {
  const paths = new Set(own.map((d) => d.path));
  return [...(await hostDevices()).filter((d) => !paths.has(d.path)), ...own];
}

/** All are those that the agent has itself; one that is asked for by name and that it lacks is the runtime's to refuse. */
function capabilitiesOf(spec: OciSpec, container: ContainerSpec, held: readonly string[]): OciCapabilities {
  const { privileged, capabilities } = container.securityContext ?? {};
  const { bounding, effective, permitted, ...others } = spec.process.capabilities;
  const added = (capabilities?.add ?? []).map((c) => c.toUpperCase().replace(/^CAP_/, ''));
  if (privileged !== true && !added.includes('ALL')) return spec.process.capabilities;
  const had = (list: readonly string[]): string[] =>
    list.filter((c) => held.includes(c) || added.includes(c.slice('CAP_'.length)));
  return { bounding: had(bounding), effective: had(effective), permitted: had(permitted), ...others };
}

/** One that is privileged, or has CAP_SYS_ADMIN, always may unless it says otherwise. */
function mayGainPrivileges(container: ContainerSpec, s: IsolationSettings): boolean {
  const { allowPrivilegeEscalation, privileged, capabilities } = container.securityContext ?? {};
  if (allowPrivilegeEscalation !== undefined) return allowPrivilegeEscalation;
  const added = (capabilities?.add ?? []).map((c) => c.toUpperCase().replace(/^CAP_/, ''));
  const isAdmin = privileged === true || added.includes('SYS_ADMIN') || added.includes('ALL');
  return isAdmin || s.defaultAllowPrivilegeEscalation;
}
