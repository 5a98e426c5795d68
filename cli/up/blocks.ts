/**
 * The address blocks of a cluster: 10.O.0.0/16 for pods, O+1 for services, O-1 for the hosts of --nodes. They must be of no
 * other use on this machine: two links with one block take each other's packets. O is 42 for the default instance, by its name
 * for any other, and the next free one where that is taken.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { StatusError } from '#lib/base';
import { networkNames } from '../../agent/network/names.ts';
import { type ClusterLayout, defaultCidrs } from '../layout.ts';
import { hostNet } from './hosts.ts';

type Links = Readonly<Record<string, readonly Pick<NetworkInterfaceInfo, 'address'>[] | undefined>>;
type Blocks = Pick<ClusterLayout, 'clusterCidr' | 'serviceCidr'>;

const FIRST = 64;
const LAST = 190;

/** For a cluster that is made now. Throws Unavailable when this machine uses all of them. */
export function chooseBlocks(instance: string, links: Links = networkInterfaces()): Blocks {
  const used = usedOctets(links, new Set());
  const wanted = octetOf(defaultCidrs(instance).clusterCidr);
  const candidates = [wanted];
  for (let i = 0; i <= LAST - FIRST; i += 2)
    candidates.push(FIRST + ((Math.max(wanted - FIRST, 0) + i) % (LAST - FIRST + 2)));
  const free = candidates.find((o) => [o - 1, o, o + 1].every((x) => !used.has(x)));
  if (free === undefined)
    throw new StatusError('Unavailable', 'this machine uses every 10.x.0.0/16 that a cluster could take');
  return { clusterCidr: `10.${free}.0.0/16`, serviceCidr: `10.${free + 1}.0.0/16` };
}

/** Of a cluster that was made before and is being started. Throws Invalid when another link has its blocks by now. */
export function refuseUsedBlocks(
  layout: Blocks & { readonly instance: string },
  links: Links = networkInterfaces(),
): void {
  const names = networkNames(layout.instance);
  const own = new Set([names.bridge, names.vxlan, hostNet(layout.instance, layout.clusterCidr).bridge]);
  const used = usedOctets(links, own);
  const octet = octetOf(layout.clusterCidr);
  const taken = [octet, octet + 1].find((x) => used.has(x));
  if (taken === undefined) return;
  throw new StatusError(
    'Invalid',
    `10.${taken}.0.0/16, which the cluster "${layout.instance}" gives its ${taken === octet ? 'pods' : 'services'}, is in use ` +
      `by the link ${used.get(taken)} of this machine: end that use (of another cluster: 'berth down --instance NAME')`,
  );
}

/** Second octet of each 10.x address → its link. A link of Berth's pods stands for its services' block too. */
function usedOctets(links: Links, own: ReadonlySet<string>): Map<number, string> {
  const used = new Map<number, string>();
  for (const [name, addresses] of Object.entries(links)) {
    if (own.has(name)) continue;
    for (const { address } of addresses ?? []) {
      if (!address.startsWith('10.')) continue;
      const octet = octetOf(address);
      used.set(octet, name);
      if (/^bt[hx]-/.test(name)) used.set(octet + 1, name);
      if (name.endsWith('-hosts')) used.set(octet + 1, name).set(octet + 2, name);
    }
  }
  return used;
}

function octetOf(address: string): number {
  return Number(address.split('.')[1]);
}
