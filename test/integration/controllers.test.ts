/**
 * API server (memory store), all controllers and the scheduler together, with a fake kubelet for the nodes: what a user sees
 * of rollouts, deletions and lost nodes, without containers.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { FakeCluster } from './controllers/fake-cluster.ts';

/** Longer than the default toleration (3 s), shorter than that and a node's grace (2 s) together. */
const LATER_MS = 3_500;

const clusters: FakeCluster[] = [];

async function start(nodes = 3): Promise<FakeCluster> {
  const cluster = await FakeCluster.start({ nodes });
  clusters.push(cluster);
  return cluster;
}

async function untilSilent(k: FakeCluster, count: number): Promise<void> {
  await k.eventually(async () => {
    const silent = (await k.nodes()).filter((n) =>
      n.status?.conditions?.some((x) => x.type === 'Ready' && x.status === 'Unknown'),
    );
    expect(silent).toHaveLength(count);
  });
}

afterEach(async () => {
  for (const c of clusters.splice(0)) await c[Symbol.asyncDispose]();
});

describe('deployments', () => {
  test('50 replicas become available, spread evenly, with slices and events', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 50 });
    await k.service('web');
    const d = await k.untilRolledOut('web');
    expect(d.status).toMatchObject({ replicas: 50, updatedReplicas: 50, readyReplicas: 50, availableReplicas: 50 });
    expect(d.metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('1');
    const perNode = new Map<string, number>();
    for (const p of await k.pods()) perNode.set(p.spec.nodeName ?? '', (perNode.get(p.spec.nodeName ?? '') ?? 0) + 1);
    expect([...perNode.values()].toSorted()).toEqual([16, 17, 17]);
    await k.eventually(async () => {
      const slices = await k.slices('web');
      const ready = slices.flatMap((s) => s.endpoints).filter((e) => e.conditions?.ready);
      expect(ready).toHaveLength(50);
      expect(slices.every((s) => s.endpoints.length <= 100)).toBe(true);
      const endpoints = await k.endpoints('web');
      expect(endpoints?.subsets?.flatMap((s) => s.addresses ?? [])).toHaveLength(50);
    });
    await k.eventually(async () => {
      const events = await k.events();
      expect(events.some((e) => e.reason === 'ScalingReplicaSet' && / from 0 to 50$/.test(e.message ?? ''))).toBe(true);
      expect(events.some((e) => e.reason === 'Scheduled')).toBe(true);
    });
  });

  test('a rolling update keeps its limits, and undo reuses the old set', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 10, maxSurge: 2, maxUnavailable: 1 });
    await k.untilRolledOut('web');
    const watch = k.watchCounts('web');
    await k.setImage('web', 'web:2');
    const d = await k.untilRolledOut('web');
    const { mostPods, leastReady } = watch.stop();
    expect(mostPods).toBeLessThanOrEqual(12);
    expect(mostPods).toBeGreaterThan(10);
    expect(leastReady).toBeGreaterThanOrEqual(9);
    expect(d.metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('2');
    expect((await k.pods()).every((p) => p.spec.containers[0]?.image === 'web:2')).toBe(true);
    const before = (await k.replicaSets()).map((rs) => rs.metadata.name).toSorted();
    await k.setImage('web', 'web:1');
    const back = await k.untilRolledOut('web');
    expect((await k.replicaSets()).map((rs) => rs.metadata.name).toSorted()).toEqual(before);
    expect(back.metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('3');
    const current = (await k.replicaSets()).find((rs) => (rs.spec.replicas ?? 0) > 0);
    expect(current?.metadata.annotations?.['deployment.kubernetes.io/revision-history']).toBe('1');
  });

  test('scale up and down, pause, and Recreate', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 3 });
    await k.untilRolledOut('web');
    await k.change('web', (d) => {
      d.spec.replicas = 8;
    });
    await k.untilRolledOut('web');
    await k.change('web', (d) => {
      d.spec.replicas = 2;
    });
    await k.untilRolledOut('web');
    await k.eventually(async () => expect(await k.pods()).toHaveLength(2));
    await k.change('web', (d) => {
      d.spec.paused = true;
      const [container] = d.spec.template.spec?.containers ?? [];
      if (container) container.image = 'web:2';
    });
    await k.change('web', (d) => {
      d.spec.replicas = 4;
    });
    await k.eventually(async () => expect((await k.pods()).filter((p) => k.isReady(p))).toHaveLength(4));
    expect((await k.pods()).every((p) => p.spec.containers[0]?.image === 'web:1')).toBe(true);
    await k.change('web', (d) => {
      d.spec.paused = false;
      d.spec.strategy = { type: 'Recreate' };
    });
    const watch = k.watchImages('web');
    await k.untilRolledOut('web');
    expect(watch.stop().mixed).toBe(false);
    expect((await k.pods()).every((p) => p.spec.containers[0]?.image === 'web:2')).toBe(true);
  });

  test('leaders that change in the middle of a rollout create nothing twice', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 50, maxSurge: 0 });
    const watch = k.watchCounts('web');
    for (const least of [10, 25]) {
      await k.eventually(async () => expect((await k.pods()).length).toBeGreaterThanOrEqual(least));
      await k.stepDown();
      await k.lead();
    }
    await k.untilRolledOut('web');
    expect(watch.stop().mostPods).toBe(50);
    expect(await k.pods()).toHaveLength(50);
    expect(await k.replicaSets()).toHaveLength(1);
  });

  test('history beyond the limit goes', async () => {
    const k = await start(1);
    await k.deploy('web', { replicas: 1, revisionHistoryLimit: 2 });
    for (const image of ['web:1', 'web:2', 'web:3', 'web:4', 'web:5']) {
      await k.setImage('web', image);
      await k.untilRolledOut('web');
    }
    await k.eventually(async () => expect(await k.replicaSets()).toHaveLength(3));
  });

  test('a pod that cannot be placed says why, and is placed when a node comes', async () => {
    const k = await start(1);
    await k.deploy('big', { replicas: 1, cpu: '16' });
    await k.eventually(async () => {
      const [pod] = await k.pods();
      const condition = pod?.status?.conditions?.find((x) => x.type === 'PodScheduled');
      expect(condition).toMatchObject({
        status: 'False',
        reason: 'Unschedulable',
        message: '0/1 nodes are available: 1 Insufficient cpu.',
      });
    });
    await k.eventually(async () => expect((await k.events()).some((e) => e.reason === 'FailedScheduling')).toBe(true));
    await k.addNode('large', { cpu: '32' });
    await k.untilRolledOut('big');
  });
});

