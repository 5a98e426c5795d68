/**
 * The Endpoints object of a Service: the older form of its EndpointSlices, kept for clients that still read it. Pure.
 * Source: kubernetes pkg/controller/endpoint/endpoints_controller.go, pkg/api/v1/endpoints/util.go RepackSubsets.
 */
import type { DeepReadonly, Endpoints, Node, Pod, Service } from '#lib/api';
import { endpointsOf, type Located, portsKey } from '../endpointslice/endpoints.ts';
import { HEADLESS } from '../endpointslice/plan.ts';
import { isTerminating } from '../pod-state.ts';

type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];

export const ADDRESSES_MAX = 1_000;
export const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';

export interface Content {
  readonly subsets: Subset[];
  readonly labels: Record<string, string>;
  readonly isOverCapacity: boolean;
}

export function plan(
  service: DeepReadonly<Service>,
  pods: readonly DeepReadonly<Pod>[],
  nodeOf: (name: string) => DeepReadonly<Node> | undefined,
): Content {
  const listed = pods.filter((p) => service.spec.publishNotReadyAddresses === true || !isTerminating(p));
  const all = endpointsOf(service, listed, nodeOf);
  const [family] = all.map((l) => l.family);
  // One family only: the object has no room for two. Ready ones first, so that the cap drops the others.
  const sorted = all
    .filter((l) => l.family === family)
    .toSorted((a, b) => Number(isReady(b)) - Number(isReady(a)) || compare(ipOf(a), ipOf(b)));
  const groups = new Map<string, Located[]>();
  for (const l of sorted.slice(0, ADDRESSES_MAX)) {
    const key = portsKey(l.ports);
    groups.set(key, [...(groups.get(key) ?? []), l]);
  }
  const labels: Record<string, string> = {
    ...service.metadata.labels,
    'endpoints.kubernetes.io/managed-by': 'endpoint-controller',
  };
  if (service.spec.clusterIP === 'None') labels[HEADLESS] = '';
  else delete labels[HEADLESS];
  return {
    subsets: [...groups.entries()].toSorted(([a], [b]) => compare(a, b)).map(([, list]) => subsetOf(list)),
    labels,
    isOverCapacity: sorted.length > ADDRESSES_MAX,
  };
}

function subsetOf(list: readonly Located[]): Subset {
  const ready = list.filter(isReady).map(addressOf);
  const notReady = list.filter((l) => !isReady(l)).map(addressOf);
  const ports = (list[0]?.ports ?? []).map((p) => ({
    ...(p.name ? { name: p.name } : {}),
    port: p.port ?? 0,
    ...(p.protocol ? { protocol: p.protocol } : {}),
    ...(p.appProtocol ? { appProtocol: p.appProtocol } : {}),
  }));
  return {
    ...(ready.length > 0 ? { addresses: ready } : {}),
    ...(notReady.length > 0 ? { notReadyAddresses: notReady } : {}),
    ...(ports.length > 0 ? { ports } : {}),
  };
}

function addressOf({ endpoint: e }: Located): Address {
  return {
    ip: e.addresses[0] ?? '',
    ...(e.hostname ? { hostname: e.hostname } : {}),
    ...(e.nodeName ? { nodeName: e.nodeName } : {}),
    ...(e.targetRef ? { targetRef: e.targetRef } : {}),
  };
}

function isReady(l: Located): boolean {
  return l.endpoint.conditions?.ready === true;
}

function ipOf(l: Located): string {
  return l.endpoint.addresses[0] ?? '';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
