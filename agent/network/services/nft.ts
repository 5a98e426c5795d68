/**
 * The node's one nft table, as data and as text. Pure.
 *
 * `rulesetOf` says what the table must hold, `renderFull` makes the text that replaces it atomically, `renderChange` the text
 * (one transaction too) that leads from one state to the next and touches only what differs: an endpoint change is a few
 * lines however many services there are, and the clients remembered by session affinity survive it.
 *
 *   prerouting/output (nat) -> dispatch -> the control plane's own addresses and ports: left alone
 *                                       -> services map (address . protocol . port) -> svc-NAME or ext-NAME chain -> dnat
 *                                       -> local address? node ports map -> ext-NAME; host ports -> dnat
 *   postrouting (nat)       masquerade: marked (off-cluster, node port), hairpin, loopback clients, pods to the outside
 *   forward/input/output    reject what has no endpoint and every unused service address
 *
 * Established connections are never touched: conntrack keeps their translation, the nat chains see first packets only.
 * Source of the scheme: kube-proxy's nftables mode (KEP-3866).
 */
import { contains, formatIpv4, gatewayOf, parseCidr, parseIpv4 } from '../addresses.ts';
import type { HostPortRule } from './host-ports.ts';
import type { Backend, L4Protocol, ServiceRule } from './table.ts';

export interface Ruleset {
  readonly family: 'ip' | 'bridge' | 'inet';
  readonly table: string;
  /** A chain that is there, and has this text, when the table is. */
  readonly witness: { readonly chain: string; readonly text: string };
  /** Base chains (with a hook) and ordinary ones: name -> declaration and rules. */
  readonly chains: ReadonlyMap<string, Chain>;
  /** Named sets and maps whose elements are ours. */
  readonly collections: ReadonlyMap<string, Collection>;
  /** Sets that the packet path fills (session affinity): name -> time-out in seconds. */
  readonly affinitySets: ReadonlyMap<string, number>;
}

export interface Chain {
  /** `type … hook … priority …`, or undefined. */
  readonly hook: string | undefined;
  readonly rules: readonly string[];
}

export interface Collection {
  readonly declaration: 'set' | 'map';
  readonly type: string;
  /** key -> value; for sets the value is ''. */
  readonly elements: ReadonlyMap<string, string>;
}

export interface FilterView {
  readonly table: string;
  readonly bridge: string;
  /** Links on which 127.0.0.0/8 may be routed (route_localnet), to be guarded. */
  readonly localnetLinks: readonly string[];
  /** Names of empty chains that remember something for the teardown. */
  readonly markers: readonly string[];
  readonly podCidr: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDnsIp: string;
  /** What no service and no host port may take: API servers, gateways, registry. A cluster cut off from them stays so. */
  readonly controlPlane: readonly Backend[];
  /** Where our DNS server listens on the gateway address; port 53 leads there. */
  readonly dnsPort: number;
}

/** Our bit in the packet mark: this connection is to be masqueraded. */
const MASQUERADE_MARK = '0x00080000';
const MARK = `meta mark set meta mark or ${MASQUERADE_MARK}`;

const SERVICE_KEY = 'ipv4_addr . inet_proto . inet_service';
const API_SERVICE = 'default/kubernetes/tcp/';
export const SERVICES_WITNESS = { chain: 'dispatch', text: '@services' } as const;
const PORT_KEY = 'inet_proto . inet_service';

