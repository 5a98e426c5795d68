/** Lines of `ip -batch` for bridges and for the two ends of a container's link. Pure. Source: moby libnetwork/drivers/bridge. */
import { type EngineNames, vethName } from './names.ts';
import { type EndpointRecord, type NetworkRecord, poolFor, withPrefix } from './record.ts';
import { isOff, OPTION } from './rules.ts';

const MTU_DEFAULT = 1500;

export function mtuOf(n: Pick<NetworkRecord, 'options'>): number {
  const mtu = Number(n.options[OPTION.mtu] ?? MTU_DEFAULT);
  return Number.isInteger(mtu) && mtu >= 68 && mtu <= 65_535 ? mtu : MTU_DEFAULT;
}

/** `has`: it is there already; its addresses are set again, which changes nothing. */
export function bridgeLines(n: NetworkRecord, names: EngineNames, has: boolean): string[] {
  const v4 = poolFor(n, 4);
  const v6 = poolFor(n, 6);
  const hasIpv4 = v4 !== undefined && n.options[OPTION.inhibit] !== 'true';
  return [
    ...(has ? [] : [`link add ${n.link} type bridge stp_state 0 forward_delay 0`]),
    `link set ${n.link} alias ${names.comment}`,
    // Without IPv6 nothing of it is told on the bridge.
    `link set ${n.link} mtu ${mtuOf(n)} addrgenmode ${v6 === undefined ? 'none' : 'eui64'} up`,
    ...(hasIpv4 ? [`addr replace ${withPrefix(v4.gateway, v4)} brd + dev ${n.link}`] : []),
    ...(v6 === undefined ? [] : [`addr replace ${withPrefix(v6.gateway, v6)} dev ${n.link} nodad`]),
  ];
}

export function outsideLines(
  n: NetworkRecord,
  e: EndpointRecord,
  o: { names: EngineNames; netns: string; isBridgeFiltered: boolean },
): readonly string[] {
  const veth = vethName(o.names, e.endpointId);
  const mtu = mtuOf(n);
  // Where the packet filter sees bridged packets its rules do it (rules.ts); there, an isolated port would lose published ports
  // of the same bridge, since what is translated is bridged on.
  const isIsolated = isOff(n, OPTION.icc) && !o.isBridgeFiltered;
  return [
    `link add ${veth} mtu ${mtu} type veth peer name ${e.link} address ${e.mac} mtu ${mtu} netns ${o.netns}`,
    `link set ${veth} master ${n.link} addrgenmode none up`,
    // Hairpin: a container that calls its own published port, where bridged packets are translated (bridge-nf-call-iptables).
    `link set ${veth} type bridge_slave hairpin on${isIsolated ? ' isolated on' : ''}`,
  ];
}

export function insideLines(n: NetworkRecord, e: EndpointRecord): readonly string[] {
  return [
    ...(e.ipv4 === '' ? [] : [`addr replace ${withPrefix(e.ipv4, poolFor(n, 4))} brd + dev ${e.link}`]),
    ...(e.ipv6 === '' ? [] : [`addr replace ${withPrefix(e.ipv6, poolFor(n, 6))} dev ${e.link} nodad`]),
    `link set ${e.link} up`,
  ];
}

/** After the links are up. Without an endpoint that leads out the old route is gone with its link. */
export function gatewayLines(
  by: { readonly 4?: EndpointRecord | undefined; readonly 6?: EndpointRecord | undefined },
  networks: ReadonlyMap<string, NetworkRecord>,
): readonly string[] {
  return ([4, 6] as const).flatMap((family) => {
    const endpoint = by[family];
    const network = endpoint && networks.get(endpoint.networkId);
    const gateway = network && poolFor(network, family)?.gateway;
    return gateway === undefined ? [] : [`route replace default via ${gateway} dev ${endpoint?.link}`];
  });
}
