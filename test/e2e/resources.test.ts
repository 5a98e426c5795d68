/**
 * What keeps pods from taking the node, with real containers: a fork bomb, hogs of CPU and memory, reservations from the
 * node's KubeletConfiguration, and the limits that the kernel really has.
 */
import { writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Node, type Pod } from '#lib/api';
import { realClock } from '#lib/base';
import { weightOfShares } from '../../agent/kernel/linux/cgroup-limits.ts';
import { type LinuxCgroups, openCgroups } from '../../agent/kernel/linux/cgroups.ts';
import { nodeHome } from '../../cli/layout.ts';
import { liveContainers, signal, tended } from '../faults/host.ts';
import { limitsInForce } from '../harness/cgroup-files.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
const PIDS = 300;
const MI = 1 << 20;
/** Of all pods together. */
const PODS_MEMORY = 1024 * MI;
const SPINS = 'for i in 1 2 3 4; do while true; do :; done & done; wait';
/** Many that fork without end; a shell that cannot fork any more ends, what it has forked stays, and the first one lives on. */
const BOMB =
  'f() { while true; do sh -c "while true; do sleep 1000 & done"; done; }; for i in 1 2 3 4 5 6 7 8; do f & done; while true; do :; done';
const IDLES = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

describe('resources of a node (root)', () => {
  let cluster: TestCluster;
  let groups: LinuxCgroups;
  let image: string;
  let agent: string;
  let agentPid: number;
  tellWhenFailed(() => cluster);

  const pod = (name: string, script: string, resources: object = {}, spec: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'main', image, command: ['sh', '-c', script], resources }],
        ...spec,
      },
    });
  const same = (cpu: string, memory: string) => ({ requests: { cpu, memory }, limits: { cpu, memory } });
  const read = (name: string): Promise<DeepReadonly<Pod>> => getPod(cluster, NS, name);
  const node = (): Promise<DeepReadonly<Node>> =>
    cluster.client.get(Kinds.nodes, { namespace: '', name: cluster.layout.nodes[0]?.name ?? '' }, cluster.ctx);
  const parent = (): string => `/${cluster.layout.instance}`;
  async function cgroup(name: string): Promise<string> {
    const { metadata, status } = await read(name);
    const qos = status?.qosClass ?? '';
    return `${parent()}${qos === 'Guaranteed' ? '' : `/${qos.toLowerCase()}`}/pod${metadata.uid ?? ''}`;
  }
  const weight = (shares: number): number => (groups.version === 'v2' ? weightOfShares(shares) : shares);
  async function cpuMs(name: string): Promise<number> {
    return ((await groups.usage(await cgroup(name), cluster.ctx))?.cpuNs ?? 0) / 1e6;
  }
  const run = async (...names: string[]): Promise<void> => {
    for (const name of names) await podInPhase(cluster, NS, name, 'Running');
  };
  async function remove(...names: string[]): Promise<number> {
    const begin = realClock.monotonic();
    const r = await cluster.kubectl('delete', 'pod', '--timeout=60s', ...names);
    expect(r).toMatchObject({ code: 0 });
    return realClock.monotonic() - begin;
  }

  beforeAll(async () => {
    groups = await openCgroups();
    cluster = await startCluster({ name: 'res' });
    image = await pushHello(cluster);
    const name = cluster.layout.nodes[0]?.name ?? '';
    agent = `agent-${name}`;
    await writeFile(
      join(nodeHome(cluster.layout, name), 'kubelet.yaml'),
      `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
podPidsLimit: ${PIDS}
kubeReserved: {cpu: 200m, memory: "${totalmem() - PODS_MEMORY}", pid: "2000"}
`,
    );
    const before = await signal(cluster, agent, 'SIGTERM');
    agentPid = await eventually('the agent with its settings', 30_000, async () => {
      const { pid } = await tended(cluster, agent);
      return pid !== 0 && pid !== before && (await node()).status?.allocatable?.['cpu'] !== undefined && pid;
    });
    await eventually('the node says what is left', 40_000, async () => {
      const memory = (await node()).status?.allocatable?.['memory'] ?? '';
      expect(memory).toBe(`${PODS_MEMORY / MI - 100}Mi`);
      return true;
    });
  });
  afterAll(() => cluster?.stop());

  test('what is reserved is not allocatable, and all pods together cannot have it', async () => {
    const { capacity = {}, allocatable = {} } = (await node()).status ?? {};
    expect(Number(capacity['cpu']) * 1000 - Number.parseInt(allocatable['cpu'] ?? '', 10)).toBe(200);
    expect(Object.keys(allocatable)).toEqual(expect.arrayContaining(['ephemeral-storage', 'hugepages-2Mi']));
    const limits = await limitsInForce(parent());
    expect(limits.memoryBytes).toBe(PODS_MEMORY);
    expect(limits.weight).toBe(weight(Math.floor(((Number(capacity['cpu']) * 1000 - 200) * 1024) / 1000)));
    expect(limits.pids).toBeGreaterThan(1000);
    expect((await limitsInForce(`${parent()}/besteffort`)).weight).toBe(weight(2));
  });

  test('a fork bomb ends at its limit: other pods start, run and answer, and it is gone when it is deleted', async () => {
    await applyOk(cluster, pod('bomb', BOMB));
    await run('bomb');
    const path = await cgroup('bomb');
    expect((await limitsInForce(path)).pids).toBe(PIDS);
    await eventually('it has all it may have', 40_000, async () => {
      const pids = (await groups.usage(path, cluster.ctx))?.pids ?? 0;
      expect(pids).toBeLessThanOrEqual(PIDS);
      return pids > PIDS - 20;
    });
    await applyOk(cluster, pod('neighbour', IDLES));
    await run('neighbour');
    expect(await cluster.kubectl('exec', 'neighbour', '--', 'echo', 'alive')).toMatchObject({ stdout: 'alive\n' });
    const ready = (await node()).status?.conditions?.find((c) => c.type === 'Ready');
    expect(ready?.status).toBe('True');
    expect(await remove('bomb', 'neighbour')).toBeLessThan(30_000);
    expect(await groups.usage(path, cluster.ctx)).toBeUndefined();
    expect((await tended(cluster, agent)).pid).toBe(agentPid);
  });

  test('hogs of best effort leave a Guaranteed pod and a burstable one what these asked for', async () => {
    await applyOk(cluster, pod('hog', SPINS), pod('guaranteed', SPINS, same('1500m', '64Mi')));
    await run('hog', 'guaranteed');
    const share = async (name: string): Promise<number> => {
      const [a, b] = [await cpuMs('hog'), await cpuMs(name)];
      await realClock.sleep(4000);
      return ((await cpuMs(name)) - b) / Math.max((await cpuMs('hog')) - a, 1);
    };
    const guaranteed = await share('guaranteed');
    await remove('guaranteed');
    await applyOk(cluster, pod('burstable', SPINS, { requests: { cpu: '1' } }));
    await run('burstable');
    await eventually('the class weighs what its pods ask for', 10_000, async () => {
      return (await limitsInForce(`${parent()}/burstable`)).weight === weight(1024);
    });
    const burstable = await share('burstable');
    process.stdout.write(
      `CPU beside a hog: Guaranteed ${guaranteed.toFixed(1)}, burstable ${burstable.toFixed(1)} times\n`,
    );
    expect(guaranteed).toBeGreaterThan(2.5);
    expect(burstable).toBeGreaterThan(10);
    await remove('hog', 'burstable');
  });

  test('a hog of memory is killed at the limit of all pods; neither the agent nor a Guaranteed pod is', async () => {
    await applyOk(
      cluster,
      pod('keeper', IDLES, same('100m', '64Mi')),
      pod('eater', 'a=x; while true; do a=$a$a; done'),
    );
    await run('keeper');
    const { uid } = (await read('keeper')).metadata;
    const keeper = (await liveContainers(cluster)).find((c) => c.podUid === uid);
    const eater = await podInPhase(cluster, NS, 'eater', 'Failed');
    expect(eater.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      reason: 'OOMKilled',
      exitCode: 137,
    });
    expect((await liveContainers(cluster)).map((c) => c.pid)).toEqual([keeper?.pid ?? 0]);
    expect((await tended(cluster, agent)).pid).toBe(agentPid);
    await remove('keeper', 'eater');
  });

  test('the cgroup of a pod counts its sidecars, its largest init container and the pod’s own resources', async () => {
    const sidecar = (resources: object) => ({ name: 'side', image, command: ['sh', '-c', IDLES], resources });
    await applyOk(
      cluster,
      pod('served', IDLES, same('100m', '32Mi'), {
        initContainers: [
          { ...sidecar(same('100m', '16Mi')), restartPolicy: 'Always' },
          { ...sidecar(same('300m', '64Mi')), name: 'init', command: ['true'] },
        ],
      }),
      pod('whole', IDLES, {}, { resources: { requests: { cpu: '200m' }, limits: { cpu: '400m', memory: '48Mi' } } }),
    );
    await run('served', 'whole');
    expect(await limitsInForce(await cgroup('served'))).toEqual({
      weight: weight(409),
      quotaUs: 40_000,
      memoryBytes: 80 * MI,
      pids: PIDS,
    });
    expect(await limitsInForce(await cgroup('whole'))).toEqual({
      weight: weight(204),
      quotaUs: 40_000,
      memoryBytes: 48 * MI,
      pids: PIDS,
    });
    const own = (await liveContainers(cluster)).filter((c) => c.container === 'main');
    const uid = (await read('whole')).metadata.uid;
    const whole = own.find((c) => c.podUid === uid)?.id ?? '';
    expect(await limitsInForce(`${await cgroup('whole')}/${whole}`)).toMatchObject({
      quotaUs: 40_000,
      memoryBytes: 48 * MI,
    });
    await remove('served', 'whole');
  });
});
