/**
 * What a node itself costs: start of one container by each runtime, a node with two hundred probed pods, their stop, and what a
 * probe by exec takes of the CPU. Pods name their node themselves, so no scheduler is part of it.
 */
import { setMaxListeners } from 'node:events';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type DeepReadonly, Kinds, type Pod, type Probe } from '#lib/api';
import { realClock } from '#lib/base';
import { nodeHome } from '../../cli/layout.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { agentCpuMs, agentProcesses, type CpuGroup, cpuGroup, partsOf, spentBetween } from './cpu.ts';
import { processes } from './memory.ts';
import type { Figure } from './report.ts';

const NAMESPACE = 'default';
const PODS = 200;
const EXEC_PODS = 10;
const CREATES_AT_ONCE = 16;
const LIMIT_MS = 120_000;
/** Ends at SIGTERM by itself. */
const SERVE = "echo here > /www/index.html; httpd -f -p 8080 -h /www & trap 'kill $!; exit 0' TERM INT; wait";
const HTTP_PROBE: Probe = { httpGet: { path: '/', port: 8080 }, periodSeconds: 10, timeoutSeconds: 5 };
/** Leaves a byte, so that those that were made can be counted. */
const EXEC_PROBE: Probe = {
  exec: { command: ['/bin/sh', '-c', 'echo >> /probes'] },
  periodSeconds: 1,
  timeoutSeconds: 5,
};

export async function nodeFigures(o: { rounds: number; restMs: number }, add: (f: Figure) => void): Promise<void> {
  const t = await startCluster({ name: 'bn', sample: true });
  setMaxListeners(0, t.ctx.signal);
  try {
    await t.client.delete(Kinds.namespaces, { namespace: '', name: 'hello' }, {}, t.ctx);
    await untilPods(t, 0);
    for (const [runtime, reach] of [
      ['crun', 60],
      ['runc', 95],
    ] as const)
      for (const f of await toFirstProcess(t, { runtime, reach, rounds: o.rounds })) add(f);
    await using group = await cpuGroup(t);
    await fullNode(t, { ...o, group }, add);
    add(await execProbe(t, { ...o, group }));
  } finally {
    await t.stop();
  }
}

/**
 * A pod's first process, until its program's exec as the supervisor noted it: since the pod's arrival at the agent, which that
 * counts itself, and since the create, which has the API server's write and the way to the agent in it. The pod names its node.
 */
async function toFirstProcess(
  t: TestCluster,
  o: { runtime: string; reach: number; rounds: number },
): Promise<readonly Figure[]> {
  const handler = { metadata: { name: o.runtime }, handler: o.runtime };
  await t.client.create(Kinds.runtimeclasses, handler, t.ctx);
  const samples: number[] = [];
  const answers: number[] = [];
  const arrivals: number[] = [];
  let before = await startTimes(t);
  for (let i = 0; i < o.rounds + 2; i++) {
    const name = `arrival-${o.runtime}-${i}`;
    const pod = podOf(t, name, { runtimeClassName: o.runtime });
    const begin = realClock.now();
    const made = await t.client.create(Kinds.pods, pod, t.ctx);
    const answered = realClock.now();
    const started = await eventually(`${name} runs`, LIMIT_MS, () => startOf(t, made.metadata.uid ?? ''));
    if (i >= 2) samples.push(started - begin);
    if (i >= 2) answers.push(answered - begin);
    const after = await eventually(`${name} is counted`, LIMIT_MS, async () => {
      const now = await startTimes(t);
      return now.count > before.count ? now : undefined;
    });
    if (after.count !== before.count + 1) throw new Error(`${after.count - before.count} pods were counted, not one`);
    if (i >= 2) arrivals.push((after.seconds - before.seconds) * 1000);
    before = after;
    await t.client.delete(Kinds.pods, { namespace: NAMESPACE, name }, { gracePeriodSeconds: 0 }, t.ctx);
    await untilPods(t, 0);
  }
  const process = `process runs (${o.runtime}, RuntimeDefault)`;
  const sorted = answers.sort((a, b) => a - b);
  const note = `create answered after ${sorted[sorted.length >> 1]} ms`;
  return [
    { name: `pod at the agent -> ${process}`, unit: 'ms', samples: arrivals, reach: o.reach },
    { name: `pod create -> ${process}`, unit: 'ms', samples, note },
  ];
}

