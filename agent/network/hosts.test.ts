import { describe, expect, test } from 'vitest';
import type { Pod, PodSpec } from '#lib/api';
import { hostsText, podFqdn, podHostname, resolvConfText } from './hosts.ts';

function pod(spec: Partial<PodSpec> = {}, name = 'web-0'): Pod {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'ns' }, spec: { containers: [], ...spec } };
}

const HOST_RESOLV = 'nameserver 192.168.1.1\nsearch corp.example\noptions timeout:1\n';
const conf = (spec: Partial<PodSpec>): string =>
  resolvConfText(pod(spec), { dnsServerIp: '10.42.1.1', clusterDomain: 'cluster.local', hostFile: HOST_RESOLV });

describe('/etc/hosts', () => {
  const o = { podIps: ['10.42.1.7'], clusterDomain: 'cluster.local', hostFile: '10.0.0.1 me\n' };

  test('of a pod with subdomain and aliases', () => {
    const hostAliases = [{ ip: '1.2.3.4', hostnames: ['a', 'b.c'] }];
    expect(hostsText(pod({ hostname: 'h', subdomain: 'sub', hostAliases }), o)).toBe(
      [
        '# Kubernetes-managed hosts file.',
        '127.0.0.1\tlocalhost',
        '::1\tlocalhost ip6-localhost ip6-loopback',
        'fe00::0\tip6-localnet',
        'fe00::0\tip6-mcastprefix',
        'fe00::1\tip6-allnodes',
        'fe00::2\tip6-allrouters',
        '10.42.1.7\th.sub.ns.svc.cluster.local\th',
        '',
        '# Entries added by HostAliases.',
        '1.2.3.4\ta\tb.c',
        '',
      ].join('\n'),
    );
  });

  test("on the host's network it is the host's own file", () => {
    expect(hostsText(pod({ hostNetwork: true }), o)).toBe(
      '# Kubernetes-managed hosts file (host network).\n10.0.0.1 me\n',
    );
  });

  test('host names: override, spec, or the name cut at 63 without a trailing separator', () => {
    expect(podHostname(pod())).toBe('web-0');
    expect(podHostname(pod({ hostname: 'h' }))).toBe('h');
    expect(podHostname(pod({ hostname: 'h', hostnameOverride: 'o.example' }))).toBe('o.example');
    expect(podHostname(pod({}, `${'a'.repeat(62)}-b`))).toBe('a'.repeat(62));
    expect(podFqdn(pod(), 'x')).toBeUndefined();
  });
});

describe('/etc/resolv.conf', () => {
  const CLUSTER =
    'search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.42.1.1\noptions ndots:5\n';
  const HOST = 'search corp.example\nnameserver 192.168.1.1\noptions timeout:1\n';

  test.each<[Partial<PodSpec>, string]>([
    [{}, CLUSTER],
    [{ dnsPolicy: 'ClusterFirst', hostNetwork: true }, HOST],
    [{ dnsPolicy: 'ClusterFirstWithHostNet', hostNetwork: true }, CLUSTER],
    [{ dnsPolicy: 'Default' }, HOST],
    [
      {
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['9.9.9.9'],
          searches: ['s'],
          options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
        },
      },
      'search s\nnameserver 9.9.9.9\noptions ndots:2 edns0\n',
    ],
    [
      {
        dnsConfig: {
          nameservers: ['9.9.9.9', '10.42.1.1', '8.8.8.8', '7.7.7.7'],
          options: [{ name: 'ndots', value: '1' }],
        },
      },
      'search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.42.1.1\nnameserver 9.9.9.9\nnameserver 8.8.8.8\noptions ndots:1\n',
    ],
  ])('%j', (spec, expected) => {
    expect(conf(spec)).toBe(expected);
  });

  test('at most 32 searches and 2048 characters', () => {
    const searches = Array.from({ length: 40 }, (_, i) => `d${i}`);
    expect(conf({ dnsPolicy: 'None', dnsConfig: { searches } }).trim().split(' ')).toHaveLength(33);
    const long = Array.from({ length: 20 }, (_, i) => `${'x'.repeat(200)}${i}`);
    const line = conf({ dnsPolicy: 'None', dnsConfig: { searches: long } }).trim();
    expect(line.length).toBeLessThanOrEqual('search '.length + 2048);
  });
});
