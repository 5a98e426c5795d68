/** Host ports of the pods on this node, from the ledger of addresses: pure. */

import { isIpv4 } from '../addresses.ts';
import type { Ledger } from '../ipam.ts';
import { isAnyAddress } from '../ipam.ts';
import type { L4Protocol } from './table.ts';
import { protocolOf } from './table.ts';

export interface HostPortRule {
  /** undefined = every address of the node. */
  readonly hostIp: string | undefined;
  readonly hostPort: number;
  readonly protocol: L4Protocol;
  readonly podIp: string;
  readonly containerPort: number;
}

export function hostPortRules(ledger: Ledger): readonly HostPortRule[] {
  const out: HostPortRule[] = [];
  for (const holding of ledger.held.values())
    for (const port of holding.hostPorts) {
      const protocol = protocolOf(port.protocol);
      const isPlain = isAnyAddress(port.hostIp) || isIpv4(port.hostIp);
      if (protocol === undefined || !isPlain) continue;
      out.push({
        hostIp: isAnyAddress(port.hostIp) ? undefined : port.hostIp,
        hostPort: port.hostPort,
        protocol,
        podIp: holding.ip,
        containerPort: port.containerPort,
      });
    }
  return out.sort((a, b) => a.hostPort - b.hostPort || (a.podIp < b.podIp ? -1 : 1));
}
