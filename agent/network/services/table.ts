/**
 * From the API's services and endpoint slices to what this node's packet filter has to do: pure.
 *
 * Rules of Kubernetes (kube-proxy, KEP-1669, KEP-2086): ready endpoints serve; only if there is none, those that are
 * terminating but still serving do. A `Local` policy looks at the endpoints of this node alone, with the same rule.
 * Headless and ExternalName services have no rules: they live in DNS only.
 */
import type { DeepReadonly, EndpointSlice, Service } from '#lib/api';
import { formatCidr, isIpv4, parseCidr } from '../addresses.ts';
import type { ServiceTable } from '../network.ts';

export type L4Protocol = 'tcp' | 'udp' | 'sctp';

export interface Backend {
  readonly ip: string;
  readonly port: number;
}

export interface ServiceRule {
  /** `namespace/name/protocol/port`: unique in the cluster. */
  readonly name: string;
  readonly protocol: L4Protocol;
  readonly port: number;
  readonly clusterIps: readonly string[];
  /** externalIPs: never restricted. */
  readonly externalIps: readonly string[];
  /** Addresses of a load balancer, restricted by `sourceRanges` if `isRestricted`. */
  readonly balancerIps: readonly string[];
  readonly sourceRanges: readonly string[];
  /** With ranges of which none is IPv4, nobody gets in. */
  readonly isRestricted: boolean;
  readonly nodePort: number | undefined;
  /** Sorted, without doubles. */
  readonly backends: readonly Backend[];
  readonly localBackends: readonly Backend[];
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** Session affinity by client IP, in seconds. */
  readonly affinitySeconds: number | undefined;
}

export interface NodeView {
  readonly nodeName: string;
  readonly nodeIp: string;
}

/** Rules of all services, sorted by name. `memo` carries unchanged services from one call to the next. */
export function serviceRules(table: ServiceTable, node: NodeView, memo: RuleMemo = new Map()): readonly ServiceRule[] {
  const slicesOf = groupSlices(table.slices);
  const seen = new Set<string>();
  const out: ServiceRule[] = [];
  for (const service of table.services) {
    const key = `${service.metadata.namespace ?? ''}/${service.metadata.name}`;
    seen.add(key);
    const slices = slicesOf.get(key) ?? [];
    const known = memo.get(key);
    if (known && known.service === service && sameItems(known.slices, slices)) {
      out.push(...known.rules);
      continue;
    }
    const rules = rulesOf(service, slices, node);
    memo.set(key, { service, slices, rules });
    out.push(...rules);
  }
  for (const key of memo.keys()) if (!seen.has(key)) memo.delete(key);
  return out.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

export type RuleMemo = Map<
  string,
  {
    service: DeepReadonly<Service>;
    slices: readonly DeepReadonly<EndpointSlice>[];
    rules: readonly ServiceRule[];
  }
>;

/** Endpoint slices by `namespace/service name`. */
export function groupSlices(
  slices: readonly DeepReadonly<EndpointSlice>[],
): Map<string, DeepReadonly<EndpointSlice>[]> {
  const out = new Map<string, DeepReadonly<EndpointSlice>[]>();
  for (const slice of slices) {
    const service = slice.metadata.labels?.['kubernetes.io/service-name'];
    if (service === undefined || slice.addressType !== 'IPv4') continue;
    const key = `${slice.metadata.namespace ?? ''}/${service}`;
    const group = out.get(key);
    if (group) group.push(slice);
    else out.set(key, [slice]);
  }
  return out;
}

function rulesOf(
  service: DeepReadonly<Service>,
  slices: readonly DeepReadonly<EndpointSlice>[],
  node: NodeView,
): ServiceRule[] {
  const spec = service.spec;
  if (spec === undefined || spec.type === 'ExternalName' || !hasPlainName(service)) return [];
  const clusterIps = (spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP])).filter(isIpv4);
  if (clusterIps.length === 0) return [];
  const isExternal = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  return (spec.ports ?? []).flatMap((port): ServiceRule[] => {
    const protocol = protocolOf(port.protocol);
    if (protocol === undefined || !isPort(port.port)) return [];
    const candidates = endpointsOf(slices, port.name ?? '', protocol);
    return [
      {
        name: `${service.metadata.namespace ?? ''}/${service.metadata.name}/${protocol}/${port.port}`,
        protocol,
        port: port.port,
        clusterIps,
        externalIps: (spec.externalIPs ?? []).filter(isIpv4),
        balancerIps: spec.type === 'LoadBalancer' ? balancerAddresses(service, node) : [],
        sourceRanges: (spec.loadBalancerSourceRanges ?? []).flatMap(rangeText),
        isRestricted: (spec.loadBalancerSourceRanges ?? []).length > 0,
        nodePort: isExternal && isPort(port.nodePort) ? port.nodePort : undefined,
        backends: usable(candidates),
        localBackends: usable(candidates.filter((e) => e.nodeName === node.nodeName)),
        internalLocal: spec.internalTrafficPolicy === 'Local',
        externalLocal: spec.externalTrafficPolicy === 'Local',
        affinitySeconds:
          spec.sessionAffinity === 'ClientIP'
            ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800)
            : undefined,
      },
    ];
  });
}

