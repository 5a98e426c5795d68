/**
 * Where a proxied request goes: `[scheme:]name[:port]` of a pod, a service or a node becomes a node and a port there.
 *
 * The API server itself connects to nothing: the node of the pod dials the address that it gave the pod, or its own. So no
 * object, however written, makes the control plane connect somewhere; loopback and link-local addresses are refused besides.
 * Source: kubernetes pkg/registry/core/{pod,node}/strategy.go and service/storage/storage.go (ResourceLocation),
 * apimachinery/pkg/util/net/port_split.go.
 */
import { BlockList, isIP } from 'node:net';
import type { DeepReadonly, Endpoints, Node, Pod, Service } from '#lib/api';
import { isKind, type Random, StatusError } from '#lib/base';
import type { NodeStreamRequest, RequestBase } from '#lib/client';
import { badRequest, pathNotFound } from '../../api-errors.ts';

export interface ProxyTarget {
  readonly nodeName: string;
  readonly request: NodeStreamRequest;
  readonly scheme: 'http' | 'https';
  /** `10.42.0.5:8080`: how the target's own links name it. */
  readonly host: string;
}

/** Reads of the objects that a target is found by; throws NotFound in Kubernetes' words. */
export interface ProxyObjects {
  pod(namespace: string, name: string): Promise<DeepReadonly<Pod>>;
  service(namespace: string, name: string): Promise<DeepReadonly<Service>>;
  endpoints(namespace: string, name: string): Promise<DeepReadonly<Endpoints>>;
  node(name: string): Promise<DeepReadonly<Node>>;
}

interface ProxyId {
  readonly scheme: 'http' | 'https' | '';
  readonly name: string;
  readonly port: string;
}

export interface ProxyResource {
  readonly resource: 'pods' | 'services' | 'nodes';
  readonly namespace: string;
  /** As it stands in the path. */
  readonly id: string;
}

/** Throws BadRequest, NotFound or Unavailable. */
export async function findTarget(r: ProxyResource, objects: ProxyObjects, random: Random): Promise<ProxyTarget> {
  switch (r.resource) {
    case 'pods': {
      const id = parsed(r.id, 'pod');
      return podTarget(id, await objects.pod(r.namespace, id.name));
    }
    case 'services':
      return await serviceTarget(r, objects, random);
    case 'nodes': {
      const id = parsed(r.id, 'node');
      return nodeTarget(id, await objects.node(id.name));
    }
  }
}

/** `[scheme:]name[:port]`; undefined when it is none. */
export function splitSchemeNamePort(text: string): ProxyId | undefined {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length > 3) return undefined;
  const [scheme, name, port] = parts.length === 3 ? [first, second, third] : ['', first, second];
  if (name === '' || !isScheme(scheme)) return undefined;
  return { scheme, name, port };
}

function isScheme(text: string): text is ProxyId['scheme'] {
  return text === '' || text === 'http' || text === 'https';
}

function parsed(id: string, what: string): ProxyId {
  const found = splitSchemeNamePort(id);
  if (found === undefined) throw badRequest(`invalid ${what} request ${JSON.stringify(id)}`);
  return found;
}

function podTarget(id: ProxyId, pod: DeepReadonly<Pod>): ProxyTarget {
  const ip = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? '';
  if (!isProxyable(ip)) throw addressNotAllowed();
  const ports = (pod.spec?.containers ?? []).flatMap((x) => x.ports ?? []);
  const scheme = id.scheme === '' ? 'http' : id.scheme;
  const usual = scheme === 'https' ? 443 : 80;
  const named = ports.find((p) => p.name === id.port && id.port !== '')?.containerPort;
  const port = id.port === '' ? (ports[0]?.containerPort ?? usual) : (named ?? portNumber(id.port));
  return { ...throughPod(pod, port), scheme, host: hostText(ip, port) };
}

