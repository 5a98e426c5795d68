/**
 * Pod + container + image -> OCI runtime configuration. Pure: everything looked up (user, mounts, addresses) comes in.
 * Source: opencontainers/runtime-spec config.md; defaults as Docker's and the CRI's (reference/runtime.md 2).
 */
import type { DeepReadonly, SecurityContext } from '#lib/api';
import type { ImageConfig } from '../images/images.ts';
import type { ContainerSpec, PodObject } from '../pods/model.ts';
import type { UserNamespace } from '../user-namespaces/ranges.ts';
import type {
  OciCapabilities,
  OciDevice,
  OciHooks,
  OciIdMapping,
  OciMount,
  OciResources,
  OciSpec,
} from './oci-spec.ts';

export interface SpecInput {
  readonly pod: PodObject;
  readonly container: ContainerSpec;
  readonly image: ImageConfig;
  readonly rootfs: string;
  /** Of the container: below the pod's. */
  readonly cgroupPath: string;
  /** Paths of pinned namespaces; absent = the host's. */
  readonly namespaces: {
    readonly network?: string;
    readonly ipc?: string;
    readonly uts?: string;
    readonly pid?: string;
  };
  /** Of the pod; absent = the host's. */
  readonly userNamespace?: UserNamespace | undefined;
  readonly environment: ReadonlyMap<string, string>;
  readonly args: readonly string[];
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };
  /** Files and volumes from the host, already checked. */
  readonly binds: readonly BindMount[];
  readonly resources: OciResources;
  /** Its own cgroup is all it sees: v2, where programs look for their limits at the root of it. Not of privileged ones. */
  readonly hasCgroupNamespace: boolean;
  readonly oomScoreAdj: number;
  readonly hostname: string;
  /** Of device plugins. */
  readonly devices?: {
    readonly devices: readonly OciDevice[];
    readonly rules: NonNullable<OciResources['devices']>;
    readonly annotations: Readonly<Record<string, string>>;
    readonly hooks: OciHooks;
    /** Supplementary. */
    readonly groups: readonly number[];
  };
}

export interface BindMount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** With all that is mounted below it. */
  readonly isRecursiveReadOnly?: boolean;
  readonly propagation: 'rprivate' | 'rslave' | 'rshared';
  /** Its files are written with the ids that the pod's user namespace has outside; others are idmapped. */
  readonly hasPodIds?: boolean | undefined;
}

export const DEFAULT_CAPABILITIES = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
] as const;

export const ALL_CAPABILITIES = [
  ...DEFAULT_CAPABILITIES,
  'CAP_AUDIT_CONTROL',
  'CAP_AUDIT_READ',
  'CAP_BLOCK_SUSPEND',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
  'CAP_DAC_READ_SEARCH',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_LEASE',
  'CAP_LINUX_IMMUTABLE',
  'CAP_MAC_ADMIN',
  'CAP_MAC_OVERRIDE',
  'CAP_NET_ADMIN',
  'CAP_NET_BROADCAST',
  'CAP_PERFMON',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_MODULE',
  'CAP_SYS_NICE',
  'CAP_SYS_PACCT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
] as const;

export const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
export const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** rwm for the harmless devices; the runtime adds the standard nodes itself. */
export const DEVICES = [
  { allow: false, access: 'rwm' },
  ...[
    [1, 3],
    [1, 5],
    [1, 7],
    [1, 8],
    [1, 9],
    [5, 0],
    [5, 1],
    [5, 2],
  ].map(([major, minor]) => ({
    allow: true,
    type: 'c',
    major: major as number,
    minor: minor as number,
    access: 'rwm',
  })),
  { allow: true, type: 'c', major: 136, access: 'rwm' },
];

export function ociSpecOf(i: SpecInput): OciSpec {
  const security = i.container.securityContext;
  const privileged = security?.privileged === true;
  const terminal = i.container.tty === true;
  const mappings = mappingsOf(i.userNamespace);
  return {
    ociVersion: '1.0.2',
    root: { path: i.rootfs, readonly: security?.readOnlyRootFilesystem === true },
    ...(i.namespaces.uts === undefined && !i.pod.spec.hostNetwork ? { hostname: i.hostname } : {}),
    process: {
      terminal,
      user: {
        uid: i.user.uid,
        gid: i.user.gid,
        additionalGids: [...new Set([...i.user.additionalGids, ...(i.devices?.groups ?? [])])],
      },
      args: [...i.args],
      env: environmentList(i, terminal),
      cwd: i.container.workingDir || i.image.workingDir || '/',
      capabilities: capabilitiesOf(security, i.user.uid),
      /* Who may gain some is decided by isolation/isolate.ts. */
      noNewPrivileges: true,
      oomScoreAdj: i.oomScoreAdj,
    },
    mounts: [...standardMounts(privileged), ...bindMounts(i.binds, mappings)],
    ...(Object.keys(i.devices?.annotations ?? {}).length === 0 ? {} : { annotations: { ...i.devices?.annotations } }),
    ...(Object.keys(i.devices?.hooks ?? {}).length === 0 ? {} : { hooks: { ...i.devices?.hooks } }),
    linux: {
      namespaces: namespacesOf(i),
      ...(mappings === undefined ? {} : { uidMappings: mappings, gidMappings: mappings }),
      cgroupsPath: i.cgroupPath,
      ...(i.devices === undefined || i.devices.devices.length === 0 ? {} : { devices: [...i.devices.devices] }),
      resources: {
        devices: privileged ? [{ allow: true, access: 'rwm' }] : [...DEVICES, ...(i.devices?.rules ?? [])],
        ...i.resources,
      },
      ...(privileged || security?.procMount === 'Unmasked'
        ? {}
        : { maskedPaths: MASKED_PATHS, readonlyPaths: READONLY_PATHS }),
      rootfsPropagation: i.binds.some((b) => b.propagation === 'rshared')
        ? 'shared'
        : i.binds.some((b) => b.propagation === 'rslave')
          ? 'slave'
          : 'private',
    },
  };
}

