/** networking.k8s.io. Source: pkg/apis/networking/validation/validation.go. */
import { type FieldError, forbidden, invalid, required, tooLong } from '../field-error.ts';
import type { TypedLocalObjectReference } from '../gen/types/core-v1.ts';
import type {
  Ingress,
  IngressBackend,
  IngressClass,
  IngressClassParametersReference,
  IngressRule,
  IPAddress,
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  ServiceCIDR,
} from '../gen/types/networking-v1.ts';
import { Errors, eachItem, IMMUTABLE, isGiven } from '../validation/field-path.ts';
import {
  isStrictSubnet,
  parseCidr,
  parseIp,
  validateCidr,
  validateIp,
  validateLegacyCidr,
  validateLegacyIp,
} from '../validation/ip.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import {
  dns1123Label,
  dns1123Subdomain,
  pathSegmentName,
  portName,
  portNumber,
  validateDomainPrefixedPath,
  wildcardDns1123Subdomain,
} from '../validation/names.ts';
import type { ValidationOptions } from '../validation.ts';

// --- ingresses ---

const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const PATH_SEQUENCES = ['//', '/./', '/../', '%2f', '%2F'];
const PATH_SUFFIXES = ['/..', '/.'];

export function validateIngress({ spec }: Ingress, _options: ValidationOptions, previous?: Ingress): FieldError[] {
  const errors = new Errors();
  const { rules = [], defaultBackend, ingressClassName } = spec ?? {};
  if (rules.length === 0 && defaultBackend === undefined)
    errors.add(invalid('spec', spec?.rules, 'either `defaultBackend` or `rules` must be specified'));
  if (defaultBackend !== undefined) errors.add(...validateBackend(defaultBackend, 'spec.defaultBackend'));
  const hadBadWildcard = (previous?.spec?.rules ?? []).some(
    (r) => r.host?.includes('*') && validatePaths(r, '').length > 0,
  );
  eachItem(rules, 'spec.rules', (rule, at) => {
    errors.add(...validateHost(rule.host ?? '', `${at}.host`));
    if (!(rule.host?.includes('*') && hadBadWildcard)) errors.add(...validatePaths(rule, at));
  });
  const hadBadSecret = (previous?.spec?.tls ?? []).some(
    (t) => t.secretName && dns1123Subdomain(t.secretName).length > 0,
  );
  eachItem(spec?.tls, 'spec.tls', (tls, at) => {
    eachItem(tls.hosts, `${at}.hosts`, (host, where) =>
      errors.check(where, host, host.includes('*') ? wildcardDns1123Subdomain : dns1123Subdomain),
    );
    if (tls.secretName && !hadBadSecret) errors.check(`${at}.secretName`, tls.secretName, dns1123Subdomain);
  });
  if (ingressClassName !== undefined) errors.check('spec.ingressClassName', ingressClassName, dns1123Subdomain);
  return errors.list;
}

export function validateNewIngress({ metadata, spec }: Ingress): FieldError[] {
  const named = metadata.annotations?.[CLASS_ANNOTATION];
  const name = spec?.ingressClassName;
  if (named === undefined || name === undefined || named === name) return [];
  return [invalid(`annotations.${CLASS_ANNOTATION}`, named, 'must match `ingressClassName` when both are specified')];
}

export function validateIngressStatus(next: Ingress, previous: Ingress): FieldError[] {
  const errors = new Errors();
  const known = (previous.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip ? [ip] : []));
  eachItem(next.status?.loadBalancer?.ingress, 'status.loadBalancer.ingress', ({ ip, hostname }, at) => {
    if (ip) errors.add(...validateLegacyIp(ip, `${at}.ip`, known));
    if (!hostname) return;
    errors.check(`${at}.hostname`, hostname, dns1123Subdomain);
    if (parseIp(hostname) !== undefined)
      errors.add(invalid(`${at}.hostname`, hostname, 'must be a DNS name, not an IP address'));
  });
  return errors.list;
}

