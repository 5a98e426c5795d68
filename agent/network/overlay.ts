/**
 * The way to the pods of other nodes: through one VXLAN link (any network between the nodes), or by plain routes (all nodes
 * on one L2 segment). MAC addresses and next hops follow from each node's pod block, so a node needs to know only
 * `spec.podCIDR` and the InternalIP of the others: one neighbour, one FDB entry and one route for each.
 * The link carries this node's gateway address too: masqueraded traffic into the overlay takes it and comes back this way.
 * Source: RFC 7348; the scheme of flannel's vxlan backend.
 */
import type { DeepReadonly, Node } from '#lib/api';
import type { Ctx } from '#lib/base';
import { hexOf, sha256 } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { formatCidr, formatIpv4, gatewayOf, isIpv4, parseCidr } from './addresses.ts';
import { GONE, ipJson, removeLinks, runBatch } from './iproute.ts';
import type { NetworkNames } from './names.ts';
import { macOf } from './names.ts';

/** Ethernet + IPv4 + UDP + VXLAN headers. */
export const VXLAN_OVERHEAD_BYTES = 50;
export const VXLAN_PORT = 8472;

export interface OverlayView {
  readonly names: NetworkNames;
  readonly mode: 'vxlan' | 'routes';
  readonly gateway: string;
  readonly podCidr: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly vxlanPort: number;
  readonly mtu: number;
}

export interface Peer {
  readonly podCidr: string;
  readonly nodeIp: string;
}

/** Other nodes that can be reached, by pod block. The first node (by name) wins a block that two claim. */
export function peersOf(
  nodes: readonly DeepReadonly<Node>[],
  v: Pick<OverlayView, 'nodeName' | 'podCidr'>,
): Map<string, Peer> {
  const out = new Map<string, Peer>();
  const sorted = [...nodes].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const node of sorted) {
    if (node.metadata.name === v.nodeName) continue;
    const podCidr = node.spec?.podCIDR;
    const nodeIp = node.status?.addresses?.find((a) => a.type === 'InternalIP' && isIpv4(a.address))?.address;
    if (podCidr === undefined || podCidr === '' || nodeIp === undefined || !isBlock(podCidr)) continue;
    const block = formatCidr(parseCidr(podCidr));
    if (block !== v.podCidr && !out.has(block)) out.set(block, { podCidr: block, nodeIp });
  }
  return out;
}

/** All nodes of a cluster get the same network identifier, other clusters most likely another one. 1..2^24-1 */
export function vxlanId(clusterCidr: string, serviceCidr: string): number {
  return 1 + (Number.parseInt(hexOf(sha256(`${clusterCidr} ${serviceCidr}`)).slice(0, 6), 16) % 0xffffff);
}

/** Commands that lead from the peers in the kernel to the wanted ones. */
export function peerLines(
  v: OverlayView,
  prev: ReadonlyMap<string, Peer>,
  next: ReadonlyMap<string, Peer>,
): { gone: { ip: string[]; fdb: string[] }; wanted: { ip: string[]; fdb: string[] } } {
  const gone = { ip: [] as string[], fdb: [] as string[] };
  const wanted = { ip: [] as string[], fdb: [] as string[] };
  for (const peer of prev.values()) {
    if (next.has(peer.podCidr)) continue;
    gone.ip.push(`route del ${peer.podCidr} proto ${v.names.routeProtocol}`);
    if (v.mode === 'routes') continue;
    const hop = gatewayText(peer.podCidr);
    gone.ip.push(`neigh del ${hop} dev ${v.names.vxlan}`);
    gone.fdb.push(`fdb del ${macOf('vxlan', hop)} dev ${v.names.vxlan}`);
  }
  for (const peer of next.values()) {
    if (prev.get(peer.podCidr)?.nodeIp === peer.nodeIp) continue;
    const mark = `src ${v.gateway} proto ${v.names.routeProtocol}`;
    if (v.mode === 'routes') {
      wanted.ip.push(`route replace ${peer.podCidr} via ${peer.nodeIp} ${mark}`);
      continue;
    }
    const hop = gatewayText(peer.podCidr);
    const mac = macOf('vxlan', hop);
    wanted.fdb.push(`fdb replace ${mac} dev ${v.names.vxlan} dst ${peer.nodeIp}`);
    wanted.ip.push(`neigh replace ${hop} lladdr ${mac} dev ${v.names.vxlan} nud permanent`);
    wanted.ip.push(`route replace ${peer.podCidr} via ${hop} dev ${v.names.vxlan} onlink ${mark}`);
  }
  return { gone, wanted };
}

