import { afterEach, describe, expect, test } from 'vitest';
import type { FakeAgent } from './fake-agent.ts';
import { FakeNode, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const MI = 1 << 20;
let node: FakeNode;
afterEach(() => node?.[Symbol.asyncDispose]());

type Amounts = { cpu: string; memory: string };
const same = (cpu: string, memory: string) => ({ requests: { cpu, memory }, limits: { cpu, memory } });

function pod(
  name: string,
  resources: object,
  o: { generation?: number; spec?: object; container?: object } = {},
): PodObject {
  const containers = [{ name, image: 'i', resources, ...o.container }] as never;
  return fakePod({ containers, ...o.spec }, { uid: name, name, generation: o.generation ?? 1 });
}

async function start(...pods: PodObject[]): Promise<FakeAgent> {
  node = await FakeNode.make();
  const agent = await node.agent();
  for (const p of pods) agent.want(p);
  await node.until(() => node.running.length === pods.length, 'running');
  return agent;
}

const conditions = (uid: string) =>
  (node.status(uid)?.conditions ?? [])
    .filter((c) => c.type.startsWith('PodResize'))
    .map(({ type, reason, message, observedGeneration }) => ({ type, reason, message, observedGeneration }));
const inForce = (uid: string): Amounts | undefined =>
  node.status(uid)?.containerStatuses?.[0]?.resources?.requests as Amounts | undefined;
const reasons = (): string[] => node.events.map((e) => e.reason).filter((r) => r.startsWith('Resize'));
const group = (uid: string) => [...node.kernel.groups].find(([path]) => path.endsWith(`pod${uid}`))?.[1];
const ownGroup = (uid: string) =>
  [...node.kernel.groups].find(([path]) => path.includes(`pod${uid}/`) && path.endsWith(node.id(uid)))?.[1];

describe('resize in place (KEP-1287)', () => {
  test('the cgroups change, the container runs on, the status tells what is in force', async () => {
    const agent = await start(pod('a', same('100m', '64Mi')));
    const id = node.id('a');
    expect(inForce('a')).toEqual({ cpu: '100m', memory: '64Mi' });
    agent.want(pod('a', same('200m', '128Mi'), { generation: 2 }));
    await node.until(() => reasons().includes('ResizeCompleted'), 'completed');
    expect(group('a')).toMatchObject({ cpuShares: 204, cpuQuotaUs: 20_000, memoryBytes: 128 * MI });
    expect(ownGroup('a')).toMatchObject({ cpuShares: 204, cpuQuotaUs: 20_000, memoryBytes: 128 * MI });
    await node.until(() => inForce('a')?.cpu === '200m', 'told');
    expect(node.status('a')?.containerStatuses?.[0]).toMatchObject({
      allocatedResources: { cpu: '200m', memory: '128Mi' },
      resources: same('200m', '128Mi'),
      restartCount: 0,
    });
    expect([node.id('a'), node.running]).toEqual([id, ['a/0']]);
    expect(reasons()).toEqual(['ResizeStarted', 'ResizeCompleted']);
    expect(node.events.find((e) => e.reason === 'ResizeStarted')?.message).toBe(
      'Pod resize started: {"containers":[{"name":"a","resources":{"requests":{"cpu":"200m","memory":"128Mi"},"limits":{"cpu":"200m","memory":"128Mi"}}}],"generation":2}',
    );
    expect(conditions('a')).toEqual([]);
  });

  test('RestartContainer: it is ended and starts with the new resources', async () => {
    const container = { resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }] };
    const agent = await start(pod('a', same('100m', '64Mi'), { container }));
    agent.want(pod('a', same('100m', '128Mi'), { generation: 2, container }));
    await node.passUntil(() => node.running.includes('a/1'), 'restarted');
    await node.passUntil(() => reasons().includes('ResizeCompleted'), 'completed');
    const spec = [...node.host.containers.values()].at(-1)?.o.spec;
    expect(spec?.linux.resources.memory).toMatchObject({ limit: 128 * MI });
    expect(group('a')).toMatchObject({ memoryBytes: 128 * MI });
    expect(node.events.some((e) => e.message.includes('Container a resize requires restart'))).toBe(true);
    await node.until(() => inForce('a')?.memory === '128Mi', 'told');
    expect(node.status('a')?.containerStatuses?.[0]?.restartCount).toBe(1);
  });

  test('Deferred while others hold it, then done by itself; Infeasible when the node never had so much', async () => {
    const agent = await start(pod('a', same('500m', '64Mi')), pod('b', same('1', '64Mi')));
    agent.want(pod('a', same('1500m', '64Mi'), { generation: 2 }));
    await node.until(() => conditions('a').length > 0, 'pending');
    expect(conditions('a')).toEqual([
      {
        type: 'PodResizePending',
        reason: 'Deferred',
        message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
        observedGeneration: 2,
      },
    ]);
    expect(inForce('a')?.cpu).toBe('500m');
    expect(node.status('a')?.containerStatuses?.[0]?.allocatedResources).toEqual({ cpu: '500m', memory: '64Mi' });
    agent.want(pod('a', same('3', '64Mi'), { generation: 3 }));
    await node.until(() => conditions('a')[0]?.reason === 'Infeasible', 'infeasible');
    expect(conditions('a')[0]?.message).toBe("Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000");
    agent.want(pod('a', same('1500m', '64Mi'), { generation: 4 }));
    await node.until(() => conditions('a')[0]?.reason === 'Deferred', 'deferred again');
    agent.gone(pod('b', {}));
    await node.passUntil(() => inForce('a')?.cpu === '1500m', 'done when b is gone');
    expect(conditions('a')).toEqual([]);
    expect(reasons()).toEqual([
      'ResizeDeferred',
      'ResizeInfeasible',
      'ResizeDeferred',
      'ResizeStarted',
      'ResizeCompleted',
    ]);
  });

  test('a pod that gives back lets the one that waits have it', async () => {
    const agent = await start(pod('a', same('500m', '64Mi')), pod('b', same('1500m', '64Mi')));
    agent.want(pod('a', same('1', '64Mi'), { generation: 2 }));
    await node.until(() => conditions('a')[0]?.reason === 'Deferred', 'deferred');
    agent.want(pod('b', same('1', '64Mi'), { generation: 2 }));
    await node.passUntil(() => inForce('a')?.cpu === '1', 'a grows');
    expect(inForce('b')?.cpu).toBe('1');
  });

  test('memory below what is used is refused with an error, and tried again until it fits', async () => {
    let used = 100 * MI;
    const agent = await start(pod('a', same('100m', '128Mi')));
    node.kernel.cgroups.usage = async () => ({
      cpuNs: 0,
      memoryBytes: used,
      workingSetBytes: used,
      pids: 1,
      oomKills: 0,
    });
    agent.want(pod('a', same('100m', '64Mi'), { generation: 2 }));
    await node.until(() => conditions('a')[0]?.reason === 'Error', 'error');
    expect(conditions('a')[0]).toMatchObject({ type: 'PodResizeInProgress', observedGeneration: 2 });
    expect(conditions('a')[0]?.message).toContain(
      `cannot decrease memory limits: [attempting to set container "a" memory limit (${64 * MI}) below current usage (${used})`,
    );
    expect(group('a')).toMatchObject({ memoryBytes: 128 * MI });
    await node.pass(10_000, 1000);
    expect(reasons().filter((r) => r === 'ResizeError')).toHaveLength(1);
    used = 10 * MI;
    await node.passUntil(() => conditions('a').length === 0, 'done');
    expect(ownGroup('a')).toMatchObject({ memoryBytes: 64 * MI });
  });
});