export function rulesetOf(
  view: FilterView,
  rules: readonly ServiceRule[],
  hostPorts: readonly HostPortRule[],
): Ruleset {
  const draft: Draft = {
    chains: new Map(),
    services: new Map(),
    nodePorts: new Map(),
    rejected: new Map(),
    rejectedPorts: new Map(),
    reserved: reservedElements(view, rules),
    affinitySets: new Map(),
  };
  addDns(draft, view);
  for (const rule of rules) addService(draft, view, rule);
  const hairpin = hairpinElements(view, rules, hostPorts);
  const published = hostPortElements(hostPorts);
  const collections = new Map<string, Collection>([
    ['reserved', { declaration: 'set', type: SERVICE_KEY, elements: draft.reserved }],
    ['services', { declaration: 'map', type: `${SERVICE_KEY} : verdict`, elements: draft.services }],
    ['node-ports', { declaration: 'map', type: `${PORT_KEY} : verdict`, elements: draft.nodePorts }],
    ['host-ports', { declaration: 'map', type: `${PORT_KEY} : ipv4_addr . inet_service`, elements: published.any }],
    [
      'host-address-ports',
      { declaration: 'map', type: `${SERVICE_KEY} : ipv4_addr . inet_service`, elements: published.byAddress },
    ],
    ['rejected', { declaration: 'set', type: SERVICE_KEY, elements: draft.rejected }],
    ['rejected-ports', { declaration: 'set', type: PORT_KEY, elements: draft.rejectedPorts }],
    ['hairpin', { declaration: 'set', type: 'ipv4_addr . ipv4_addr', elements: hairpin }],
  ]);
  for (const name of view.markers) draft.chains.set(name, { hook: undefined, rules: [] });
  for (const [name, chain] of [...natChains(view), ...filterChains(view)]) draft.chains.set(name, chain);
  const { chains, affinitySets } = draft;
  return { family: 'ip', table: view.table, witness: SERVICES_WITNESS, chains, collections, affinitySets };
}

interface Draft {
  readonly chains: Map<string, Chain>;
  readonly services: Map<string, string>;
  readonly nodePorts: Map<string, string>;
  readonly rejected: Map<string, string>;
  readonly rejectedPorts: Map<string, string>;
  readonly reserved: ReadonlyMap<string, string>;
  readonly affinitySets: Map<string, number>;
}

function natChains(view: FilterView): [string, Chain][] {
  const dnatByPort = (map: string, key: string): string[] =>
    ['tcp', 'udp'].map((l4) => `meta l4proto ${l4} dnat ip to ${key}meta l4proto . th dport map @${map}`);
  return [
    ['prerouting', { hook: 'type nat hook prerouting priority dstnat - 10', rules: ['goto dispatch'] }],
    ['output', { hook: 'type nat hook output priority -110', rules: ['goto dispatch'] }],
    [
      'dispatch',
      {
        hook: undefined,
        rules: [
          'ip daddr . meta l4proto . th dport @reserved return',
          'ip daddr . meta l4proto . th dport vmap @services',
          'fib daddr type local goto local',
        ],
      },
    ],
    [
      'local',
      {
        hook: undefined,
        rules: [
          'meta l4proto . th dport vmap @node-ports',
          ...dnatByPort('host-address-ports', 'ip daddr . '),
          ...dnatByPort('host-ports', ''),
        ],
      },
    ],
    [
      'postrouting',
      {
        hook: 'type nat hook postrouting priority srcnat - 10',
        rules: [
          `meta mark and ${MASQUERADE_MARK} == ${MASQUERADE_MARK} masquerade fully-random`,
          'ip saddr . ip daddr @hairpin masquerade fully-random',
          'ip saddr 127.0.0.0/8 oifname != "lo" masquerade fully-random',
          `ip saddr ${view.podCidr} ip daddr != ${view.clusterCidr} ip daddr != 224.0.0.0/4 oifname != "${view.bridge}" masquerade fully-random`,
        ],
      },
    ],
  ];
}

function filterChains(view: FilterView): [string, Chain][] {
  const links = view.localnetLinks.map((link) => `"${link}"`).join(', ');
  const noService = [
    ...refuse(`ip daddr . meta l4proto . th dport @rejected`),
    ...refuse(`ip daddr ${view.serviceCidr}`),
  ];
  return [
    [
      'filter-forward',
      {
        hook: 'type filter hook forward priority filter',
        rules: [
          // Outside of the TCP window: not translated, so the client would see a stranger's packet and reset the connection.
          `ct state invalid ip saddr ${view.clusterCidr} drop`,
          `ct state invalid ip daddr ${view.clusterCidr} drop`,
          ...noService,
        ],
      },
    ],
    [
      'filter-input',
      {
        hook: 'type filter hook input priority filter',
        rules: [
          ...refuse('ct state new ip daddr . meta l4proto . th dport @rejected'),
          ...refuse('ct state new meta l4proto . th dport @rejected-ports'),
        ],
      },
    ],
    [
      'filter-output',
      {
        hook: 'type filter hook output priority filter',
        // Pods reach each other through the bridge's address on purpose: it must not tell them a shorter way.
        rules: [...noService, `oifname "${view.bridge}" icmp type redirect drop`],
      },
    ],
    [
      'loopback-guard',
      {
        hook: 'type filter hook prerouting priority raw',
        rules: links === '' ? [] : [`iifname { ${links} } ip daddr 127.0.0.0/8 drop`],
      },
    ],
  ];
}

