/** Golden texts: `UPDATE_GOLDEN=1 npx vitest run …` rewrites them; explain the difference in the commit. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EndpointSlice, Service, ServiceSpec } from '#lib/api';
import { emptyLedger } from '../ipam.ts';
import type { ServiceTable } from '../network.ts';
import { hostPortRules } from './host-ports.ts';
import type { FilterView, Ruleset } from './nft.ts';
import { rulesetOf } from './nft.ts';
import { renderChange, renderFull } from './nft-text.ts';
import { serviceRules } from './table.ts';

const VIEW: FilterView = {
  table: 'berth-test',
  bridge: 'bth-test',
  localnetLinks: ['bth-test', 'eth0'],
  markers: [],
  podCidr: '10.42.1.0/24',
  clusterCidr: '10.42.0.0/16',
  serviceCidr: '10.43.0.0/16',
  clusterDnsIp: '10.43.0.10',
  dnsPort: 53,
  controlPlane: [],
};
const NODE = { nodeName: 'n1', nodeIp: '192.168.77.1' };

type E = { ip: string; node?: string; ready?: boolean; serving?: boolean };

function entry(name: string, spec: ServiceSpec, endpoints: readonly E[]): { service: Service; slice: EndpointSlice } {
  const labels = { 'kubernetes.io/service-name': name };
  const ports = [{ port: 80, protocol: 'TCP', name: 'http' }];
  return {
    service: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'ns' },
      spec: { clusterIP: '10.43.0.20', ports, ...spec },
    },
    slice: {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-x`, namespace: 'ns', labels },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: endpoints.map((e) => ({
        addresses: [e.ip],
        nodeName: e.node ?? 'n1',
        conditions: { ready: e.ready ?? true, serving: e.serving ?? e.ready ?? true, terminating: e.ready === false },
      })),
    },
  };
}

function tableOf(...entries: ReturnType<typeof entry>[]): ServiceTable {
  return { services: entries.map((e) => e.service), slices: entries.map((e) => e.slice), nodes: [] };
}

function rules(...entries: ReturnType<typeof entry>[]): Ruleset {
  return rulesetOf(VIEW, serviceRules(tableOf(...entries), NODE), []);
}

function golden(name: string, text: string): void {
  const path = join(import.meta.dirname, 'golden', name);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  expect(text).toBe(readFileSync(path, 'utf8'));
}

const LOCAL: E = { ip: '10.42.1.5' };
const REMOTE: E = { ip: '10.42.2.6', node: 'n2' };

describe('nft text', () => {
  test('whole table: ClusterIP, NodePort, load balancer with ranges, externalIPs, host ports', () => {
    const ledger = emptyLedger('10.42.1.0/24');
    const hostPorts = [
      { hostIp: '', hostPort: 8080, containerPort: 80, protocol: 'TCP' as const },
      { hostIp: '192.168.77.1', hostPort: 5353, containerPort: 53, protocol: 'UDP' as const },
    ];
    const published = hostPortRules({ ...ledger, held: new Map([['s', { ip: '10.42.1.9', hostPorts }]]) });
    const ports = [{ port: 80, protocol: 'TCP', name: 'http', nodePort: 30_080 }];
    const services = [
      entry('plain', {}, [LOCAL, REMOTE]),
      entry(
        'public',
        {
          type: 'LoadBalancer',
          clusterIP: '10.43.0.21',
          ports,
          loadBalancerSourceRanges: ['192.168.0.0/16'],
          externalIPs: ['198.51.100.7'],
        },
        [REMOTE],
      ),
      entry(
        'empty',
        {
          type: 'NodePort',
          clusterIP: '10.43.0.22',
          externalIPs: ['198.51.100.8'],
          ports: [{ ...ports[0], port: 81, nodePort: 30_081, name: 'http' }],
        },
        [],
      ),
    ];
    golden('whole.nft', renderFull(rulesetOf(VIEW, serviceRules(tableOf(...services), NODE), published)));
  });

  test('Local policies and session affinity', () => {
    const ports = [{ port: 80, protocol: 'TCP', name: 'http', nodePort: 30_080 }];
    const local = entry(
      'local',
      { type: 'NodePort', ports, externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' },
      [LOCAL, REMOTE],
    );
    const elsewhere = entry('elsewhere', { clusterIP: '10.43.0.21', internalTrafficPolicy: 'Local' }, [REMOTE]);
    const sticky = entry('sticky', { clusterIP: '10.43.0.22', sessionAffinity: 'ClientIP' }, [LOCAL, REMOTE]);
    golden('policies.nft', renderFull(rules(local, elsewhere, sticky)));
  });

  test('an endpoint change is a few lines; nothing changed is no text', () => {
    const before = rules(entry('a', {}, [LOCAL]), entry('b', { clusterIP: '10.43.0.21' }, [LOCAL]));
    const after = rules(entry('a', {}, [LOCAL, REMOTE]), entry('b', { clusterIP: '10.43.0.21' }, [LOCAL]));
    golden('endpoint-added.nft', renderChange(before, after));
    expect(
      renderChange(after, rules(entry('a', {}, [LOCAL, REMOTE]), entry('b', { clusterIP: '10.43.0.21' }, [LOCAL]))),
    ).toBe('');
    golden('service-removed.nft', renderChange(before, rules(entry('b', { clusterIP: '10.43.0.21' }, [LOCAL]))));
  });

  test("an endpoint change of a service with affinity keeps the other endpoints' clients", () => {
    const sticky = { sessionAffinity: 'ClientIP' };
    const text = renderChange(rules(entry('a', sticky, [LOCAL, REMOTE])), rules(entry('a', sticky, [LOCAL])));
    expect(text).toContain('delete set ip berth-test aff10800-ns/a/tcp/80/10.42.2.6/8080');
    expect(text).not.toContain('set ip berth-test aff10800-ns/a/tcp/80/10.42.1.5/8080');
  });

  test('an address and port that two services want belongs to the first by name', () => {
    const spec = { externalIPs: ['198.51.100.7'] };
    const r = rules(entry('b', { ...spec, clusterIP: '10.43.0.21' }, [LOCAL]), entry('a', spec, [LOCAL]));
    expect(r.collections.get('services')?.elements.get('198.51.100.7 . tcp . 80')).toBe('goto ext-ns/a/tcp/80');
  });
});

test("what is the control plane's own no service takes, whatever addresses and ports it asks for", () => {
  const view = { ...VIEW, controlPlane: [{ ip: '192.168.77.1', port: 6444 }] };
  const api = entry('kubernetes', { clusterIP: '10.43.0.1', ports: [{ name: 'http', port: 443 }] }, [
    { ip: '192.168.77.1' },
  ]);
  const inDefault = <T extends { metadata: object }>(o: T): T => ({
    ...o,
    metadata: { ...o.metadata, namespace: 'default' },
  });
  const taker = entry('taker', { clusterIP: '10.43.0.21', externalIPs: ['192.168.77.1'], ports: [{ port: 6444 }] }, []);
  const table = tableOf({ service: inDefault(api.service), slice: inDefault(api.slice) }, taker);
  const r = rulesetOf(view, serviceRules(table, NODE), []);
  expect([...(r.collections.get('reserved')?.elements.keys() ?? [])]).toEqual([
    '192.168.77.1 . tcp . 6444',
    '192.168.77.1 . tcp . 8080',
  ]);
  expect(r.chains.get('dispatch')?.rules[0]).toBe('ip daddr . meta l4proto . th dport @reserved return');
  expect([...(r.collections.get('rejected')?.elements.keys() ?? [])]).toEqual([]);
});

describe('service rules', () => {
  const backends = (spec: ServiceSpec, endpoints: readonly E[]): unknown =>
    serviceRules(tableOf(entry('s', spec, endpoints)), NODE).map((r) => [
      r.backends.map((b) => b.ip),
      r.localBackends.map((b) => b.ip),
    ]);

  test.each<[string, readonly E[], [string[], string[]]]>([
    ['ready ones serve', [LOCAL, REMOTE], [['10.42.1.5', '10.42.2.6'], ['10.42.1.5']]],
    ['unready ones do not', [{ ...LOCAL, ready: false }, REMOTE], [['10.42.2.6'], []]],
    [
      'terminating but serving only if no other',
      [{ ...LOCAL, ready: false, serving: true }, REMOTE],
      [['10.42.2.6'], ['10.42.1.5']],
    ],
    ['all terminating', [{ ...LOCAL, ready: false, serving: true }], [['10.42.1.5'], ['10.42.1.5']]],
    ['none', [{ ...LOCAL, ready: false }], [[], []]],
    ['doubles count once', [LOCAL, LOCAL], [['10.42.1.5'], ['10.42.1.5']]],
  ])('%s', (_, endpoints, expected) => {
    expect(backends({}, endpoints)).toEqual([expected]);
  });

  test('headless, ExternalName and IPv6-only services have no rules', () => {
    expect(backends({ clusterIP: 'None' }, [LOCAL])).toEqual([]);
    expect(backends({ type: 'ExternalName', externalName: 'x' }, [LOCAL])).toEqual([]);
    expect(backends({ clusterIP: 'fd00::1' }, [LOCAL])).toEqual([]);
  });

  test('a load balancer: addresses of the status; without a status the node itself, unless it has a class', () => {
    const ips = (spec: ServiceSpec, status?: Service['status']): unknown => {
      const e = entry('s', { type: 'LoadBalancer', ...spec }, [LOCAL]);
      return serviceRules(tableOf({ ...e, service: { ...e.service, status } }), NODE)[0]?.balancerIps;
    };
    expect(ips({})).toEqual(['192.168.77.1']);
    expect(ips({ loadBalancerClass: 'x/y' })).toEqual([]);
    expect(
      ips(
        {},
        { loadBalancer: { ingress: [{ ip: '10.9.9.9' }, { hostname: 'h' }, { ip: '10.9.9.8', ipMode: 'Proxy' }] } },
      ),
    ).toEqual(['10.9.9.9']);
  });

  test('odd values never reach the text: names, ports, ranges', () => {
    const odd = {
      type: 'LoadBalancer',
      loadBalancerSourceRanges: ['10.0.0.0/8', '10.1.0.0/16', 'fd00::/8', '1.1.1.1/8; drop'],
    };
    const rule = serviceRules(tableOf(entry('s', odd, [LOCAL])), NODE)[0];
    expect(rule?.sourceRanges).toEqual(['10.0.0.0/8', '10.1.0.0/16']);
    expect(backends({ ports: [{ name: 'http', port: 0 }] }, [LOCAL])).toEqual([]);
    const e = entry('s', {}, [LOCAL]);
    const named = { ...e.service, metadata: { name: 's; flush ruleset', namespace: 'ns' } };
    expect(serviceRules(tableOf({ ...e, service: named }), NODE)).toEqual([]);
  });

  test('unchanged services are taken from the memo, changed and removed ones are not', () => {
    const memo = new Map();
    const a = entry('a', {}, [LOCAL]);
    const b = entry('b', {}, [LOCAL]);
    const first = serviceRules(tableOf(a, b), NODE, memo);
    const second = serviceRules(tableOf(a, { service: b.service, slice: entry('b', {}, [REMOTE]).slice }), NODE, memo);
    expect(second[0]).toBe(first[0]);
    expect(second[1]?.backends).toEqual([{ ip: '10.42.2.6', port: 8080 }]);
    expect(serviceRules(tableOf(a), NODE, memo)).toHaveLength(1);
    expect(memo.size).toBe(1);
  });
});
