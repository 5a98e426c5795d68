/**
 * Record + what was looked up -> OCI runtime configuration. Pure: users, devices, mounts, namespaces and profiles come in.
 * What pods have of it is agent/runtime/spec.ts. Source: moby daemon/oci_linux.go; opencontainers/runtime-spec config.md.
 */
import type { OciDevice, OciMount, OciProcess, OciResources, OciSeccomp, OciSpec } from '../../../runtime/oci-spec.ts';
import { DEVICES, standardMounts } from '../../../runtime/spec.ts';
import type { ContainerRecord } from '../../parts.ts';

export interface SpecInput {
  readonly record: ContainerRecord;
  readonly rootfs: string;
  readonly cgroupPath: string;
  readonly hostname: string;
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };
  /** Paths of namespaces that are there; '' = one of its own; undefined = the host's. */
  readonly namespaces: Readonly<Record<'network' | 'ipc' | 'uts' | 'pid' | 'cgroup', string | undefined>>;
  /** Of /etc and of users, in any order. */
  readonly mounts: readonly OciMount[];
  readonly resources: OciResources;
  readonly devices: readonly OciDevice[];
  readonly deviceRules: Readonly<NonNullable<OciResources['devices']>>;
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly seccomp: OciSeccomp | undefined;
  readonly apparmorProfile: string | undefined;
  readonly labels: { readonly process: string; readonly mount: string } | undefined;
  /** What this host hides besides what Docker names. */
  readonly maskedPaths: readonly string[];
  readonly writableCgroups: boolean;
  /** Sysctls that Docker sets in a network of a container's own. */
  readonly networkSysctls: Readonly<Record<string, string>>;
  /** Where the program stands that is its first process. */
  readonly hasInit: boolean;
}

export const INIT_PATH = '/sbin/docker-init';
const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function ociSpecOf(i: SpecInput): OciSpec {
  const { config, hostConfig: h } = i.record;
  const isPrivileged = h.Privileged === true;
  const held = i.user.uid === 0 ? [...i.capabilities] : [];
  const masked = isPrivileged ? (h.MaskedPaths ?? []) : [...(h.MaskedPaths ?? [])];
  const program = [i.record.path, ...i.record.args];
  return {
    ociVersion: '1.0.2',
    root: { path: i.rootfs, readonly: h.ReadonlyRootfs === true },
    ...(i.namespaces.uts === undefined ? {} : { hostname: i.hostname }),
    ...(i.namespaces.uts === undefined || config.Domainname === '' ? {} : { domainname: config.Domainname }),
    process: {
      terminal: config.Tty,
      ...(config.Tty ? consoleSizeOf(h.ConsoleSize) : {}),
      user: { uid: i.user.uid, gid: i.user.gid, additionalGids: [...i.user.additionalGids] },
      args: i.hasInit ? [INIT_PATH, '--', ...program] : program,
      env: environmentOf(config.Env, { hostname: i.hostname, tty: config.Tty }),
      cwd: config.WorkingDir || '/',
      capabilities: { bounding: [...i.capabilities], effective: held, permitted: held, inheritable: [], ambient: [] },
      noNewPrivileges: i.noNewPrivileges,
      oomScoreAdj: h.OomScoreAdj ?? 0,
      ...(h.Ulimits === undefined || h.Ulimits.length === 0 ? {} : { rlimits: h.Ulimits.map(rlimitOf) }),
      ...(i.apparmorProfile === undefined ? {} : { apparmorProfile: i.apparmorProfile }),
      ...(i.labels === undefined ? {} : { selinuxLabel: i.labels.process }),
    },
    mounts: mountsOf(i, isPrivileged),
    ...annotationsOf(h.Annotations ?? {}),
    linux: {
      namespaces: namespacesOf(i),
      cgroupsPath: i.cgroupPath,
      resources: {
        ...i.resources,
        devices: isPrivileged ? [{ allow: true, access: 'rwm' }] : [...DEVICES, ...i.deviceRules],
      },
      ...(i.devices.length === 0 ? {} : { devices: [...i.devices] }),
      ...(masked.length === 0 ? {} : { maskedPaths: [...masked, ...i.maskedPaths] }),
      ...((h.ReadonlyPaths ?? []).length === 0 ? {} : { readonlyPaths: [...(h.ReadonlyPaths ?? [])] }),
      ...(i.seccomp === undefined ? {} : { seccomp: i.seccomp }),
      ...(i.labels === undefined ? {} : { mountLabel: i.labels.mount }),
      ...sysctlsOf(i),
      rootfsPropagation: propagationOf(i.mounts),
    },
  };
}