/** TCP by a reset: unlike ICMP messages those are not rate-limited, so every client is told at once. */
function refuse(match: string): string[] {
  return [`meta l4proto tcp ${match} reject with tcp reset`, `${match} reject`];
}

function addDns(draft: Draft, view: FilterView): void {
  const gateway = formatIpv4(gatewayOf(parseCidr(view.podCidr)));
  for (const protocol of ['udp', 'tcp'] as const) {
    const chain = `dns-${protocol}`;
    draft.chains.set(chain, {
      hook: undefined,
      rules: [`meta l4proto ${protocol} dnat ip to ${gateway}:${view.dnsPort}`],
    });
    draft.services.set(`${view.clusterDnsIp} . ${protocol} . 53`, `goto ${chain}`);
    if (view.dnsPort !== 53) draft.services.set(`${gateway} . ${protocol} . 53`, `goto ${chain}`);
  }
}

function addService(draft: Draft, view: FilterView, rule: ServiceRule): void {
  const clusterChain = `svc-${rule.name}`;
  const internal = rule.internalLocal ? `int-${rule.name}` : clusterChain;
  const hasBackends = rule.backends.length > 0;
  if (hasBackends) {
    draft.chains.set(clusterChain, {
      hook: undefined,
      rules: [`ip saddr != ${view.clusterCidr} ${MARK}`, ...choose(draft, rule, rule.backends)],
    });
    if (rule.internalLocal) draft.chains.set(internal, { hook: undefined, rules: localChoice(draft, rule) });
    for (const ip of rule.clusterIps)
      offer(draft.services, `${ip} . ${rule.protocol} . ${rule.port}`, `goto ${internal}`);
  }
  if (rule.externalIps.length + rule.balancerIps.length === 0 && rule.nodePort === undefined) return;
  if (!hasBackends) {
    // Not for a balancer's addresses: those are the nodes' own, where the port may be somebody else's until then.
    for (const ip of rule.externalIps) {
      const key = `${ip} . ${rule.protocol} . ${rule.port}`;
      if (!draft.reserved.has(key)) offer(draft.rejected, key, '');
    }
    if (rule.nodePort !== undefined) offer(draft.rejectedPorts, `${rule.protocol} . ${rule.nodePort}`, '');
    return;
  }
  addExternal(draft, view, rule, clusterChain);
}

function addExternal(draft: Draft, view: FilterView, rule: ServiceRule, clusterChain: string): void {
  const chain = `ext-${rule.name}`;
  const rules = rule.externalLocal
    ? [
        // Pods and this host itself may use any endpoint; only traffic from outside is bound to this node.
        `ip saddr ${view.clusterCidr} goto ${clusterChain}`,
        `fib saddr type local ${MARK} goto ${clusterChain}`,
        ...localChoice(draft, rule),
      ]
    : [MARK, `goto ${clusterChain}`];
  draft.chains.set(chain, { hook: undefined, rules });
  const key = (ip: string): string => `${ip} . ${rule.protocol} . ${rule.port}`;
  for (const ip of rule.externalIps) offer(draft.services, key(ip), `goto ${chain}`);
  if (rule.nodePort !== undefined) offer(draft.nodePorts, `${rule.protocol} . ${rule.nodePort}`, `goto ${chain}`);
  if (rule.balancerIps.length === 0) return;
  let entrance = chain;
  if (rule.isRestricted) {
    entrance = `lb-${rule.name}`;
    draft.chains.set(entrance, {
      hook: undefined,
      // One rule each: in a set, overlapping blocks would be an error.
      rules: [...rule.sourceRanges.map((range) => `ip saddr ${range} goto ${chain}`), 'drop'],
    });
  }
  for (const ip of rule.balancerIps) offer(draft.services, key(ip), `goto ${entrance}`);
}

