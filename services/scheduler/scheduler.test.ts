import { afterEach, describe, expect, test } from 'vitest';
import type { DeepReadonly, KubeObject, Namespace, Node, PersistentVolumeClaim, Pod, Service } from '#lib/api';
import { expositionText, realClock, seededRandom, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import type { Informer, Listener } from '#lib/controller';
import type { Binder } from './bind.ts';
import type { FilterPlugin, Profile } from './framework.ts';
import { SchedulerMetrics } from './metrics.ts';
import type { PodVolumes } from './pod-volumes.ts';
import { DEFAULT_PROFILE } from './profile.ts';
import { Scheduler } from './scheduler.ts';
import { podVolumes, testStorage } from './testing/storage.ts';

/** An informer that tells what a test puts into it. */
class Scripted<T extends KubeObject> {
  readonly #objects = new Map<string, DeepReadonly<T>>();
  readonly #listeners: Listener<T>[] = [];

  synced(): Promise<void> {
    return Promise.resolve();
  }

  get(key: { name: string }): DeepReadonly<T> | undefined {
    return this.#objects.get(key.name);
  }

  list(): readonly DeepReadonly<T>[] {
    return [...this.#objects.values()];
  }

  subscribe(listener: Listener<T>): Disposable {
    this.#listeners.push(listener);
    return { [Symbol.dispose]: () => undefined };
  }

  put(next: DeepReadonly<T>): void {
    const previous = this.#objects.get(next.metadata.name);
    this.#objects.set(next.metadata.name, next);
    for (const l of this.#listeners) l(previous, next);
  }

  remove(name: string): void {
    const previous = this.#objects.get(name);
    this.#objects.delete(name);
    for (const l of this.#listeners) l(previous, undefined);
  }
}

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const o of open.splice(0)) await o[Symbol.asyncDispose]();
});

function start(profile: Profile = DEFAULT_PROFILE, volumes: PodVolumes = podVolumes()) {
  const pods = new Scripted<Pod>();
  const nodes = new Scripted<Node>();
  const bound = new Map<string, string>();
  const told: string[] = [];
  const informer = <T extends KubeObject>(s: Scripted<T>): Informer<T> => s as unknown as Informer<T>;
  const binder = {
    bind: async (pod: DeepReadonly<Pod>, node: string) => {
      bound.set(pod.metadata.name, node);
      pods.put({ ...pod, spec: { ...pod.spec, nodeName: node } });
    },
    tellUnschedulable: async (pod: DeepReadonly<Pod>, message: string) => {
      told.push(`${pod.metadata.name}: ${message}`);
    },
  } as unknown as Binder;
  const metrics = new SchedulerMetrics();
  const scheduler = new Scheduler({
    caches: {
      pods: informer(pods),
      nodes: informer(nodes),
      services: informer(new Scripted<Service>()),
      namespaces: informer(new Scripted<Namespace>()),
    },
    volumes,
    binder,
    profile,
    schedulerName: 'default-scheduler',
    metrics,
    clock: realClock,
    random: seededRandom(1),
    log: silentLogger,
  });
  open.push(scheduler);
  scheduler.start();
  metrics.follow(() => scheduler.pending);
  return { pods, nodes, bound, told, metrics };
}

function pod(name: string, spec: Partial<Pod['spec']> = {}, labels: Record<string, string> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'ns', uid: `uid-${name}`, labels },
    spec: { containers: [{ name: 'c', image: 'x' }], ...spec },
  };
}

function node(name: string): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    spec: {},
    status: { allocatable: { cpu: '4', memory: '8Gi', pods: '110' } },
  };
}

async function eventually(check: () => void): Promise<void> {
  const holds = (): boolean => {
    check();
    return true;
  };
  await expect.poll(holds).toBe(true);
}

