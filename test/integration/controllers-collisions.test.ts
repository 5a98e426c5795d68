/** Controllers where names, owners and writers collide: on the real API server over a memory store. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  type ConfigMap,
  type DeepReadonly,
  type EndpointSlice,
  Kinds,
  type KubeObject,
  type OwnerReference,
  type Pod,
  type ReplicaSet,
} from '#lib/api';
import { realClock, realRandom, Scope, StatusError, silentLogger } from '#lib/base';
import { type Client, InProcessClient } from '#lib/client';
import { InformerFactory, mutableCopy } from '#lib/controller';
import { MemoryStore } from '#lib/store';
import { startApiServer } from '../../services/apiserver/main.ts';
import { CustomKinds } from '../../services/controllers/custom-kinds.ts';
import { startReplicaSetController } from '../../services/controllers/replicaset/reconcile.ts';
import { Binder } from '../../services/scheduler/bind.ts';
import { limitMs } from '../harness/time-limit.ts';
import { FakeCluster } from './controllers/fake-cluster.ts';

const running: AsyncDisposable[] = [];

async function start(nodes = 1): Promise<FakeCluster> {
  const k = await FakeCluster.start({ nodes });
  running.push(k);
  return k;
}

afterEach(async () => {
  for (const r of running.splice(0)) await r[Symbol.asyncDispose]();
});

function configMap(
  name: string,
  namespace: string,
  owners: readonly OwnerReference[] = [],
): Omit<ConfigMap, 'apiVersion' | 'kind'> {
  return { metadata: { name, namespace, ownerReferences: [...owners] }, data: {} };
}

function ownerOf(o: DeepReadonly<KubeObject>): OwnerReference {
  return { apiVersion: 'v1', kind: 'ConfigMap', name: o.metadata.name, uid: o.metadata.uid ?? '' };
}

const exists = (k: FakeCluster, namespace: string, name: string): Promise<boolean> =>
  k.client.get(Kinds.configmaps, { namespace, name }, k.ctx).then(
    () => true,
    () => false,
  );

describe('endpoint slices', () => {
  const endpointsIn = (slices: readonly DeepReadonly<EndpointSlice>[]): number =>
    new Set(slices.flatMap((s) => (s.endpoints ?? []).map((e) => e.targetRef?.name))).size;

  async function podsNamed(k: FakeCluster, names: readonly string[]): Promise<void> {
    for (const name of names)
      await k.client.create(
        Kinds.pods,
        {
          metadata: { name, namespace: 'default', labels: { app: 'web' } },
          spec: { nodeName: 'node-0', containers: [{ name: 'm', image: 'x' }] },
        },
        k.ctx,
      );
  }

  test('one that was emptied and went does not keep later ones from being made', {
    timeout: limitMs(90_000),
  }, async () => {
    const k = await start();
    await k.service('web');
    await podsNamed(
      k,
      Array.from({ length: 210 }, (_, i) => `a-${i}`),
    );
    const full = await k.eventually(async () => {
      const slices = await k.slices('web');
      expect(endpointsIn(slices)).toBe(210);
      return slices;
    });
    expect(full).toHaveLength(3);
    const byAge = full.toSorted((a, b) =>
      BigInt(a.metadata.resourceVersion ?? 0) < BigInt(b.metadata.resourceVersion ?? 0) ? -1 : 1,
    );
    for (const e of (byAge[0]?.endpoints ?? []).slice())
      await k.client.delete(
        Kinds.pods,
        { namespace: 'default', name: e.targetRef?.name ?? '' },
        { gracePeriodSeconds: 0 },
        k.ctx,
      );
    await k.eventually(async () => {
      const slices = await k.slices('web');
      expect(slices.length).toBeLessThan(3);
    });
    await podsNamed(
      k,
      Array.from({ length: 200 }, (_, i) => `b-${i}`),
    );
    const left = (await k.pods()).length;
    await k.eventually(async () => expect(endpointsIn(await k.slices('web'))).toBe(left));
  });

  test('one whose labels or ports were changed by hand is replaced', async () => {
    const k = await start();
    await k.service('web');
    await podsNamed(k, ['a']);
    const change = async (edit: (s: EndpointSlice) => void): Promise<void> => {
      const slice = await k.eventually(async () => {
        const [first] = await k.slices('web');
        expect(first?.endpoints).toHaveLength(1);
        return first as DeepReadonly<EndpointSlice>;
      });
      const copy = mutableCopy<EndpointSlice>(slice);
      edit(copy);
      await k.client.update<EndpointSlice>(Kinds.endpointslices, copy, k.ctx);
    };
    await change((s) => {
      s.ports = [{ name: '', port: 1, protocol: 'TCP' }];
    });
    await k.eventually(async () => {
      const slices = await k.slices('web');
      expect(slices.map((s) => s.ports.map((p) => p.port))).toEqual([[8080]]);
      expect(slices[0]?.endpoints).toHaveLength(1);
    });
    await change((s) => {
      s.metadata.labels = { ...s.metadata.labels, 'endpointslice.kubernetes.io/managed-by': 'somebody' };
    });
    await k.eventually(async () => {
      const managed = (await k.slices('web')).filter(
        (s) => s.metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === 'endpointslice-controller.k8s.io',
      );
      expect(managed.map((s) => s.endpoints.length)).toEqual([1]);
    });
  });
});

describe('garbage', () => {
  test('an owner in another namespace is none, whether or not it is there', async () => {
    const k = await start();
    await k.namespace('other');
    const owner = await k.client.create<ConfigMap>(Kinds.configmaps, configMap('owner', 'other'), k.ctx);
    await k.sleep(300);
    await k.client.create<ConfigMap>(Kinds.configmaps, configMap('child', 'default', [ownerOf(owner)]), k.ctx);
    await k.eventually(async () => expect(await exists(k, 'default', 'child')).toBe(false));
  });

  test('the uid decides: a new object of the old name is not the owner', async () => {
    const k = await start();
    const owner = await k.client.create<ConfigMap>(Kinds.configmaps, configMap('owner', 'default'), k.ctx);
    const wrong = { ...ownerOf(owner), uid: '00000000-0000-0000-0000-000000000001' };
    await k.client.create<ConfigMap>(Kinds.configmaps, configMap('wrong', 'default', [wrong]), k.ctx);
    await k.client.create<ConfigMap>(Kinds.configmaps, configMap('right', 'default', [ownerOf(owner)]), k.ctx);
    await k.client.create<ConfigMap>(Kinds.configmaps, configMap('both', 'default', [wrong, ownerOf(owner)]), k.ctx);
    await k.eventually(async () => expect(await exists(k, 'default', 'wrong')).toBe(false));
    expect(await exists(k, 'default', 'right')).toBe(true);
    await k.eventually(async () => {
      const both = await k.client.get(Kinds.configmaps, { namespace: 'default', name: 'both' }, k.ctx);
      expect(both.metadata.ownerReferences?.map((r) => r.uid)).toEqual([owner.metadata.uid]);
    });
  });

  test('objects that own each other go in the foreground', async () => {
    const k = await start();
    const a = await k.client.create<ConfigMap>(Kinds.configmaps, configMap('a', 'default'), k.ctx);
    const blocking = { ...ownerOf(a), blockOwnerDeletion: true };
    const b = await k.client.create<ConfigMap>(Kinds.configmaps, configMap('b', 'default', [blocking]), k.ctx);
    const copy = mutableCopy<ConfigMap>(a);
    copy.metadata.ownerReferences = [{ ...ownerOf(b), blockOwnerDeletion: true }];
    await k.client.update<ConfigMap>(Kinds.configmaps, copy, k.ctx);
    await k.sleep(200);
    await k.client.delete(
      Kinds.configmaps,
      { namespace: 'default', name: 'a' },
      { propagationPolicy: 'Foreground' },
      k.ctx,
    );
    await k.eventually(async () => {
      expect(await exists(k, 'default', 'a')).toBe(false);
      expect(await exists(k, 'default', 'b')).toBe(false);
    });
  });

  test('a namespace that cannot go says what holds it, and goes when that is let go', async () => {
    const k = await start();
    await k.namespace('held');
    const held = configMap('held', 'held');
    held.metadata.finalizers = ['example.com/hold'];
    const made = await k.client.create<ConfigMap>(Kinds.configmaps, held, k.ctx);
    await k.deleteNamespace('held');
    await k.eventually(async () => {
      const ns = await k.client.get(Kinds.namespaces, { namespace: '', name: 'held' }, k.ctx);
      const said = Object.fromEntries((ns.status?.conditions ?? []).map((c) => [c.type, `${c.status} ${c.message}`]));
      expect(ns.status?.phase).toBe('Terminating');
      expect(said['NamespaceContentRemaining']).toBe(
        'True Some resources are remaining: configmaps has 1 resource instances',
      );
      expect(said['NamespaceFinalizersRemaining']).toBe(
        'True Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
      );
    });
    const copy = mutableCopy<ConfigMap>(
      await k.client.get(Kinds.configmaps, { namespace: 'held', name: made.metadata.name }, k.ctx),
    );
    copy.metadata.finalizers = [];
    await k.client.update<ConfigMap>(Kinds.configmaps, copy, k.ctx);
    await k.eventually(async () => expect(await k.hasNamespace('held')).toBe(false));
  });
});

describe('replica sets', () => {
  test('a pod that another took in the same moment is not deleted as one too many', async () => {
    const scope = new Scope('replica sets');
    running.push(scope);
    const common = { clock: realClock, random: realRandom, log: silentLogger };
    const store = new MemoryStore({ clock: realClock });
    const config = { serviceCidr: '10.43.0.0/16', advertise: { address: '192.0.2.1', port: 6443 } };
    const api = scope.own(await startApiServer({ ...common, store, listen: [], config }));
    const client = new InProcessClient({ handler: api.handler, user: { name: 'x', groups: ['system:masters'] } });
    const c = { signal: scope.signal, ...common };
    await client.create(Kinds.serviceaccounts, { metadata: { name: 'default', namespace: 'default' } }, c);
    const containers = [{ name: 'm', image: 'x' }];
    const podOf = (name: string) => ({
      metadata: { name, namespace: 'default', labels: { app: 'web' } },
      spec: { containers },
    });
    await client.create(Kinds.pods, podOf('orphan'), c);
    // Whoever adopts comes a moment too late: the pod has another owner by then.
    const taken = new Proxy(client, {
      get(target, name) {
        if (name !== 'update') return Reflect.get(target, name).bind(target);
        return (kind: unknown, o: Pod, ...rest: unknown[]) =>
          kind === Kinds.pods && o.metadata.name === 'orphan'
            ? Promise.reject(new StatusError('Conflict', 'the object has been modified'))
            : Reflect.apply(target.update, target, [kind, o, ...rest]);
      },
    }) as Client;
    const informers = scope.own(new InformerFactory({ ...common, client: taken }));
    const customKinds = scope.own(new CustomKinds(informers));
    scope.own(
      startReplicaSetController({
        ...common,
        client: taken,
        informers,
        customKinds,
        config: {},
        recorder: () => ({ event: () => undefined }),
      }),
    );
    const template = { metadata: { name: '', labels: { app: 'web' } }, spec: { containers } };
    const set = await client.create<ReplicaSet>(
      Kinds.replicasets,
      {
        metadata: { name: 'rs', namespace: 'default' },
        spec: { replicas: 0, selector: { matchLabels: { app: 'web' } }, template },
      },
      c,
    );
    await realClock.sleep(500);
    expect(set.metadata.uid).toBeDefined();
    expect(await client.get(Kinds.pods, { namespace: 'default', name: 'orphan' }, c)).toBeDefined();
  });
});

describe('scheduler', () => {
  test('a pod that was bound meanwhile is not told to be unschedulable', async () => {
    const k = await start();
    const spec = { containers: [{ name: 'm', image: 'x' }], nodeSelector: { disk: 'fast' } };
    const stale = await k.client.create(Kinds.pods, { metadata: { name: 'p', namespace: 'default' }, spec }, k.ctx);
    const binder = new Binder(k.client, { event: () => undefined });
    await binder.tellUnschedulable(stale, 'not yet', k.ctx);
    const scheduled = async (): Promise<string | undefined> =>
      (await k.client.get(Kinds.pods, { namespace: 'default', name: 'p' }, k.ctx)).status?.conditions?.find(
        (c) => c.type === 'PodScheduled',
      )?.status;
    expect(await scheduled()).toBe('False');
    await binder.bind(stale, 'node-0', k.ctx);
    expect(await scheduled()).toBe('True');
    await binder.tellUnschedulable(stale, 'too late', k.ctx);
    expect(await scheduled()).toBe('True');
  });
});

describe('taints', () => {
  test('what a pod tolerates counts from the taint, not from the pod, and never less', async () => {
    const k = await start();
    const tolerating = { key: 'maintenance', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 3 };
    const spec = { nodeName: 'node-0', tolerations: [tolerating], containers: [{ name: 'm', image: 'x' }] };
    await k.client.create(Kinds.pods, { metadata: { name: 'p', namespace: 'default' }, spec }, k.ctx);
    // The pod is older than what it tolerates.
    await k.sleep(4_000);
    const taintedMs = realClock.monotonic();
    // As kubectl does, without the time.
    const body = { spec: { taints: [{ key: 'maintenance', effect: 'NoExecute' }] } };
    await k.client.patch(Kinds.nodes, { namespace: '', name: 'node-0' }, { type: 'merge', body }, k.ctx);
    await k.eventually(async () => expect(await k.pods()).toHaveLength(0));
    expect(realClock.monotonic() - taintedMs).toBeGreaterThan(2_900);
  });
});
