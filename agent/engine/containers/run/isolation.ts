/** What a container's program may ask of the kernel, by Docker's options and this host's settings. Source: moby daemon/{seccomp,apparmor}_linux.go, oci_linux.go. */
import { arch, release } from 'node:os';
import type { ContainerSpec, PodObject } from '../../../pods/model.ts';
import { appArmorOf } from '../../../runtime/isolation/apparmor.ts';
import { hostDevices } from '../../../runtime/isolation/host-devices.ts';
import { runtimeDefault } from '../../../runtime/isolation/seccomp.ts';
import { seLinuxLabelOf } from '../../../runtime/isolation/selinux.ts';
import type { IsolationSettings } from '../../../runtime/isolation/settings.ts';
import type { OciDevice, OciSeccomp } from '../../../runtime/oci-spec.ts';
import type { HostConfig } from '../../types.ts';
import { capabilitiesOf } from './capabilities.ts';
import { seccompOf } from './seccomp-profile.ts';
import { type SecurityOptions, securityOf } from './security-options.ts';

export interface Isolation {
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly seccomp: OciSeccomp | undefined;
  readonly apparmorProfile: string | undefined;
  readonly labels: { readonly process: string; readonly mount: string } | undefined;
  readonly writableCgroups: boolean;
  readonly devices: readonly OciDevice[];
}

/** The shared parts speak of pods. */
const POD: PodObject = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'engine' }, spec: { containers: [] } };

export async function isolationOf(h: HostConfig, s: IsolationSettings): Promise<Isolation> {
  const options = securityOf(h.SecurityOpt ?? []);
  const isPrivileged = h.Privileged === true;
  const capabilities = capabilitiesOf(h, s.host.capabilities);
  const labels = labelsOf(h, options);
  const container: ContainerSpec = { name: 'container', securityContext: { ...appArmor(options), ...labels } };
  const mayHaveProfile = !isPrivileged || (options.appArmor !== undefined && options.appArmor !== 'unconfined');
  return {
    capabilities,
    noNewPrivileges: options.noNewPrivileges,
    seccomp: filterOf(options, isPrivileged, capabilities, s),
    apparmorProfile: mayHaveProfile ? await appArmorOf(POD, container, s.host) : undefined,
    labels: labels === undefined ? undefined : seLinuxLabelOf(POD, container, s.host),
    writableCgroups: options.writableCgroups,
    devices: isPrivileged ? await hostDevices() : [],
  };
}

function filterOf(
  o: SecurityOptions,
  isPrivileged: boolean,
  capabilities: readonly string[],
  s: IsolationSettings,
): OciSeccomp | undefined {
  if (o.seccomp === 'unconfined') return undefined;
  if (o.seccomp !== undefined && o.seccomp !== 'builtin')
    return seccompOf(o.seccomp, { capabilities, architecture: arch(), kernel: release() });
  return isPrivileged ? undefined : runtimeDefault(capabilities, s.host.architecture);
}

function appArmor({ appArmor: name }: SecurityOptions): NonNullable<ContainerSpec['securityContext']> {
  if (name === undefined) return {};
  return {
    appArmorProfile: name === 'unconfined' ? { type: 'Unconfined' } : { type: 'Localhost', localhostProfile: name },
  };
}

/** Who shares a namespace with the host, or has all rights, has no label. */
function labelsOf(
  h: HostConfig,
  { labels }: SecurityOptions,
): NonNullable<ContainerSpec['securityContext']> | undefined {
  const isOpen = h.IpcMode === 'host' || h.PidMode === 'host' || h.Privileged === true;
  if (labels === undefined || Object.hasOwn(labels, 'disable') || isOpen) return undefined;
  const { user, role, type, level } = labels;
  return {
    seLinuxOptions: {
      ...(user === undefined ? {} : { user }),
      ...(role === undefined ? {} : { role }),
      ...(type === undefined ? {} : { type }),
      ...(level === undefined ? {} : { level }),
    },
  };
}
