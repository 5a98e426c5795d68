/** What is on disk of networks and of what containers have of them: written before it is made, gone after it. Pure. */
import { asObject, asString, type JsonObject, parseJsonObject } from '#lib/oci';
import type { PortMap } from '../types.ts';
import type { Pool } from './ipam/config.ts';
import type { HeldPort } from './ports/bindings.ts';

export type NetworkDriver = 'bridge' | 'host' | 'null';

export interface NetworkRecord {
  readonly id: string;
  readonly name: string;
  readonly driver: NetworkDriver;
  readonly createdAtMs: number;
  readonly isInternal: boolean;
  readonly isAttachable: boolean;
  readonly hasIpv4: boolean;
  readonly hasIpv6: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  readonly ipamOptions: Readonly<Record<string, string>>;
  readonly pools: readonly Pool[];
  /** Its bridge; '' for host and null. */
  readonly link: string;
}

export interface EndpointRecord {
  readonly networkId: string;
  readonly networkName: string;
  readonly endpointId: string;
  /** In the container: eth0. '' where there is none (host, none). */
  readonly link: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Asked for: it stays the container's while it does not run. */
  readonly isFixedIpv4: boolean;
  readonly isFixedIpv6: boolean;
  readonly aliases: readonly string[];
  /** `db:database`. */
  readonly links: readonly string[];
  readonly gatewayPriority: number;
  readonly driverOptions: Readonly<Record<string, string>>;
}

export interface SandboxRecord {
  readonly containerId: string;
  readonly sandboxId: string;
  /** opening: it may be half made, and nothing runs in it. closing: it may be half gone. closed: only what it keeps. */
  readonly phase: 'opening' | 'open' | 'closing' | 'closed';
  readonly name: string;
  readonly hostname: string;
  readonly domainname: string;
  readonly mode: string;
  /** Of the container. */
  readonly folder: string;
  /** In the order of their links. */
  readonly endpoints: readonly EndpointRecord[];
  readonly exposed: readonly string[];
  readonly bindings: PortMap;
  readonly publishAll: boolean;
  readonly ports: readonly HeldPort[];
  readonly extraHosts: readonly string[];
  readonly links: readonly string[];
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
  /** It has a resolver, though not for names: the host's own server is on the host's loopback. */
  readonly isForwarded: boolean;
  /** Where the resolver listens in the namespace; 0 = there is none. */
  readonly dnsPort: number;
}

const FORMAT_VERSION = 1;

export function encodeRecord(record: NetworkRecord | SandboxRecord): string {
  return JSON.stringify({ version: FORMAT_VERSION, ...record });
}

/** Throws for what is no such record. These files are the engine's own: only their kind is looked at. */
export function decodeNetwork(bytes: Uint8Array): NetworkRecord {
  const o = decode(bytes);
  asObject(o['labels'], 'labels');
  if (!Array.isArray(o['pools'])) throw new TypeError('not a record of a network');
  return { ...(o as unknown as NetworkRecord), id: asString(o['id'], 'id'), name: asString(o['name'], 'name') };
}

export function decodeSandbox(bytes: Uint8Array): SandboxRecord {
  const o = decode(bytes);
  if (!Array.isArray(o['endpoints']) || !Array.isArray(o['ports'])) throw new TypeError('not a record of a sandbox');
  return { ...(o as unknown as SandboxRecord), containerId: asString(o['containerId'], 'containerId') };
}

function decode(bytes: Uint8Array): JsonObject {
  const { version, ...rest } = parseJsonObject(bytes, 'record');
  if (version !== FORMAT_VERSION) throw new TypeError(`a record of version ${String(version)}`);
  return rest;
}

/** The endpoint that leads out: of those with a gateway the one of highest priority, of equals the first by name (moby 28). */
export function gatewayEndpoint(
  endpoints: readonly EndpointRecord[],
  networks: ReadonlyMap<string, NetworkRecord>,
  family: 4 | 6,
): EndpointRecord | undefined {
  const able = endpoints.filter((e) => {
    const network = networks.get(e.networkId);
    const hasAddress = (family === 4 ? e.ipv4 : e.ipv6) !== '';
    return network?.driver === 'bridge' && !network.isInternal && hasAddress;
  });
  const order = (a: EndpointRecord, b: EndpointRecord): number =>
    b.gatewayPriority - a.gatewayPriority || (a.networkName < b.networkName ? -1 : 1);
  return [...able].sort(order)[0];
}

export function poolFor(network: NetworkRecord, family: 4 | 6): Pool | undefined {
  return network.pools.find((p) => p.family === family);
}

/** `10.0.0.2/24` of a pool `10.0.0.0/24`. */
export function withPrefix(ip: string, pool: Pool | undefined): string {
  return `${ip}/${prefixOf(pool)}`;
}

export function prefixOf(pool: Pool | undefined): number {
  return Number(pool?.subnet.split('/')[1] ?? 0);
}
