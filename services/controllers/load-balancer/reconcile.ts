/**
 * Services of type LoadBalancer are reachable on every ready node's own address (the nodes' packet rules do the rest): that is
 * what their status says. A Service that names a loadBalancerClass belongs to somebody else.
 */
import type { DeepReadonly, Node, Service } from '#lib/api';
import { isConditionTrue, Kinds, keyOf, keyText } from '#lib/api';
import type { Controller } from '#lib/controller';
import { changesOf, DONE, isEqualJson, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';

const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

export function startLoadBalancerController(deps: Deps): Controller {
  const services = deps.informers.informer(Kinds.services);
  const nodes = deps.informers.informer(Kinds.nodes);
  return startController({
    ...deps,
    name: 'load-balancer',
    workers: 2,
    sources: [
      objectsOf(services),
      changesOf(nodes, (previous, next) =>
        isEqualJson(previous && addressesOf(previous), next && addressesOf(next))
          ? []
          : services
              .list()
              .filter(isBalanced)
              .map((s) => keyText(keyOf(s))),
      ),
    ],
    reconciler: {
      async reconcile(key, c) {
        const service = services.get(parseKeyText(key));
        if (!service || service.metadata.deletionTimestamp !== undefined || service.spec.loadBalancerClass) return DONE;
        const ips = isBalanced(service) ? nodes.list().flatMap(addressesOf).toSorted() : [];
        const ingress = ips.map((ip) => ({ ip, ipMode: 'VIP' }));
        if (isEqualJson(service.status?.loadBalancer?.ingress ?? [], ingress)) return DONE;
        const status = { ...service.status, loadBalancer: ingress.length === 0 ? {} : { ingress } };
        await deps.client.update<Service>(Kinds.services, { ...service, status }, c, { subresource: 'status' });
        return DONE;
      },
    },
  });
}

function isBalanced(service: DeepReadonly<Service>): boolean {
  return service.spec.type === 'LoadBalancer' && !service.spec.loadBalancerClass;
}

/** The addresses where a ready node takes traffic. */
function addressesOf(node: DeepReadonly<Node>): readonly string[] {
  if (!isConditionTrue(node.status?.conditions, 'Ready') || node.metadata.labels?.[EXCLUDED] !== undefined) return [];
  const all = node.status?.addresses ?? [];
  const external = all.filter((a) => a.type === 'ExternalIP');
  return (external.length > 0 ? external : all.filter((a) => a.type === 'InternalIP')).map((a) => a.address);
}