/** The API servers are told by their own service. */
function reservedElements(view: FilterView, rules: readonly ServiceRule[]): Map<string, string> {
  const api = rules.filter((r) => r.name.startsWith(API_SERVICE)).flatMap((r) => r.backends);
  return new Map([...view.controlPlane, ...api].map((b) => [`${b.ip} . tcp . ${b.port}`, '']));
}

/** An address and port belongs to the first service (by name) that asks for it: a map has one value for a key. */
function offer(map: Map<string, string>, key: string, value: string): void {
  if (!map.has(key)) map.set(key, value);
}

function localChoice(draft: Draft, rule: ServiceRule): string[] {
  return rule.localBackends.length === 0 ? ['drop'] : choose(draft, rule, rule.localBackends);
}

function choose(draft: Draft, rule: ServiceRule, backends: readonly Backend[]): string[] {
  if (rule.affinitySeconds === undefined) return dnatTo(rule.protocol, backends);
  const seconds = rule.affinitySeconds;
  const names = backends.map((backend) => {
    const name = `${rule.name}/${backend.ip}/${backend.port}`;
    draft.affinitySets.set(`aff${seconds}-${name}`, seconds);
    draft.chains.set(`ep-${name}`, {
      hook: undefined,
      rules: [`update @aff${seconds}-${name} { ip saddr }`, ...dnatTo(rule.protocol, [backend])],
    });
    return name;
  });
  const pick = names.map((name, i) => `${i} : goto ep-${name}`).join(', ');
  return [
    ...names.map((name) => `ip saddr @aff${seconds}-${name} goto ep-${name}`),
    `numgen random mod ${names.length} vmap { ${pick} }`,
    ...names.slice(0, 1).map((name) => `goto ep-${name}`),
  ];
}

/**
 * After a choice out of a map stands a rule without one. A packet keeps the rules of the transaction in which its
 * evaluation began, but elements are looked up as of now: while a transaction replaces a rule with its map, a packet that
 * still runs through the old rule finds the map empty, and would leave the chain untranslated, to be refused by the host
 * (seen: 3 of 222,000 connections in 3,000 changes, none of 265,000 with that rule).
 */
function dnatTo(protocol: L4Protocol, backends: readonly Backend[]): string[] {
  const one = backends.slice(0, 1).map((b) => `meta l4proto ${protocol} dnat ip to ${b.ip}:${b.port}`);
  if (backends.length <= 1) return one;
  const map = backends.map((b, i) => `${i} : ${b.ip} . ${b.port}`).join(', ');
  return [`meta l4proto ${protocol} dnat ip to numgen random mod ${backends.length} map { ${map} }`, ...one];
}

/** Pods of this node that may reach themselves through a service or host port: their reply must pass through us. */
function hairpinElements(
  view: FilterView,
  rules: readonly ServiceRule[],
  hostPorts: readonly HostPortRule[],
): Map<string, string> {
  const block = parseCidr(view.podCidr);
  const out = new Map<string, string>();
  const add = (ip: string): void => {
    if (contains(block, parseIpv4(ip) ?? -1)) out.set(`${ip} . ${ip}`, '');
  };
  for (const rule of rules) for (const backend of rule.localBackends) add(backend.ip);
  for (const port of hostPorts) add(port.podIp);
  return out;
}

function hostPortElements(hostPorts: readonly HostPortRule[]): {
  any: Map<string, string>;
  byAddress: Map<string, string>;
} {
  const any = new Map<string, string>();
  const byAddress = new Map<string, string>();
  for (const p of hostPorts) {
    const target = `${p.podIp} . ${p.containerPort}`;
    const key = `${p.protocol} . ${p.hostPort}`;
    if (p.hostIp === undefined) offer(any, key, target);
    else offer(byAddress, `${p.hostIp} . ${key}`, target);
  }
  return { any, byAddress };
}
