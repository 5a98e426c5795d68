import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Namespace, Node, Pod, Service } from '#lib/api';
import { seededRandom, VirtualClock } from '#lib/base';
import type { Informer } from '#lib/controller';
import { podInfoOf } from './pod-info.ts';
import { DEFAULT_PROFILE } from './profile.ts';
import { SchedulingQueue } from './queue.ts';
import { schedule, unschedulableText } from './schedule.ts';
import { Snapshot } from './snapshot.ts';
import { noStorage } from './testing/storage.ts';

type PodSpec = Partial<DeepReadonly<Pod>['spec']>;

let uids = 0;
function pod(
  o: { name?: string; labels?: Record<string, string>; owner?: string; cpu?: string; spec?: PodSpec } = {},
): DeepReadonly<Pod> {
  const uid = `uid-${++uids}`;
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: o.owner ?? '', controller: true };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: o.name ?? uid,
      namespace: 'ns',
      uid,
      labels: o.labels ?? {},
      ...(o.owner ? { ownerReferences: [owner] } : {}),
    },
    spec: {
      containers: [{ name: 'c', image: 'web:1', ...(o.cpu ? { resources: { requests: { cpu: o.cpu } } } : {}) }],
      ...o.spec,
    },
  };
}

function node(
  name: string,
  o: { labels?: Record<string, string>; cpu?: string; spec?: Node['spec']; images?: Node['status'] } = {},
): DeepReadonly<Node> {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, uid: `uid-${name}`, labels: { 'kubernetes.io/hostname': name, ...o.labels } },
    spec: o.spec ?? {},
    status: { allocatable: { cpu: o.cpu ?? '4', memory: '8Gi', pods: '110' }, ...o.images },
  };
}

function cluster(nodes: readonly DeepReadonly<Node>[], services: readonly DeepReadonly<Service>[] = []): Snapshot {
  const s = new Snapshot(
    { list: () => services } as unknown as Informer<Service>,
    { get: () => undefined } as unknown as Informer<Namespace>,
    noStorage,
  );
  for (const n of nodes) s.setNode(n);
  return s;
}

const random = seededRandom(5);
function place(s: Snapshot, p: DeepReadonly<Pod>): string {
  const info = podInfoOf(p);
  const d = schedule(info, s, DEFAULT_PROFILE, (bound) => random.below(bound));
  if (d.type !== 'bind') return unschedulableText(d);
  s.assume(info, d.node);
  return d.node;
}

function bound(p: DeepReadonly<Pod>, nodeName: string): DeepReadonly<Pod> {
  return { ...p, spec: { ...p.spec, nodeName } };
}

describe('filters', () => {
  test('without nodes', () => {
    expect(place(cluster([]), pod())).toBe('no nodes available to schedule pods');
  });

  test('each reason is named with its node count, as Kubernetes words it', () => {
    const taint = { key: 'dedicated', value: 'db', effect: 'NoSchedule' };
    const s = cluster([
      node('a', { cpu: '100m' }),
      node('b', { spec: { taints: [taint] } }),
      node('c', { spec: { taints: [taint] } }),
      node('d', { spec: { unschedulable: true } }),
    ]);
    expect(place(s, pod({ cpu: '2' }))).toBe(
      '0/4 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable, 2 node(s) had untolerated taint {dedicated: db}.',
    );
    const tolerant = pod({ cpu: '2', spec: { tolerations: [{ key: 'dedicated', operator: 'Exists' }] } });
    expect(['b', 'c']).toContain(place(s, tolerant));
  });

  test('an assumed pod holds its resources until it is forgotten', () => {
    const s = cluster([node('a', { cpu: '1' })]);
    const first = pod({ cpu: '800m' });
    expect(place(s, first)).toBe('a');
    expect(place(s, pod({ cpu: '800m' }))).toBe('0/1 nodes are available: 1 Insufficient cpu.');
    s.forget(first.metadata.uid ?? '');
    expect(place(s, pod({ cpu: '800m' }))).toBe('a');
  });

  test('the API takes over from the assumption; finished pods hold nothing', () => {
    const s = cluster([node('a', { cpu: '1' })]);
    const first = pod({ cpu: '800m' });
    place(s, first);
    s.setPod(bound(first, 'a'));
    s.forget(first.metadata.uid ?? '');
    expect(place(s, pod({ cpu: '800m' }))).toContain('Insufficient cpu');
    s.setPod({ ...bound(first, 'a'), status: { phase: 'Succeeded' } });
    expect(place(s, pod({ cpu: '800m' }))).toBe('a');
  });

  test('requests: init containers by the largest, sidecars with all', () => {
    const c = (cpu: string, restartPolicy?: string) => ({
      name: cpu,
      ...(restartPolicy ? { restartPolicy } : {}),
      resources: { requests: { cpu } },
    });
    const info = podInfoOf(
      pod({
        spec: {
          containers: [c('100m'), c('200m')],
          initContainers: [c('50m', 'Always'), c('400m')],
          overhead: { cpu: '10m' },
        },
      }),
    );
    expect(info.requests.get('cpu')).toBe(460);
  });

  test('host ports clash on the same address or on all', () => {
    const s = cluster([node('a')]);
    const withPort = (hostIP?: string) =>
      pod({
        spec: {
          containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 8080, ...(hostIP ? { hostIP } : {}) }] }],
        },
      });
    expect(place(s, withPort('10.0.0.1'))).toBe('a');
    expect(place(s, withPort('10.0.0.2'))).toBe('a');
    expect(place(s, withPort())).toBe(
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    );
  });

  test('node selector and affinity', () => {
    const s = cluster([node('a', { labels: { disk: 'ssd', gen: '3' } }), node('b')]);
    expect(place(s, pod({ spec: { nodeSelector: { disk: 'ssd' } } }))).toBe('a');
    const gt = (n: string): PodSpec => ({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'gen', operator: 'Gt', values: [n] }] }],
          },
        },
      },
    });
    expect(place(s, pod({ spec: gt('2') }))).toBe('a');
    expect(place(s, pod({ spec: gt('3') }))).toBe(
      "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    );
  });

  test('hard topology spread', () => {
    const s = cluster([node('a', { labels: { zone: 'x' } }), node('b', { labels: { zone: 'y' } }), node('c')]);
    const labels = { app: 'web' };
    const spec: PodSpec = {
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: labels } },
      ],
    };
    const placed = [1, 2, 3, 4].map(() => place(s, pod({ labels, spec })));
    expect(placed.toSorted()).toEqual(['a', 'a', 'b', 'b']);
    s.setNode(node('b', { labels: { zone: 'y' }, spec: { unschedulable: true } }));
    place(s, pod({ labels, spec }));
    expect(place(s, pod({ labels, spec }))).toBe(
      "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable.",
    );
  });

  test('pod affinity and anti-affinity, also of those that run already', () => {
    const s = cluster([node('a'), node('b')]);
    const term = (app: string) => ({ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } });
    const alone: PodSpec = {
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('db')] } },
    };
    const first = place(s, pod({ labels: { app: 'db' }, spec: alone }));
    const second = place(s, pod({ labels: { app: 'db' }, spec: alone }));
    expect([first, second].toSorted()).toEqual(['a', 'b']);
    expect(place(s, pod({ labels: { app: 'db' } }))).toBe(
      "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.",
    );
    const near: PodSpec = {
      affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('cache')] } },
    };
    expect(place(s, pod({ spec: near }))).toBe("0/2 nodes are available: 2 node(s) didn't match pod affinity rules.");
    const together = place(s, pod({ labels: { app: 'cache' }, spec: near }));
    expect(place(s, pod({ labels: { app: 'cache' }, spec: near }))).toBe(together);
  });
});

