/** Eviction on a node without a machine: readings and uses are scripted, pods, time and statuses are the agent's own. */
import { afterEach, expect, test } from 'vitest';
import type { PodSpec } from '#lib/api';
import { StatusError } from '#lib/base';
import type { FakeAgent } from '../pods/fake-agent.ts';
import { deleted, FakeNode, fakePod } from '../pods/fake-node.ts';
import type { PodObject } from '../pods/model.ts';
import { DEFAULT_EVICTION_SETTINGS, type EvictionSettings } from '../resources/eviction-settings.ts';
import { EvictionManager } from './manager.ts';
import { NodePressure } from './node-pressure.ts';
import { conditionEvents, evictablePods, reclaimDisk } from './open.ts';
import type { DiskRequest, PodPlaces } from './pod-meter.ts';
import type { DiskUse, PodUse } from './ranking.ts';
import { type Observation, type PressureSignal, thresholdsOf } from './thresholds.ts';

const MI = 1 << 20;
const GI = 1 << 30;

const rigs: { node: FakeNode; stop: () => Promise<void> }[] = [];

afterEach(async () => {
  for (const r of rigs.splice(0)) {
    await r.stop();
    await r.node[Symbol.asyncDispose]();
  }
});

interface Rig {
  readonly node: FakeNode;
  readonly agent: FakeAgent;
  readonly pressure: NodePressure;
  /** What the node has left. */
  readonly seen: Map<PressureSignal, Observation>;
  /** What pods use, by their uid: MiB of memory, and of files. */
  readonly memoryMi: Map<string, number>;
  readonly volumeMi: Map<string, number | Error>;
  readonly walks: string[];
  readonly walkMs: Map<string, number>;
  readonly resources: string[];
  readonly nodeEvents: string[];
  readonly reclaims: (() => void)[];
  /** Before the node is looked at. */
  readonly looks: (() => void)[];
}

async function setUp(settings: Partial<EvictionSettings> = {}, termMs: number | 'never' = 0): Promise<Rig> {
  const program = { termMs };
  const prepare = async () => ({ hostPath: '/v', readOnly: false });
  const node = await FakeNode.make({ volumes: { prepare }, programs: { a: program, b: program } });
  const pressure = new NodePressure();
  const agent = await node.agent({ admit: (pod) => pressure.admit(pod) });
  const rig: Rig = {
    node,
    agent,
    pressure,
    seen: new Map([['memory.available', { available: GI, capacity: 2 * GI }]]),
    memoryMi: new Map(),
    volumeMi: new Map(),
    walks: [],
    walkMs: new Map(),
    resources: [],
    nodeEvents: [],
    reclaims: [],
    looks: [],
  };
  const uidOf = (p: PodPlaces): string => /pod([^/]*)$/.exec(p.cgroup)?.[1] ?? '';
  const manager = new EvictionManager({
    thresholds: thresholdsOf({ ...DEFAULT_EVICTION_SETTINGS, ...settings, enforcesPods: false }),
    transitionMs: 300_000,
    maxPodGraceSeconds: settings.evictionMaxPodGracePeriod ?? 0,
    isolatesLocalStorage: true,
    hasDedicatedImageFs: false,
    pressure,
    observe: async () => {
      for (const fn of rig.looks) fn();
      return new Map(rig.seen);
    },
    meter: {
      live: async (p) => {
        const mi = rig.memoryMi.get(uidOf(p));
        if (mi === undefined) return undefined;
        const containers = new Map([['a', { memoryBytes: mi * MI, rootfs: undefined, logs: undefined }]]);
        return use({ memoryBytes: mi * MI, pids: 1, containers });
      },
      disk: async (p, o, c) => {
        await c.clock.sleep(rig.walkMs.get(uidOf(p)) ?? 0, c.signal);
        return measured(rig, uidOf(p), o);
      },
    },
    pods: () => evictablePods(agent.deps, '/images', agent.manager),
    reclaimDisk: async (c) => {
      for (const fn of rig.reclaims) fn();
      await reclaimDisk(agent.deps, agent.manager, 0, c);
    },
    onThresholdMet: (resource) => void rig.resources.push(resource),
    onConditions: (changed) => {
      const events = conditionEvents('node', pressure.conditions(''), changed);
      rig.nodeEvents.push(...events.map((e) => e.message));
    },
  });
  const abort = new AbortController();
  const ended = manager.run({ ...node.c, signal: abort.signal }).catch(() => undefined);
  const stop = async (): Promise<void> => {
    abort.abort();
    await ended;
  };
  rigs.push({ node, stop });
  return rig;
}