/**
 * What goes into nft's text is checked here, although the API checked it too: one odd value would make the kernel refuse
 * the whole table, and with it every service.
 */
function hasPlainName(service: DeepReadonly<Service>): boolean {
  const { namespace = '', name } = service.metadata;
  return /^[a-z0-9][a-z0-9.-]{0,62}$/.test(name) && /^[a-z0-9][a-z0-9-]{0,62}$/.test(namespace);
}

function isPort(port: number | undefined): port is number {
  return port !== undefined && Number.isInteger(port) && port > 0 && port < 65_536;
}

function rangeText(text: string): string[] {
  try {
    return [formatCidr(parseCidr(text.trim()))];
  } catch {
    // An IPv6 block: no client of this table can be in it.
    return [];
  }
}

/** What the status says; as long as nobody wrote one (a small cluster has no cloud), this node's own address. */
function balancerAddresses(service: DeepReadonly<Service>, node: NodeView): string[] {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  if (ingress.length === 0) return service.spec?.loadBalancerClass === undefined ? [node.nodeIp] : [];
  return ingress.flatMap((i) => (i.ip !== undefined && i.ipMode !== 'Proxy' && isIpv4(i.ip) ? [i.ip] : []));
}

interface Candidate extends Backend {
  readonly nodeName: string | undefined;
  readonly isReady: boolean;
  readonly isServing: boolean;
}

function endpointsOf(
  slices: readonly DeepReadonly<EndpointSlice>[],
  portName: string,
  protocol: L4Protocol,
): Candidate[] {
  const out: Candidate[] = [];
  for (const slice of slices) {
    const port = (slice.ports ?? []).find(
      (p) => (p.name ?? '') === portName && protocolOf(p.protocol) === protocol,
    )?.port;
    if (!isPort(port)) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const ip = endpoint.addresses[0];
      if (ip === undefined || !isIpv4(ip)) continue;
      const isReady = endpoint.conditions?.ready !== false;
      out.push({
        ip,
        port,
        nodeName: endpoint.nodeName,
        isReady,
        isServing: endpoint.conditions?.serving ?? isReady,
      });
    }
  }
  return out;
}

function usable(candidates: readonly Candidate[]): Backend[] {
  const ready = candidates.filter((e) => e.isReady);
  const chosen = ready.length > 0 ? ready : candidates.filter((e) => e.isServing);
  const byAddress = new Map(chosen.map((e) => [`${e.ip}:${e.port}`, { ip: e.ip, port: e.port }]));
  return [...byAddress.entries()].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([, backend]) => backend);
}

export function protocolOf(text: string | undefined): L4Protocol | undefined {
  if (text === undefined || text === 'TCP') return 'tcp';
  if (text === 'UDP') return 'udp';
  return text === 'SCTP' ? 'sctp' : undefined;
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}