function validateHost(host: string, path: string): FieldError[] {
  if (host === '') return [];
  const errors = new Errors();
  if (parseIp(host) !== undefined) errors.add(invalid(path, host, 'must be a DNS name, not an IP address'));
  errors.check(path, host, host.includes('*') ? wildcardDns1123Subdomain : dns1123Subdomain);
  return errors.list;
}

function validatePaths({ http }: IngressRule, path: string): FieldError[] {
  if (http === undefined) return [];
  const errors = new Errors();
  if ((http.paths?.length ?? 0) === 0) errors.add(required(`${path}.http.paths`));
  eachItem(http.paths, `${path}.http.paths`, (p, at) => {
    if (!isGiven(p.pathType)) {
      errors.add(required(`${at}.pathType`, 'pathType must be specified'));
      return;
    }
    const text = p.path ?? '';
    const isExact = p.pathType === 'Exact' || p.pathType === 'Prefix';
    errors.oneOf(`${at}.pathType`, p.pathType, ['Exact', 'ImplementationSpecific', 'Prefix']);
    if (!text.startsWith('/') && (isExact || (p.pathType === 'ImplementationSpecific' && text !== '')))
      errors.add(invalid(`${at}.path`, text, 'must be an absolute path'));
    if (isExact) {
      for (const s of PATH_SEQUENCES)
        if (text.includes(s)) errors.add(invalid(`${at}.path`, text, `must not contain '${s}'`));
      for (const s of PATH_SUFFIXES)
        if (text.endsWith(s)) errors.add(invalid(`${at}.path`, text, `cannot end with '${s}'`));
    }
    errors.add(...validateBackend(p.backend, `${at}.backend`));
  });
  return errors.list;
}

function validateBackend({ service, resource }: IngressBackend, path: string): FieldError[] {
  if (service !== undefined && resource !== undefined)
    return [invalid(path, '', 'cannot set both resource and service backends')];
  if (resource !== undefined) return validateTypedReference(resource, `${path}.resource`);
  if (service === undefined) return [invalid(path, '', 'resource or service backend is required')];
  const errors = new Errors();
  errors.checkRequired(`${path}.service.name`, service.name, dns1123Label);
  const { name, number } = service.port ?? {};
  if (name && number) errors.add(invalid(path, '', 'cannot set both port name & port number'));
  else if (name) errors.check(`${path}.service.port.name`, name, portName);
  else if (number) for (const m of portNumber(number)) errors.add(invalid(`${path}.service.port.number`, number, m));
  else errors.add(required(path, 'port name or number is required'));
  return errors.list;
}

function validateTypedReference(
  ref: Pick<TypedLocalObjectReference, 'apiGroup' | 'kind' | 'name'>,
  path: string,
): FieldError[] {
  const errors = new Errors();
  if (isGiven(ref.apiGroup)) errors.check(`${path}.apiGroup`, ref.apiGroup, dns1123Subdomain);
  errors.checkRequired(`${path}.kind`, ref.kind, pathSegmentName);
  errors.checkRequired(`${path}.name`, ref.name, pathSegmentName);
  return errors.list;
}

// --- ingress classes ---

const CONTROLLER_BYTES_MAX = 250;

export function validateIngressClass({ spec }: IngressClass): FieldError[] {
  const errors = new Errors();
  const controller = spec?.controller ?? '';
  if (Buffer.byteLength(controller) > CONTROLLER_BYTES_MAX)
    errors.add(tooLong('spec.controller', CONTROLLER_BYTES_MAX));
  errors.add(...validateDomainPrefixedPath(controller, 'spec.controller'));
  if (spec?.parameters !== undefined) errors.add(...validateParameters(spec.parameters, 'spec.parameters'));
  return errors.list;
}

