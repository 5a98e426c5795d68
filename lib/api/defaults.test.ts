import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyDefaults } from './defaults.ts';
import { Kinds } from './gen/kinds.ts';
import type { KindRef, KubeObject } from './object.ts';
import { allKinds } from './registry.ts';
import { decodeObject } from './schema.ts';
import { arbitraryObject } from './testing/arbitrary.ts';

function defaulted<T extends KubeObject>(kind: KindRef<T>, value: object): T {
  const { object } = decodeObject(kind, value);
  applyDefaults(kind, object);
  return object as T;
}

describe('defaults: pods (pkg/apis/core/v1/defaults.go)', () => {
  test('a minimal pod', () => {
    const pod = defaulted(Kinds.pods, {
      metadata: { name: 'p' },
      spec: {
        serviceAccountName: 'sa',
        containers: [
          {
            name: 'c',
            image: 'nginx',
            ports: [{ containerPort: 80 }],
            readinessProbe: { httpGet: { port: 80 } },
            env: [{ name: 'N', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
            resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { memory: '512Mi' } },
          },
        ],
        volumes: [{ name: 'v' }, { name: 's', secret: { secretName: 'x' } }, { name: 'h', hostPath: { path: '/x' } }],
      },
    });
    expect(pod.spec).toEqual({
      volumes: [
        { name: 'v', emptyDir: {} },
        { name: 's', secret: { secretName: 'x', defaultMode: 420 } },
        { name: 'h', hostPath: { path: '/x', type: '' } },
      ],
      containers: [
        {
          name: 'c',
          image: 'nginx',
          ports: [{ containerPort: 80, protocol: 'TCP' }],
          env: [{ name: 'N', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } }],
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1', memory: '512Mi' } },
          readinessProbe: {
            httpGet: { path: '/', port: 80, scheme: 'HTTP' },
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
          },
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          imagePullPolicy: 'Always',
        },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      serviceAccountName: 'sa',
      serviceAccount: 'sa',
      securityContext: {},
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
    });
  });

  test.each([
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['nginx:1.25', 'IfNotPresent'],
    ['host:5000/a/b', 'Always'],
    ['127.0.0.1:5000/a/b:v1', 'IfNotPresent'],
    [`nginx@sha256:${'a'.repeat(64)}`, 'IfNotPresent'],
    [`nginx:latest@sha256:${'a'.repeat(64)}`, 'Always'],
    ['NGINX', 'IfNotPresent'],
    ['', 'IfNotPresent'],
  ])('imagePullPolicy of %j is %s', (image, policy) => {
    const pod = defaulted(Kinds.pods, { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image }] } });
    expect(pod.spec.containers[0]?.imagePullPolicy).toBe(policy);
  });

  test('requests are not defaulted in templates, host ports only on the host network', () => {
    const limits = { cpu: '1' };
    const deployment = defaulted(Kinds.deployments, {
      metadata: { name: 'd' },
      spec: { template: { spec: { containers: [{ name: 'c', resources: { limits } }] } } },
    });
    expect(deployment.spec.template.spec?.containers[0]?.resources).toEqual({ limits });
    expect(deployment.spec.template.spec?.enableServiceLinks).toBeUndefined();
    const pod = defaulted(Kinds.pods, {
      metadata: { name: 'p' },
      spec: { hostNetwork: true, containers: [{ name: 'c', ports: [{ containerPort: 80 }] }] },
    });
    expect(pod.spec.containers[0]?.ports).toEqual([{ containerPort: 80, hostPort: 80, protocol: 'TCP' }]);
  });

  test('amounts finer than a thousandth are rounded up', () => {
    const pod = defaulted(Kinds.pods, {
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', resources: { limits: { cpu: '0.0001' } } }] },
    });
    expect(pod.spec.containers[0]?.resources).toEqual({ limits: { cpu: '1m' }, requests: { cpu: '1m' } });
  });
});

describe('defaults: other kinds', () => {
  test('deployment', () => {
    const { spec } = defaulted(Kinds.deployments, { metadata: { name: 'd' }, spec: {} });
    expect(spec).toMatchObject({
      replicas: 1,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
    });
    expect(
      defaulted(Kinds.deployments, { metadata: { name: 'd' }, spec: { replicas: 0, strategy: { type: 'Recreate' } } })
        .spec,
    ).toMatchObject({
      replicas: 0,
      strategy: { type: 'Recreate' },
    });
  });

  test('service', () => {
    const port = { port: 80 };
    expect(defaulted(Kinds.services, { metadata: { name: 's' }, spec: { ports: [port] } }).spec).toEqual({
      ports: [{ protocol: 'TCP', port: 80, targetPort: 80 }],
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
    });
    expect(
      defaulted(Kinds.services, { metadata: { name: 's' }, spec: { type: 'LoadBalancer', ports: [port] } }).spec,
    ).toMatchObject({
      externalTrafficPolicy: 'Cluster',
      allocateLoadBalancerNodePorts: true,
    });
  });

  test('secret: type, and stringData goes into data', () => {
    const secret = defaulted(Kinds.secrets, {
      metadata: { name: 's' },
      data: { a: 'eA==', b: 'eA==' },
      stringData: { a: 'hé' },
    });
    expect(secret.type).toBe('Opaque');
    expect(secret.data).toEqual({ a: Buffer.from('hé').toString('base64'), b: 'eA==' });
    expect(secret).not.toHaveProperty('stringData');
  });

  test('namespace has its name as a label', () => {
    const ns = defaulted(Kinds.namespaces, { metadata: { name: 'n' } });
    expect(ns.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'n' });
    expect(ns.status).toEqual({ phase: 'Active' });
  });

  test('job, cron job, claim, endpoint slice', () => {
    expect(defaulted(Kinds.jobs, { metadata: { name: 'j' }, spec: {} }).spec).toMatchObject({
      completions: 1,
      parallelism: 1,
      backoffLimit: 6,
      completionMode: 'NonIndexed',
      suspend: false,
    });
    const cron = defaulted(Kinds.cronjobs, { metadata: { name: 'c' }, spec: { schedule: '* * * * *' } });
    expect(cron.spec).toMatchObject({
      concurrencyPolicy: 'Allow',
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 1,
    });
    expect(cron.spec.jobTemplate.spec?.backoffLimit).toBeUndefined();
    expect(defaulted(Kinds.persistentvolumeclaims, { metadata: { name: 'c' } })).toMatchObject({
      spec: { volumeMode: 'Filesystem' },
      status: { phase: 'Pending' },
    });
    expect(defaulted(Kinds.endpointslices, { metadata: { name: 's' }, ports: [{ port: 1 }] }).ports).toEqual([
      { name: '', protocol: 'TCP', port: 1 },
    ]);
  });

  test('idempotent on arbitrary objects of every kind', () => {
    for (const kind of allKinds())
      fc.assert(
        fc.property(arbitraryObject(kind.schema), (value) => {
          const once = defaulted(kind, value);
          const twice = structuredClone(once);
          applyDefaults(kind, twice);
          expect(twice).toEqual(once);
        }),
        { numRuns: 3 },
      );
  });
});
