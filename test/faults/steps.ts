/** Steps that the fault tests share: a workload, the moment to strike, and what must hold afterwards. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { type Ctx, messageOf, realClock } from '#lib/base';
import { pushSample } from '../../cli/up/sample.ts';
import { waitForRollout } from '../../cli/up/wait.ts';
import { eventually, type TestCluster } from '../harness/cluster.ts';
import { type LiveContainer, liveContainers, logLines, notTheSame } from './host.ts';

export const NAMESPACE = 'default';
export const ROLLOUT_LIMIT_MS = 60_000;
const CALL_LIMIT_MS = 5_000;
/** It says once that it runs, ends on TERM, and costs nothing. */
const IDLE = ['/bin/sh', '-c', 'echo started; trap "exit 0" TERM; while true; do sleep 3600 & wait; done'];

export type SeenPod = DeepReadonly<Pod>;

/** A context whose calls give up: a stopped server would otherwise hold a call for a minute. */
export function limited(t: TestCluster, limitMs = CALL_LIMIT_MS): Ctx {
  return { ...t.ctx, signal: AbortSignal.timeout(limitMs) };
}

export function imageOf(t: TestCluster): string {
  return `${t.registry}/berth/hello:1`;
}

export async function pushImage(t: TestCluster): Promise<void> {
  await pushSample(imageOf(t), t.ctx);
}

export interface Workload {
  readonly name: string;
  readonly replicas: number;
  readonly command?: readonly string[];
  /** An init container waits for 0 to this many seconds, by the pod's name: so that its replicas become Running one by one. */
  readonly spreadSeconds?: number;
}

/** The pod's name is its hostname. */
function waits(seconds: number): string[] {
  const b = '/bin/busybox';
  const tenths = `n=$(( 0x$(${b} hostname | ${b} md5sum | ${b} cut -c1-4) % ${seconds * 10} ))`;
  return [b, 'sh', '-c', `${tenths}; ${b} sleep $((n / 10)).$((n % 10))`];
}

export async function createDeployment(t: TestCluster, w: Workload): Promise<void> {
  const labels = { app: w.name };
  const image = imageOf(t);
  const container = { name: 'main', image, command: [...(w.command ?? IDLE)] };
  const spread =
    w.spreadSeconds === undefined ? {} : { initContainers: [{ name: 'wait', image, command: waits(w.spreadSeconds) }] };
  await t.client.create(
    Kinds.deployments,
    {
      metadata: { name: w.name, namespace: NAMESPACE },
      spec: {
        replicas: w.replicas,
        selector: { matchLabels: labels },
        template: {
          metadata: { name: '', labels },
          spec: { terminationGracePeriodSeconds: 1, ...spread, containers: [container] },
        },
      },
    },
    limited(t),
  );
}

export async function podsOf(t: TestCluster, app: string): Promise<readonly SeenPod[]> {
  const query = { namespace: NAMESPACE, labelSelector: `app=${app}` };
  return (await t.client.list(Kinds.pods, query, limited(t))).items;
}

export function isRunning(p: SeenPod): boolean {
  return p.status?.phase === 'Running';
}

export async function rolledOut(t: TestCluster, app: string, limitMs = ROLLOUT_LIMIT_MS): Promise<void> {
  try {
    await waitForRollout(t.client, { namespace: NAMESPACE, name: app }, limitMs, t.ctx);
  } catch (e) {
    throw new Error(`${messageOf(e)}\n${await missingPods(t, app)}`, { cause: e });
  }
}

/** Why pods do not run, for the failure's message: their containers' reasons and their events. */
async function missingPods(t: TestCluster, app: string): Promise<string> {
  const out: string[] = [];
  for (const p of (await podsOf(t, app)).filter((x) => !isRunning(x)).slice(0, 3)) {
    const events = (await t.client.list(Kinds.events, { namespace: NAMESPACE }, limited(t))).items
      .filter((x) => x.involvedObject.uid === p.metadata.uid)
      .map((x) => `  ${x.lastTimestamp ?? ''} ${x.reason ?? ''} ${x.message ?? ''}`);
    out.push(`${p.metadata.name} ${p.metadata.uid}: ${JSON.stringify(p.status)}`, ...events);
  }
  for (const n of t.layout.nodes) {
    const log = await readFile(join(t.layout.home, 'log', `agent-${n.name}.log`), 'utf8').catch(() => '');
    out.push(
      ...log
        .split('\n')
        .filter((l) => /"level":[456]0/.test(l))
        .slice(-10),
    );
  }
  return out.join('\n');
}

