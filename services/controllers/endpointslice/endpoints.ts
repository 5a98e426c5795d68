/**
 * Which endpoints a Service has, from its pods: addresses, resolved ports and conditions. Pure; used for EndpointSlices and
 * for the older Endpoints object.
 *
 * A pod that is going, or not ready, stops being `ready` at once; it stays listed as `serving` while it still answers, so
 * that proxies may finish what they began. Source: kubernetes staging/src/k8s.io/endpointslice/utils.go, KEP-1672.
 */
import { type DeepReadonly, type EndpointSlice, isEndpointIp, type Node, type Pod, type Service } from '#lib/api';
import { isFinished, isReady, isTerminating } from '../pod-state.ts';

export type Endpoint = EndpointSlice['endpoints'][number];
export type Port = EndpointSlice['ports'][number];
export type Family = 'IPv4' | 'IPv6';

export interface Located {
  readonly endpoint: Endpoint;
  readonly ports: readonly Port[];
  readonly family: Family;
}

export const ZONE = 'topology.kubernetes.io/zone';

export function endpointsOf(
  service: DeepReadonly<Service>,
  pods: readonly DeepReadonly<Pod>[],
  nodeOf: (name: string) => DeepReadonly<Node> | undefined,
): readonly Located[] {
  const found: Located[] = [];
  for (const family of familiesOf(service))
    for (const pod of pods) {
      const address = addressOf(pod, family);
      if (address === undefined || isFinished(pod)) continue;
      const node = pod.spec.nodeName ? nodeOf(pod.spec.nodeName) : undefined;
      found.push({ family, ports: portsOf(service, pod), endpoint: endpointOf(service, pod, node, address) });
    }
  return found;
}

export function familiesOf(service: DeepReadonly<Service>): readonly Family[] {
  const listed = (service.spec.ipFamilies ?? []).filter((f): f is Family => f === 'IPv4' || f === 'IPv6');
  return listed.length > 0 ? listed : ['IPv4'];
}

/** One address that the API would refuse would keep the whole slice from being written: such a pod is nobody's endpoint. */
function addressOf(pod: DeepReadonly<Pod>, family: Family): string | undefined {
  const all = [pod.status?.podIP, ...(pod.status?.podIPs ?? []).map((p) => p.ip)];
  return all.find((ip) => ip !== undefined && ip.includes(':') === (family === 'IPv6') && isEndpointIp(ip));
}

function endpointOf(
  service: DeepReadonly<Service>,
  pod: DeepReadonly<Pod>,
  node: DeepReadonly<Node> | undefined,
  address: string,
): Endpoint {
  const serving = isReady(pod);
  const terminating = isTerminating(pod);
  const zone = node?.metadata.labels?.[ZONE];
  const hasHostname = pod.spec.hostname && pod.spec.subdomain === service.metadata.name;
  return {
    addresses: [address],
    conditions: {
      ready: service.spec.publishNotReadyAddresses === true || (serving && !terminating),
      serving,
      terminating,
    },
    ...(hasHostname ? { hostname: pod.spec.hostname } : {}),
    targetRef: { kind: 'Pod', namespace: pod.metadata.namespace, name: pod.metadata.name, uid: pod.metadata.uid },
    ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(zone ? { zone } : {}),
  };
}

/** A named target port means each pod's own port of that name; a pod without it does not serve that port. */
export function portsOf(service: DeepReadonly<Service>, pod: DeepReadonly<Pod>): readonly Port[] {
  const ports: Port[] = [];
  for (const p of service.spec.ports ?? []) {
    const protocol = p.protocol ?? 'TCP';
    const port = targetOf(p.targetPort, p.port, protocol, pod);
    if (port === undefined) continue;
    ports.push({ name: p.name ?? '', port, protocol, ...(p.appProtocol ? { appProtocol: p.appProtocol } : {}) });
  }
  return ports;
}

function targetOf(
  target: number | string | undefined,
  port: number,
  protocol: string,
  pod: DeepReadonly<Pod>,
): number | undefined {
  if (target === undefined || target === 0 || target === '') return port;
  if (typeof target === 'number') return target;
  if (/^\d{1,5}$/.test(target)) return Number(target);
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const container of [...pod.spec.containers, ...sidecars])
    for (const p of container.ports ?? [])
      if (p.name === target && (p.protocol ?? 'TCP') === protocol) return p.containerPort;
  return undefined;
}

/** Equal for equal sets of ports, whatever their order. */
export function portsKey(ports: DeepReadonly<readonly Port[]>): string {
  return ports
    .map((p) => `${p.name ?? ''}|${p.protocol ?? 'TCP'}|${p.port ?? ''}|${p.appProtocol ?? ''}`)
    .toSorted()
    .join(',');
}