/** But for those by which crun is told what else to do. */
function annotationsOf(own: Readonly<Record<string, string>>): { annotations?: Record<string, string> } {
  const kept = Object.entries(own).filter(([key]) => !key.startsWith('run.oci.'));
  return kept.length === 0 ? {} : { annotations: Object.fromEntries(kept) };
}

function sysctlsOf(i: SpecInput): { sysctl?: Record<string, string> } {
  const isOwnNetwork = i.namespaces.network !== undefined && !i.record.hostConfig.NetworkMode.startsWith('container:');
  const all = { ...(isOwnNetwork ? i.networkSysctls : {}), ...i.record.hostConfig.Sysctls };
  return Object.keys(all).length === 0 ? {} : { sysctl: all };
}

/** Docker's own first, then the user's in their order; a name alone takes one away. Source: moby container/env.go. */
export function environmentOf(
  own: readonly string[],
  o: { readonly hostname: string; readonly tty: boolean },
): string[] {
  const env = new Map<string, string>();
  for (const e of [DEFAULT_PATH, `HOSTNAME=${o.hostname}`, ...(o.tty ? ['TERM=xterm'] : []), ...own]) {
    const at = e.indexOf('=');
    if (at < 0) env.delete(e);
    else env.set(e.slice(0, at), e);
  }
  return [...env.values()];
}

function rlimitOf(u: { readonly Name: string; readonly Soft: number; readonly Hard: number }): {
  type: string;
  soft: number;
  hard: number;
} {
  /* RLIM_INFINITY does not fit a JSON number that this language keeps whole. */
  const amount = (n: number): number => (n < 0 ? Number.MAX_SAFE_INTEGER : n);
  return { type: `RLIMIT_${u.Name.toUpperCase()}`, soft: amount(u.Soft), hard: amount(u.Hard) };
}

function namespacesOf(i: SpecInput): OciSpec['linux']['namespaces'] {
  const out: OciSpec['linux']['namespaces'] = [{ type: 'mount' }];
  for (const type of ['pid', 'network', 'ipc', 'uts', 'cgroup'] as const) {
    const path = i.namespaces[type];
    if (path !== undefined) out.push(path === '' ? { type } : { type, path });
  }
  return out;
}

/** Docker's own give way to a user's at the same place; one below another comes after it. */
function mountsOf(i: SpecInput, isPrivileged: boolean): OciMount[] {
  const standard = standardMounts(isPrivileged)
    .filter((m) => m.destination !== '/dev/mqueue' || i.record.hostConfig.IpcMode !== 'host')
    .map((m) => {
      if (m.destination !== '/sys/fs/cgroup' || !i.writableCgroups) return m;
      return { ...m, options: (m.options ?? []).map((o) => (o === 'ro' ? 'rw' : o)) };
    });
  const taken = new Set(i.mounts.map((m) => m.destination));
  const depth = (m: OciMount): number => m.destination.split('/').filter((p) => p !== '').length;
  const own = standard.filter((m) => !taken.has(m.destination));
  return [...own, ...[...i.mounts].sort((a, b) => depth(a) - depth(b))];
}

function propagationOf(mounts: readonly OciMount[]): string {
  const has = (name: string): boolean => mounts.some((m) => m.options?.some((o) => o === name || o === `r${name}`));
  return has('shared') ? 'shared' : has('slave') ? 'slave' : 'private';
}

const TERMINAL_SIDE_MAX = 0xffff;

function consoleSizeOf([height = 0, width = 0]: readonly number[] = []): Partial<Pick<OciProcess, 'consoleSize'>> {
  const isSide = (n: number): boolean => n > 0 && n <= TERMINAL_SIDE_MAX;
  return isSide(height) && isSide(width) ? { consoleSize: { height, width } } : {};
}