test('the next agent limits the processes of pods that it finds as its own settings say', async () => {
  const agent = await start(pod('a', same('100m', '64Mi')));
  expect(group('a')).toMatchObject({ pids: 100 });
  await agent[Symbol.asyncDispose]();
  const path = [...node.kernel.groups.keys()].find((p) => p.endsWith('poda')) ?? '';
  node.kernel.groups.set(path, { ...group('a'), pids: 'max' });
  const next = await node.agent();
  next.want(pod('a', same('100m', '64Mi')));
  await node.until(() => group('a')?.pids === 100, 'limited');
  expect(group('a')).toMatchObject({ cpuShares: 102, memoryBytes: 64 * MI });
});

describe('an agent that was away (KEP-1287)', () => {
  test('judges what was wished for meanwhile by what its containers have', async () => {
    const agent = await start(pod('a', same('500m', '64Mi')));
    await agent[Symbol.asyncDispose]();
    const next = await node.agent();
    next.want(pod('a', same('5', '64Mi'), { generation: 2 }));
    await node.until(() => conditions('a')[0]?.reason === 'Infeasible', 'infeasible');
    expect(inForce('a')?.cpu).toBe('500m');
    next.want(pod('a', same('1', '64Mi'), { generation: 3 }));
    await node.until(() => inForce('a')?.cpu === '1', 'resized');
    expect(node.running).toEqual(['a/0']);
  });

  test('lets a pod wait for what another one has, whichever it hears of first', async () => {
    const [a, b] = [pod('a', same('500m', '64Mi')), pod('b', same('1', '64Mi'))];
    const agent = await start(a, b);
    await agent[Symbol.asyncDispose]();
    const next = await node.agent();
    next.want(pod('a', same('1500m', '64Mi'), { generation: 2 }));
    await node.until(() => conditions('a')[0]?.reason === 'Deferred', 'deferred');
    next.want(b);
    await node.pass(1000);
    expect(inForce('a')?.cpu).toBe('500m');
    next.gone(b);
    await node.passUntil(() => inForce('a')?.cpu === '1500m', 'done when b is gone');
  });

  test('knows of a resize that the one before it made', async () => {
    const agent = await start(pod('a', same('500m', '64Mi')));
    agent.want(pod('a', same('1', '64Mi'), { generation: 2 }));
    await node.until(() => inForce('a')?.cpu === '1', 'resized');
    await agent[Symbol.asyncDispose]();
    const events = node.events.length;
    const reports = node.reports.length;
    const next = await node.agent();
    next.want(pod('a', same('1', '64Mi'), { generation: 2 }));
    await node.until(() => node.reports.length > reports, 'a report');
    expect(inForce('a')).toEqual({ cpu: '1', memory: '64Mi' });
    await node.pass(100);
    expect(node.events.slice(events).filter((e) => e.reason.startsWith('Resize'))).toEqual([]);
    expect(
      node.reports
        .slice(reports)
        .flatMap((r) => r.status.conditions ?? [])
        .map((x) => x.type),
    ).not.toContain('PodResizeInProgress');
    expect(node.running).toEqual(['a/0']);
  });
});
