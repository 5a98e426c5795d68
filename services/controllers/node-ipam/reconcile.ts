/**
 * Gives every node its share of the cluster's addresses. One worker, which remembers what it has given: the informer may be
 * behind, and no two nodes may ever hold the same share. Source: kubernetes pkg/controller/nodeipam (range allocator).
 */
import type { DeepReadonly, Node } from '#lib/api';
import { Kinds } from '#lib/api';
import { isKind } from '#lib/base';
import type { Controller } from '#lib/controller';
import { DONE, objectsOf, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { nextShare, sharesOf } from './plan.ts';

const DEFAULT_CLUSTER_CIDR = '10.42.0.0/16';
const DEFAULT_NODE_PREFIX = 24;
const RETRY_MS = 10_000;

export function startNodeIpamController(deps: Deps): Controller {
  const nodes = deps.informers.informer(Kinds.nodes);
  const events = deps.recorder('cidrAllocator');
  const shares = sharesOf(
    deps.config.clusterCidr ?? DEFAULT_CLUSTER_CIDR,
    deps.config.nodeCidrMaskSize ?? DEFAULT_NODE_PREFIX,
  );
  /** uid -> CIDR, for nodes that the informer may still show without one. */
  const given = new Map<string, string>();
  return startController({
    ...deps,
    name: 'node-ipam',
    workers: 1,
    sources: [objectsOf(nodes)],
    reconciler: {
      async reconcile(name, c) {
        const all = nodes.list();
        const uids = new Set(all.map((n) => n.metadata.uid ?? ''));
        for (const uid of given.keys()) if (!uids.has(uid)) given.delete(uid);
        const node = nodes.get({ namespace: '', name });
        if (!node || cidrsOf(node).length > 0) return DONE;
        const uid = node.metadata.uid ?? '';
        const cidr = given.get(uid) ?? nextShare(shares, [...all.flatMap(cidrsOf), ...given.values()]);
        if (cidr === undefined) {
          events.event(node, 'Warning', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`);
          return { afterMs: RETRY_MS };
        }
        given.set(uid, cidr);
        try {
          const spec = { ...node.spec, podCIDR: cidr, podCIDRs: [cidr] };
          await deps.client.update<Node>(Kinds.nodes, { ...node, spec }, c);
        } catch (e) {
          if (!isKind(e, 'NotFound')) throw e;
        }
        return DONE;
      },
    },
  });
}

function cidrsOf(node: DeepReadonly<Node>): readonly string[] {
  if (node.spec?.podCIDRs && node.spec.podCIDRs.length > 0) return node.spec.podCIDRs;
  return node.spec?.podCIDR ? [node.spec.podCIDR] : [];
}