describe('deletion', () => {
  test('background: the owner goes at once, dependents follow', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 3 });
    await k.untilRolledOut('web');
    await k.delete('web', 'Background');
    await k.eventually(async () => {
      expect(await k.replicaSets()).toHaveLength(0);
      expect(await k.pods()).toHaveLength(0);
    });
  });

  test('foreground: the owner goes last', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 3 });
    await k.untilRolledOut('web');
    k.holdTermination = true;
    await k.delete('web', 'Foreground');
    await k.eventually(async () => {
      const pods = await k.pods();
      expect(pods.every((p) => p.metadata.deletionTimestamp !== undefined)).toBe(true);
      expect(pods).toHaveLength(3);
    });
    expect(await k.deployment('web')).toBeDefined();
    k.release();
    await k.eventually(async () => {
      expect(await k.deployment('web')).toBeUndefined();
      expect(await k.replicaSets()).toHaveLength(0);
      expect(await k.pods()).toHaveLength(0);
    });
  });

  test('orphan: dependents stay, and are adopted by a new owner', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 3 });
    await k.untilRolledOut('web');
    const before = (await k.pods()).map((p) => p.metadata.name).toSorted();
    await k.delete('web', 'Orphan');
    await k.eventually(async () => expect(await k.deployment('web')).toBeUndefined());
    const [rs] = await k.replicaSets();
    expect(rs?.metadata.ownerReferences ?? []).toEqual([]);
    await k.deploy('web', { replicas: 3 });
    await k.untilRolledOut('web');
    expect((await k.pods()).map((p) => p.metadata.name).toSorted()).toEqual(before);
    expect((await k.replicaSets())[0]?.metadata.ownerReferences?.[0]?.name).toBe('web');
  });

  test('a pod that loses its label is released and replaced', async () => {
    const k = await start();
    await k.deploy('web', { replicas: 2 });
    await k.untilRolledOut('web');
    const [pod] = await k.pods();
    await k.relabel(pod?.metadata.name ?? '', { app: 'quarantine' });
    await k.eventually(async () => {
      const pods = await k.pods();
      expect(pods).toHaveLength(3);
      const released = pods.find((p) => p.metadata.name === pod?.metadata.name);
      expect(released?.metadata.ownerReferences ?? []).toEqual([]);
    });
  });

  test('a namespace goes with all that is in it', async () => {
    const k = await start();
    await k.namespace('shop');
    await k.deploy('web', { replicas: 3, namespace: 'shop' });
    await k.service('web', 'shop');
    await k.untilRolledOut('web', 'shop');
    await k.deleteNamespace('shop');
    await k.eventually(async () => expect(await k.hasNamespace('shop')).toBe(false));
    expect(await k.pods('shop')).toHaveLength(0);
    expect(await k.replicaSets('shop')).toHaveLength(0);
  });

  test('every namespace has a default service account and the CA', async () => {
    const k = await start(1);
    await k.namespace('shop');
    await k.eventually(async () => {
      expect(await k.hasServiceAccount('shop')).toBe(true);
      expect(await k.rootCa('shop')).toBe('the CA');
    });
  });
});

