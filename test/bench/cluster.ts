/** What Berth itself is measured by: start of a cluster, pod create to Running, a rollout of fifty, memory. */
import { Kinds, type Pod } from '#lib/api';
import { realClock } from '#lib/base';
import { waitForRollout } from '../../cli/up/wait.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { type ProcessMemory, processes, totalMb } from './memory.ts';
import type { Figure } from './report.ts';

const SHELL = ['/bin/sh', '-c', 'echo started; trap "exit 0" TERM; while true; do sleep 3600 & wait; done'];

/** `berth up` on an installed machine until the page answers. */
export async function upToPage(): Promise<Figure> {
  const begin = realClock.monotonic();
  const cluster = await startCluster({ name: 'u', sample: true });
  const samples = [realClock.monotonic() - begin];
  await cluster.stop();
  return { name: 'berth up to the page answering', unit: 'ms', samples, reach: 8000 };
}

/** From sending the create to seeing phase Running on a watch; image present, node idle. */
export async function createToRunning(t: TestCluster, rounds: number): Promise<Figure> {
  const samples: number[] = [];
  for (let i = 0; i < rounds + 2; i++) {
    const name = `bench-${i}`;
    const list = await t.client.list(Kinds.pods, { namespace: 'default' }, t.ctx);
    const stop = new AbortController();
    const c = { ...t.ctx, signal: stop.signal };
    const running = (async () => {
      for await (const e of t.client.watch(
        Kinds.pods,
        { namespace: 'default', resourceVersion: list.resourceVersion },
        c,
      )) {
        if (e.type === 'MODIFIED' && e.object.metadata.name === name && e.object.status?.phase === 'Running')
          return realClock.monotonic();
      }
      throw new Error('the watch ended');
    })();
    await realClock.sleep(100);
    const begin = realClock.monotonic();
    await t.client.create(Kinds.pods, podOf(name, t.registry), t.ctx);
    const end = await running;
    stop.abort();
    const endWall = realClock.now();
    if (i >= 2) samples.push(end - begin);
    if (i === 0) await expectItHadRun(t, name, endWall - (realClock.monotonic() - end));
    await t.client.delete(Kinds.pods, { namespace: 'default', name }, { gracePeriodSeconds: 0 }, t.ctx);
    await realClock.sleep(200);
  }
  const name = 'pod create -> Running (image present)';
  return { name, unit: 'ms', samples, reach: 100, task: 'start one', isOurs: true };
}

/** Running was told only after the container's own process had run: its first log line is older. */
async function expectItHadRun(t: TestCluster, pod: string, toldAtMs: number): Promise<void> {
  const { stdout } = await t.berth('logs', '--timestamps', pod);
  const firstLineMs = Date.parse(stdout.split(' ')[0] ?? '');
  if (!(firstLineMs <= toldAtMs))
    throw new Error(`Running was told at ${toldAtMs}, but the first line is ${JSON.stringify(stdout.slice(0, 80))}`);
}

export async function rollOut(t: TestCluster, replicas: number): Promise<Figure> {
  const labels = { app: 'fifty' };
  const pod = podOf('x', t.registry);
  const begin = realClock.monotonic();
  await t.client.create(
    Kinds.deployments,
    {
      metadata: { name: 'fifty', namespace: 'default' },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { name: '', labels }, spec: pod.spec },
      },
    },
    t.ctx,
  );
  await waitForRollout(t.client, { namespace: 'default', name: 'fifty' }, 120_000, t.ctx);
  return {
    name: `Deployment of ${replicas} rolled out`,
    unit: 'ms',
    samples: [realClock.monotonic() - begin],
    reach: 4000,
    task: 'start fifty',
    isOurs: true,
  };
}

