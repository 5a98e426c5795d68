/** What is told of networks and of what containers have of them. Pure. Source: moby api/docs/v1.51.yaml (Network, EndpointSettings). */
import { timeText } from '#lib/base';
import type { EngineNetworks } from '../parts.ts';
import type { EndpointSettings } from '../types.ts';
import { dnsNamesOf, PREDEFINED } from './dns/zone.ts';
import { portMapOf } from './ports/bindings.ts';
import {
  type EndpointRecord,
  type NetworkRecord,
  poolFor,
  prefixOf,
  type SandboxRecord,
  withPrefix,
} from './record.ts';

export function viewOf(
  s: SandboxRecord,
  networks: ReadonlyMap<string, NetworkRecord>,
): NonNullable<ReturnType<EngineNetworks['view']>> {
  const endpoints = Object.fromEntries(
    s.endpoints.map((e) => [e.networkName, settingsOf(s, e, networks.get(e.networkId))]),
  );
  const hasPorts = s.endpoints.some((e) => e.link !== '');
  return { endpoints, ports: hasPorts ? portMapOf(s.exposed, s.ports) : {}, sandboxId: s.sandboxId };
}

function settingsOf(s: SandboxRecord, e: EndpointRecord, network: NetworkRecord | undefined): EndpointSettings {
  const v4 = network && poolFor(network, 4);
  const v6 = network && poolFor(network, 6);
  const isOut = network !== undefined && !network.isInternal;
  const fixed = {
    ...(e.isFixedIpv4 ? { IPv4Address: e.ipv4 } : {}),
    ...(e.isFixedIpv6 ? { IPv6Address: e.ipv6 } : {}),
  };
  const isUser = !PREDEFINED.includes(e.networkName);
  return {
    IPAMConfig: Object.keys(fixed).length > 0 ? fixed : isUser ? {} : null,
    Links: e.links.length > 0 ? e.links : null,
    Aliases: e.aliases.length > 0 ? e.aliases : null,
    MacAddress: e.mac,
    DriverOpts: Object.keys(e.driverOptions).length > 0 ? e.driverOptions : null,
    GwPriority: e.gatewayPriority,
    NetworkID: e.networkId,
    EndpointID: e.endpointId,
    Gateway: e.ipv4 !== '' && isOut ? (v4?.gateway ?? '') : '',
    IPAddress: e.ipv4,
    IPPrefixLen: e.ipv4 === '' ? 0 : prefixOf(v4),
    IPv6Gateway: e.ipv6 !== '' && isOut ? (v6?.gateway ?? '') : '',
    GlobalIPv6Address: e.ipv6,
    GlobalIPv6PrefixLen: e.ipv6 === '' ? 0 : prefixOf(v6),
    DNSNames: isUser ? dnsNamesOf(s, e) : null,
  };
}

/** `attached`: those to be told; undefined = none (list from API 1.28 on). */
export function networkShape(n: NetworkRecord, attached: readonly SandboxRecord[]): object {
  const containers = attached.flatMap((s) =>
    s.endpoints.flatMap((e) => (e.networkId === n.id ? [[s, e] as const] : [])),
  );
  return {
    Name: n.name,
    Id: n.id,
    Created: timeText(n.createdAtMs),
    Scope: 'local',
    Driver: n.driver,
    EnableIPv4: n.hasIpv4,
    EnableIPv6: n.hasIpv6,
    IPAM: { Driver: 'default', Options: n.ipamOptions, Config: n.pools.map(ipamShape) },
    Internal: n.isInternal,
    Attachable: n.isAttachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(
      containers.map(([s, e]) => [
        s.containerId,
        {
          Name: s.name,
          EndpointID: e.endpointId,
          MacAddress: e.mac,
          IPv4Address: e.ipv4 === '' ? '' : withPrefix(e.ipv4, poolFor(n, 4)),
          IPv6Address: e.ipv6 === '' ? '' : withPrefix(e.ipv6, poolFor(n, 6)),
        },
      ]),
    ),
    Options: n.options,
    Labels: n.labels,
  };
}

function ipamShape(p: NetworkRecord['pools'][number]): object {
  return {
    Subnet: p.subnet,
    ...(p.range === '' ? {} : { IPRange: p.range }),
    Gateway: p.gateway,
    ...(Object.keys(p.aux).length === 0 ? {} : { AuxiliaryAddresses: p.aux }),
  };
}