describe('nodes', () => {
  test('each gets its own share of addresses', async () => {
    const k = await start(4);
    await k.eventually(async () => {
      const cidrs = (await k.nodes()).map((n) => n.spec.podCIDR);
      expect(cidrs.toSorted()).toEqual(['10.42.0.0/24', '10.42.1.0/24', '10.42.2.0/24', '10.42.3.0/24']);
    });
  });

  test('a silent node: NotReady, its pods replaced and kept until it returns', async () => {
    const k = await start(3);
    await k.deploy('web', { replicas: 6 });
    await k.service('web');
    await k.untilRolledOut('web');
    k.silence('node-1');
    await k.eventually(async () => {
      const node = (await k.nodes()).find((n) => n.metadata.name === 'node-1');
      expect(node?.status?.conditions?.find((x) => x.type === 'Ready')?.status).toBe('Unknown');
    });
    await k.eventually(async () => {
      const pods = await k.pods();
      const replaced = pods.filter((p) => p.spec.nodeName !== 'node-1' && k.isReady(p));
      expect(replaced).toHaveLength(6);
      const stuck = pods.filter((p) => p.spec.nodeName === 'node-1');
      expect(stuck).toHaveLength(2);
      expect(stuck.every((p) => p.metadata.deletionTimestamp !== undefined && !k.isReady(p))).toBe(true);
      const endpoints = (await k.slices('web')).flatMap((s) => s.endpoints);
      expect(endpoints.filter((e) => e.conditions?.ready).map((e) => e.nodeName)).not.toContain('node-1');
    }, 20_000);
    await k.speak('node-1');
    await k.eventually(async () => {
      expect(await k.pods()).toHaveLength(6);
      const node = (await k.nodes()).find((n) => n.metadata.name === 'node-1');
      expect(node?.spec.taints ?? []).toEqual([]);
    });
  });

  test('most nodes silent: nobody is evicted', async () => {
    const k = await start(3);
    await k.deploy('web', { replicas: 6 });
    await k.untilRolledOut('web');
    const before = (await k.pods()).map((p) => p.metadata.name).toSorted();
    k.silence('node-0');
    k.silence('node-1');
    await untilSilent(k, 2);
    await k.sleep(6_000);
    const pods = await k.pods();
    expect(pods.map((p) => p.metadata.name).toSorted()).toEqual(before);
    expect(pods.every((p) => p.metadata.deletionTimestamp === undefined)).toBe(true);
    // They return one after the other: the later one is no lost node, its silence begins when the outage ends.
    await k.speak('node-0');
    await k.sleep(LATER_MS);
    expect((await k.pods()).filter((p) => p.metadata.deletionTimestamp !== undefined)).toEqual([]);
    await k.speak('node-1');
    await k.eventually(async () => expect((await k.pods()).every((p) => k.isReady(p))).toBe(true));
    await k.sleep(LATER_MS);
    expect((await k.pods()).map((p) => p.metadata.name).toSorted()).toEqual(before);
    // One that stays away is lost after all.
    k.silence('node-1');
    await k.eventually(async () => {
      expect((await k.pods()).filter((p) => p.spec.nodeName !== 'node-1' && k.isReady(p))).toHaveLength(6);
    }, 20_000);
  });

  test('after most nodes were silent: one that stays away is lost, a grace period later', async () => {
    const k = await start(3);
    await k.deploy('web', { replicas: 6 });
    await k.untilRolledOut('web');
    k.silence('node-0');
    k.silence('node-1');
    await untilSilent(k, 2);
    await k.sleep(LATER_MS);
    await k.speak('node-0');
    await k.eventually(async () => {
      const lost = (await k.pods()).filter((p) => p.spec.nodeName === 'node-1');
      expect(lost.every((p) => p.metadata.deletionTimestamp !== undefined)).toBe(true);
      expect((await k.pods()).filter((p) => p.spec.nodeName !== 'node-1' && k.isReady(p))).toHaveLength(6);
    }, 20_000);
  });

  test('a short silence of the only node: its pods are not ready for a while, and are kept', async () => {
    const k = await start(1);
    await k.deploy('web', { replicas: 3 });
    await k.untilRolledOut('web');
    const before = (await k.pods()).map((p) => p.metadata.uid).toSorted();
    k.silence('node-0');
    await k.eventually(async () => expect((await k.pods()).every((p) => !k.isReady(p))).toBe(true));
    await k.speak('node-0');
    await k.eventually(async () => expect((await k.pods()).every((p) => k.isReady(p))).toBe(true));
    expect((await k.pods()).map((p) => p.metadata.uid).toSorted()).toEqual(before);
  });

  test('a control plane away for longer than any grace evicts nobody on its return', async () => {
    const k = await start(3);
    await k.deploy('web', { replicas: 6 });
    await k.untilRolledOut('web');
    const before = (await k.pods()).map((p) => p.metadata.uid).toSorted();
    k.cut();
    await k.sleep(6_500);
    // The nodes take a moment to find the way back.
    for (const n of ['node-0', 'node-1', 'node-2']) k.silence(n);
    k.mend();
    await k.sleep(2_500);
    for (const n of ['node-0', 'node-1', 'node-2']) await k.speak(n);
    await k.sleep(5_000);
    const pods = await k.pods();
    expect(pods.map((p) => p.metadata.uid).toSorted()).toEqual(before);
    expect(pods.every((p) => p.metadata.deletionTimestamp === undefined && k.isReady(p))).toBe(true);
    const reasons = (await k.events()).map((e) => e.reason);
    expect(reasons).not.toContain('NodeNotReady');
    expect(reasons).not.toContain('TaintManagerEviction');
  });

  test('pods of a deleted node are removed', async () => {
    const k = await start(2);
    await k.deploy('web', { replicas: 4 });
    await k.untilRolledOut('web');
    await k.deleteNode('node-0');
    await k.eventually(async () => {
      const pods = await k.pods();
      expect(pods.every((p) => p.spec.nodeName === 'node-1')).toBe(true);
      expect(pods.filter((p) => k.isReady(p))).toHaveLength(4);
    }, 20_000);
  });
});