function validateParameters(p: IngressClassParametersReference, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateTypedReference(p, path));
  if (!isGiven(p.scope)) return [...errors.list, required(`${path}.scope`)];
  errors.oneOf(`${path}.scope`, p.scope, ['Cluster', 'Namespace']);
  const at = `${path}.namespace`;
  if (p.scope === 'Namespace') {
    if (p.namespace === undefined) errors.add(required(at, "`parameters.scope` is set to 'Namespace'"));
    else errors.check(at, p.namespace, dns1123Label);
  }
  errors.forbid(at, p.scope === 'Cluster' && p.namespace !== undefined, "`parameters.scope` is set to 'Cluster'");
  return errors.list;
}

export function validateIngressClassUpdate(next: IngressClass, previous: IngressClass): FieldError[] {
  const errors = new Errors();
  errors.immutable('spec.controller', next.spec?.controller, previous.spec?.controller);
  return errors.list;
}

// --- network policies ---

export function validateNetworkPolicy(
  { spec }: NetworkPolicy,
  _options: ValidationOptions,
  previous?: NetworkPolicy,
): FieldError[] {
  const errors = new Errors();
  const known = previous === undefined ? [] : cidrsOf(previous);
  errors.add(...validateLabelSelector(spec.podSelector, 'spec.podSelector'));
  eachItem(spec.ingress, 'spec.ingress', (rule, at) => {
    eachItem(rule.ports, `${at}.ports`, (p, where) => errors.add(...validatePolicyPort(p, where)));
    eachItem(rule.from, `${at}.from`, (p, where) => errors.add(...validatePeer(p, known, where)));
  });
  eachItem(spec.egress, 'spec.egress', (rule, at) => {
    eachItem(rule.ports, `${at}.ports`, (p, where) => errors.add(...validatePolicyPort(p, where)));
    eachItem(rule.to, `${at}.to`, (p, where) => errors.add(...validatePeer(p, known, where)));
  });
  const types = spec.policyTypes ?? [];
  if (types.length > 2)
    return [...errors.list, invalid('spec.policyTypes', types, 'may not specify more than two policyTypes')];
  eachItem(types, 'spec.policyTypes', (type, at) => errors.oneOf(at, type, ['Ingress', 'Egress']));
  return errors.list;
}

function cidrsOf({ spec }: NetworkPolicy): string[] {
  const peers = [
    ...(spec.ingress ?? []).flatMap((r) => r.from ?? []),
    ...(spec.egress ?? []).flatMap((r) => r.to ?? []),
  ];
  return peers.flatMap(({ ipBlock }) => (ipBlock === undefined ? [] : [ipBlock.cidr, ...(ipBlock.except ?? [])]));
}

function validatePolicyPort({ protocol, port, endPort }: NetworkPolicyPort, path: string): FieldError[] {
  const errors = new Errors();
  errors.oneOf(`${path}.protocol`, protocol, ['TCP', 'UDP', 'SCTP']);
  const at = `${path}.endPort`;
  if (typeof port === 'number') {
    for (const m of portNumber(port)) errors.add(invalid(`${path}.port`, port, m));
    if (endPort === undefined) return errors.list;
    if (endPort < port) errors.add(invalid(at, port, 'must be greater than or equal to `port`'));
    for (const m of portNumber(endPort)) errors.add(invalid(at, endPort, m));
    return errors.list;
  }
  const isNamed = typeof port === 'string';
  if (endPort !== undefined)
    errors.add(
      invalid(at, endPort, `may not be specified when \`port\` is ${isNamed ? 'non-numeric' : 'not specified'}`),
    );
  if (isNamed) errors.check(`${path}.port`, port, portName);
  return errors.list;
}

