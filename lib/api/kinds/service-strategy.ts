/**
 * Fields of a Service that depend on its type: dropped when the type changes and they were not set anew, carried over when a
 * client that does not know them replaces the object. Source: pkg/registry/core/service/strategy.go and storage/alloc.go.
 */
import type { Service, ServicePort, ServiceSpec } from '../gen/types/core-v1.ts';

/** An update without clusterIP or node ports keeps the allocated ones, as long as both types need them. */
export function carryAllocated(next: Service, previous: Service): void {
  const { spec } = next;
  const { spec: old } = previous;
  if (needsClusterIp(spec) && needsClusterIp(old)) {
    if (!spec.clusterIP && old.clusterIP) {
      spec.clusterIP = old.clusterIP;
      if ((spec.clusterIPs?.length ?? 0) === 0 && old.clusterIPs !== undefined) spec.clusterIPs = [...old.clusterIPs];
    }
    if ((spec.clusterIPs?.length ?? 0) === 0 && spec.clusterIP === old.clusterIP && old.clusterIPs !== undefined)
      spec.clusterIPs = [...old.clusterIPs];
    if (spec.ipFamilies === undefined && old.ipFamilies !== undefined) spec.ipFamilies = [...old.ipFamilies];
    if (spec.ipFamilyPolicy === undefined && old.ipFamilyPolicy !== undefined) spec.ipFamilyPolicy = old.ipFamilyPolicy;
  }
  if (needsNodePort(spec) && needsNodePort(old)) carryNodePorts(spec.ports ?? [], old.ports ?? []);
  if (needsHealthCheckPort(spec) && needsHealthCheckPort(old) && old.healthCheckNodePort !== undefined)
    spec.healthCheckNodePort ||= old.healthCheckNodePort;
}

/** Matches ports by protocol and number; a node port that another port now claims is not carried. */
function carryNodePorts(ports: ServicePort[], old: readonly ServicePort[]): void {
  const key = (p: ServicePort): string => `${p.protocol ?? 'TCP'}/${p.port}`;
  const known = new Map(old.filter((p) => p.nodePort).map((p) => [key(p), p.nodePort]));
  const used = new Set(ports.filter((p) => p.nodePort).map((p) => `${p.protocol ?? 'TCP'}/${p.nodePort}`));
  for (const port of ports) {
    const nodePort = known.get(key(port));
    if (port.nodePort || nodePort === undefined || used.has(`${port.protocol ?? 'TCP'}/${nodePort}`)) continue;
    port.nodePort = nodePort;
    used.add(`${port.protocol ?? 'TCP'}/${nodePort}`);
  }
}

/** On create `previous` is absent and nothing is dropped. */
export function dropTypeDependent({ spec }: Service, previous?: Service): void {
  const old = previous?.spec;
  if (old === undefined) return;
  const isSame = (name: keyof ServiceSpec): boolean => JSON.stringify(spec[name]) === JSON.stringify(old[name]);
  if (needsClusterIp(old) && !needsClusterIp(spec) && isSame('clusterIP') && isSame('clusterIPs')) {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
  }
  if (needsNodePort(old) && !needsNodePort(spec) && hasSameNodePorts(spec, old))
    for (const port of spec.ports ?? []) delete port.nodePort;
  if (needsHealthCheckPort(old) && !needsHealthCheckPort(spec) && isSame('healthCheckNodePort'))
    delete spec.healthCheckNodePort;
  if (spec.type !== 'LoadBalancer') {
    if (isSame('allocateLoadBalancerNodePorts')) delete spec.allocateLoadBalancerNodePorts;
    if (isSame('loadBalancerClass')) delete spec.loadBalancerClass;
  }
  if (!isExternal(spec) && isSame('externalTrafficPolicy')) delete spec.externalTrafficPolicy;
}

function hasSameNodePorts(spec: ServiceSpec, old: ServiceSpec): boolean {
  const allocated = new Set((old.ports ?? []).map((p) => p.nodePort));
  return (spec.ports ?? []).every((p) => !p.nodePort || allocated.has(p.nodePort));
}

function needsClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== 'ExternalName';
}

function needsNodePort(spec: ServiceSpec): boolean {
  return spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);
}

function needsHealthCheckPort(spec: ServiceSpec): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
}

function isExternal(spec: ServiceSpec): boolean {
  return spec.type === 'LoadBalancer' || spec.type === 'NodePort' || (spec.externalIPs?.length ?? 0) > 0;
}