/** The Deployment that `rollOut` made, down to ten and up again. */
export async function scaleUp(t: TestCluster, from: number, to: number): Promise<Figure> {
  const key = { namespace: 'default', name: 'fifty' };
  const scale = async (replicas: number): Promise<void> => {
    await t.client.patch(Kinds.deployments, key, { type: 'merge', body: { spec: { replicas } } }, t.ctx);
    await waitForRollout(t.client, key, 120_000, t.ctx);
    await eventually(`${replicas} pods`, 120_000, async () => {
      return (await t.client.list(Kinds.pods, { namespace: 'default' }, t.ctx)).items.length === replicas;
    });
  };
  await scale(from);
  const begin = realClock.monotonic();
  await scale(to);
  const samples = [realClock.monotonic() - begin];
  return { name: `Deployment ${from} -> ${to} replicas`, unit: 'ms', samples, task: 'ten to fifty', isOurs: true };
}

/** What Berth holds for each running pod beyond the pod's own processes: supervisors now, against none. */
export async function memoryPerPod(t: TestCluster, pods: number): Promise<readonly Figure[]> {
  const own = await processesOf(t);
  const supervisors = own.filter((p) => p.words.includes('supervise'));
  const each = { unit: 'MB', isOurs: true } as const;
  return [
    {
      ...each,
      name: 'memory a running pod, beyond its own processes',
      samples: [totalMb(supervisors) / Math.max(pods, 1)],
      reach: 0.5,
      note: `${supervisors.length} supervisors`,
      task: 'memory a container',
    },
    { ...each, name: `everything, with ${pods} pods`, samples: [totalMb(own)], task: 'memory at rest' },
  ];
}

/** PSS of everything Berth started, without the pods' own processes, `afterMs` after the sample's workload is gone. */
export async function idleMemory(t: TestCluster, afterMs: number): Promise<Figure> {
  await t.client.delete(Kinds.namespaces, { namespace: '', name: 'hello' }, {}, t.ctx);
  await t.client.delete(
    Kinds.deployments,
    { namespace: 'default', name: 'fifty' },
    { propagationPolicy: 'Background' },
    t.ctx,
  );
  await eventually(
    'all pods are gone',
    120_000,
    async () => (await t.client.list(Kinds.pods, {}, t.ctx)).items.length === 0,
  );
  await realClock.sleep(afterMs);
  return { name: 'everything, idle', unit: 'MB', ...(await sumOf(t)), reach: 320 };
}

/** The same `afterMs` after `up`, as it was left: with the three pods of the sample. */
export async function memoryAfterUp(t: TestCluster, afterMs: number): Promise<Figure> {
  await realClock.sleep(afterMs);
  return { name: `everything, ${afterMs / 1000} s after up`, unit: 'MB', ...(await sumOf(t)), reach: 320 };
}

async function sumOf(t: TestCluster): Promise<{ samples: number[]; note: string }> {
  const own = await processesOf(t);
  return { samples: [totalMb(own)], note: own.map((p) => `${nameOf(p)} ${(p.pssKb / 1024).toFixed(0)}`).join(', ') };
}

/** Processes that carry this cluster's home in their command line or were started by one that does. */
function processesOf(t: TestCluster): Promise<ProcessMemory[]> {
  const known = new Set<number>();
  return processes((p) => {
    const command = p.words.join(' ');
    const isOurs = command.includes(t.layout.home) || (command.includes('berth-helper') && known.has(p.parent));
    if (isOurs) known.add(p.pid);
    return isOurs;
  });
}

function nameOf(p: ProcessMemory): string {
  const verb = p.words.find((w) => /^(etcd|nats-server|server|agent|serve|supervise|tend)$/.test(w));
  return verb ?? (p.words.join(' ').includes('registry.js') ? 'registry' : (p.words[0] ?? ''));
}

function podOf(name: string, registry: string): Pick<Pod, 'metadata' | 'spec'> {
  return {
    metadata: { name, namespace: 'default' },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: `${registry}/berth/hello:1`, command: SHELL }],
    },
  };
}