function validatePeer(peer: NetworkPolicyPeer, known: readonly string[], path: string): FieldError[] {
  const errors = new Errors();
  const { podSelector, namespaceSelector, ipBlock } = peer;
  errors.add(...validateLabelSelector(podSelector, `${path}.podSelector`));
  errors.add(...validateLabelSelector(namespaceSelector, `${path}.namespaceSelector`));
  if (ipBlock !== undefined) errors.add(...validateIpBlock(ipBlock, known, `${path}.ipBlock`));
  const hasSelector = podSelector !== undefined || namespaceSelector !== undefined;
  if (!hasSelector && ipBlock === undefined) errors.add(required(path, 'must specify a peer'));
  if (hasSelector && ipBlock !== undefined)
    errors.add(forbidden(path, 'may not specify both ipBlock and another peer'));
  return errors.list;
}

function validateIpBlock({ cidr, except }: IPBlock, known: readonly string[], path: string): FieldError[] {
  if (!cidr) return [required(`${path}.cidr`)];
  const errors = new Errors();
  errors.add(...validateLegacyCidr(cidr, `${path}.cidr`, known));
  const outer = parseCidr(cidr);
  if (outer === undefined) return errors.list;
  eachItem(except, `${path}.except`, (text, at) => {
    errors.add(...validateLegacyCidr(text, at, known));
    const inner = parseCidr(text);
    if (inner !== undefined && !isStrictSubnet(inner, outer))
      errors.add(invalid(at, text, 'must be a strict subset of `cidr`'));
  });
  return errors.list;
}

// --- addresses and ranges of services ---

/** The name of an IPAddress is the address. */
export function ipAddressName(name: string): string[] {
  return validateIp(name, '').map((e) => e.detail);
}

export function validateIpAddress({ spec }: IPAddress): FieldError[] {
  const path = 'spec.parentRef';
  const ref = spec?.parentRef;
  if (ref === undefined) return [required(path)];
  const errors = new Errors();
  if (ref.group) errors.check(`${path}.group`, ref.group, dns1123Subdomain);
  errors.checkRequired(`${path}.resource`, ref.resource, pathSegmentName);
  errors.checkRequired(`${path}.name`, ref.name, pathSegmentName);
  if (ref.namespace) errors.check(`${path}.namespace`, ref.namespace, pathSegmentName);
  return errors.list;
}

export function validateIpAddressUpdate(next: IPAddress, previous: IPAddress): FieldError[] {
  const errors = new Errors();
  errors.immutable('spec.parentRef', next.spec?.parentRef, previous.spec?.parentRef);
  return errors.list;
}

/** On updates, only ranges that were not there before. */
export function validateServiceCidr(
  { spec }: ServiceCIDR,
  _options: ValidationOptions,
  previous?: ServiceCIDR,
): FieldError[] {
  const path = 'spec.cidrs';
  const cidrs = spec?.cidrs ?? [];
  if (previous !== undefined && (previous.spec?.cidrs ?? []).length === cidrs.length) return [];
  if (cidrs.length === 0) return [required(path, 'at least one CIDR required')];
  if (cidrs.length > 2) return [invalid(path, spec, 'may only hold up to 2 values')];
  const errors = new Errors();
  eachItem(cidrs, path, (cidr, at) => errors.add(...validateCidr(cidr, at)));
  const [first, second] = cidrs.map((c) => parseCidr(c)?.address.family);
  if (cidrs.length === 2 && first !== undefined && first === second)
    errors.add(
      invalid(path, cidrs, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64'),
    );
  return errors.list;
}

/** Ranges stay; a second one may come. */
export function validateServiceCidrUpdate(next: ServiceCIDR, previous: ServiceCIDR): FieldError[] {
  const path = 'spec.cidrs';
  const cidrs = next.spec?.cidrs ?? [];
  const old = previous.spec?.cidrs ?? [];
  if (cidrs.length !== old.length && !(old.length === 1 && cidrs.length === 2))
    return [invalid(path, cidrs, IMMUTABLE)];
  return old.flatMap((cidr, i) => (cidr === cidrs[i] ? [] : [invalid(`${path}[${i}]`, cidrs[i], IMMUTABLE)]));
}