/** The pods at the first look at which between `least` and `most` of them are Running. */
export async function whenRunning(
  t: TestCluster,
  app: string,
  o: { least: number; most: number },
): Promise<readonly SeenPod[]> {
  const end = realClock.monotonic() + ROLLOUT_LIMIT_MS;
  for (;;) {
    const pods = await podsOf(t, app);
    const count = pods.filter(isRunning).length;
    if (count > o.most) throw new Error(`${count} pods of ${app} are Running already: the moment to strike is past`);
    if (count >= o.least) return pods;
    if (realClock.monotonic() > end) throw new Error(`${app}: only ${count} of ${o.least} pods are Running`);
    await realClock.sleep(5);
  }
}

/** Gone from the API and from every node. */
export async function deleteDeployment(t: TestCluster, app: string): Promise<void> {
  const uids = new Set((await podsOf(t, app)).map((p) => p.metadata.uid));
  await t.client.delete(Kinds.deployments, { namespace: NAMESPACE, name: app }, {}, limited(t));
  await eventually(`pods of ${app} are gone`, ROLLOUT_LIMIT_MS, async () => {
    const lives = (await liveContainers(t)).some((c) => uids.has(c.podUid));
    return !lives && (await podsOf(t, app)).length === 0;
  });
}

/** Nothing that ran was touched: same process, no restart, and the API knows it by the same id. */
export async function expectUntouched(t: TestCluster, app: string, before: readonly LiveContainer[]): Promise<void> {
  expect((await notTheSame(before)).map((c) => c.podUid)).toEqual([]);
  const pods = new Map((await podsOf(t, app)).map((p) => [p.metadata.uid, p]));
  const changed = before.flatMap((c) => {
    const status = pods.get(c.podUid)?.status?.containerStatuses?.find((s) => s.name === c.container);
    const same = status?.containerID === `berth://${c.id}` && status.restartCount === c.attempt;
    return same ? [] : [{ wanted: c, status }];
  });
  expect(changed).toEqual([]);
}

/** Exactly `replicas` pods, each with one address of its own and one container that was started once. */
export async function expectNoDoubles(t: TestCluster, app: string, replicas: number): Promise<void> {
  const pods = await podsOf(t, app);
  expect(pods.filter((p) => isRunning(p) && p.metadata.deletionTimestamp === undefined)).toHaveLength(replicas);
  expect(pods).toHaveLength(replicas);
  const addresses = pods.map((p) => p.status?.podIP ?? 'none');
  expect(new Set(addresses).size, `addresses ${addresses.sort().join(' ')}`).toBe(replicas);
  const uids = new Set(pods.map((p) => p.metadata.uid ?? ''));
  const live = (await liveContainers(t)).filter((c) => uids.has(c.podUid));
  expect(live.map((c) => c.podUid).sort()).toEqual([...uids].sort());
  expect(live.filter((c) => c.attempt !== 0)).toEqual([]);
  for (const p of pods) {
    const { namespace = '', name, uid = '' } = p.metadata;
    expect(await logLines(t, { namespace, name, uid }), `log of ${name}`).toEqual(['started']);
    expect(p.status?.containerStatuses?.map((s) => s.restartCount)).toEqual([0]);
  }
  const sets = await t.client.list(
    Kinds.replicasets,
    { namespace: NAMESPACE, labelSelector: `app=${app}` },
    limited(t),
  );
  expect(sets.items).toHaveLength(1);
}

/** What the nodes run belongs to pods that the API knows: nobody was forgotten. */
export async function expectNoStrays(t: TestCluster): Promise<void> {
  await eventually('every container on a node belongs to a pod', 10_000, async () => {
    const known = new Set((await t.client.list(Kinds.pods, {}, limited(t))).items.map((p) => p.metadata.uid ?? ''));
    return (await liveContainers(t)).every((c) => known.has(c.podUid));
  });
}
