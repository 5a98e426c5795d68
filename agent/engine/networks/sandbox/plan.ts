/** What a container gets of its networks at a start, of what it asks: decided here, made elsewhere. Pure but for ids. */
import { badParameter, EngineError } from '../../http/contract.ts';
import type { SandboxRequest } from '../../parts.ts';
import type { EndpointSettings } from '../../types.ts';
import { allocateAddress } from '../ipam/allocate.ts';
import { parseAddress } from '../ipam/blocks.ts';
import { type EndpointRecord, type NetworkRecord, poolFor, type SandboxRecord } from '../record.ts';
import type { NetworkState } from '../state.ts';

export const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;
const LINK_NAME = /^[a-zA-Z0-9_.-]{1,15}$/;
const IFNAME_OPTION = 'com.docker.network.endpoint.ifname';

export interface PlanSource {
  readonly state: NetworkState;
  /** A new id, 64 hex digits. */
  readonly newId: () => string;
}

/** The networks that a container is on, that of its mode first, then by name. 404 for one that is not there. */
export function networksOf(
  r: Pick<SandboxRequest, 'networkMode' | 'endpoints'>,
  state: NetworkState,
): readonly { readonly network: NetworkRecord; readonly settings: EndpointSettings }[] {
  const mode = state.find(r.networkMode === '' || r.networkMode === 'default' ? 'bridge' : r.networkMode);
  const byId = new Map<string, { network: NetworkRecord; settings: EndpointSettings }>();
  for (const [text, settings] of Object.entries(r.endpoints)) {
    const network = state.find(text);
    byId.set(network.id, { network, settings });
  }
  const first = byId.get(mode.id) ?? { network: mode, settings: {} };
  byId.delete(mode.id);
  if (mode.driver !== 'bridge') return [first];
  const others = [...byId.values()].filter(({ network }) => network.driver === 'bridge');
  return [first, ...others.sort((a, b) => (a.network.name < b.network.name ? -1 : 1))];
}

/** Allocates: nobody else may get between this and the state's next `saveSandbox`. Throws EngineError. */
export function planEndpoint(
  network: NetworkRecord,
  settings: EndpointSettings,
  o: { containerId: string; links: readonly string[]; taken: readonly EndpointRecord[] },
  source: PlanSource,
): EndpointRecord {
  const endpointId = source.newId();
  const wanted = settings.IPAMConfig ?? {};
  const isBridge = network.driver === 'bridge';
  const asks = (wanted.IPv4Address ?? '') !== '' || (wanted.IPv6Address ?? '') !== '';
  if (asks && PREDEFINED_DRIVER_NAMES.includes(network.name))
    throw badParameter(
      'invalid endpoint settings:\nuser specified IP address is supported on user defined networks only',
    );
  const ipv4 = isBridge ? addressIn(network, 4, wanted.IPv4Address ?? '', o.containerId, source.state) : '';
  const ipv6 = isBridge ? addressIn(network, 6, wanted.IPv6Address ?? '', o.containerId, source.state) : '';
  const macAsked = (settings.MacAddress ?? '').toLowerCase().replaceAll('-', ':');
  if (macAsked !== '' && !MAC.test(macAsked)) throw badParameter(`invalid MAC address ${settings.MacAddress}`);
  return {
    networkId: network.id,
    networkName: network.name,
    endpointId,
    link: isBridge ? linkName(settings, o.taken) : '',
    mac: !isBridge ? '' : macAsked === '' ? macOf(ipv4, endpointId) : macAsked,
    ipv4,
    ipv6,
    isFixedIpv4: (wanted.IPv4Address ?? '') !== '',
    isFixedIpv6: (wanted.IPv6Address ?? '') !== '',
    aliases: [...(settings.Aliases ?? [])],
    links: [...(settings.Links ?? []), ...o.links].map((l) => (l.includes(':') ? l : `${l}:${l}`)),
    gatewayPriority: settings.GwPriority ?? 0,
    driverOptions: { ...settings.DriverOpts },
  };
}

const PREDEFINED_DRIVER_NAMES: readonly string[] = ['bridge', 'host', 'none'];

function addressIn(
  network: NetworkRecord,
  family: 4 | 6,
  wanted: string,
  containerId: string,
  state: NetworkState,
): string {
  const pool = poolFor(network, family);
  if (pool === undefined) {
    if (wanted === '') return '';
    throw badParameter(`invalid endpoint settings:\nno configured subnet or ip-range contain the IP address ${wanted}`);
  }
  // What it kept while it did not run is used again.
  const kept = state.sandboxes.get(containerId)?.endpoints.find((e) => e.networkId === network.id);
  const before = family === 4 ? kept?.ipv4 : kept?.ipv6;
  const used = state.used(network.id, containerId);
  if (before !== undefined && before !== '' && wanted === before && !used.has(before)) return before;
  const label = `${network.name} (${network.id})`;
  return allocateAddress({ pool, used, last: state.last(network.id, family), network: label }, wanted);
}

function linkName(settings: EndpointSettings, taken: readonly EndpointRecord[]): string {
  const asked = settings.DriverOpts?.[IFNAME_OPTION];
  const names = new Set(taken.map((e) => e.link));
  if (asked !== undefined) {
    if (!LINK_NAME.test(asked) || asked === '.' || asked === '..' || asked === 'lo' || names.has(asked))
      throw badParameter(`invalid interface name: ${asked}`);
    return asked;
  }
  for (let i = 0; ; i++) if (!names.has(`eth${i}`)) return `eth${i}`;
}

/** 02:42 and the IPv4 address, as Docker had it; no neighbour's cache is stale then. */
export function macOf(ipv4: string, endpointId: string): string {
  const value = parseAddress(ipv4)?.value;
  const hex = value === undefined ? endpointId.slice(0, 8) : value.toString(16).padStart(8, '0');
  return `02:42:${hex.replace(/(..)(?=.)/g, '$1:')}`;
}

/** Throws EngineError; nothing was changed then. */
export function planSandbox(r: SandboxRequest, isForwarded: boolean, source: PlanSource): SandboxRecord {
  const endpoints: EndpointRecord[] = [];
  for (const [i, { network, settings }] of networksOf(r, source.state).entries()) {
    const isUser = !PREDEFINED_DRIVER_NAMES.includes(network.name);
    const links = i === 0 && isUser ? r.links : [];
    endpoints.push(planEndpoint(network, settings, { containerId: r.containerId, links, taken: endpoints }, source));
  }
  const [first] = endpoints;
  if (first === undefined) throw new EngineError(500, `container ${r.containerId} has no network`);
  return {
    containerId: r.containerId,
    sandboxId: source.newId(),
    phase: 'opening',
    name: r.name,
    hostname: r.hostname,
    domainname: r.domainname,
    mode: first.networkName,
    folder: r.folder,
    endpoints,
    exposed: r.exposedPorts,
    bindings: r.portBindings,
    publishAll: r.publishAllPorts,
    ports: [],
    extraHosts: r.extraHosts,
    links: r.links,
    dns: r.dns,
    dnsOptions: r.dnsOptions,
    dnsSearch: r.dnsSearch,
    isForwarded: isForwarded && r.dns.length === 0 && first.link !== '',
    dnsPort: 0,
  };
}
