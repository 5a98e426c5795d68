/** Rows of services, endpoints, ingresses and their like. Source: kubernetes/pkg/printers/internalversion/printers.go. */
import { Kinds } from '../gen/kinds.ts';
import type { Endpoints, Service } from '../gen/types/core-v1.ts';
import type { DeepReadonly } from '../object.ts';
import {
  labelsText,
  listWithMore,
  NONE,
  orNone,
  orUnset,
  ownColumns,
  type Printer,
  printer,
  selectorText,
} from './printer.ts';

/** How many endpoints, ports or hosts a cell shows. */
const SHOWN_MAX = 3;

export const networkPrinters: readonly Printer[] = [
  printer(Kinds.services, 'service', (o, c) => [
    o.metadata.name,
    o.spec?.type ?? '',
    orNone(o.spec?.clusterIPs?.[0] ?? o.spec?.clusterIP),
    externalIp(o),
    servicePorts(o),
    c.age(o.metadata.creationTimestamp),
    labelsText(o.spec?.selector),
  ]),
  printer(Kinds.endpoints, 'endpoint', (o, c) => [
    o.metadata.name,
    endpointsText(o),
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.endpointslices, 'endpointSlice', (o, c) => [
    o.metadata.name,
    o.addressType,
    orUnset(
      listWithMore(
        (o.ports ?? []).map((p) => (p.port === undefined ? (p.name ?? '*') : `${p.port}`)),
        SHOWN_MAX,
      ),
    ),
    orUnset(
      listWithMore(
        (o.endpoints ?? []).flatMap((e) => e.addresses),
        SHOWN_MAX,
      ),
    ),
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.ingresses, 'ingress', (o, c) => {
    const hosts = (o.spec?.rules ?? []).map((r) => r.host ?? '').filter((h) => h !== '');
    return [
      o.metadata.name,
      orNone(o.spec?.ingressClassName),
      hosts.length === 0 ? '*' : listWithMore(hosts, SHOWN_MAX),
      loadBalancerText(o.status?.loadBalancer?.ingress),
      (o.spec?.tls ?? []).length > 0 ? '80, 443' : '80',
      c.age(o.metadata.creationTimestamp),
    ];
  }),
  printer(Kinds.ingressclasses, 'ingressClass', (o, c) => {
    const p = o.spec?.parameters;
    return [
      o.metadata.name,
      o.spec?.controller ?? '',
      p === undefined ? NONE : `${p.kind}${p.apiGroup === undefined ? '' : `.${p.apiGroup}`}/${p.name}`,
      c.age(o.metadata.creationTimestamp),
    ];
  }),
  printer(Kinds.networkpolicies, ownColumns('Pod-Selector', 'Age'), (o, c) => [
    o.metadata.name,
    selectorText(o.spec?.podSelector),
    c.age(o.metadata.creationTimestamp),
  ]),
  printer(Kinds.ipaddresses, 'ipAddress', (o) => {
    const p = o.spec?.parentRef;
    if (p === undefined) return [o.metadata.name, NONE];
    const path = [p.resource, p.namespace ?? '', p.name].filter((x) => x !== '').join('/');
    return [o.metadata.name, p.group === undefined || p.group === '' ? path : `${p.group}/${path}`];
  }),
  printer(Kinds.servicecidrs, 'serviceCIDR', (o, c) => [
    o.metadata.name,
    (o.spec?.cidrs ?? []).join(','),
    c.age(o.metadata.creationTimestamp),
  ]),
];

type LoadBalancerIngress = readonly { readonly ip?: string | undefined; readonly hostname?: string | undefined }[];

function loadBalancerText(ingress: LoadBalancerIngress | undefined): string {
  const all = (ingress ?? []).map((i) => i.ip || i.hostname || '').filter((x) => x !== '');
  return [...new Set(all)].sort().join(',');
}

function externalIp(service: DeepReadonly<Service>): string {
  const external = service.spec?.externalIPs ?? [];
  switch (service.spec?.type) {
    case 'ClusterIP':
    case 'NodePort':
      return orNone(external.join(','));
    case 'LoadBalancer': {
      const balanced = loadBalancerText(service.status?.loadBalancer?.ingress);
      const all = [...(balanced === '' ? [] : balanced.split(',')), ...external];
      return all.length === 0 ? '<pending>' : all.join(',');
    }
    case 'ExternalName':
      return service.spec.externalName ?? '';
    default:
      return '<unknown>';
  }
}

function servicePorts(service: DeepReadonly<Service>): string {
  const ports = service.spec?.ports ?? [];
  return orNone(ports.map((p) => `${p.port}${p.nodePort ? `:${p.nodePort}` : ''}/${p.protocol ?? 'TCP'}`).join(','));
}

function endpointsText(endpoints: DeepReadonly<Endpoints>): string {
  const list = (endpoints.subsets ?? []).flatMap((subset) => {
    const ips = (subset.addresses ?? []).map((a) => a.ip);
    const ports = subset.ports ?? [];
    if (ports.length === 0) return ips;
    return ports.flatMap((p) => ips.map((ip) => `${ip.includes(':') ? `[${ip}]` : ip}:${p.port}`));
  });
  return orNone(listWithMore(list, SHOWN_MAX));
}