/**
 * Makes the VXLAN link, or makes it anew when its parameters changed (its MAC too: setting one forgets all neighbours).
 * True when it was made now (it has no peers yet).
 */
export async function ensureVxlan(programs: Programs, v: OverlayView, c: Ctx): Promise<boolean> {
  const { vxlan } = v.names;
  const found = (await ipJson(programs, ['-d', 'link', 'show', 'dev', vxlan], {}, c))?.[0];
  if (v.mode === 'routes') {
    if (found) await removeLinks(programs, [vxlan], c);
    return false;
  }
  const id = vxlanId(v.clusterCidr, v.serviceCidr);
  const isSame = found !== undefined && matches(found, id, v);
  const mac = macOf('vxlan', v.gateway);
  const type = `type vxlan id ${id} local ${v.nodeIp} dstport ${v.vxlanPort} nolearning`;
  const lines = [
    ...(found !== undefined && !isSame ? [`link del ${vxlan}`] : []),
    ...(isSame ? [] : [`link add ${vxlan} address ${mac} ${type}`]),
    `link set ${vxlan} mtu ${v.mtu} addrgenmode none up`,
    `addr replace ${v.gateway}/32 dev ${vxlan}`,
  ];
  await runBatch(programs, { program: 'ip', lines }, c);
  return !isSame;
}

/** Peers that an earlier agent left in the kernel, by the mark on its routes. Their node's address is not known: ''. */
export async function peersInKernel(programs: Programs, v: OverlayView, c: Ctx): Promise<Map<string, Peer>> {
  const routes = (await ipJson(programs, ['route', 'show', 'proto', String(v.names.routeProtocol)], {}, c)) ?? [];
  const out = new Map<string, Peer>();
  for (const route of routes) {
    const podCidr = route['dst'];
    if (typeof podCidr !== 'string' || podCidr === v.podCidr || podCidr === v.serviceCidr) continue;
    if (isBlock(podCidr)) out.set(podCidr, { podCidr, nodeIp: '' });
  }
  return out;
}

/** Removes first, so that a block that moved to another node is never routed to both. */
export async function applyPeers(programs: Programs, lines: ReturnType<typeof peerLines>, c: Ctx): Promise<void> {
  await runBatch(programs, { program: 'ip', lines: lines.gone.ip, ignore: GONE }, c);
  await runBatch(programs, { program: 'bridge', lines: lines.gone.fdb, ignore: GONE }, c);
  await runBatch(programs, { program: 'bridge', lines: lines.wanted.fdb }, c);
  await runBatch(programs, { program: 'ip', lines: lines.wanted.ip }, c);
}

function matches(link: Readonly<Record<string, unknown>>, id: number, v: OverlayView): boolean {
  const info = link['linkinfo'] as { info_data?: { id?: number; local?: string; port?: number } } | undefined;
  const data = info?.info_data;
  const isOurs = link['address'] === macOf('vxlan', v.gateway);
  return isOurs && data?.id === id && data.local === v.nodeIp && data.port === v.vxlanPort;
}

function gatewayText(podCidr: string): string {
  return formatIpv4(gatewayOf(parseCidr(podCidr)));
}

function isBlock(text: string): boolean {
  return /^\d+\.\d+\.\d+\.\d+\/\d+$/.test(text);
}
