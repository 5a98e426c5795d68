/**
 * The engine's one nft table, as data (agent/network/services/nft-text.ts writes it, and only what changed). Pure.
 *
 *   guard       nobody reaches a container's address but its own network and this host: not other networks, not the outside;
 *               127.0.0.0/8 only from the host itself (CVE-2020-8558, moby 45610)
 *   published   prerouting and output: ports of the host -> address and port of the container
 *   postrouting masquerade: to the outside, hairpin, clients on the host's loopback
 *   forward     internal networks have no way out or in; without icc containers reach each other by published ports alone
 *
 * What is led to a container then passes the host's own FORWARD rules: there is no accept here that could get around them
 * (docs/adr/0029). Source: moby libnetwork/drivers/bridge/internal/{iptabler,nftabler}.
 */
import type { Chain, Collection, Ruleset } from '../../network/services/nft.ts';
import type { HeldPort } from './ports/bindings.ts';
import type { NetworkRecord } from './record.ts';

export const OPTION = {
  icc: 'com.docker.network.bridge.enable_icc',
  masquerade: 'com.docker.network.bridge.enable_ip_masquerade',
  hostBinding: 'com.docker.network.bridge.host_binding_ipv4',
  name: 'com.docker.network.bridge.name',
  mtu: 'com.docker.network.driver.mtu',
  inhibit: 'com.docker.network.bridge.inhibit_ipv4',
} as const;

/** A port of the host, and where it leads. */
export interface PublishedPort {
  readonly port: HeldPort;
  /** Of the container, of the same family as the port's address. */
  readonly ip: string;
}

export const ENGINE_WITNESS = { chain: 'published', text: '@any4' } as const;

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
const ANY_KEY = 'inet_proto . inet_service';

export function isOff(network: Pick<NetworkRecord, 'options'>, option: string): boolean {
  return ['false', '0', 'f', 'FALSE', 'False', 'F'].includes(network.options[option] ?? '');
}

export function engineRuleset(
  table: string,
  networks: readonly NetworkRecord[],
  published: readonly PublishedPort[],
): Ruleset {
  const bridges = networks.filter((n) => n.driver === 'bridge');
  const chains = new Map<string, Chain>([
    ['guard', { hook: 'type filter hook prerouting priority raw', rules: guardRules(bridges) }],
    ['published', { hook: undefined, rules: publishedRules() }],
    [
      'prerouting',
      { hook: 'type nat hook prerouting priority dstnat', rules: ['fib daddr type local goto published'] },
    ],
    // The number: nft knows no name for it in this hook.
    ['output', { hook: 'type nat hook output priority -100', rules: ['fib daddr type local goto published'] }],
    ['postrouting', { hook: 'type nat hook postrouting priority srcnat', rules: bridges.flatMap(natRules) }],
    ['forward', { hook: 'type filter hook forward priority filter', rules: bridges.flatMap(forwardRules) }],
  ]);
  return {
    family: 'inet',
    table,
    witness: ENGINE_WITNESS,
    chains,
    collections: portMaps(published),
    affinitySets: new Map(),
  };
}

function subnetsOf(n: NetworkRecord): { ip: 'ip' | 'ip6'; subnet: string }[] {
  return n.pools.map((p) => ({ ip: p.family === 4 ? 'ip' : 'ip6', subnet: p.subnet }));
}

function guardRules(bridges: readonly NetworkRecord[]): string[] {
  return [
    'iifname != "lo" ip daddr 127.0.0.0/8 drop',
    'fib daddr type local accept',
    ...bridges.flatMap((n) =>
      subnetsOf(n).map(({ ip, subnet }) => `iifname != { "lo", "${n.link}" } ${ip} daddr ${subnet} drop`),
    ),
  ];
}

/** Nothing leads away from ::1: the kernel sends no packet with that source to another link. */
function publishedRules(): string[] {
  const lead = (ip: 'ip' | 'ip6', family: 4 | 6): string[] =>
    PROTOCOLS.flatMap((l4) => [
      `meta nfproto ipv${family} meta l4proto ${l4} dnat ${ip} to ${ip} daddr . meta l4proto . th dport map @address${family}`,
      `meta nfproto ipv${family} meta l4proto ${l4} dnat ${ip} to meta l4proto . th dport map @any${family}`,
    ]);
  return [...lead('ip', 4), 'ip6 daddr ::1 return', ...lead('ip6', 6)];
}

function natRules(n: NetworkRecord): string[] {
  const isMasqueraded = !n.isInternal && !isOff(n, OPTION.masquerade);
  return [
    ...subnetsOf(n).map(
      ({ ip, subnet }) => `oifname "${n.link}" ${ip} saddr ${subnet} ${ip} daddr ${subnet} ct status dnat masquerade`,
    ),
    `oifname "${n.link}" ip saddr 127.0.0.0/8 masquerade`,
    ...(isMasqueraded
      ? subnetsOf(n).map(({ ip, subnet }) => `oifname != "${n.link}" ${ip} saddr ${subnet} masquerade`)
      : []),
  ];
}

function forwardRules(n: NetworkRecord): string[] {
  return [
    ...(n.isInternal
      ? [`iifname "${n.link}" oifname != "${n.link}" drop`, `iifname != "${n.link}" oifname "${n.link}" drop`]
      : []),
    ...(isOff(n, OPTION.icc)
      ? [
          `iifname "${n.link}" oifname "${n.link}" ct status dnat accept`,
          `iifname "${n.link}" oifname "${n.link}" drop`,
        ]
      : []),
  ];
}

function portMaps(published: readonly PublishedPort[]): Map<string, Collection> {
  const any = { 4: new Map<string, string>(), 6: new Map<string, string>() };
  const byAddress = { 4: new Map<string, string>(), 6: new Map<string, string>() };
  for (const { port, ip } of published) {
    const family = port.hostIp.includes(':') ? 6 : 4;
    const target = `${ip} . ${port.containerPort}`;
    const key = `${port.protocol} . ${port.hostPort}`;
    if (port.hostIp === '0.0.0.0' || port.hostIp === '::') any[family].set(key, target);
    else byAddress[family].set(`${port.hostIp} . ${key}`, target);
  }
  const map = (type: string, elements: ReadonlyMap<string, string>): Collection => ({
    declaration: 'map',
    type,
    elements,
  });
  return new Map<string, Collection>([
    ['any4', map(`${ANY_KEY} : ipv4_addr . inet_service`, any[4])],
    ['any6', map(`${ANY_KEY} : ipv6_addr . inet_service`, any[6])],
    ['address4', map(`ipv4_addr . ${ANY_KEY} : ipv4_addr . inet_service`, byAddress[4])],
    ['address6', map(`ipv6_addr . ${ANY_KEY} : ipv6_addr . inet_service`, byAddress[6])],
  ]);
}
