/** What Berth itself is measured by: start of a cluster, pod create to Running, a rollout of fifty, memory. */
import { readdir, readFile } from 'node:fs/promises';
import { Kinds, type Pod } from '#lib/api';
import { realClock } from '#lib/base';
import { waitForRollout } from '../../cli/up/wait.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
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
    if (i >= 2) samples.push(end - begin);
    await t.client.delete(Kinds.pods, { namespace: 'default', name }, { gracePeriodSeconds: 0 }, t.ctx);
    await realClock.sleep(200);
  }
  return { name: 'pod create -> Running (image present)', unit: 'ms', samples, reach: 100 };
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
  };
}

/** What Berth holds for each running pod beyond the pod's own processes: supervisors now, against none. */
export async function memoryPerPod(t: TestCluster, pods: number): Promise<Figure> {
  const own = await processesOf(t);
  const supervisors = own.filter((p) => p.command.includes('supervise'));
  const total = supervisors.reduce((sum, p) => sum + p.pssKb, 0);
  return {
    name: 'memory a running pod, beyond its own processes',
    unit: 'MB',
    samples: [total / 1024 / Math.max(pods, 1)],
    reach: 0.5,
    note: `${supervisors.length} supervisors`,
  };
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
  const own = await processesOf(t);
  const note = own.map((p) => `${p.name} ${(p.pssKb / 1024).toFixed(0)}`).join(', ');
  return {
    name: 'everything, idle',
    unit: 'MB',
    samples: [own.reduce((sum, p) => sum + p.pssKb, 0) / 1024],
    reach: 320,
    note,
  };
}

interface Measured {
  readonly name: string;
  readonly command: string;
  readonly pssKb: number;
}

/** Processes that carry this cluster's home in their command line or were started by one that does. */
async function processesOf(t: TestCluster): Promise<Measured[]> {
  const out: Measured[] = [];
  const known = new Set<number>();
  const all = (await readdir('/proc')).filter((n) => /^\d+$/.test(n)).map(Number);
  for (const pid of all) {
    const command = await text(`/proc/${pid}/cmdline`);
    const parent = Number(/^PPid:\s+(\d+)/m.exec(await text(`/proc/${pid}/status`))?.[1] ?? 0);
    const isHelper = command.includes('berth-helper') && known.has(parent);
    if (!command.includes(t.layout.home) && !isHelper) continue;
    known.add(pid);
    const rollup = await text(`/proc/${pid}/smaps_rollup`);
    const words = command.split('\0');
    const name =
      words.find((w) => /^(etcd|nats-server|server|agent|serve|supervise|tend)$/.test(w)) ??
      (command.includes('registry.js') ? 'registry' : (words[0] ?? ''));
    out.push({ name, command: words.join(' '), pssKb: Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) });
  }
  return out;
}

async function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
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
