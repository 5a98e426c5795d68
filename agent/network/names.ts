/**
 * Names of everything that is global in a network namespace, derived from the instance id (and the sandbox id), so that
 * two instances do not collide and leftovers can be attributed. Link names have at most 15 bytes (IFNAMSIZ).
 * MAC addresses are derived from IP addresses: no neighbour cache is ever stale and VXLAN needs no exchange of addresses.
 */
import { hexOf, sha256 } from '#lib/base';
import { formatIpv4, parseIpv4 } from './addresses.ts';

export interface NetworkNames {
  readonly bridge: string;
  readonly vxlan: string;
  /** Every veth of the instance begins with it. */
  readonly vethPrefix: string;
  readonly table: string;
  /** Marks our routes (`ip route … proto N`), 64..183. */
  readonly routeProtocol: number;
  /** Comment of rules put into others' chains. */
  readonly comment: string;
}

export function networkNames(instance: string): NetworkNames {
  const hex = hexOf(sha256(`berth-instance:${instance}`));
  const id = hex.slice(0, 6);
  const plain = instance.replace(/[^A-Za-z0-9]/g, '-').slice(0, 40);
  return {
    bridge: `bth-${id}`,
    vxlan: `btx-${id}`,
    vethPrefix: `v${id}`,
    table: `berth-${plain === '' ? 'default' : plain}-${id}`,
    routeProtocol: 64 + (Number.parseInt(hex.slice(6, 12), 16) % 120),
    comment: `berth-${id}`,
  };
}

export function vethName(names: NetworkNames, sandboxId: string): string {
  return `${names.vethPrefix}${hexOf(sha256(sandboxId)).slice(0, 8)}`;
}

type MacUse = 'pod' | 'bridge' | 'vxlan';
const MAC_PREFIX: Readonly<Record<MacUse, string>> = { pod: '0a:58', bridge: '0a:59', vxlan: '0a:5a' };

/** A locally administered unicast address: two bytes for the use, four for the IP. */
export function macOf(use: MacUse, ip: string): string {
  const value = parseIpv4(ip) ?? 0;
  const bytes = formatIpv4(value)
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'));
  return `${MAC_PREFIX[use]}:${bytes.join(':')}`;
}
