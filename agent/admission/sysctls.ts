/**
 * Which sysctls a pod may set on this node: the safe ones, whose value reaches no other pod, and what the node's administrator
 * allows besides. Pure. Source: kubernetes pkg/kubelet/sysctl/{allowlist,safe_sysctls}.go and
 * k8s.io/component-helpers/node/util/sysctl.
 */
import type { PodObject } from '../pods/model.ts';

type Namespace = 'IPC' | 'Net';

/** Name, and the kernel from which on it belongs to a namespace. */
const SAFE: readonly (readonly [name: string, kernel: readonly [number, number]])[] = [
  ['kernel.shm_rmid_forced', [0, 0]],
  ['net.ipv4.ip_local_port_range', [0, 0]],
  ['net.ipv4.tcp_syncookies', [0, 0]],
  ['net.ipv4.ping_group_range', [0, 0]],
  ['net.ipv4.ip_unprivileged_port_start', [0, 0]],
  ['net.ipv4.ip_local_reserved_ports', [3, 16]],
  ['net.ipv4.tcp_keepalive_time', [4, 5]],
  ['net.ipv4.tcp_fin_timeout', [4, 6]],
  ['net.ipv4.tcp_keepalive_intvl', [4, 5]],
  ['net.ipv4.tcp_keepalive_probes', [4, 5]],
  ['net.ipv4.tcp_rmem', [4, 15]],
  ['net.ipv4.tcp_wmem', [4, 15]],
];

const IPC_NAMES = new Set(
  'sem shmall shmmax shmmni shm_rmid_forced shm msgmax msgmnb msgmni msg'.split(' ').map((n) => `kernel.${n}`),
);
const PATTERN = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]$/;
const NAME_MAX = 253;

/** With dots between its parts: a name with a slash before the first dot has the two the other way round (sysctl.d(5)). */
export function dottedSysctl(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first !== '/') return name;
  return name.replace(/[./]/g, (c) => (c === '/' ? '.' : '/'));
}

/** What is wrong with an entry of allowedUnsafeSysctls; undefined for one that is right. */
export function unsafeSysctlMistake(pattern: string): string | undefined {
  if (pattern.length > NAME_MAX || !PATTERN.test(pattern))
    return `sysctl "${pattern}" is no name of a sysctl, nor the beginning of one with * behind`;
  return namespaceOf(prefixOf(pattern)) === undefined
    ? `the sysctls "${prefixOf(pattern)}" are not known to be namespaced`
    : undefined;
}

/** Why a pod may not run here; undefined where it may. `kernel` is the release (uname -r). */
export function sysctlRefusal(pod: PodObject, allowedUnsafe: readonly string[], kernel: string): string | undefined {
  const allowed = [...safeSysctls(kernel), ...allowedUnsafe];
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const why = refusal(dottedSysctl(name), allowed, pod);
    if (why !== undefined) return `forbidden sysctl: ${why}`;
  }
  return undefined;
}

export function safeSysctls(kernel: string): readonly string[] {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
  const have = 1000 * Number(major) + Number(minor);
  return SAFE.filter(([, [a, b]]) => have >= 1000 * a + b).map(([name]) => name);
}

function refusal(name: string, allowed: readonly string[], pod: PodObject): string | undefined {
  const entry = allowed.find((p) => (p.endsWith('*') ? name.startsWith(prefixOf(p)) : name === dottedSysctl(p)));
  if (entry === undefined) return `"${name}" not allowlisted`;
  const namespace = namespaceOf(prefixOf(entry));
  if ((namespace === 'IPC' && pod.spec.hostIPC) || (namespace === 'Net' && pod.spec.hostNetwork))
    return `"${name}" not allowed with host ${namespace} enabled`;
  return undefined;
}

function prefixOf(pattern: string): string {
  return dottedSysctl(pattern).replace(/\*.*$/, '');
}

function namespaceOf(name: string): Namespace | undefined {
  if (IPC_NAMES.has(name) || name.startsWith('fs.mqueue.')) return 'IPC';
  return name.startsWith('net.') ? 'Net' : undefined;
}
