import { describe, expect, test } from 'vitest';
import { Kinds } from './gen/kinds.ts';
import type { KindRef, KubeObject } from './object.ts';
import { prepareUpdate } from './strategy.ts';
import { changed, created } from './testing/prepared.ts';

function updated<T extends KubeObject>(kind: KindRef<T>, old: T, change: (copy: T) => void, subresource?: string): T {
  const next = changed(kind, old, change);
  prepareUpdate(kind, next, old, subresource);
  return next;
}

const CONTAINERS = [{ name: 'c', image: 'nginx:1' }];

const pod = () =>
  created(Kinds.pods, { metadata: { name: 'p' }, spec: { containers: CONTAINERS }, status: { phase: 'Running' } });
const deployment = () =>
  created(Kinds.deployments, {
    metadata: { name: 'd', generation: 7 },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: CONTAINERS } },
    },
    status: { replicas: 3 },
  });

describe('prepareCreate', () => {
  test('status is dropped, generation starts at 1', () => {
    expect(pod().status).toEqual({ phase: 'Pending', qosClass: 'BestEffort' });
    expect(pod().metadata.generation).toBe(1);
    expect(deployment().status).toEqual({});
    expect(deployment().metadata.generation).toBe(1);
    expect(created(Kinds.replicasets, { metadata: { name: 'r' }, status: { replicas: 4 } }).status).toEqual({
      replicas: 0,
    });
  });

  test('a node keeps its status, a namespace gets its finalizer', () => {
    expect(created(Kinds.nodes, { metadata: { name: 'n' }, status: { phase: 'x' } }).status).toMatchObject({
      phase: 'x',
    });
    const ns = created(Kinds.namespaces, { metadata: { name: 'n' }, status: { phase: 'Terminating' } });
    expect(ns.spec).toEqual({ finalizers: ['kubernetes'] });
    expect(ns.status).toEqual({ phase: 'Active' });
  });

  test('a gated pod says so', () => {
    const gated = created(Kinds.pods, {
      metadata: { name: 'p' },
      spec: { containers: CONTAINERS, schedulingGates: [{ name: 'x' }] },
    });
    expect(gated.status?.conditions).toMatchObject([
      { type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' },
    ]);
  });

  test('a job selects its pods by uid', () => {
    const job = created(Kinds.jobs, {
      metadata: { name: 'j', uid: 'u' },
      spec: { template: { spec: { containers: CONTAINERS, restartPolicy: 'Never' } } },
    });
    expect(job.spec.selector).toEqual({ matchLabels: { 'batch.kubernetes.io/controller-uid': 'u' } });
    expect(job.spec.template.metadata?.labels).toMatchObject({
      'job-name': 'j',
      'batch.kubernetes.io/controller-uid': 'u',
    });
  });

  test('deletion fields cannot be given', () => {
    const map = created(Kinds.configmaps, {
      metadata: { name: 'c', deletionTimestamp: '2024-01-02T03:04:05Z', deletionGracePeriodSeconds: 5, generation: 3 },
    });
    expect(map.metadata).toEqual({ name: 'c', namespace: 'default', uid: 'uid-1' });
  });
});

describe('prepareUpdate', () => {
  test('the main endpoint keeps status and counts changes of spec', () => {
    const old = deployment();
    old.status = { replicas: 2 };
    const next = updated(Kinds.deployments, old, (d) => {
      d.spec.replicas = 5;
      d.status = { replicas: 99 };
    });
    expect(next.status).toEqual({ replicas: 2 });
    expect(next.metadata.generation).toBe(2);
  });

  test('a change that is none keeps the generation', () => {
    const next = updated(Kinds.deployments, deployment(), (d) => {
      d.metadata.generation = 9;
      d.metadata.labels = { x: 'y' };
      d.spec.template.metadata = { ...d.spec.template.metadata, annotations: {} } as typeof d.spec.template.metadata;
    });
    expect(next.metadata.generation).toBe(1);
  });

  test('a deployment counts changes of annotations too', () => {
    const next = updated(Kinds.deployments, deployment(), (d) => {
      d.metadata.annotations = { x: 'y' };
    });
    expect(next.metadata.generation).toBe(2);
  });

  test('the status endpoint keeps spec, labels and generation', () => {
    const next = updated(
      Kinds.deployments,
      deployment(),
      (d) => {
        d.spec.replicas = 9;
        d.metadata.labels = { x: 'y' };
        d.metadata.annotations = { x: 'y' };
        d.status = { replicas: 1 };
      },
      'status',
    );
    expect(next.spec.replicas).toBe(1);
    expect(next.metadata.labels).toBeUndefined();
    expect(next.metadata.annotations).toEqual({ x: 'y' });
    expect(next.metadata.generation).toBe(1);
    expect(next.status).toEqual({ replicas: 1 });
  });

  test('system metadata is carried over, deletion cannot be undone', () => {
    const old = pod();
    old.metadata.creationTimestamp = '2024-01-02T03:04:05Z';
    old.metadata.deletionTimestamp = '2024-01-02T03:05:05Z';
    old.metadata.deletionGracePeriodSeconds = 30;
    const next = updated(Kinds.pods, old, (p) => {
      p.metadata = { name: 'p', namespace: 'default' };
    });
    expect(next.metadata).toMatchObject({
      uid: 'uid-1',
      creationTimestamp: '2024-01-02T03:04:05Z',
      deletionTimestamp: '2024-01-02T03:05:05Z',
      deletionGracePeriodSeconds: 30,
      generation: 1,
    });
  });

  test('pods: status endpoint, resize, ephemeral containers', () => {
    const old = pod();
    const status = updated(
      Kinds.pods,
      old,
      (p) => {
        p.spec.nodeName = 'x';
        p.status = { phase: 'Running' };
      },
      'status',
    );
    expect(status.spec.nodeName).toBeUndefined();
    expect(status.status).toMatchObject({ phase: 'Running', qosClass: 'BestEffort' });
    const resized = updated(
      Kinds.pods,
      old,
      (p) => {
        p.spec.nodeName = 'x';
        p.spec.containers = [{ name: 'c', image: 'other', resources: { requests: { cpu: '1' } } }];
      },
      'resize',
    );
    expect(resized.spec.nodeName).toBeUndefined();
    expect(resized.spec.containers[0]).toMatchObject({ image: 'nginx:1', resources: { requests: { cpu: '1' } } });
    expect(resized.metadata.generation).toBe(2);
  });

  test('namespaces: finalizers change through finalize only', () => {
    const old = created(Kinds.namespaces, { metadata: { name: 'n' } });
    const clear = (n: typeof old): void => {
      n.spec = {};
      n.status = { phase: 'Terminating' };
    };
    expect(updated(Kinds.namespaces, old, clear)).toMatchObject({
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    });
    const finalized = updated(Kinds.namespaces, old, clear, 'finalize');
    expect(finalized.spec).toEqual({});
    expect(finalized.status).toEqual({ phase: 'Active' });
  });

  test('services: allocated fields survive a replace, and go when the type no longer has them', () => {
    const old = created(Kinds.services, { metadata: { name: 's' }, spec: { type: 'NodePort', ports: [{ port: 80 }] } });
    old.spec.clusterIP = '10.43.0.9';
    old.spec.clusterIPs = ['10.43.0.9'];
    old.spec.ports = [{ port: 80, protocol: 'TCP', targetPort: 80, nodePort: 30123 }];
    const replaced = updated(Kinds.services, old, (s) => {
      s.spec = { type: 'NodePort', ports: [{ port: 80 } as never] };
    });
    expect(replaced.spec).toMatchObject({
      clusterIP: '10.43.0.9',
      clusterIPs: ['10.43.0.9'],
      ports: [{ nodePort: 30123 }],
    });
    const internal = updated(Kinds.services, old, (s) => {
      s.spec.type = 'ClusterIP';
    });
    expect(internal.spec.ports?.[0]).not.toHaveProperty('nodePort');
    expect(internal.spec).not.toHaveProperty('externalTrafficPolicy');
    expect(internal.spec.clusterIP).toBe('10.43.0.9');
    const external = updated(Kinds.services, old, (s) => {
      s.spec.type = 'ExternalName';
      s.spec.externalName = 'example.com';
    });
    expect(external.spec).not.toHaveProperty('clusterIP');
    expect(external.spec).not.toHaveProperty('clusterIPs');
  });
});
