/** Host ports: protocol and port must be free on the address, or on all of them. Source: kubernetes plugins/nodeports. */
import type { FilterPlugin } from '../framework.ts';
import { FITS } from '../framework.ts';
import type { HostPort } from '../pod-info.ts';

const REASON = ["node(s) didn't have free ports for the requested pod ports"];
const ANY: ReadonlySet<string> = new Set(['0.0.0.0', '::', '']);

export const ports: FilterPlugin = {
  name: 'NodePorts',
  wakesOn: new Set(['node-added', 'pod-removed']),
  prepare(p) {
    if (p.hostPorts.length === 0) return undefined;
    return (n) => (p.hostPorts.some((a) => n.hostPorts.some((b) => clash(a, b))) ? REASON : FITS);
  },
};

function clash(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || ANY.has(a.ip) || ANY.has(b.ip));
}
