/** How a node keeps containers apart from itself; names and meanings are the kubelet's where it has the setting. */
export interface IsolationSettings {
  /** Below it are the profiles that `seccompProfile: {type: Localhost}` names (the kubelet's /var/lib/kubelet/seccomp). */
  readonly seccompFolder: string;
  /** Who names no profile runs under RuntimeDefault. Here on by default. */
  readonly seccompDefault: boolean;
  /** What holds where a container does not say allowPrivilegeEscalation. Here off by default: no_new_privs is set. */
  readonly defaultAllowPrivilegeEscalation: boolean;
  /** Sysctls, or the beginnings of some with `*` behind, that pods may set besides the safe ones. */
  readonly allowedUnsafeSysctls: readonly string[];
  readonly host: HostSecurity;
}

/** What the kernel of this host has. */
export interface HostSecurity {
  readonly appArmor: boolean;
  readonly seLinux: boolean;
  /** As node:os names it. */
  readonly architecture: string;
  /** Hidden from containers besides what is hidden everywhere. */
  readonly maskedPaths: readonly string[];
  /** What the agent holds: more it cannot give. */
  readonly capabilities: readonly string[];
}

export function defaultIsolation(o: {
  readonly seccompFolder: string;
  readonly host: HostSecurity;
}): IsolationSettings {
  return { ...o, seccompDefault: true, defaultAllowPrivilegeEscalation: false, allowedUnsafeSysctls: [] };
}
