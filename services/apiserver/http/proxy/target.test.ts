import { expect, test } from 'vitest';
import type { Endpoints, Pod } from '#lib/api';
import { StatusError, seededRandom } from '#lib/base';
import { findTarget, isProxyable, type ProxyObjects, proxyKind, splitSchemeNamePort } from './target.ts';

test.each([
  ['name', { scheme: '', name: 'name', port: '' }],
  ['name:80', { scheme: '', name: 'name', port: '80' }],
  ['name:http', { scheme: '', name: 'name', port: 'http' }],
  ['https:name:', { scheme: 'https', name: 'name', port: '' }],
  [':name:80', { scheme: '', name: 'name', port: '80' }],
  ['http:name:web', { scheme: 'http', name: 'name', port: 'web' }],
  ['ftp:name:80', undefined],
  ['a:b:c:d', undefined],
  ['', undefined],
  [':80', undefined],
])('splitSchemeNamePort: %s (apimachinery/pkg/util/net)', (given, expected) => {
  expect(splitSchemeNamePort(given)).toEqual(expected);
});

test.each([
  ...['127.0.0.1', '127.0.0.2', '169.254.169.254', '169.254.1.1', '224.0.0.0', '0.0.0.0', '255.255.255.255'],
  ...[
    '::',
    '::1',
    'fe80::',
    'fe80::1%eth0',
    'ff02::',
    'ff01::',
    '::ffff:127.0.0.1',
    '::ffff:169.254.169.254',
    '1',
    '',
    'localhost',
  ],
])('isProxyable: never %s', (ip) => {
  expect(isProxyable(ip)).toBe(false);
});

test.each(['10.0.0.1', '192.168.0.1', '172.16.0.1', '8.8.8.8', '2600::', 'fd00::1'])('isProxyable: %s', (ip) => {
  expect(isProxyable(ip)).toBe(true);
});

test('proxyKind: of the core group alone', () => {
  expect(['pods', 'services', 'nodes', 'configmaps', '__proto__'].map((r) => proxyKind('', r))).toEqual([
    ...['pods', 'services', 'nodes'],
    ...[undefined, undefined],
  ]);
  expect(proxyKind('metrics.k8s.io', 'pods')).toBeUndefined();
});

function pod(name: string, ip: string): Pod {
  const containers = [{ name: 'c', image: 'x', ports: [{ name: 'web', containerPort: 8080 }] }];
  const metadata = { name, namespace: 'x', uid: `uid of ${name}` };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { nodeName: `node of ${name}`, containers },
    status: { podIP: ip },
  };
}

function objects(o: { pods?: readonly Pod[]; endpoints?: Endpoints['subsets'] }): ProxyObjects {
  const none = async (): Promise<never> => {
    throw new StatusError('NotFound', 'none');
  };
  return {
    pod: async (_namespace, name) => o.pods?.find((p) => p.metadata.name === name) ?? (await none()),
    service: none,
    endpoints: async () => ({ apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 's' }, subsets: o.endpoints }),
    node: none,
  };
}

const at = (id: string, resource: 'pods' | 'services' = 'pods') => ({ resource, namespace: 'x', id });

test('a port may be named as its container does; an unknown one is no port', async () => {
  const o = objects({ pods: [pod('p', '10.0.0.1')] });
  const target = await findTarget(at('p:web'), o, seededRandom(1));
  expect(target).toMatchObject({ host: '10.0.0.1:8080', scheme: 'http', nodeName: 'node of p' });
  await expect(findTarget(at('p:nope'), o, seededRandom(1))).rejects.toThrow('lookup tcp/nope: unknown port');
});

test('all ready pods of a service are used, and what is none is never dialled', async () => {
  const pods = [pod('a', '10.0.0.1'), pod('b', '10.0.0.2'), pod('c', '127.0.0.1')];
  const ref = (name: string, namespace = 'x') => ({ kind: 'Pod', name, namespace });
  const addresses = [
    { ip: '10.0.0.1', targetRef: ref('a') },
    { ip: '10.0.0.2', targetRef: ref('b') },
    { ip: '10.0.0.9', targetRef: ref('a') },
    { ip: '127.0.0.1', targetRef: ref('c') },
    { ip: '10.0.0.1', targetRef: ref('a', 'other') },
    { ip: '192.0.2.1' },
  ];
  const o = objects({
    pods,
    endpoints: [
      { addresses, ports: [{ name: 'h', port: 80 }] },
      { addresses: [], ports: [] },
    ],
  });
  const random = seededRandom(7);
  const hosts = new Set<string>();
  for (let i = 0; i < 200; i++) hosts.add((await findTarget(at('s:h', 'services'), o, random)).host);
  expect([...hosts].sort()).toEqual(['10.0.0.1:80', '10.0.0.2:80']);
});