/** Only addresses that are pods' own are dialled: what else stands in Endpoints could be anything. */
async function serviceTarget(r: ProxyResource, objects: ProxyObjects, random: Random): Promise<ProxyTarget> {
  const id = parsed(r.id, 'service');
  const portName = await servicePortName(id, r.namespace, objects);
  const { subsets = [] } = await objects.endpoints(r.namespace, id.name);
  if (subsets.length === 0) throw noEndpoints(id.name);
  for (const subset of rotated(subsets, random)) {
    const port = (subset.ports ?? []).find((p) => (p.name ?? '') === portName)?.port;
    if (port === undefined) continue;
    for (const address of rotated(subset.addresses ?? [], random)) {
      const { targetRef, ip } = address;
      if (targetRef?.kind !== 'Pod' || targetRef.namespace !== r.namespace || !isProxyable(ip)) continue;
      const pod = await objects.pod(r.namespace, targetRef.name ?? '').catch(absent);
      const isItsOwn = pod?.status?.podIP === ip || pod?.status?.podIPs?.some((p) => p.ip === ip) === true;
      if (pod === undefined || !isItsOwn) continue;
      return { ...throughPod(pod, port), scheme: id.scheme === 'https' ? 'https' : 'http', host: hostText(ip, port) };
    }
  }
  throw noEndpoints(r.id);
}

/** A port that is given as a number is one of the service's, not of its endpoints. */
async function servicePortName(id: ProxyId, namespace: string, objects: ProxyObjects): Promise<string> {
  if (!/^\d+$/.test(id.port)) return id.port;
  const service = await objects.service(namespace, id.name);
  const found = (service.spec?.ports ?? []).find((p) => String(p.port) === id.port);
  if (found === undefined) throw unavailable(`no service port ${id.port} found for service "${id.name}"`);
  return found.name ?? '';
}

function nodeTarget(id: ProxyId, node: DeepReadonly<Node>): ProxyTarget {
  const addresses = node.status?.addresses ?? [];
  const ip = addresses.find((a) => a.type === 'InternalIP')?.address ?? '';
  if (!isProxyable(ip)) throw addressNotAllowed();
  const kubelet = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
  // Our agents serve no kubelet API: their status says port 0.
  if (id.port === '' && kubelet === 0)
    throw unavailable(
      `node ${node.metadata.name} serves no kubelet API: name a port, nodes/${node.metadata.name}:PORT/proxy`,
    );
  const port = id.port === '' ? kubelet : portNumber(id.port);
  const pod = { namespace: '', name: '', uid: '' };
  return {
    nodeName: node.metadata.name,
    request: { kind: 'nodeforward', pod, container: '', port },
    scheme: port === kubelet || id.scheme === 'https' ? 'https' : 'http',
    host: hostText(ip, port),
  };
}

function throughPod(pod: DeepReadonly<Pod>, port: number): Pick<ProxyTarget, 'nodeName' | 'request'> {
  const nodeName = pod.spec?.nodeName ?? '';
  if (nodeName === '') throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const { namespace = '', name, uid = '' } = pod.metadata;
  return { nodeName, request: { kind: 'podforward', pod: { namespace, name, uid }, container: '', port } };
}

function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535)
    throw unavailable(`error trying to reach service: dial tcp: lookup tcp/${text.slice(0, 63)}: unknown port`);
  return port;
}

const REFUSED = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 32],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
] as const)
  REFUSED.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of [
  ['::', 128],
  ['::1', 128],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  REFUSED.addSubnet(net, prefix, 'ipv6');

/** A global unicast address, as Go's net.IP.IsGlobalUnicast says it. */
export function isProxyable(ip: string): boolean {
  const family = isIP(ip);
  if (family === 0 || ip.includes('%')) return false;
  return !REFUSED.check(ip, family === 4 ? 'ipv4' : 'ipv6');
}

function hostText(ip: string, port: number): string {
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port}`;
}

/** From a place at random on. */
function rotated<T>(items: readonly T[], random: Random): readonly T[] {
  const at = random.below(Math.max(1, items.length));
  return [...items.slice(at), ...items.slice(0, at)];
}

function absent(e: unknown): undefined {
  if (isKind(e, 'NotFound')) return undefined;
  throw e;
}

function noEndpoints(what: string): StatusError {
  return unavailable(`no endpoints available for service "${what}"`);
}

function unavailable(message: string): StatusError {
  return new StatusError('Unavailable', message);
}

function addressNotAllowed(): StatusError {
  return badRequest('address not allowed');
}

/** Throws NotFound for a kind without a `proxy` subresource. */
export function proxied({ kind, name, namespace }: Pick<RequestBase, 'kind' | 'name' | 'namespace'>): ProxyResource {
  const resource = proxyKind(kind.group, kind.resource);
  if (resource === undefined || name === undefined) throw pathNotFound();
  return { resource, namespace, id: name };
}

/** The kinds that have a `proxy` subresource. */
export function proxyKind(group: string, resource: string): ProxyResource['resource'] | undefined {
  if (group !== '') return undefined;
  return resource === 'pods' || resource === 'services' || resource === 'nodes' ? resource : undefined;
}
