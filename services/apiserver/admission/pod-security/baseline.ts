/** The checks of the baseline level but those of profiles. Source: pod-security-admission/policy/check_*.go. */
import {
  type AnyContainer,
  type Check,
  type CheckPod,
  containersOf,
  containersText,
  exceptInUserNamespace,
  joinQuote,
  namesWhere,
  plural,
  settersText,
  sorted,
} from './check.ts';

const DEFAULT_CAPABILITIES = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);

const SAFE_SYSCTLS = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
];
const SAFE_SYSCTLS_1_27 = [...SAFE_SYSCTLS, 'net.ipv4.ip_local_reserved_ports'];
const SAFE_SYSCTLS_1_29 = [
  ...SAFE_SYSCTLS_1_27,
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
];
const SAFE_SYSCTLS_1_32 = [...SAFE_SYSCTLS_1_29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'];

const capabilities: CheckPod = (_, spec) => {
  const added = (c: AnyContainer): string[] =>
    (c.securityContext?.capabilities?.add ?? []).filter((x) => !DEFAULT_CAPABILITIES.has(x));
  const bad = namesWhere(spec, (c) => added(c).length > 0);
  if (bad.length === 0) return undefined;
  const forbidden = joinQuote(sorted(containersOf(spec).flatMap(added)));
  return {
    reason: 'non-default capabilities',
    detail: `${containersText(bad)} must not include ${forbidden} in securityContext.capabilities.add`,
  };
};

const hostNamespaces: CheckPod = (_, spec) => {
  const shared = [
    ...(spec.hostNetwork === true ? ['hostNetwork=true'] : []),
    ...(spec.hostPID === true ? ['hostPID=true'] : []),
    ...(spec.hostIPC === true ? ['hostIPC=true'] : []),
  ];
  return shared.length === 0 ? undefined : { reason: 'host namespaces', detail: shared.join(', ') };
};

const hostPathVolumes: CheckPod = (_, spec) => {
  const names = (spec.volumes ?? []).filter((v) => v.hostPath !== undefined).map((v) => v.name);
  if (names.length === 0) return undefined;
  return { reason: 'hostPath volumes', detail: `${plural('volume', names.length)} ${joinQuote(names)}` };
};

const hostPorts: CheckPod = (_, spec) => {
  const portsOf = (c: AnyContainer): string[] =>
    (c.ports ?? []).flatMap((p) => (p.hostPort === undefined || p.hostPort === 0 ? [] : [String(p.hostPort)]));
  const bad = namesWhere(spec, (c) => portsOf(c).length > 0);
  if (bad.length === 0) return undefined;
  const ports = sorted(containersOf(spec).flatMap(portsOf));
  const uses = bad.length === 1 ? 'uses' : 'use';
  return {
    reason: 'hostPort',
    detail: `${containersText(bad)} ${uses} ${plural('hostPort', ports.length)} ${ports.join(', ')}`,
  };
};

/** Another host than the pod's own: the node would fetch it for the pod. */
const hostProbes: CheckPod = (_, spec) => {
  const hostsOf = (c: AnyContainer): string[] => {
    const { livenessProbe, readinessProbe, startupProbe, lifecycle } = c;
    return [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].flatMap((h) =>
      [h?.httpGet?.host, h?.tcpSocket?.host].flatMap((host) => (host === undefined || host === '' ? [] : [host])),
    );
  };
  const bad = sorted(namesWhere(spec, (c) => hostsOf(c).length > 0));
  if (bad.length === 0) return undefined;
  const hosts = sorted(containersOf(spec).flatMap(hostsOf));
  const uses = bad.length === 1 ? 'uses' : 'use';
  return {
    reason: 'probe or lifecycle host',
    detail: `${containersText(bad)} ${uses} ${plural('probe or lifecycle host', hosts.length)} ${joinQuote(hosts)}`,
  };
};

const privileged: CheckPod = (_, spec) => {
  const bad = namesWhere(spec, (c) => c.securityContext?.privileged === true);
  if (bad.length === 0) return undefined;
  return { reason: 'privileged', detail: `${containersText(bad)} must not set securityContext.privileged=true` };
};

/** The restricted level has it too, in user namespaces as well. */
export const procMount: CheckPod = (_, spec) => {
  const mountOf = (c: AnyContainer): string[] => {
    const mount = c.securityContext?.procMount;
    return mount === undefined || mount === 'Default' ? [] : [mount];
  };
  const bad = namesWhere(spec, (c) => mountOf(c).length > 0);
  if (bad.length === 0) return undefined;
  const types = joinQuote(sorted(containersOf(spec).flatMap(mountOf)));
  return { reason: 'procMount', detail: `${containersText(bad)} must not set securityContext.procMount to ${types}` };
};

function sysctls(allowed: readonly string[]): CheckPod {
  return (_, spec) => {
    const names = (spec.securityContext?.sysctls ?? []).map((s) => s.name).filter((n) => !allowed.includes(n));
    return names.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: names.join(', ') };
  };
}

const windowsHostProcess: CheckPod = (_, spec) => {
  const bad = namesWhere(spec, (c) => c.securityContext?.windowsOptions?.hostProcess === true);
  const setters = settersText(spec.securityContext?.windowsOptions?.hostProcess === true, bad);
  if (setters === undefined) return undefined;
  return { reason: 'hostProcess', detail: `${setters} must not set securityContext.windowsOptions.hostProcess=true` };
};

function baseline(id: string, ...versions: readonly (readonly [since: number, check: CheckPod])[]): Check {
  return { id, level: 'baseline', versions: versions.map(([since, check]) => ({ since, check })) };
}

export const BASELINE_CHECKS: readonly Check[] = [
  baseline('capabilities_baseline', [0, capabilities]),
  baseline('hostNamespaces', [0, hostNamespaces]),
  baseline('hostPathVolumes', [0, hostPathVolumes]),
  baseline('hostPorts', [0, hostPorts]),
  baseline('hostProbesAndHostLifecycle', [34, hostProbes]),
  baseline('privileged', [0, privileged]),
  baseline('procMount', [0, procMount], [35, exceptInUserNamespace(procMount)]),
  baseline(
    'sysctls',
    [0, sysctls(SAFE_SYSCTLS)],
    [27, sysctls(SAFE_SYSCTLS_1_27)],
    [29, sysctls(SAFE_SYSCTLS_1_29)],
    [32, sysctls(SAFE_SYSCTLS_1_32)],
  ),
  baseline('windowsHostProcess', [0, windowsHostProcess]),
];
