/**
 * Resize in place (KEP-1287) with real containers: the names of the tests are those of Kubernetes' conformance suite
 * (test/e2e/common/node/pod_resize.go). What is believed is the kernel's files, then the status.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeepReadonly, Pod, ResourceRequirements } from '#lib/api';
import { weightOfShares } from '../../agent/kernel/linux/cgroup-limits.ts';
import { openCgroups } from '../../agent/kernel/linux/cgroups.ts';
import { liveContainers, signal, tended } from '../faults/host.ts';
import { type LimitsInForce, limitsInForce } from '../harness/cgroup-files.ts';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
const MI = 1 << 20;
const IDLES = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

type Wish = Record<string, object>;
const same = (cpu: string, memory: string) => ({ requests: { cpu, memory }, limits: { cpu, memory } });

describe('resize of pods (root)', () => {
  let cluster: TestCluster;
  let image: string;
  let isV2: boolean;
  tellWhenFailed(() => cluster);

  const pod = (name: string, wish: Wish, container: object = {}, spec: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        restartPolicy: 'Always',
        terminationGracePeriodSeconds: 5,
        containers: Object.entries(wish).map(([c, resources]) => ({
          name: c,
          image,
          command: ['sh', '-c', IDLES],
          resources,
          ...container,
        })),
        ...spec,
      },
    });
  const read = (name: string): Promise<DeepReadonly<Pod>> => getPod(cluster, NS, name);
  async function resize(name: string, wish: Wish): Promise<number> {
    const patch = { spec: { containers: Object.entries(wish).map(([c, resources]) => ({ name: c, resources })) } };
    const r = await cluster.kubectl('patch', 'pod', name, '--subresource', 'resize', '-p', JSON.stringify(patch));
    expect(r).toMatchObject({ code: 0 });
    return (await read(name)).metadata.generation ?? 0;
  }
  async function limitsOf(name: string, container?: string): Promise<LimitsInForce> {
    const { metadata, status } = await read(name);
    const qos = status?.qosClass === 'Guaranteed' ? '' : `/${status?.qosClass?.toLowerCase() ?? ''}`;
    const path = `/${cluster.layout.instance}${qos}/pod${metadata.uid ?? ''}`;
    if (container === undefined) return limitsInForce(path);
    const live = (await liveContainers(cluster)).find((c) => c.podUid === metadata.uid && c.container === container);
    return limitsInForce(`${path}/${live?.id ?? 'none'}`);
  }
  const weight = (milli: number): number => {
    const shares = Math.max(Math.floor((milli * 1024) / 1000), 2);
    return isV2 ? weightOfShares(shares) : shares;
  };
  const told = async (name: string): Promise<Record<string, DeepReadonly<ResourceRequirements> | undefined>> =>
    Object.fromEntries((await read(name)).status?.containerStatuses?.map((s) => [s.name, s.resources]) ?? []);
  const restarts = async (name: string): Promise<number[]> =>
    (await read(name)).status?.containerStatuses?.map((s) => s.restartCount) ?? [];
  const conditions = async (name: string) =>
    ((await read(name)).status?.conditions ?? []).filter((c) => c.type.startsWith('PodResize'));
  /** The resize is over: the status has these, and says nothing of a resize. */
  const done = (name: string, wish: Wish) =>
    eventually(`${name} resized`, 40_000, async () => {
      expect(await told(name)).toEqual(wish);
      expect(await conditions(name)).toEqual([]);
      return true;
    });
  const up = async (name: string, wish: Wish): Promise<void> => {
    await podInPhase(cluster, NS, name, 'Running');
    await done(name, wish);
  };

  beforeAll(async () => {
    isV2 = (await openCgroups()).version === 'v2';
    cluster = await startCluster({ name: 'rsz' });
    image = await pushHello(cluster);
  });
  afterAll(() => cluster?.stop());

  test.each<[string, Wish, Wish]>([
    [
      '3 containers - increase cpu & mem on c1, c2, decrease cpu & mem on c3 - net increase',
      { c1: same('100m', '20Mi'), c2: same('100m', '20Mi'), c3: same('100m', '40Mi') },
      { c1: same('150m', '40Mi'), c2: same('150m', '40Mi'), c3: same('50m', '20Mi') },
    ],
    [
      '3 containers - increase cpu & mem on c1, decrease cpu & mem on c2, c3 - net decrease',
      { c1: same('100m', '20Mi'), c2: same('100m', '40Mi'), c3: same('100m', '40Mi') },
      { c1: same('120m', '40Mi'), c2: same('50m', '20Mi'), c3: same('50m', '20Mi') },
    ],
    [
      '3 containers - increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU (c2)',
      { c1: same('50m', '20Mi'), c2: same('100m', '20Mi'), c3: same('50m', '20Mi') },
      { c1: same('100m', '20Mi'), c2: same('50m', '40Mi'), c3: same('100m', '40Mi') },
    ],
  ])('guaranteed pods with multiple containers %s', async (_, before, after) => {
    await applyOk(cluster, pod('guaranteed', before));
    await up('guaranteed', before);
    const live = await liveContainers(cluster);
    await resize('guaranteed', after);
    await done('guaranteed', after);
    expect((await liveContainers(cluster)).map((c) => c.pid).sort()).toEqual(live.map((c) => c.pid).sort());
    expect(await restarts('guaranteed')).toEqual([0, 0, 0]);
    let [cpu, memory] = [0, 0];
    for (const [name, resources] of Object.entries(after)) {
      const { limits } = resources as ReturnType<typeof same>;
      const [milli, bytes] = [Number.parseInt(limits.cpu, 10), Number.parseInt(limits.memory, 10) * MI];
      const own = await limitsOf('guaranteed', name);
      expect(own).toMatchObject({ weight: weight(milli), quotaUs: milli * 100, memoryBytes: bytes });
      cpu += milli;
      memory += bytes;
    }
    expect(await limitsOf('guaranteed')).toMatchObject({
      quotaUs: cpu * 100,
      memoryBytes: memory,
      weight: weight(cpu),
    });
    expect(await cluster.kubectl('delete', 'pod', 'guaranteed', '--timeout=60s')).toMatchObject({ code: 0 });
  });

  test('burstable: requests and limits are added, equivalents change nothing, the replace endpoint does it too', async () => {
    const before = { c1: {}, c2: { requests: { cpu: '50m', memory: '20Mi' } } };
    await applyOk(cluster, pod('burstable', before));
    await up('burstable', before);
    const after = {
      c1: same('100m', '32Mi'),
      c2: { requests: { cpu: '100m', memory: '24Mi' }, limits: { cpu: '200m' } },
    };
    await resize('burstable', after);
    await done('burstable', after);
    expect(await limitsOf('burstable', 'c1')).toMatchObject({
      weight: weight(100),
      quotaUs: 10_000,
      memoryBytes: 32 * MI,
    });
    expect(await limitsOf('burstable', 'c2')).toMatchObject({
      weight: weight(100),
      quotaUs: 20_000,
      memoryBytes: 'max',
    });
    expect(await limitsOf('burstable')).toMatchObject({ quotaUs: 30_000, memoryBytes: 'max' });
    const equivalent = { c1: same('0.1', `${32 * 1024}Ki`) };
    await resize('burstable', equivalent);
    await eventually(
      'it is taken over',
      20_000,
      async () => (await told('burstable'))['c1']?.limits?.['cpu'] === '100m',
    );
    const whole = await cluster.kubectl('get', 'pod', 'burstable', '-o', 'json');
    const object = JSON.parse(whole.stdout) as Pod;
    const [c1] = object.spec.containers;
    if (c1 !== undefined) c1.resources = same('150m', '48Mi');
    const replaced = await run(
      'kubectl',
      ['replace', '--subresource', 'resize', '-f', '-'],
      cluster.env,
      30_000,
      JSON.stringify(object),
    );
    expect(replaced).toMatchObject({ code: 0 });
    await done('burstable', { ...after, c1: same('150m', '48Mi') });
    expect(await limitsOf('burstable', 'c1')).toMatchObject({ quotaUs: 15_000, memoryBytes: 48 * MI });
    expect(await restarts('burstable')).toEqual([0, 0]);
    await cluster.kubectl('delete', 'pod', 'burstable', '--timeout=60s');
  });

  test('RestartContainer restarts that container with what it gets, and no other', async () => {
    const container = { resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }] };
    const before = { c1: same('50m', '20Mi'), c2: same('50m', '20Mi') };
    await applyOk(cluster, pod('restarted', before, container));
    await up('restarted', before);
    const after = { c1: same('50m', '40Mi'), c2: same('100m', '20Mi') };
    await resize('restarted', after);
    await eventually('restarted once', 40_000, async () => (await restarts('restarted')).join() === '1,0');
    await done('restarted', after);
    expect((await limitsOf('restarted', 'c1')).memoryBytes).toBe(40 * MI);
    expect((await limitsOf('restarted', 'c2')).quotaUs).toBe(10_000);
    expect(await limitsOf('restarted')).toMatchObject({ memoryBytes: 60 * MI, quotaUs: 15_000 });
    await cluster.kubectl('delete', 'pod', 'restarted', '--timeout=60s');
  });

  test('memory is not taken below what is used: an error that says so, until the wish is another', async () => {
    const before = { c: same('100m', '128Mi') };
    const holds = `a=$(head -c 30000000 /dev/zero | tr '\\0' x); ${IDLES}`;
    await applyOk(cluster, pod('holds', before, { command: ['sh', '-c', holds] }));
    await up('holds', before);
    await eventually('it holds its memory', 30_000, async () => {
      const top = await cluster.kubectl('exec', 'holds', '--', 'sh', '-c', 'grep VmRSS /proc/1/status');
      return Number(/(\d+) kB/.exec(top.stdout)?.[1] ?? 0) > 25_000;
    });
    await resize('holds', { c: same('100m', '16Mi') });
    const error = await eventually('an error', 20_000, async () => {
      const [c] = await conditions('holds');
      return c?.reason === 'Error' && c;
    });
    expect(error).toMatchObject({ type: 'PodResizeInProgress', status: 'True' });
    expect(error.message).toMatch(
      /^cannot decrease memory limits: .*container "c" memory limit \(16777216\) below current usage/,
    );
    expect((await limitsOf('holds', 'c')).memoryBytes).toBe(128 * MI);
    expect(await told('holds')).toEqual(before);
    await resize('holds', { c: same('100m', '96Mi') });
    await done('holds', { c: same('100m', '96Mi') });
    expect((await limitsOf('holds', 'c')).memoryBytes).toBe(96 * MI);
    expect(await restarts('holds')).toEqual([0]);
    await cluster.kubectl('delete', 'pod', 'holds', '--timeout=60s');
  });

  test('Deferred until another pod goes, Infeasible beyond the node; over an agent that is killed meanwhile', async () => {
    const cpus = Number(
      (await cluster.kubectl('get', 'node', '-o', 'jsonpath={.items[0].status.allocatable.cpu}')).stdout,
    );
    const milli = cpus * 1000;
    const small = { c: { requests: { cpu: '100m' } } };
    const big = { c: { requests: { cpu: `${milli - 300}m` } } };
    await applyOk(cluster, pod('waits', small), pod('holds', big));
    await up('waits', small);
    await up('holds', big);
    await resize('waits', { c: { requests: { cpu: `${milli + 1000}m` } } });
    await eventually('infeasible', 20_000, async () => (await conditions('waits'))[0]?.reason === 'Infeasible');
    const generation = await resize('waits', { c: { requests: { cpu: `${milli - 500}m` } } });
    const pending = await eventually('deferred', 20_000, async () => {
      const [c] = await conditions('waits');
      return c?.reason === 'Deferred' && c;
    });
    expect(pending).toMatchObject({ type: 'PodResizePending', status: 'True', observedGeneration: generation });
    expect(pending.message).toMatch(/^Node didn't have enough resource: cpu, requested: /);
    expect(await told('waits')).toEqual(small);
    expect((await limitsOf('waits', 'c')).weight).toBe(weight(100));
    const agent = `agent-${cluster.layout.nodes[0]?.name ?? ''}`;
    const before = await signal(cluster, agent, 'SIGKILL');
    await eventually('the next agent', 30_000, async () => {
      const { pid } = await tended(cluster, agent);
      return pid !== 0 && pid !== before;
    });
    await cluster.kubectl('delete', 'pod', 'holds', '--timeout=60s');
    await done('waits', { c: { requests: { cpu: `${milli - 500}m` } } });
    expect((await limitsOf('waits', 'c')).weight).toBe(weight(milli - 500));
    expect(await restarts('waits')).toEqual([0]);
    const events = await cluster.kubectl('get', 'events', '--field-selector', 'involvedObject.name=waits');
    for (const reason of ['ResizeInfeasible', 'ResizeDeferred', 'ResizeStarted', 'ResizeCompleted'])
      expect(events.stdout).toContain(reason);
    await cluster.kubectl('delete', 'pod', 'waits', '--timeout=60s');
  });
});