function environmentList(i: SpecInput, terminal: boolean): string[] {
  const env = new Map<string, string>([
    ['PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ['HOSTNAME', i.hostname],
  ]);
  if (terminal) env.set('TERM', 'xterm');
  for (const e of i.image.env) {
    const at = e.indexOf('=');
    if (at > 0) env.set(e.slice(0, at), e.slice(at + 1));
  }
  for (const [k, v] of i.environment) env.set(k, v);
  return [...env].map(([k, v]) => `${k}=${v}`);
}

function namespacesOf(i: SpecInput): OciSpec['linux']['namespaces'] {
  const out: OciSpec['linux']['namespaces'] = [{ type: 'mount' }];
  if (i.userNamespace !== undefined) out.push({ type: 'user', path: i.userNamespace.path });
  if (i.namespaces.pid !== undefined) out.push({ type: 'pid', path: i.namespaces.pid });
  else if (!i.pod.spec.hostPID) out.push({ type: 'pid' });
  if (i.namespaces.network !== undefined) out.push({ type: 'network', path: i.namespaces.network });
  if (i.namespaces.ipc !== undefined) out.push({ type: 'ipc', path: i.namespaces.ipc });
  if (i.namespaces.uts !== undefined) out.push({ type: 'uts', path: i.namespaces.uts });
  if (i.hasCgroupNamespace && i.container.securityContext?.privileged !== true) out.push({ type: 'cgroup' });
  return out;
}

function mappingsOf(userNamespace: UserNamespace | undefined): OciIdMapping[] | undefined {
  if (userNamespace === undefined) return undefined;
  const { first, count } = userNamespace.ids;
  return [{ containerID: 0, hostID: first, size: count }];
}

export function standardMounts(privileged: boolean): OciMount[] {
  const access = privileged ? 'rw' : 'ro';
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    // On the host network too: the host's own /sys would bring what is mounted below it (debugfs, tracefs, bpf), writable.
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'relatime', access],
    },
  ];
}

/** By depth of the target, so that a mount below another one comes after it. */
function bindMounts(binds: readonly BindMount[], mappings: OciIdMapping[] | undefined): OciMount[] {
  const depth = (path: string): number => path.split('/').filter((p) => p !== '').length;
  return [...binds]
    .sort((a, b) => depth(a.target) - depth(b.target))
    .map((b) => ({
      destination: b.target,
      type: 'bind',
      source: b.source,
      options: ['rbind', b.propagation, b.isRecursiveReadOnly === true ? 'rro' : b.readOnly ? 'ro' : 'rw'],
      ...(mappings === undefined || b.hasPodIds === true ? {} : { uidMappings: mappings, gidMappings: mappings }),
    }));
}

function capabilitiesOf(security: DeepReadonly<SecurityContext> | undefined, uid: number): OciCapabilities {
  const full = (name: string): string =>
    name.toUpperCase().startsWith('CAP_') ? name.toUpperCase() : `CAP_${name.toUpperCase()}`;
  const set = new Set<string>(security?.privileged ? ALL_CAPABILITIES : DEFAULT_CAPABILITIES);
  const add = (security?.capabilities?.add ?? []).map(full);
  const drop = (security?.capabilities?.drop ?? []).map(full);
  if (add.includes('CAP_ALL')) for (const c of ALL_CAPABILITIES) set.add(c);
  if (drop.includes('CAP_ALL')) set.clear();
  for (const c of add) if (c !== 'CAP_ALL') set.add(c);
  /* Whoever names one on both lists does without it, as on containerd and CRI-O. */
  for (const c of drop) set.delete(c);
  const list = [...set].sort();
  const held = uid === 0 ? list : [];
  return { bounding: list, effective: held, permitted: held, inheritable: [], ambient: [] };
}