function measured(rig: Rig, uid: string, o: DiskRequest): PodUse {
  rig.walks.push(`${uid} ${o.volumesOnly?.join() ?? 'all'}${o.inodes ? ' inodes' : ''}`);
  const mi = rig.volumeMi.get(uid) ?? 0;
  if (mi instanceof Error) throw mi;
  return use({ volumes: new Map<string, DiskUse>([['v', { bytes: mi * MI, inodes: mi }]]) });
}

function use(o: Partial<PodUse>): PodUse {
  return { memoryBytes: undefined, pids: undefined, containers: new Map(), volumes: new Map(), ...o };
}

function pod(uid: string, o: Partial<PodSpec> & { memory?: string } = {}): PodObject {
  const { memory, ...spec } = o;
  const resources = memory === undefined ? {} : { resources: { requests: { memory } } };
  return fakePod(
    { containers: [{ name: 'a', image: 'i', ...resources }], ...spec } as unknown as Partial<PodObject['spec']>,
    { name: uid, uid, generation: 3 },
  );
}

async function run(rig: Rig, ...pods: PodObject[]): Promise<void> {
  const count = rig.node.running.length;
  for (const p of pods) rig.agent.want(p);
  await rig.node.until(() => rig.node.running.length === count + pods.length, 'the pods run');
}

const lowMemory = (rig: Rig, mi: number): void =>
  void rig.seen.set('memory.available', { available: mi * MI, capacity: 2 * GI });
const evicted = (rig: Rig): string[] => [
  ...new Set(rig.node.reports.filter((r) => r.status.reason === 'Evicted').map((r) => r.uid)),
];

test('short of memory: the pod that is furthest over its request goes, told as the kubelet tells it', async () => {
  const rig = await setUp();
  rig.memoryMi.set('hog', 800).set('modest', 50).set('within', 900);
  await run(
    rig,
    pod('hog', { memory: '100Mi', terminationGracePeriodSeconds: 3600 }),
    pod('modest'),
    pod('within', { memory: '1Gi' }),
  );
  await rig.node.pass(25_000, 5_000);
  expect(evicted(rig)).toEqual([]);
  lowMemory(rig, 60);
  await rig.node.passUntil(() => rig.node.status('hog')?.phase === 'Failed', 'the hog failed');
  lowMemory(rig, 1000);
  await rig.node.pass(40_000, 5_000);
  expect(evicted(rig)).toEqual(['hog']);
  expect(rig.node.running).toHaveLength(2);
  const message =
    'The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. Container a was using 800Mi, request is 100Mi, has larger consumption of memory. ';
  const status = rig.node.status('hog');
  expect(status).toMatchObject({ phase: 'Failed', reason: 'Evicted', message });
  expect(status?.conditions).toContainEqual({
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'TerminationByKubelet',
    message,
    lastTransitionTime: expect.any(String),
    observedGeneration: 3,
  });
  expect(rig.node.events.filter((e) => e.reason === 'Evicted')).toEqual([{ reason: 'Evicted', message }]);
  expect(rig.resources).toEqual(['memory']);
  await rig.node.pass(300_000, 20_000);
  expect(rig.nodeEvents).toEqual([
    'Node node status is now: NodeHasInsufficientMemory',
    'Node node status is now: NodeHasSufficientMemory',
  ]);
});

test('a hard threshold leaves a second; DisruptionTarget is said with the end, not before', async () => {
  const rig = await setUp({}, 'never');
  rig.memoryMi.set('slow', 800);
  await run(rig, pod('slow', { terminationGracePeriodSeconds: 3600 }));
  lowMemory(rig, 60);
  await rig.node.passUntil(() => evicted(rig).length > 0, 'it is told');
  const beginMs = rig.node.clock.now();
  await rig.node.passUntil(() => rig.node.status('slow')?.phase === 'Failed', 'it failed');
  expect(rig.node.clock.now() - beginMs).toBeLessThan(5_000);
  for (const { status } of rig.node.reports)
    expect(status.conditions?.some((x) => x.type === 'DisruptionTarget')).toBe(status.phase === 'Failed');
});

test('one pod a look, and the next look waits for its end', async () => {
  const rig = await setUp({}, 'never');
  rig.memoryMi.set('first', 800).set('second', 700);
  await run(rig, pod('first'), pod('second'));
  lowMemory(rig, 60);
  await rig.node.passUntil(() => evicted(rig).length === 1, 'the first');
  expect(evicted(rig)).toEqual(['first']);
  await rig.node.passUntil(() => evicted(rig).length === 2, 'the second');
  const reports = rig.node.reports;
  const told = reports.findIndex((r) => r.uid === 'second' && r.status.reason === 'Evicted');
  const ended = reports.findIndex((r) => r.uid === 'first' && r.status.phase === 'Failed');
  expect(ended).toBeGreaterThanOrEqual(0);
  expect(ended).toBeLessThan(told);
});

