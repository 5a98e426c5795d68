import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';
import { formatCidr, formatIp, parseCidr, parseIp } from '../validation/ip.ts';

const metadata = { name: 'x' };
const service = { name: 's', port: { number: 80 } };
const path = { path: '/', pathType: 'Prefix', backend: { service } };
const ingress = (spec: object): object => ({ metadata, spec });
const ingressErrors = (spec: object): string[] => createErrors(Kinds.ingresses, ingress(spec));
const pathErrors = (p: object): string[] => ingressErrors({ rules: [{ http: { paths: [{ ...path, ...p }] } }] });
const at = 'spec.rules[0].http.paths[0]';

describe('ingresses', () => {
  test('rules, hosts, paths', () => {
    expect(pathErrors({})).toEqual([]);
    expect(ingressErrors({})).toEqual([
      'spec: Invalid value: null: either `defaultBackend` or `rules` must be specified',
    ]);
    const rules = [{ host: '10.0.0.1' }, { host: '*.a.b' }, { host: 'a.*' }, { http: { paths: [] } }];
    const found = ingressErrors({ rules });
    expect(found[0]).toBe('spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address');
    expect(found[1]).toMatch(/^spec\.rules\[2\]\.host: Invalid value: "a\.\*": a wildcard DNS-1123 subdomain/);
    expect(found.slice(2)).toEqual(['spec.rules[3].http.paths: Required value']);
    expect(pathErrors({ path: 'a//b/..' })).toEqual([
      `${at}.path: Invalid value: "a//b/..": must be an absolute path`,
      `${at}.path: Invalid value: "a//b/..": must not contain '//'`,
      `${at}.path: Invalid value: "a//b/..": cannot end with '/..'`,
    ]);
    expect(pathErrors({ pathType: 'ImplementationSpecific', path: '' })).toEqual([]);
    expect(pathErrors({ pathType: 'X' })).toEqual([
      `${at}.pathType: Unsupported value: "X": supported values: "Exact", "ImplementationSpecific", "Prefix"`,
    ]);
    expect(pathErrors({ pathType: undefined })).toEqual([`${at}.pathType: Required value: pathType must be specified`]);
  });

  test('backends', () => {
    const resource = { kind: 'K', name: 'a%b' };
    expect(pathErrors({ backend: {} })).toEqual([
      `${at}.backend: Invalid value: "": resource or service backend is required`,
    ]);
    expect(pathErrors({ backend: { service, resource } })).toEqual([
      `${at}.backend: Invalid value: "": cannot set both resource and service backends`,
    ]);
    expect(pathErrors({ backend: { resource } })).toEqual([
      `${at}.backend.resource.name: Invalid value: "a%b": may not contain '%'`,
    ]);
    expect(pathErrors({ backend: { service: { name: '1a', port: { name: 'x', number: 1 } } } })).toEqual([
      `${at}.backend: Invalid value: "": cannot set both port name & port number`,
    ]);
    expect(ingressErrors({ defaultBackend: { service: { name: '', port: {} } } })).toEqual([
      'spec.defaultBackend.service.name: Required value',
      'spec.defaultBackend: Required value: port name or number is required',
    ]);
  });

  test('tls, class, status', () => {
    const defaultBackend = { service };
    const tls = [{ hosts: ['A'], secretName: 'B' }];
    expect(ingressErrors({ defaultBackend, tls, ingressClassName: 'C' }).map((e) => e.split(':')[0])).toEqual([
      'spec.tls[0].hosts[0]',
      'spec.tls[0].secretName',
      'spec.ingressClassName',
    ]);
    const annotated = { ...metadata, annotations: { 'kubernetes.io/ingress.class': 'a' } };
    expect(
      createErrors(Kinds.ingresses, { metadata: annotated, spec: { defaultBackend, ingressClassName: 'b' } }),
    ).toEqual([
      'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified',
    ]);
    const old = created(Kinds.ingresses, ingress({ defaultBackend }));
    const status = { loadBalancer: { ingress: [{ ip: '1.2.3.04' }, { hostname: '1.2.3.4' }] } };
    expect(updateErrors(Kinds.ingresses, old, (i) => Object.assign(i, { status }), 'status')).toEqual([
      'status.loadBalancer.ingress[0].ip: Invalid value: "1.2.3.04": must not have leading 0s',
      'status.loadBalancer.ingress[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
    ]);
  });
});

test('ingress classes', () => {
  const errors = (spec: object): string[] => createErrors(Kinds.ingressclasses, { metadata, spec });
  const controller = 'a.io/b';
  expect(
    created(Kinds.ingressclasses, { metadata, spec: { controller, parameters: { kind: 'K', name: 'n' } } }).spec,
  ).toMatchObject({ parameters: { scope: 'Cluster' } });
  expect(errors({})).toEqual(['spec.controller: Required value']);
  expect(errors({ controller: 'a' })).toEqual([
    'spec.controller: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")',
  ]);
  expect(errors({ controller, parameters: { kind: 'K', name: 'n', scope: 'Namespace' } })).toEqual([
    "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
  ]);
  expect(errors({ controller, parameters: { kind: 'K', name: 'n', namespace: 'a' } })).toEqual([
    "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
  ]);
  const old = created(Kinds.ingressclasses, { metadata, spec: { controller } });
  expect(updateErrors(Kinds.ingressclasses, old, (c) => Object.assign(c.spec, { controller: 'a.io/c' }))).toEqual([
    'spec.controller: Invalid value: "a.io/c": field is immutable',
  ]);
});

