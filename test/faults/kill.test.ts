/**
 * kill -9 of each process in the middle of a rollout of fifty, while 10 to 40 replicas are Running: what runs keeps its
 * host pid and its restart count, nothing is created twice, and the rollout completes once the process is back.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { type LiveContainer, liveContainers, parentPid, signal, startTicks, tended } from './host.ts';
import {
  createDeployment,
  deleteDeployment,
  expectNoDoubles,
  expectNoStrays,
  expectUntouched,
  isRunning,
  podsOf,
  pushImage,
  rolledOut,
  whenRunning,
} from './steps.ts';

const REPLICAS = 50;
const LEAST = 10;
const MOST = 40;
/** Long enough for the look at the pods to fall between LEAST and MOST on a busy machine. */
const SPREAD_S = 5;

let t: TestCluster;
tellWhenFailed(() => t);

beforeAll(async () => {
  t = await startCluster({ name: 'kl' });
  await pushImage(t);
});
afterAll(async () => t?.stop());

/** Strikes in mid-rollout; returns what ran at that moment and the pods that existed then. */
async function strike(
  app: string,
  fault: () => Promise<unknown>,
): Promise<{ ran: LiveContainer[]; uids: Set<string> }> {
  await createDeployment(t, { name: app, replicas: REPLICAS, spreadSeconds: SPREAD_S });
  const pods = await whenRunning(t, app, { least: LEAST, most: MOST });
  await fault();
  const running = new Set(pods.filter(isRunning).map((p) => p.metadata.uid));
  expect(running.size).toBeGreaterThanOrEqual(LEAST);
  expect(running.size).toBeLessThanOrEqual(MOST);
  const live = await liveContainers(t);
  const ran = live.filter((c) => running.has(c.podUid));
  expect(ran).toHaveLength(running.size);
  return { ran, uids: new Set(pods.map((p) => p.metadata.uid ?? '')) };
}

async function expectSurvived(app: string, before: { ran: LiveContainer[]; uids: Set<string> }): Promise<void> {
  await rolledOut(t, app);
  await expectUntouched(t, app, before.ran);
  await expectNoDoubles(t, app, REPLICAS);
  const after = new Set((await podsOf(t, app)).map((p) => p.metadata.uid));
  expect([...before.uids].filter((uid) => !after.has(uid))).toEqual([]);
  await expectNoStrays(t);
  await deleteDeployment(t, app);
}

describe('kill -9 while 10 to 40 of 50 replicas are Running', () => {
  test.each(['server', 'agent', 'etcd', 'nats'])('of %s', async (what) => {
    const name = what === 'agent' ? `agent-${t.layout.nodes[0]?.name ?? ''}` : what;
    let killed = 0;
    const before = await strike(`kill-${what}`, async () => {
      killed = await signal(t, name, 'SIGKILL');
    });
    const again = await eventually(`${what} runs again`, 15_000, async () => {
      const p = await tended(t, name);
      return p.pid !== 0 && p.pid !== killed ? p : undefined;
    });
    expect(again.restarts).toBe(1);
    await expectSurvived(`kill-${what}`, before);
    expect((await tended(t, name)).pid).toBe(again.pid);
  });

  test('of the parent: `berth up` takes over the living processes', async () => {
    const names = ['etcd', 'nats', 'registry', 'server', `agent-${t.layout.nodes[0]?.name ?? ''}`];
    const pids = await Promise.all(names.map(async (n) => (await tended(t, n)).pid));
    const ticks = await Promise.all(pids.map(startTicks));
    let killed = 0;
    const before = await strike('kill-parent', async () => {
      killed = await signal(t, 'parent', 'SIGKILL');
    });
    const up = await t.berth('up', '--home', t.layout.home, '--no-sample');
    expect(up).toMatchObject({ code: 0 });
    expect(up.stdout).toContain('taking over 5 running processes');
    expect(await parentPid(t)).not.toBe(killed);
    expect(await Promise.all(names.map(async (n) => (await tended(t, n)).pid))).toEqual(pids);
    expect(await Promise.all(pids.map(startTicks))).toEqual(ticks);
    await expectSurvived('kill-parent', before);

    // The new parent does its work: it starts again what dies, an adopted one too.
    const nats = await signal(t, 'nats', 'SIGKILL');
    await eventually('nats runs again', 15_000, async () => {
      const p = await tended(t, 'nats');
      return p.pid !== 0 && p.pid !== nats;
    });
  });
});
