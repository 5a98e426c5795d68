/**
 * Which ports of the host a container asks for, and what is told of those it got. Pure.
 * Source: moby daemon/network.go (buildPortsRelatedCreateEndpointOptions), libnetwork/drivers/bridge/port_mapping_linux.go,
 * docker/go-connections nat.
 */
import { badParameter } from '../../http/contract.ts';
import type { PortBinding, PortMap } from '../../types.ts';
import type { Family } from '../ipam/blocks.ts';
import { parseAddress } from '../ipam/blocks.ts';

export type PortProtocol = 'tcp' | 'udp' | 'sctp';

export interface WantedPort {
  readonly protocol: PortProtocol;
  readonly containerPort: number;
  /** Listened on together, with one port: 0.0.0.0 and ::, or one address. */
  readonly hostIps: readonly string[];
  /** One is taken of these; [0, 0] = any. */
  readonly first: number;
  readonly last: number;
}

export interface HeldPort {
  readonly protocol: PortProtocol;
  readonly containerPort: number;
  readonly hostIp: string;
  readonly hostPort: number;
}

const PORT_MAX = 65_535;

interface ContainerPort {
  readonly port: number;
  readonly protocol: PortProtocol;
}

/** `80/tcp`, `80`. Throws 400. */
function parsePort(text: string): ContainerPort {
  const port = portOf(text);
  if (port === undefined) throw badParameter(`invalid port specification: "${text}"`);
  return port;
}

function portOf(text: string): ContainerPort | undefined {
  const [number = '', protocol = 'tcp'] = text.toLowerCase().split('/');
  const port = /^\d{1,5}$/.test(number) ? Number(number) : 0;
  if (port < 1 || port > PORT_MAX || (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp'))
    return undefined;
  return { port, protocol };
}

/** An image may expose anything: what is no port is passed over. */
function exposedOf(keys: readonly string[]): readonly ContainerPort[] {
  return keys.flatMap((key) => portOf(key) ?? []);
}

/** `defaultIp`: of the network's option; '' = all addresses of the families that the host has. */
export function wantedPorts(
  o: { bindings: PortMap; exposed: readonly string[]; publishAll: boolean },
  host: { readonly families: readonly Family[]; readonly defaultIp: string },
): readonly WantedPort[] {
  const out: WantedPort[] = [];
  const bound = new Set<string>();
  for (const [key, bindings] of Object.entries(o.bindings)) {
    const { port, protocol } = parsePort(key);
    bound.add(`${port}/${protocol}`);
    for (const b of bindings === null || bindings.length === 0 ? [ANY] : bindings)
      out.push({
        protocol,
        containerPort: port,
        hostIps: hostIpsOf(b.HostIp ?? '', host),
        ...rangeOf(b.HostPort ?? ''),
      });
  }
  if (!o.publishAll) return unique(out);
  for (const { port, protocol } of exposedOf(o.exposed)) {
    if (bound.has(`${port}/${protocol}`)) continue;
    out.push({ protocol, containerPort: port, hostIps: hostIpsOf('', host), first: 0, last: 0 });
  }
  return unique(out);
}

const ANY: PortBinding = { HostIp: '', HostPort: '' };

function hostIpsOf(hostIp: string, host: { families: readonly Family[]; defaultIp: string }): readonly string[] {
  const ip = hostIp === '' ? host.defaultIp : hostIp;
  if (ip === '') return host.families.map((f) => (f === 4 ? '0.0.0.0' : '::'));
  if (parseAddress(ip) === undefined) throw badParameter(`invalid IP address: ${ip}`);
  return [ip];
}

function rangeOf(text: string): { first: number; last: number } {
  const match = /^(\d{0,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1] ?? Number.NaN);
  const last = Number(match?.[2] ?? first);
  if (match === null || first > PORT_MAX || last > PORT_MAX || last < first)
    throw badParameter(`invalid port specification: "${text}"`);
  return { first, last };
}

function unique(ports: readonly WantedPort[]): readonly WantedPort[] {
  return [...new Map(ports.map((p) => [JSON.stringify(p), p])).values()];
}

/** For inspect: what is exposed without a port of the host is null. */
export function portMapOf(exposed: readonly string[], held: readonly HeldPort[]): PortMap {
  const out: Record<string, PortBinding[] | null> = {};
  for (const { port, protocol } of exposedOf(exposed)) out[`${port}/${protocol}`] = null;
  for (const h of held) {
    const key = `${h.containerPort}/${h.protocol}`;
    out[key] = [...(out[key] ?? []), { HostIp: h.hostIp, HostPort: String(h.hostPort) }];
  }
  return out;
}
