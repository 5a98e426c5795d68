/** Services, Endpoints and EndpointSlices. Source: pkg/apis/core/validation, pkg/apis/discovery/validation. */
import { semanticEqual } from '../equality.ts';
import { duplicate, type FieldError, forbidden, invalid, required, tooMany } from '../field-error.ts';
import type { EndpointAddress, Endpoints, Service, ServicePort } from '../gen/types/core-v1.ts';
import type { EndpointSlice } from '../gen/types/discovery-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { validateIp, validateLegacyIp } from '../validation/ip.ts';
import { validateLabels, validateUnique } from '../validation/metadata.ts';
import {
  dns1123Label,
  dns1123Subdomain,
  ipAddress,
  isCidr,
  isIp,
  isIpv4,
  labelValue,
  portNumber,
  qualifiedName,
} from '../validation/names.ts';
import type { ValidationOptions } from '../validation.ts';
import { validatePort } from './probe-validation.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const AFFINITY_SECONDS_MAX = 86_400;

export function validateService(service: Service, options: ValidationOptions): FieldError[] {
  const { spec } = service;
  const errors = new Errors();
  const isHeadless = spec.clusterIP === 'None';
  const ports = spec.ports ?? [];
  if (ports.length === 0 && !isHeadless && spec.type !== 'ExternalName') errors.add(required('spec.ports'));
  errors.add(...validateType(service));
  const names = new Set<string>();
  eachItem(ports, 'spec.ports', (p, at) => errors.add(...validateServicePort(p, ports.length > 1, names, at)));
  errors.add(...validateLabels(spec.selector, 'spec.selector'));
  errors.add(...validateAffinity(service));
  errors.add(...validateAddresses(service));
  errors.requiredOneOf('spec.type', spec.type, TYPES);
  errors.add(...validatePortSets(service, options));
  errors.add(...validateTraffic(service));
  return errors.list;
}