describe('scores', () => {
  test('replicas of one owner are spread evenly', () => {
    const s = cluster([node('a'), node('b'), node('c')]);
    const count = new Map<string, number>();
    for (let i = 0; i < 30; i++) {
      const n = place(s, pod({ owner: 'rs-1', cpu: '10m' }));
      count.set(n, (count.get(n) ?? 0) + 1);
    }
    expect([...count.values()]).toEqual([10, 10, 10]);
  });

  test('the emptier node is preferred, and one with PreferNoSchedule avoided', () => {
    const s = cluster([
      node('a'),
      node('b'),
      node('c', { spec: { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] } }),
    ]);
    s.setPod(bound(pod({ cpu: '3' }), 'a'));
    expect(place(s, pod({ cpu: '500m' }))).toBe('b');
  });

  test('a node that has the image is preferred', () => {
    const images = { images: [{ names: ['web:1'], sizeBytes: 900 * 1024 * 1024 }] };
    const s = cluster([node('a'), node('b', { images }), node('c')]);
    expect(place(s, pod())).toBe('b');
  });
});

describe('snapshot', () => {
  test('pods that come before their node count once it is there', () => {
    const s = cluster([]);
    s.setPod(bound(pod({ cpu: '3' }), 'a'));
    s.setNode(node('a'));
    expect(s.node('a')?.requested.get('cpu')).toBe(3000);
    s.removeNode('a');
    s.setNode(node('a'));
    expect(s.node('a')?.requested.get('cpu')).toBe(3000);
  });
});

describe('queue', () => {
  test('by priority, then by age; parked pods come back for what their plugins wait for', async () => {
    const clock = new VirtualClock();
    const q = new SchedulingQueue(clock, () => undefined);
    const low = podInfoOf(pod({ name: 'low' }));
    const high = podInfoOf(pod({ name: 'high', spec: { priority: 10 } }));
    q.add(low);
    q.add(high);
    const first = q.pop();
    expect(first?.info).toBe(high);
    const second = q.pop();
    expect(second?.info).toBe(low);
    const fit = DEFAULT_PROFILE.filters.filter((f) => f.name === 'NodeResourcesFit');
    if (first) q.park(first, fit);
    q.wake('namespace-changed');
    expect(q.pop()).toBeUndefined();
    q.wake('pod-removed');
    expect(q.pop()?.info).toBe(high);
  });

  test('a failed binding backs off, an eager pod does not wait when nothing else does', async () => {
    const clock = new VirtualClock();
    let ready = 0;
    const q = new SchedulingQueue(clock, () => void ready++);
    q.add(podInfoOf(pod({ name: 'p' })));
    const taken = q.pop();
    if (taken) q.failed(taken);
    q.wake('node-added');
    expect(q.pop()).toBeUndefined();
    await clock.advance(1_000);
    expect(q.pop()?.attempts).toBe(1);
    expect(ready).toBeGreaterThan(1);
  });

  test('a parked pod is tried again after five minutes; a removed one never', async () => {
    const clock = new VirtualClock();
    const q = new SchedulingQueue(clock, () => undefined);
    const [a, b] = [podInfoOf(pod()), podInfoOf(pod())];
    for (const p of [a, b]) {
      q.add(p);
      const w = q.pop();
      if (w) q.park(w, DEFAULT_PROFILE.filters);
    }
    q.remove(b.uid);
    await clock.advance(5 * 60_000);
    expect(q.pop()?.info).toBe(a);
    expect(q.pop()).toBeUndefined();
  });
});
