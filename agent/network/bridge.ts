/**
 * The bridge of this node and the veth pair of each pod.
 *
 *     pod netns: eth0 10.42.1.7/32, default via 10.42.1.1
 *        |
 *     host: v<instance><hash> -- bridge 10.42.1.1/32, route 10.42.1.0/24
 *
 * Pods have a /32: two pods of one node meet in the host's IP layer, not on the bridge. So service translation of local
 * traffic needs no br_netfilter (the reply always passes conntrack), and works with it too (docker switches it on: then
 * translated frames are bridged, for which the ports are in hairpin mode). The service block is routed to `lo` only so that
 * a host without a default route can reach services, with the gateway as its source address: no packet ever goes there,
 * each is translated or refused (to the bridge would do too, but then the kernel sends redirects, which use up its budget
 * for "port unreachable").
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { ipJson, removeLinks, runBatch } from './iproute.ts';
import type { NetworkNames } from './names.ts';
import { macOf } from './names.ts';

export interface BridgeView {
  readonly names: NetworkNames;
  readonly gateway: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly mtu: number;
}

/** Makes or corrects the bridge; what exists stays in use meanwhile. */
export async function ensureBridge(programs: Programs, v: BridgeView, c: Ctx): Promise<void> {
  const { bridge } = v.names;
  const found = await ipJson(programs, ['addr', 'show', 'dev', bridge], {}, c);
  const stale = staleAddresses(found?.[0], v.gateway);
  // Setting an address, even the same, makes the kernel forget the pods' neighbour entries.
  const has = found === undefined ? 'nothing' : found[0]?.['address'] === macOf('bridge', v.gateway) ? 'all' : 'link';
  await runBatch(programs, { program: 'ip', lines: bridgeLines(v, has, stale) }, c);
}

export function bridgeLines(
  v: BridgeView,
  has: 'nothing' | 'link' | 'all',
  staleAddresses: readonly string[],
): string[] {
  const { bridge, routeProtocol } = v.names;
  const address = macOf('bridge', v.gateway);
  return [
    ...(has === 'nothing'
      ? [`link add ${bridge} address ${address} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`]
      : []),
    ...(has === 'link' ? [`link set ${bridge} address ${address}`] : []),
    `link set ${bridge} mtu ${v.mtu} addrgenmode none up`,
    ...staleAddresses.map((stale) => `addr del ${stale} dev ${bridge}`),
    `addr replace ${v.gateway}/32 dev ${bridge}`,
    `route replace ${v.podCidr} dev ${bridge} scope link src ${v.gateway} proto ${routeProtocol}`,
    `route replace ${v.serviceCidr} dev lo scope link src ${v.gateway} proto ${routeProtocol}`,
  ];
}

export interface PodLink {
  readonly veth: string;
  readonly netns: string;
  readonly ip: string;
}

/** Two program runs: the pair from outside, then addresses and routes inside. Leaves nothing behind when it fails. */
export async function connectPod(programs: Programs, v: BridgeView, pod: PodLink, c: Ctx): Promise<void> {
  await runBatch(programs, { program: 'ip', lines: outsideLines(v, pod) }, c);
  try {
    await runBatch(programs, { program: 'ip', lines: insideLines(v, pod), netns: pod.netns }, c);
  } catch (e) {
    // The undo has to finish although the caller may have been cancelled: it has the program's own time limit.
    await disconnectPod(programs, pod.veth, { ...c, signal: new AbortController().signal });
    throw e;
  }
}

export function outsideLines(v: BridgeView, pod: PodLink): string[] {
  const peer = `peer name eth0 address ${macOf('pod', pod.ip)} mtu ${v.mtu} netns ${pod.netns}`;
  return [
    `link add ${pod.veth} mtu ${v.mtu} type veth ${peer}`,
    `link set ${pod.veth} master ${v.names.bridge} addrgenmode none up`,
    `link set ${pod.veth} type bridge_slave hairpin on`,
  ];
}

export function insideLines(v: BridgeView, pod: PodLink): string[] {
  return [
    `addr add ${pod.ip}/32 dev eth0`,
    'link set eth0 up',
    `neigh replace ${v.gateway} lladdr ${macOf('bridge', v.gateway)} dev eth0 nud permanent`,
    `route add ${v.gateway} dev eth0 scope link`,
    `route add default via ${v.gateway} dev eth0 src ${pod.ip}`,
  ];
}

/** Removing one end removes both; gone is fine. */
export async function disconnectPod(programs: Programs, veth: string, c: Ctx): Promise<void> {
  await removeLinks(programs, [veth], c);
}

/**
 * True when the pair of an earlier attach is whole: both ends, on the bridge, with the right address and the default route,
 * which connectPod makes last of all (a killed agent takes a running `ip -batch` along).
 */
export async function isConnected(programs: Programs, v: BridgeView, pod: PodLink, c: Ctx): Promise<boolean> {
  const [outside, inside, routes] = await Promise.all([
    ipJson(programs, ['link', 'show', 'dev', pod.veth], {}, c),
    ipJson(programs, ['addr', 'show', 'dev', 'eth0'], { netns: pod.netns }, c),
    ipJson(programs, ['route', 'show', 'default'], { netns: pod.netns }, c),
  ]);
  const hasAddress = addressesOf(inside?.[0]).some((a) => a.local === pod.ip);
  const hasRoute = (routes ?? []).some((r) => r['gateway'] === v.gateway);
  return outside?.[0]?.['master'] === v.names.bridge && hasAddress && hasRoute;
}

/** Link and MTU that carry `ip`; undefined when no link of this namespace has it. */
export async function linkWithAddress(
  programs: Programs,
  ip: string,
  c: Ctx,
): Promise<{ name: string; mtu: number } | undefined> {
  const links = (await ipJson(programs, ['addr', 'show', 'to', `${ip}/32`], {}, c)) ?? [];
  for (const link of links) {
    const name = link['ifname'];
    const mtu = link['mtu'];
    if (typeof name === 'string' && typeof mtu === 'number' && addressesOf(link).some((a) => a.local === ip))
      return { name, mtu };
  }
  return undefined;
}

interface LinkAddress {
  readonly family?: string;
  readonly local?: string;
  readonly prefixlen?: number;
}

function addressesOf(link: Readonly<Record<string, unknown>> | undefined): readonly LinkAddress[] {
  const list = link?.['addr_info'];
  return Array.isArray(list) ? list.filter((a) => typeof a === 'object' && a !== null) : [];
}

function staleAddresses(link: Readonly<Record<string, unknown>> | undefined, gateway: string): string[] {
  return addressesOf(link)
    .filter((a) => a.family === 'inet' && a.local !== gateway)
    .map((a) => `${a.local}/${a.prefixlen}`);
}