test('a soft threshold waits for its grace period, and pods get theirs up to the most of the node', async () => {
  const rig = await setUp(
    {
      evictionSoft: { 'memory.available': '500Mi' },
      evictionSoftGracePeriodMs: { 'memory.available': 60_000 },
      evictionMaxPodGracePeriod: 20,
    },
    'never',
  );
  rig.memoryMi.set('u', 800);
  await run(rig, pod('u', { terminationGracePeriodSeconds: 3600 }));
  lowMemory(rig, 400);
  await rig.node.pass(55_000, 1_000);
  expect(rig.pressure.state.conditions).toEqual(['MemoryPressure']);
  expect(evicted(rig)).toEqual([]);
  await rig.node.passUntil(() => evicted(rig).length > 0, 'it is told');
  const beginMs = rig.node.clock.now();
  await rig.node.passUntil(() => rig.node.status('u')?.phase === 'Failed', 'it failed');
  expect(rig.node.clock.now() - beginMs).toBeGreaterThan(15_000);
  expect(rig.node.clock.now() - beginMs).toBeLessThan(30_000);
});

test('critical pods stay, whatever they use', async () => {
  const rig = await setUp();
  rig.memoryMi.set('system', 900).set('small', 1);
  await run(rig, pod('system', { priority: 2_000_001_000 }), pod('small'));
  lowMemory(rig, 60);
  await rig.node.passUntil(() => evicted(rig).length > 0, 'the small one goes');
  await rig.node.pass(30_000, 5_000);
  expect(evicted(rig)).toEqual(['small']);
  expect(rig.node.running).toEqual(['a/0']);
});

test('short of disk: roots of ended containers go first, and when that is enough no pod does', async () => {
  const rig = await setUp();
  await run(rig, pod('runs'));
  const two = [
    { name: 'a', image: 'i' },
    { name: 'b', image: 'i' },
  ];
  rig.agent.want(pod('half', { restartPolicy: 'Never', containers: two }));
  await rig.node.until(() => rig.node.running.length === 3, 'all run');
  rig.node.host.exit(rig.node.id('b'), 0);
  const roots = rig.node.roots.size;
  rig.seen.set('nodefs.available', { available: GI, capacity: 100 * GI });
  rig.reclaims.push(() => rig.seen.set('nodefs.available', { available: 50 * GI, capacity: 100 * GI }));
  await rig.node.passUntil(() => rig.node.roots.size === roots - 1, 'the root is gone');
  await rig.node.pass(30_000, 5_000);
  expect(evicted(rig)).toEqual([]);
  expect(rig.resources).toEqual(['ephemeral-storage']);
  expect(rig.pressure.state.conditions).toEqual(['DiskPressure']);
});

test('short of disk: when reclaiming is not enough, the pod with the most files goes', async () => {
  const rig = await setUp();
  rig.volumeMi.set('big', 500).set('little', 5);
  const volumes = [{ name: 'v', emptyDir: {} }];
  await run(rig, pod('little', { volumes }), pod('big', { volumes }));
  rig.seen.set('nodefs.inodesFree', { available: 1, capacity: 1000 });
  await rig.node.passUntil(() => evicted(rig).length > 0, 'one goes');
  expect(evicted(rig)).toEqual(['big']);
  expect(rig.walks.sort()).toEqual(['big all inodes', 'little all inodes']);
  expect(rig.node.status('big')?.message).toBe(
    'The node was low on resource: inodes. Threshold quantity: 50, available: 1. ',
  );
  rig.seen.delete('nodefs.inodesFree');
  rig.seen.set('imagefs.available', { available: 14 * GI, capacity: 100 * GI });
  await rig.node.passUntil(() => evicted(rig).length > 1, 'the other goes');
  expect(evicted(rig)).toEqual(['big', 'little']);
});

test('short of inodes: when reclaiming is enough no pod goes for it, although disk is short too and not due yet', async () => {
  const rig = await setUp({
    evictionSoft: { 'nodefs.available': '10Gi' },
    evictionSoftGracePeriodMs: { 'nodefs.available': 120_000 },
  });
  rig.volumeMi.set('innocent', 5);
  await run(rig, pod('innocent', { volumes: [{ name: 'v', emptyDir: {} }] }));
  rig.seen.set('nodefs.available', { available: 8 * GI, capacity: 20 * GI });
  rig.seen.set('nodefs.inodesFree', { available: 1, capacity: 1000 });
  rig.reclaims.push(() => rig.seen.set('nodefs.inodesFree', { available: 900, capacity: 1000 }));
  await rig.node.pass(60_000, 5_000);
  expect(rig.resources).toEqual(['inodes']);
  expect(evicted(rig)).toEqual([]);
});

