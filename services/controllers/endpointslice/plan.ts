/**
 * The EndpointSlices of one Service, changed as little as possible. Pure.
 *
 * Invariants: an endpoint is in exactly one slice; a slice has one family, one set of ports and at most 100 endpoints; a
 * Service with a selector has at least one slice of each of its families, if need be an empty one.
 * Source: kubernetes staging/src/k8s.io/endpointslice/reconciler.go.
 */
import type { DeepReadonly, EndpointSlice, Node, Pod, Service } from '#lib/api';
import { type Endpoint, endpointsOf, type Family, familiesOf, type Port, portsKey } from './endpoints.ts';

export const ENDPOINTS_MAX = 100;
export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
export const HEADLESS = 'service.kubernetes.io/headless';

type Slice = DeepReadonly<EndpointSlice>;

export interface Observed {
  readonly service: DeepReadonly<Service>;
  readonly pods: readonly DeepReadonly<Pod>[];
  /** Those that this controller manages for the Service. */
  readonly slices: readonly Slice[];
  nodeOf(name: string): DeepReadonly<Node> | undefined;
}

export interface SliceContent {
  readonly addressType: Family;
  readonly ports: readonly Port[];
  readonly endpoints: readonly Endpoint[];
  readonly labels: Readonly<Record<string, string>>;
}

export type Action =
  | { readonly type: 'update'; readonly slice: Slice; readonly content: SliceContent }
  | { readonly type: 'create'; readonly content: SliceContent }
  | { readonly type: 'delete'; readonly slice: Slice };

/** Updates first: what takes an endpoint away must not wait behind anything. */
export function plan(seen: Observed): readonly Action[] {
  const labels = labelsOf(seen.service);
  const groups = new Map<string, { family: Family; ports: readonly Port[]; endpoints: Endpoint[] }>();
  for (const { endpoint, ports, family } of endpointsOf(seen.service, seen.pods, seen.nodeOf)) {
    const key = `${family} ${portsKey(ports)}`;
    const group = groups.get(key) ?? { family, ports, endpoints: [] };
    group.endpoints.push(endpoint);
    groups.set(key, group);
  }
  for (const family of familiesOf(seen.service))
    if (![...groups.values()].some((g) => g.family === family))
      groups.set(`${family} `, { family, ports: [], endpoints: [] });
  // One that is going cannot be kept, and one of a former Service of this name goes with that.
  const slices = seen.slices.filter((s) => s.metadata.deletionTimestamp === undefined);
  const taken = new Set<Slice>();
  const actions: Action[] = [];
  for (const [key, group] of groups) {
    const existing = slices.filter(
      (s) => isOwned(s, seen.service) && `${s.addressType} ${portsKey(s.ports ?? [])}` === key,
    );
    for (const s of existing) taken.add(s);
    actions.push(...planGroup(existing, group.endpoints, { addressType: group.family, ports: group.ports, labels }));
  }
  for (const slice of slices) if (!taken.has(slice)) actions.push({ type: 'delete', slice });
  const order = { update: 0, create: 1, delete: 2 };
  return actions.toSorted((a, b) => order[a.type] - order[b.type]);
}

function planGroup(
  existing: readonly Slice[],
  wanted: readonly Endpoint[],
  base: Omit<SliceContent, 'endpoints'>,
): Action[] {
  const left = new Map(wanted.map((e) => [identity(e), e]));
  const kept = existing.map((slice) => {
    const endpoints: Endpoint[] = [];
    for (const e of slice.endpoints ?? []) {
      const next = left.get(identity(e));
      if (next && endpoints.length < ENDPOINTS_MAX) {
        endpoints.push(next);
        left.delete(identity(e));
      }
    }
    return { slice, endpoints };
  });
  const fresh = [...left.values()];
  // The fullest first, so that few slices change and few are half empty.
  for (const k of kept.toSorted((a, b) => b.endpoints.length - a.endpoints.length))
    if (fresh.length > 0) k.endpoints.push(...fresh.splice(0, ENDPOINTS_MAX - k.endpoints.length));
  const actions: Action[] = [];
  let count = kept.length;
  while (fresh.length > 0) {
    const endpoints = fresh.splice(0, ENDPOINTS_MAX);
    actions.push({ type: 'create', content: { ...base, endpoints } });
    count++;
  }
  if (count === 0) actions.push({ type: 'create', content: { ...base, endpoints: [] } });
  for (const { slice, endpoints } of kept) {
    if (endpoints.length === 0 && count > 1) {
      actions.push({ type: 'delete', slice });
      count--;
    } else if (hasChanged(slice, endpoints, base.labels))
      actions.push({ type: 'update', slice, content: { ...base, endpoints } });
  }
  return actions;
}

function isOwned(slice: Slice, service: DeepReadonly<Service>): boolean {
  return (slice.metadata.ownerReferences ?? []).some((o) => o.kind === 'Service' && o.uid === service.metadata.uid);
}

function hasChanged(slice: Slice, endpoints: readonly Endpoint[], labels: Readonly<Record<string, string>>): boolean {
  const before = slice.endpoints ?? [];
  if (before.length !== endpoints.length) return true;
  if (endpoints.some((e, i) => contentOf(e) !== contentOf(before[i]))) return true;
  const noted = slice.metadata.labels ?? {};
  return [...new Set([...Object.keys(noted), ...Object.keys(labels)])].some((k) => noted[k] !== labels[k]);
}

/** The same pod at the same address is the same endpoint. */
function identity(e: DeepReadonly<Endpoint>): string {
  return `${e.targetRef?.uid ?? ''} ${e.addresses.join(',')}`;
}

function contentOf(e: DeepReadonly<Endpoint> | undefined): string {
  if (!e) return '';
  const c = e.conditions;
  return [identity(e), c?.ready, c?.serving, c?.terminating, e.hostname ?? '', e.nodeName ?? '', e.zone ?? ''].join(
    ' ',
  );
}

function labelsOf(service: DeepReadonly<Service>): Record<string, string> {
  const labels: Record<string, string> = { ...service.metadata.labels };
  delete labels[HEADLESS];
  if (service.spec.clusterIP === 'None') labels[HEADLESS] = '';
  return { ...labels, [SERVICE_NAME]: service.metadata.name, [MANAGED_BY]: MANAGER };
}