describe('scheduler', () => {
  test('a pod that no plugin can bear stops nobody else', async () => {
    const broken: FilterPlugin = {
      name: 'Broken',
      wakesOn: new Set(),
      prepare: (p) => {
        if (p.pod.metadata.name === 'poison') throw new TypeError('cannot read this pod');
        return undefined;
      },
    };
    const s = start({ ...DEFAULT_PROFILE, filters: [broken, ...DEFAULT_PROFILE.filters] });
    s.nodes.put(node('n1'));
    s.pods.put(pod('poison'));
    s.pods.put(pod('good'));
    await eventually(() => expect(s.bound.get('good')).toBe('n1'));
    expect(s.bound.has('poison')).toBe(false);
  });

  test('a pod is bound once its claim is, and keeps nobody waiting until then; its end ends the wait', async () => {
    const storage = testStorage();
    const said: string[] = [];
    let revision = 1;
    const update = async (_: unknown, next: PersistentVolumeClaim) => {
      const stored = { ...next, metadata: { ...next.metadata, resourceVersion: String(++revision) } };
      said.push(`${next.metadata.name} ${next.metadata.annotations?.['volume.kubernetes.io/selected-node']}`);
      storage.claims.put(stored);
      return stored;
    };
    const s = start(DEFAULT_PROFILE, podVolumes(storage, { update: update as unknown as Client['update'] }));
    const apiVersion = 'v1';
    storage.classes.put({
      apiVersion,
      kind: 'StorageClass',
      metadata: { name: 'local' },
      provisioner: 'x',
      volumeBindingMode: 'WaitForFirstConsumer',
    });
    const claim = (name: string, more: object = {}): PersistentVolumeClaim => ({
      apiVersion,
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace: 'ns', uid: name, resourceVersion: '1', ...more },
      spec: { storageClassName: 'local', ...('annotations' in more ? { volumeName: 'v' } : {}) },
    });
    const using = (name: string, claimName: string) =>
      pod(name, { volumes: [{ name: 'd', persistentVolumeClaim: { claimName } }] });
    for (const name of ['c', 'd']) storage.claims.put(claim(name));
    s.nodes.put(node('n1'));
    s.pods.put(using('p', 'c'));
    s.pods.put(using('q', 'd'));
    s.pods.put(pod('plain'));
    await eventually(() => expect(said).toEqual(['c n1', 'd n1']));
    await eventually(() => expect([...s.bound]).toEqual([['plain', 'n1']]));
    s.pods.remove('q');
    storage.volumes.put({
      apiVersion,
      kind: 'PersistentVolume',
      metadata: { name: 'v' },
      spec: {},
    });
    const annotations = { 'pv.kubernetes.io/bind-completed': 'yes' };
    for (const name of ['c', 'd']) storage.claims.put(claim(name, { annotations, resourceVersion: '9' }));
    await eventually(() => expect(s.bound.get('p')).toBe('n1'));
    expect(s.bound.has('q')).toBe(false);
  });

  test('a pod that waits for neighbours is tried when one gets the label it looks for', async () => {
    const s = start();
    s.nodes.put(node('n1'));
    const near = { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } };
    s.pods.put({
      ...pod('web', { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [near] } } }),
    });
    s.pods.put(pod('db', { nodeName: 'n1' }, { app: 'other' }));
    await eventually(() =>
      expect(s.told).toContain("web: 0/1 nodes are available: 1 node(s) didn't match pod affinity rules."),
    );
    s.pods.put(pod('db', { nodeName: 'n1' }, { app: 'db' }));
    await eventually(() => expect(s.bound.get('web')).toBe('n1'));
  });

  test('a pod that waits for neighbours is tried when one of them is placed', async () => {
    const s = start();
    s.nodes.put(node('n1'));
    const near = { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } };
    const podAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [near] };
    s.pods.put(pod('web', { affinity: { podAffinity } }));
    await eventually(() => expect(s.told).toHaveLength(1));
    s.pods.put(pod('db', {}, { app: 'db' }));
    await eventually(() => expect(s.bound.get('db')).toBe('n1'));
    await eventually(() => expect(s.bound.get('web')).toBe('n1'));
  });

  test('a pod deleted while it waits is forgotten, a node removed while a pod is bound to it too', async () => {
    const s = start();
    s.pods.put(pod('waits'));
    await eventually(() => expect(s.told).toContain('waits: no nodes available to schedule pods'));
    s.pods.remove('waits');
    s.nodes.put(node('n1'));
    s.pods.put(pod('a'));
    await eventually(() => expect(s.bound.get('a')).toBe('n1'));
    s.nodes.remove('n1');
    s.pods.put(pod('b'));
    await eventually(() => expect(s.told).toContain('b: no nodes available to schedule pods'));
    s.nodes.put(node('n2'));
    await eventually(() => expect(s.bound.get('b')).toBe('n2'));
    expect(s.bound.has('waits')).toBe(false);
  });
});

test('metrics: attempts by their result, and pods that wait by why', async () => {
  const { pods, nodes, bound, told, metrics } = start();
  pods.put(pod('homeless'));
  await expect.poll(() => told.length).toBe(1);
  expect(expositionText(metrics.metrics())).toContain('scheduler_pending_pods{queue="unschedulable"} 1\n');
  nodes.put(node('n1'));
  await expect.poll(() => bound.get('homeless')).toBe('n1');
  await expect
    .poll(() => expositionText(metrics.metrics()))
    .toContain('scheduler_schedule_attempts_total{result="scheduled",profile="default-scheduler"} 1\n');
  const text = expositionText(metrics.metrics());
  expect(text).toContain('scheduler_schedule_attempts_total{result="unschedulable",profile="default-scheduler"} 1\n');
  expect(text).toContain('scheduler_scheduling_algorithm_duration_seconds_count 2\n');
  expect(text).toContain('scheduler_pending_pods{queue="unschedulable"} 0\n');
});