test('admission under pressure: best effort is refused under memory pressure, all but critical ones under disk pressure', async () => {
  const rig = await setUp();
  lowMemory(rig, 60);
  await rig.node.passUntil(() => rig.pressure.state.conditions.length > 0, 'memory pressure');
  lowMemory(rig, 1000);
  rig.agent.want(pod('best-effort'));
  await rig.node.until(() => rig.node.status('best-effort')?.phase === 'Failed', 'it is refused');
  const words = 'The node had condition: [MemoryPressure]. ';
  expect(rig.node.status('best-effort')).toMatchObject({ reason: 'Evicted', message: `Pod was rejected: ${words}` });
  expect(rig.node.events).toContainEqual({ reason: 'Evicted', message: words });
  await run(rig, pod('burstable', { memory: '10Mi' }));
  rig.seen.set('nodefs.available', { available: GI, capacity: 100 * GI });
  await rig.node.passUntil(() => rig.pressure.state.conditions.includes('DiskPressure'), 'disk pressure');
  rig.agent.want(pod('refused', { memory: '10Mi' }));
  await rig.node.until(() => rig.node.status('refused')?.phase === 'Failed', 'it is refused');
  expect(rig.node.status('refused')?.message).toContain('[DiskPressure MemoryPressure]');
  await run(rig, pod('critical', { priority: 2_000_000_000 }));
  rig.agent.want({ ...pod('known'), status: { startTime: '2026-01-01T00:00:00Z' } } as PodObject);
  await rig.node.until(() => rig.node.running.length >= 2, 'what the node knew goes on');
  expect(rig.node.status('known')?.phase).not.toBe('Failed');
});

const OVER = { volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }], terminationGracePeriodSeconds: 3600 };

test('an emptyDir over its limit: the pod goes with a second of grace, without DisruptionTarget', async () => {
  const rig = await setUp({}, 'never');
  await run(rig, pod('u', OVER));
  await rig.node.pass(30_000, 5_000);
  expect(evicted(rig)).toEqual([]);
  rig.volumeMi.set('u', 2);
  const beginMs = rig.node.clock.now();
  await rig.node.passUntil(() => rig.node.status('u')?.phase === 'Failed' && rig.node.running.length === 0);
  expect(rig.node.clock.now() - beginMs).toBeLessThan(15_000);
  const message = 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ';
  expect(rig.node.status('u')).toMatchObject({ reason: 'Evicted', message });
  expect(rig.node.status('u')?.conditions?.map((x) => x.type)).not.toContain('DisruptionTarget');
  expect(rig.node.events.filter((e) => e.reason === 'Evicted')).toEqual([{ reason: 'Evicted', message }]);
});

test('a pod that cannot be measured runs on and is looked at again; one without limits is never walked', async () => {
  const rig = await setUp();
  rig.volumeMi.set('u', new StatusError('Internal', 'du failed'));
  await run(rig, pod('u', OVER), pod('free', { volumes: [{ name: 'v', emptyDir: {} }] }));
  await rig.node.pass(31_000, 1_000);
  expect(rig.walks).toEqual(['u v', 'u v', 'u v']);
  expect(rig.node.running).toHaveLength(2);
});

test('a pod whose walk takes long is walked seldom, the others as often as before', async () => {
  const rig = await setUp();
  rig.walkMs.set('vast', 5_000);
  await run(rig, pod('vast', OVER), pod('small', OVER));
  await rig.node.pass(125_000, 1_000);
  const count = (uid: string): number => rig.walks.filter((w) => w.startsWith(uid)).length;
  expect(count('vast')).toBe(2);
  expect(count('small')).toBeGreaterThanOrEqual(10);
});

test('a pod that is ending already ends sooner, and no other goes for it', async () => {
  const rig = await setUp({}, 'never');
  rig.memoryMi.set('ending', 800).set('other', 50);
  const ending = pod('ending', { terminationGracePeriodSeconds: 600 });
  await run(rig, ending, pod('other'));
  rig.agent.want(deleted(ending, rig.node.clock.now(), 600));
  await rig.node.pass(15_000, 1_000);
  expect(rig.node.running).toHaveLength(2);
  rig.looks.push(() => lowMemory(rig, rig.node.running.length === 2 ? 60 : 1000));
  await rig.node.passUntil(() => rig.node.removed.includes('ending'), 'it has gone');
  await rig.node.pass(30_000, 5_000);
  expect(evicted(rig)).toEqual([]);
  expect(rig.node.running).toHaveLength(1);
});