function validateType({ spec }: Service): FieldError[] {
  const errors = new Errors();
  if ((spec.type === 'LoadBalancer' || spec.type === 'NodePort') && spec.clusterIP === 'None')
    errors.add(invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`));
  if (spec.type === 'ExternalName') {
    errors.forbid('spec.clusterIPs', (spec.clusterIPs?.length ?? 0) > 0, 'may not be set for ExternalName services');
    if (spec.externalName) errors.check('spec.externalName', spec.externalName.replace(/\.$/, ''), dns1123Subdomain);
    else errors.add(required('spec.externalName'));
  }
  return errors.list;
}

function validateServicePort(p: ServicePort, needsName: boolean, names: Set<string>, at: string): FieldError[] {
  const errors = new Errors();
  if (needsName && !p.name) errors.add(required(`${at}.name`));
  else if (p.name) {
    errors.check(`${at}.name`, p.name, dns1123Label);
    if (names.has(p.name)) errors.add(duplicate(`${at}.name`, p.name));
    names.add(p.name);
  }
  for (const m of portNumber(p.port)) errors.add(invalid(`${at}.port`, p.port, m));
  errors.requiredOneOf(`${at}.protocol`, p.protocol, PROTOCOLS);
  errors.add(...validatePort(p.targetPort ?? 0, `${at}.targetPort`));
  if (typeof p.appProtocol === 'string') errors.check(`${at}.appProtocol`, p.appProtocol, qualifiedName);
  return errors.list;
}

function validateAffinity({ spec }: Service): FieldError[] {
  const errors = new Errors();
  errors.requiredOneOf('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']);
  const path = 'spec.sessionAffinityConfig';
  if (spec.sessionAffinity === 'ClientIP') {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    if (spec.sessionAffinityConfig === undefined) errors.add(required(path, 'when session affinity type is ClientIP'));
    else if (typeof seconds !== 'number')
      errors.add(required(`${path}.clientIP.timeoutSeconds`, 'when session affinity type is ClientIP'));
    else if (seconds <= 0 || seconds > AFFINITY_SECONDS_MAX)
      errors.add(
        invalid(
          `${path}.clientIP.timeoutSeconds`,
          seconds,
          `must be greater than 0 and less than ${AFFINITY_SECONDS_MAX}`,
        ),
      );
  } else if (spec.sessionAffinity === 'None')
    errors.forbid(path, spec.sessionAffinityConfig !== undefined, 'must not be set when session affinity is None');
  return errors.list;
}

function validateAddresses({ spec }: Service): FieldError[] {
  const errors = new Errors();
  const ips = spec.clusterIPs ?? [];
  if (spec.type !== 'ExternalName') {
    if (spec.clusterIP && ips.length > 0 && ips[0] !== spec.clusterIP)
      errors.add(invalid('spec.clusterIPs', ips, 'first value must match `clusterIP`'));
    for (const [i, ip] of ips.entries())
      if (ip !== 'None' && !isIp(ip)) errors.add(invalid(`spec.clusterIPs[${i}]`, ip, IP_TEXT));
    if (ips.length === 0 && spec.clusterIP && spec.clusterIP !== 'None' && !isIp(spec.clusterIP))
      errors.add(invalid('spec.clusterIPs[0]', spec.clusterIP, IP_TEXT));
    if (ips.length > 2) errors.add(invalid('spec.clusterIPs', ips, 'may only hold up to 2 values'));
  }
  for (const [i, ip] of (spec.externalIPs ?? []).entries()) {
    errors.check(`spec.externalIPs[${i}]`, ip, ipAddress);
    if (isIp(ip)) errors.add(...specialIp(ip, `spec.externalIPs[${i}]`));
  }
  for (const [i, family] of (spec.ipFamilies ?? []).entries())
    errors.oneOf(`spec.ipFamilies[${i}]`, family, ['IPv4', 'IPv6']);
  errors.oneOf('spec.ipFamilyPolicy', spec.ipFamilyPolicy, ['PreferDualStack', 'RequireDualStack', 'SingleStack']);
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0 && spec.type !== 'LoadBalancer')
    errors.add(forbidden('spec.LoadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'"));
  for (const [i, range] of ranges.entries())
    if (!isCidr(range.trim()))
      errors.add(
        invalid(
          `spec.LoadBalancerSourceRanges[${i}]`,
          range,
          'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
        ),
      );
  return errors.list;
}

const IP_TEXT = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

/** Whether endpoints may have this address. */
export function isEndpointIp(ip: string): boolean {
  return isIp(ip) && specialIp(ip, '').length === 0;
}

/** Endpoints and external addresses cannot be unspecified, loopback or link-local. */
function specialIp(ip: string, path: string): FieldError[] {
  const lower = ip.toLowerCase();
  const errors = new Errors();
  if (lower === '0.0.0.0' || /^[0:]+$/.test(lower)) errors.add(invalid(path, ip, `may not be unspecified (${ip})`));
  if (lower.startsWith('127.') || /^[0:]+:0*1$/.test(lower))
    errors.add(invalid(path, ip, 'may not be in the loopback range (127.0.0.0/8, ::1/128)'));
  if (lower.startsWith('169.254.') || /^fe[89ab][0-9a-f]:/.test(lower))
    errors.add(invalid(path, ip, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'));
  if (/^224\.0\.0\./.test(lower) || lower.startsWith('ff02:'))
    errors.add(invalid(path, ip, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'));
  return errors.list;
}

function validatePortSets({ spec }: Service, options: ValidationOptions): FieldError[] {
  const errors = new Errors();
  const ports = spec.ports ?? [];
  if (spec.type === 'ClusterIP')
    eachItem(ports, 'spec.ports', (p, at) =>
      errors.forbid(`${at}.nodePort`, Boolean(p.nodePort), "may not be used when `type` is 'ClusterIP'"),
    );
  const nodePorts = ports.map((p) => (p.nodePort ? `${p.protocol}/${p.nodePort}` : ''));
  for (const e of validateUnique(nodePorts, (i) => `spec.ports[${i}].nodePort`))
    errors.add(duplicate(e.field, Number(String(e.value).split('/')[1])));
  const seen = new Set<string>();
  eachItem(ports, 'spec.ports', (p, at) => {
    const key = `${p.protocol}/${p.port}`;
    if (seen.has(key)) errors.add(duplicate(at, { name: '', protocol: p.protocol, port: p.port, targetPort: 0 }));
    seen.add(key);
    const range = options.nodePortRange;
    if (p.nodePort && range !== undefined && (p.nodePort < range.first || p.nodePort > range.last))
      errors.add(
        invalid(
          `${at}.nodePort`,
          p.nodePort,
          `provided port is not in the valid range. The range of valid ports is ${range.first}-${range.last}`,
        ),
      );
  });
  return errors.list;
}

function validateTraffic({ spec }: Service): FieldError[] {
  const errors = new Errors();
  const isExternal = spec.type === 'LoadBalancer' || spec.type === 'NodePort' || (spec.externalIPs?.length ?? 0) > 0;
  if (spec.externalTrafficPolicy) {
    if (!isExternal)
      errors.add(
        invalid(
          'spec.externalTrafficPolicy',
          spec.externalTrafficPolicy,
          'may only be set for externally-accessible services',
        ),
      );
    else errors.oneOf('spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local']);
  } else if (isExternal) errors.add(required('spec.externalTrafficPolicy'));
  errors.oneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']);
  if (spec.healthCheckNodePort && !(spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'))
    errors.add(
      invalid(
        'spec.healthCheckNodePort',
        spec.healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    );
  if (spec.allocateLoadBalancerNodePorts !== undefined && spec.type !== 'LoadBalancer')
    errors.add(forbidden('spec.allocateLoadBalancerNodePorts', "may only be used when `type` is 'LoadBalancer'"));
  if (spec.loadBalancerClass !== undefined && spec.type !== 'LoadBalancer')
    errors.add(forbidden('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'"));
  errors.oneOf('spec.trafficDistribution', spec.trafficDistribution, [
    'PreferClose',
    'PreferSameZone',
    'PreferSameNode',
  ]);
  return errors.list;
}

export function validateServiceUpdate(next: Service, previous: Service): FieldError[] {
  const errors = new Errors();
  const { spec } = next;
  const { spec: old } = previous;
  if (spec.type === 'ExternalName' || old.type === 'ExternalName' || !old.clusterIP) return [];
  if (spec.clusterIP !== old.clusterIP) {
    const ips = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
    errors.add(invalid('spec.clusterIPs[0]', ips, 'may not change once set'));
  }
  return errors.list;
}

export function validateEndpoints(endpoints: Endpoints): FieldError[] {
  const errors = new Errors();
  eachItem(endpoints.subsets, 'subsets', (subset, at) => {
    const addresses = subset.addresses ?? [];
    if (addresses.length + (subset.notReadyAddresses?.length ?? 0) === 0)
      errors.add(required(at, 'must specify `addresses` or `notReadyAddresses`'));
    eachItem(addresses, `${at}.addresses`, (a, where) => errors.add(...validateEndpoint(a, where)));
    eachItem(subset.notReadyAddresses, `${at}.notReadyAddresses`, (a, where) =>
      errors.add(...validateEndpoint(a, where)),
    );
    const needsName = (subset.ports?.length ?? 0) > 1;
    eachItem(subset.ports, `${at}.ports`, (p, where) => {
      if (needsName && !p.name) errors.add(required(`${where}.name`));
      else if (p.name) errors.check(`${where}.name`, p.name, dns1123Label);
      for (const m of portNumber(p.port)) errors.add(invalid(`${where}.port`, p.port, m));
      errors.requiredOneOf(`${where}.protocol`, p.protocol, PROTOCOLS);
    });
  });
  return errors.list;
}

function validateEndpoint(a: EndpointAddress, path: string): FieldError[] {
  const errors = new Errors();
  errors.check(`${path}.ip`, a.ip, ipAddress);
  if (a.hostname) errors.check(`${path}.hostname`, a.hostname, dns1123Label);
  if (a.nodeName) errors.check(`${path}.nodeName`, a.nodeName, dns1123Subdomain);
  if (isIp(a.ip)) errors.add(...specialIp(a.ip, `${path}.ip`));
  return errors.list;
}

const ENDPOINTS_MAX = 1000;
const SLICE_PORTS_MAX = 20_000;
const ADDRESSES_MAX = 100;
const HINTS_MAX = 8;

export function validateEndpointSlice(
  slice: EndpointSlice,
  _options: ValidationOptions,
  previous?: EndpointSlice,
): FieldError[] {
  const errors = new Errors();
  errors.requiredOneOf('addressType', slice.addressType, ['FQDN', 'IPv4', 'IPv6']);
  errors.add(...validateSlicePorts(slice.ports ?? [], 'ports'));
  const found = validateSliceEndpoints(slice);
  // What older rules took may stay as it is.
  if (found.length > 0 && !(previous !== undefined && semanticEqual(previous.endpoints, slice.endpoints)))
    errors.add(...found);
  return errors.list;
}

function validateSlicePorts(ports: EndpointSlice['ports'], path: string): FieldError[] {
  if (ports.length > SLICE_PORTS_MAX) return [tooMany(path, ports.length, SLICE_PORTS_MAX)];
  const errors = new Errors();
  const names = new Set<string>();
  eachItem(ports, path, (p, at) => {
    const name = p.name ?? '';
    if (name !== '') errors.check(`${at}.name`, name, dns1123Label);
    if (names.has(name)) errors.add(duplicate(`${at}.name`, name));
    names.add(name);
    errors.requiredOneOf(`${at}.protocol`, p.protocol, PROTOCOLS);
    if (typeof p.port === 'number') for (const m of portNumber(p.port)) errors.add(invalid(`${at}.port`, p.port, m));
    if (typeof p.appProtocol === 'string') errors.check(`${at}.appProtocol`, p.appProtocol, qualifiedName);
  });
  return errors.list;
}

function validateSliceEndpoints({ endpoints, addressType }: EndpointSlice): FieldError[] {
  const count = endpoints?.length ?? 0;
  if (count > ENDPOINTS_MAX) return [tooMany('endpoints', count, ENDPOINTS_MAX)];
  const errors = new Errors();
  eachItem(endpoints, 'endpoints', (e, at) => {
    const addresses = e.addresses ?? [];
    if (addresses.length === 0) errors.add(required(`${at}.addresses`, 'must contain at least 1 address'));
    else if (addresses.length > ADDRESSES_MAX) errors.add(tooMany(`${at}.addresses`, addresses.length, ADDRESSES_MAX));
    eachItem(addresses, `${at}.addresses`, (address, where) =>
      errors.add(...validateSliceAddress(addressType, address, where, `${at}.addresses`)),
    );
    if (typeof e.nodeName === 'string') errors.check(`${at}.nodeName`, e.nodeName, dns1123Subdomain);
    errors.add(...validateLabels(e.deprecatedTopology, `${at}.deprecatedTopology`));
    if (typeof e.hostname === 'string') errors.check(`${at}.hostname`, e.hostname, dns1123Label);
    for (const [list, check] of [
      ['forZones', labelValue],
      ['forNodes', dns1123Subdomain],
    ] as const)
      errors.add(...validateHints(e.hints?.[list], check, `${at}.hints.${list}`));
  });
  return errors.list;
}

function validateHints(
  hints: readonly { name: string }[] | undefined,
  check: (name: string) => string[],
  path: string,
): FieldError[] {
  const count = hints?.length ?? 0;
  if (count > HINTS_MAX) return [tooMany(path, count, HINTS_MAX)];
  const errors = new Errors();
  const names = new Set<string>();
  eachItem(hints, path, ({ name }, at) => {
    if (names.has(name)) errors.add(duplicate(`${at}.name`, name));
    names.add(name);
    errors.check(`${at}.name`, name, check);
  });
  return errors.list;
}

/** IPv6 has the canonical notation, IPv4 had looser rules once. */
function validateSliceAddress(type: string, address: string, path: string, listPath: string): FieldError[] {
  if (type === 'FQDN') return validateFullDomain(address, path);
  if (type !== 'IPv4' && type !== 'IPv6') return [];
  const errors = type === 'IPv4' ? validateLegacyIp(address, path) : validateIp(address, path);
  if (errors.length > 0) return errors;
  if (type !== (isIpv4(address) ? 'IPv4' : 'IPv6'))
    errors.push(invalid(listPath, address, `must be an ${type} address`));
  return [...errors, ...specialIp(address, path)];
}

function validateFullDomain(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)];
  const domain = name.replace(/\.$/, '');
  const wrong = dns1123Subdomain(domain);
  if (wrong.length > 0) return [invalid(path, domain, wrong.join(','))];
  if (!domain.includes('.'))
    return [invalid(path, domain, 'should be a domain with at least two segments separated by dots')];
  const label = domain.split('.').find((l) => dns1123Label(l).length > 0);
  return label === undefined ? [] : [invalid(path, label, dns1123Label(label).join(','))];
}

export function validateEndpointSliceUpdate(next: EndpointSlice, previous: EndpointSlice): FieldError[] {
  const errors = new Errors();
  errors.immutable('addressType', next.addressType, previous.addressType);
  return errors.list;
}