test('network policies', () => {
  const errors = (spec: object): string[] =>
    createErrors(Kinds.networkpolicies, { metadata, spec: { podSelector: {}, ...spec } });
  expect(errors({ ingress: [{}], egress: [{ to: [{ podSelector: {}, namespaceSelector: {} }] }] })).toEqual([]);
  const ports = [
    { protocol: 'X' },
    { port: 9, endPort: 8 },
    { port: 'web', endPort: 8 },
    { endPort: 8 },
    { port: 0 },
    { port: 'UPPER' },
  ];
  expect(errors({ ingress: [{ ports }] })).toEqual([
    'spec.ingress[0].ports[0].protocol: Unsupported value: "X": supported values: "TCP", "UDP", "SCTP"',
    'spec.ingress[0].ports[1].endPort: Invalid value: 9: must be greater than or equal to `port`',
    'spec.ingress[0].ports[2].endPort: Invalid value: 8: may not be specified when `port` is non-numeric',
    'spec.ingress[0].ports[3].endPort: Invalid value: 8: may not be specified when `port` is not specified',
    'spec.ingress[0].ports[4].port: Invalid value: 0: must be between 1 and 65535, inclusive',
    'spec.ingress[0].ports[5].port: Invalid value: "UPPER": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    'spec.ingress[0].ports[5].port: Invalid value: "UPPER": must contain at least one letter (a-z)',
  ]);
  const to = [
    {},
    { podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } },
    { ipBlock: { cidr: '10.0.0.1/8' } },
    { ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8', '10.1.0.0/16', '11.0.0.0/16', 'x'] } },
    { ipBlock: { cidr: '' } },
  ];
  expect(errors({ egress: [{ to }], policyTypes: ['Egress', 'Z'] })).toEqual(
    [
      'spec.egress[0].to[0]: Required value: must specify a peer',
      'spec.egress[0].to[1]: Forbidden: may not specify both ipBlock and another peer',
      'spec.egress[0].to[2].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
      'spec.egress[0].to[3].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
      'spec.egress[0].to[3].ipBlock.except[2]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
      'spec.egress[0].to[3].ipBlock.except[3]: Invalid value: "x": must be a valid CIDR value,',
      'spec.egress[0].to[4].ipBlock.cidr: Required value',
      'spec.policyTypes[1]: Unsupported value: "Z": supported values: "Ingress", "Egress"',
    ].map((e) => e),
  );
  const old = created(Kinds.networkpolicies, {
    metadata,
    spec: { podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: '10.0.0.1/8' } }] }] },
  });
  expect(updateErrors(Kinds.networkpolicies, old, (p) => Object.assign(p.metadata, { labels: { a: 'b' } }))).toEqual(
    [],
  );
});

describe('addresses and ranges', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['010.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['FE80:0:0:0:0:0:0:0abc', 'fe80::abc'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['1.2.3', undefined],
    ['1.2.3.256', undefined],
    ['::1::', undefined],
  ])('%s is printed as %s', (text, expected) => {
    const ip = parseIp(text);
    expect(ip === undefined ? undefined : formatIp(ip)).toBe(expected);
  });

  test('networks', () => {
    const format = (text: string): string | undefined => {
      const cidr = parseCidr(text);
      return cidr === undefined ? undefined : formatCidr(cidr);
    };
    expect(['10.1.2.3/8', '2001:db8::1/32', '0.0.0.0/0', '1.1.1.1/33', '1.1.1.1', '::/129'].map(format)).toEqual([
      '10.0.0.0/8',
      '2001:db8::/32',
      '0.0.0.0/0',
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('IPAddress and ServiceCIDR', () => {
    const parentRef = { resource: 'services', name: 'a', namespace: 'b' };
    const errors = (name: string, spec: object): string[] =>
      createErrors(Kinds.ipaddresses, { metadata: { name }, spec });
    expect(errors('10.0.0.1', { parentRef })).toEqual([]);
    expect(errors('2001:DB8::1', {})).toEqual([
      'metadata.name: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")',
      'spec.parentRef: Required value',
    ]);
    expect(errors('10.0.0.1', { parentRef: { group: 'A' } }).slice(1)).toEqual([
      'spec.parentRef.resource: Required value',
      'spec.parentRef.name: Required value',
    ]);
    const cidrs = (...list: string[]): string[] =>
      createErrors(Kinds.servicecidrs, { metadata, spec: { cidrs: list } });
    expect(cidrs()).toEqual(['spec.cidrs: Required value: at least one CIDR required']);
    expect(cidrs('10.0.0.0/8', 'FD00::/16')).toEqual([
      'spec.cidrs[1]: Invalid value: "FD00::/16": must be in canonical form ("fd00::/16")',
    ]);
    expect(cidrs('10.0.0.0/8', '11.0.0.0/8')[0]).toMatch(
      /may specify no more than one IP for each IP family, i\.e 192/,
    );
    const old = created(Kinds.servicecidrs, { metadata, spec: { cidrs: ['10.0.0.0/8'] } });
    const update = (...list: string[]): string[] =>
      updateErrors(Kinds.servicecidrs, old, (c) => Object.assign(c.spec, { cidrs: list }));
    expect(update('10.0.0.0/8', 'fd00::/16')).toEqual([]);
    expect(update('11.0.0.0/8')).toEqual(['spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable']);
  });
});
