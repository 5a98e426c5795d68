import { describe, expect, test } from 'vitest';
import { type EnvSources, environmentOf, expand, expandSubPath } from './env.ts';
import type { ContainerSpec, PodObject } from './model.ts';

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'n', uid: 'u1', labels: { app: 'x' } },
  spec: {
    containers: [{ name: 'a', image: 'i', resources: { limits: { memory: '64Mi' }, requests: { cpu: '250m' } } }],
  },
} as unknown as PodObject;

const sources: EnvSources = {
  fileValues: new Map([['FROM_FILE', 'v']]),
  configMap: (name) => (name === 'cm' ? ({ data: { one: '1', 'bad=key': 'x' } } as never) : undefined),
  secret: (name) => (name === 's' ? ({ data: { pass: Buffer.from('pä$$').toString('base64') } } as never) : undefined),
  services: [
    {
      metadata: { name: 'my-db', namespace: 'n' },
      spec: { clusterIP: '10.43.0.7', ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }] },
    },
    { metadata: { name: 'other', namespace: 'elsewhere' }, spec: { clusterIP: '10.43.0.8', ports: [{ port: 1 }] } },
    { metadata: { name: 'headless', namespace: 'n' }, spec: { clusterIP: 'None', ports: [{ port: 1 }] } },
    {
      metadata: { name: 'kubernetes', namespace: 'default' },
      spec: { clusterIP: '10.43.0.1', ports: [{ name: 'https', port: 443 }] },
    },
  ] as never,
  podIp: '10.42.0.5',
  hostIp: '192.0.2.1',
  nodeName: 'node-1',
  allocatable: { cpu: '2', memory: '1000Mi' },
};

function env(c: Partial<ContainerSpec>, p: PodObject = pod): Record<string, string> {
  return Object.fromEntries(environmentOf(p, { ...pod.spec.containers[0], ...c } as ContainerSpec, sources));
}

describe('environment', () => {
  test('service variables of the own namespace and of kubernetes only', () => {
    const e = env({});
    expect(e).toMatchObject({
      MY_DB_SERVICE_HOST: '10.43.0.7',
      MY_DB_SERVICE_PORT: '5432',
      MY_DB_SERVICE_PORT_SQL: '5432',
      MY_DB_PORT: 'tcp://10.43.0.7:5432',
      MY_DB_PORT_5432_TCP_ADDR: '10.43.0.7',
      KUBERNETES_SERVICE_HOST: '10.43.0.1',
    });
    expect(Object.keys(e).some((k) => k.startsWith('OTHER') || k.startsWith('HEADLESS'))).toBe(false);
    const without = env({}, { ...pod, spec: { ...pod.spec, enableServiceLinks: false } } as PodObject);
    expect(Object.keys(without).filter((k) => k.startsWith('MY_DB'))).toEqual([]);
    expect(without['KUBERNETES_SERVICE_PORT']).toBe('443');
  });

  test('later sources win, and only earlier variables expand', () => {
    const e = env({
      envFrom: [{ prefix: 'P_', configMapRef: { name: 'cm' } }],
      env: [
        { name: 'A', value: 'a' },
        { name: 'B', value: '$(A)-$(LATER)-$$(A)-$(P_one)' },
        { name: 'LATER', value: 'x' },
        { name: 'P_one', value: 'own' },
      ],
    });
    expect(e).toMatchObject({ B: 'a-$(LATER)-$(A)-1', P_one: 'own' });
    expect(e['P_bad=key']).toBeUndefined();
  });

  test('keys, fields and resources', () => {
    const e = env({
      env: [
        { name: 'SECRET', valueFrom: { secretKeyRef: { name: 's', key: 'pass' } } },
        { name: 'GONE', valueFrom: { configMapKeyRef: { name: 'none', key: 'x', optional: true } } },
        { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
        { name: 'CPU_LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
        { name: 'CPU_REQUEST', valueFrom: { resourceFieldRef: { resource: 'requests.cpu', divisor: '1m' } } },
      ],
    });
    expect(e).toMatchObject({
      SECRET: 'pä$$',
      IP: '10.42.0.5',
      APP: 'x',
      MEMORY: '64',
      CPU_LIMIT: '2',
      CPU_REQUEST: '250',
    });
    expect('GONE' in e).toBe(false);
  });

  test('a required key that is missing names its object', () => {
    expect(() => env({ env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'cm', key: 'none' } } }] })).toThrow(
      "couldn't find key none in ConfigMap n/cm",
    );
    expect(() => env({ envFrom: [{ secretRef: { name: 'none' } }] })).toThrow('secret "none" not found');
  });
});

describe('expand', () => {
  test.each([
    ['$(A)', 'a'],
    ['$$(A)', '$(A)'],
    ['$(B)', '$(B)'],

    ['$$$(A)', '$a'],
  ])('%s -> %s', (text, wanted) => {
    expect(expand(text, new Map([['A', 'a']]))).toBe(wanted);
  });
});

test('subPathExpr: a variable that is missing or empty is told, and never leaves the whole volume', () => {
  const variables = new Map([
    ['A', 'a'],
    ['EMPTY', ''],
  ]);
  expect(expandSubPath('x/$(A)/$$(B)', variables)).toBe('x/a/$(B)');
  expect(() => expandSubPath('$(Z)$(EMPTY)$(B)$(Z)', variables)).toThrow('missing value for B, EMPTY, Z');
});
