/**
 * Parts that are away for a while, on one node: the control plane (stopped in its tracks, and dead), etcd, NATS. What runs
 * runs on, nobody is evicted when it returns, and what was asked for meanwhile is refused in clear words or done later.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { keepAway, liveContainers, standStill } from './host.ts';
import {
  createDeployment,
  deleteDeployment,
  expectNoDoubles,
  expectNoStrays,
  expectUntouched,
  limited,
  NAMESPACE,
  podsOf,
  pushImage,
  rolledOut,
} from './steps.ts';

/** Silence is NotReady after 5 s, eviction 3 s later, a leader's lease 5 s: no grace outlasts this. */
const AWAY_MS = 20_000;
/** The whole of the figure, once. */
const LONG_AWAY_MS = 60_000;
/** Long enough after the return for every grace to run out again. */
const CALM_MS = 12_000;
const APP = 'steady';
const REPLICAS = 10;

let t: TestCluster;
tellWhenFailed(() => t);

beforeAll(async () => {
  t = await startCluster({ name: 'aw' });
  await pushImage(t);
  await createDeployment(t, { name: APP, replicas: REPLICAS });
  await rolledOut(t, APP);
});
afterAll(async () => t?.stop());

/** From now until the returned function is called, every change of pods and nodes is looked at. */
function watchForEvictions(): () => Promise<string[]> {
  const stop = new AbortController();
  const seen: string[] = [];
  const look = (async () => {
    while (!stop.signal.aborted) {
      const pods = await podsOf(t, APP);
      for (const p of pods) if (p.metadata.deletionTimestamp !== undefined) seen.push(`${p.metadata.name} is deleted`);
      for (const n of (await t.client.list(Kinds.nodes, {}, limited(t))).items)
        for (const taint of n.spec?.taints ?? [])
          if (taint.effect === 'NoExecute') seen.push(`${n.metadata.name} has ${taint.key}`);
      await realClock.sleep(200);
    }
  })();
  return async () => {
    stop.abort();
    await look;
    return [...new Set(seen)];
  };
}

async function untilAnswering(): Promise<void> {
  await eventually('the API answers', 30_000, async () => {
    await t.client.list(Kinds.nodes, {}, limited(t));
    return true;
  });
}

/** Runs `away`, then checks that it changed nothing for the pods, now and once every grace has run out again. */
async function expectNobodyEvicted(away: () => Promise<void>): Promise<void> {
  const uids = (await podsOf(t, APP)).map((p) => p.metadata.uid).sort();
  const before = await liveContainers(t);
  expect(before).toHaveLength(REPLICAS);
  await away();
  await untilAnswering();
  const evictions = watchForEvictions();
  await realClock.sleep(CALM_MS);
  expect(await evictions()).toEqual([]);
  expect((await podsOf(t, APP)).map((p) => p.metadata.uid).sort()).toEqual(uids);
  await expectUntouched(t, APP, before);
  await expectNoDoubles(t, APP, REPLICAS);
  const node = await t.client.get(Kinds.nodes, { namespace: '', name: t.layout.nodes[0]?.name ?? '' }, limited(t));
  expect(node.status?.conditions?.find((c) => c.type === 'Ready')?.status).toBe('True');
}

test('a control plane that stood still longer than every grace evicts nobody', async () => {
  await expectNobodyEvicted(async () => {
    using _ = await standStill(t, 'server');
    await realClock.sleep(AWAY_MS);
  });
});

test('a control plane that was dead for a minute evicts nobody', async () => {
  await expectNobodyEvicted(async () => {
    using _ = await keepAway(t, 'server');
    await realClock.sleep(LONG_AWAY_MS);
  });
});

test('an etcd that is not there: a clear refusal, nothing lost, nothing half-made', async () => {
  const kept = { namespace: NAMESPACE, name: 'kept' };
  await t.client.create(Kinds.configmaps, { metadata: kept, data: { a: '1' } }, limited(t));
  await expectNobodyEvicted(async () => {
    using _ = await keepAway(t, 'etcd');
    const begun = realClock.monotonic();
    const refused = await t.kubectl('create', 'configmap', 'refused', '--from-literal=a=1');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/etcd cannot be reached/);
    const changed = await t.kubectl('patch', 'configmap', 'kept', '-p', '{"data":{"a":"2"}}');
    expect(changed.code).not.toBe(0);
    expect(changed.stderr).toMatch(/etcd cannot be reached/);
    const ready = t.client.raw({ method: 'GET', path: '/readyz' }, limited(t, 15_000));
    await expect(ready).rejects.toThrow('[-]etcd failed');
    await realClock.sleep(Math.max(AWAY_MS - (realClock.monotonic() - begun), 0));
  });
  expect((await t.client.get(Kinds.configmaps, kept, limited(t))).data).toEqual({ a: '1' });
  const { items } = await t.client.list(Kinds.configmaps, { namespace: NAMESPACE }, limited(t));
  expect(items.map((x) => x.metadata.name)).not.toContain('refused');
  await createDeployment(t, { name: 'after-etcd', replicas: 3 });
  await rolledOut(t, 'after-etcd');
  await expectNoDoubles(t, 'after-etcd', 3);
  await deleteDeployment(t, 'after-etcd');
  await expectNoStrays(t);
});

test.each([
  ['hangs', standStill],
  ['is gone', keepAway],
] as const)('a deployment converges while NATS %s', async (_how, cut) => {
  using _ = await cut(t, 'nats');
  await createDeployment(t, { name: 'no-nats', replicas: 20 });
  await rolledOut(t, 'no-nats', 30_000);
  await t.client.patch(
    Kinds.deployments,
    { namespace: NAMESPACE, name: 'no-nats' },
    { type: 'merge', body: { spec: { replicas: 3, template: { metadata: { annotations: { round: '2' } } } } } },
    limited(t),
  );
  await rolledOut(t, 'no-nats', 30_000);
  await eventually('only the new pods are left', 20_000, async () => (await podsOf(t, 'no-nats')).length === 3);
  const round = (await podsOf(t, 'no-nats')).map((p) => p.metadata.annotations?.['round']);
  expect(round).toEqual(['2', '2', '2']);
  await deleteDeployment(t, 'no-nats');
});
