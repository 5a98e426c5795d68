/**
 * Whose a local volume is. A node may label itself with any host name, so where two claim one it is that of the node so named, or of
 * neither. Pure.
 */
import { type DeepReadonly, type Node, nodeHost } from '#lib/api';

export function isHostOfVolumes(
  nodeName: string,
  host: string | undefined,
  nodes: readonly DeepReadonly<Node>[],
): boolean {
  const own = nodes.find((x) => x.metadata.name === nodeName);
  if (own === undefined || nodeHost(own) !== host) return false;
  if (nodeName === host) return true;
  return nodes.every((x) => x === own || (x.metadata.name !== host && nodeHost(x) !== host));
}