/** What the only node has counted of pods that started. */
async function startTimes(t: TestCluster): Promise<{ readonly count: number; readonly seconds: number }> {
  const path = `/api/v1/nodes/${t.layout.nodes[0]?.name ?? ''}/proxy/metrics`;
  const text = await (await t.client.raw({ method: 'GET', path }, t.ctx)).body.text();
  const value = (what: string): number =>
    Number(new RegExp(`^kubelet_pod_start_duration_seconds_${what} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
  return { count: value('count'), seconds: value('sum') };
}

/** ms since the epoch; undefined while the pod's container does not run. */
async function startOf(t: TestCluster, uid: string): Promise<number | undefined> {
  const folder = join(homeOf(t), 'containers');
  for (const id of await readdir(folder)) {
    const record = await readFile(join(folder, id, 'container.json'), 'utf8').catch(() => '');
    if (!record.includes(uid)) continue;
    const started = await readFile(join(folder, id, 'started.json'), 'utf8').catch(() => undefined);
    return started === undefined ? undefined : (JSON.parse(started) as { startedAtMs: number }).startedAtMs;
  }
  return undefined;
}

async function fullNode(
  t: TestCluster,
  { group, restMs }: { group: CpuGroup; restMs: number },
  add: (f: Figure) => void,
): Promise<void> {
  const begin = realClock.monotonic();
  const usedBefore = await group.usedMs();
  const partsBefore = await partsOf(t, group);
  await createPods(t, PODS, (i) => podOf(t, `full-${i}`, { readinessProbe: HTTP_PROBE }));
  await untilReady(t, PODS);
  const perSecond = (PODS * 1000) / (realClock.monotonic() - begin);
  const used = ((await group.usedMs()) - usedBefore) / PODS;
  const cost = `${used.toFixed(0)} ms of CPU a pod, for agent, helper, runtime and program`;
  const parts = spentBetween(partsBefore, await partsOf(t, group), PODS);
  add({
    name: `${PODS} pods created -> ready`,
    unit: '/s',
    samples: [perSecond],
    reach: 20,
    note: `${cost}: ${parts}`,
  });
  await realClock.sleep(restMs);
  const before = await agentCpuMs(t);
  const since = realClock.monotonic();
  await realClock.sleep(Math.max(restMs, 30_000));
  const cpu = ((await agentCpuMs(t)) - before) / (realClock.monotonic() - since);
  const each = { samples: [cpu * 100], reach: 2, note: 'agent and helper, each pod with an httpGet probe every 10 s' };
  add({ name: `idle CPU of the agent, ${PODS} pods`, unit: '% of a core', ...each });
  const { agent, supervisors } = await memory(t);
  add({ name: `memory of the agent, ${PODS} pods`, unit: 'MB', samples: [agent], reach: 110, note: 'RSS' });
  const note = `PSS, ${supervisors.length} supervisors`;
  add({ name: 'memory of a supervisor', unit: 'MB', samples: supervisors, reach: 0.3, note });
  add(await stopAll(t, group));
}

async function stopAll(t: TestCluster, group: CpuGroup): Promise<Figure> {
  const before = await partsOf(t, group);
  const begin = realClock.monotonic();
  const wanted = { gracePeriodSeconds: 30 };
  await inParallel(PODS, (i) =>
    t.client.delete(Kinds.pods, { namespace: NAMESPACE, name: `full-${i}` }, wanted, t.ctx),
  );
  await untilPods(t, 0);
  const samples = [realClock.monotonic() - begin];
  const note = `ms of CPU a pod: ${spentBetween(before, await partsOf(t, group), PODS)}`;
  return { name: `${PODS} pods deleted -> gone (exit on SIGTERM)`, unit: 'ms', samples, reach: 5000, note };
}

/** CPU of everything that a probe by exec brings about: agent, helper, runtime, and its shell. */
async function execProbe(t: TestCluster, { group, restMs }: { group: CpuGroup; restMs: number }): Promise<Figure> {
  const measure = async (): Promise<{ usedMs: number; probes: number; tookMs: number }> => {
    const since = realClock.monotonic();
    const before = { usedMs: await group.usedMs(), probes: await probesMade(t) };
    await realClock.sleep(Math.max(restMs, 20_000));
    const usedMs = (await group.usedMs()) - before.usedMs;
    return { usedMs, probes: (await probesMade(t)) - before.probes, tookMs: realClock.monotonic() - since };
  };
  const idle = await measure();
  await createPods(t, EXEC_PODS, (i) => podOf(t, `exec-${i}`, { livenessProbe: EXEC_PROBE }));
  await untilReady(t, EXEC_PODS);
  await realClock.sleep(2_000);
  const busy = await measure();
  await inParallel(EXEC_PODS, (i) =>
    t.client.delete(Kinds.pods, { namespace: NAMESPACE, name: `exec-${i}` }, { gracePeriodSeconds: 0 }, t.ctx),
  );
  await untilPods(t, 0);
  const samples = [(busy.usedMs - (idle.usedMs * busy.tookMs) / idle.tookMs) / busy.probes];
  return { name: 'a probe by exec', unit: 'ms', samples, note: `CPU, ${busy.probes} probes, the default runtime` };
}

async function probesMade(t: TestCluster): Promise<number> {
  const roots = join(homeOf(t), 'images/snapshots/roots');
  const ids = await readdir(roots);
  const sizes = await Promise.all(
    ids.map((id) =>
      stat(join(roots, id, 'upper/probes')).then(
        (s) => s.size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, n) => sum + n, 0);
}

function podOf(
  t: TestCluster,
  name: string,
  o: { runtimeClassName?: string; readinessProbe?: Probe; livenessProbe?: Probe },
): Pick<Pod, 'metadata' | 'spec'> {
  const { runtimeClassName, ...probes } = o;
  const image = `${t.registry}/berth/hello:1`;
  return {
    metadata: { name, namespace: NAMESPACE },
    spec: {
      nodeName: t.layout.nodes[0]?.name ?? '',
      automountServiceAccountToken: false,
      ...(runtimeClassName === undefined ? {} : { runtimeClassName }),
      containers: [{ name: 'main', image, command: ['/bin/sh', '-c', SERVE], ...probes }],
    },
  };
}

function createPods(t: TestCluster, count: number, pod: (i: number) => Pick<Pod, 'metadata' | 'spec'>): Promise<void> {
  return inParallel(count, (i) => t.client.create(Kinds.pods, pod(i), t.ctx));
}

async function inParallel(count: number, fn: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) await fn(i);
  };
  await Promise.all(Array.from({ length: CREATES_AT_ONCE }, lane));
}

/** By a watch, as `kubectl wait` does: a list of all pods every moment would cost the machine as much as what is measured. */
async function untilReady(t: TestCluster, count: number): Promise<void> {
  await untilPodsAre(t, `${count} pods ready`, (pods) => pods.length === count && pods.every(isReady));
}

async function untilPodsAre(
  t: TestCluster,
  what: string,
  are: (pods: readonly DeepReadonly<Pod>[]) => boolean,
): Promise<void> {
  const limit = AbortSignal.any([t.ctx.signal, AbortSignal.timeout(LIMIT_MS)]);
  const c = { ...t.ctx, signal: limit };
  const list = await t.client.list(Kinds.pods, {}, c);
  const pods = new Map(list.items.map((p) => [p.metadata.uid, p]));
  if (are([...pods.values()])) return;
  const { resourceVersion } = list;
  for await (const e of t.client.watch(Kinds.pods, { resourceVersion }, c)) {
    if (e.type === 'BOOKMARK') continue;
    if (e.type === 'DELETED') pods.delete(e.object.metadata.uid);
    else pods.set(e.object.metadata.uid, e.object);
    if (are([...pods.values()])) return;
  }
  throw new Error(`${what}: not within ${LIMIT_MS} ms`);
}

function isReady(p: DeepReadonly<Pod>): boolean {
  return p.status?.conditions?.some((x) => x.type === 'Ready' && x.status === 'True') === true;
}

async function untilPods(t: TestCluster, count: number): Promise<void> {
  await untilPodsAre(t, `${count} pods`, (pods) => pods.length === count);
}

function homeOf(t: TestCluster): string {
  return nodeHome(t.layout, t.layout.nodes[0]?.name ?? '');
}

async function memory(t: TestCluster): Promise<{ agent: number; supervisors: number[] }> {
  const [agent] = (await agentProcesses(t)).filter((p) => !p.isHelper);
  const status = await readFile(`/proc/${agent?.pid}/status`, 'utf8');
  const folder = join(homeOf(t), 'containers');
  const supervisors = await processes((p) => p.words.includes('supervise') && p.words.join(' ').includes(folder));
  return {
    agent: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024,
    supervisors: supervisors.map((p) => p.pssKb / 1024),
  };
}
