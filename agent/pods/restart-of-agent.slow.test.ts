/** An agent that dies, or is replaced, at any step: the next one goes on, runs nothing twice and leaves nothing. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { FakeAgent } from './fake-agent.ts';
import { deleted, FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

async function setUp(o: FakeNodeOptions = {}): Promise<FakeNode> {
  const node = await FakeNode.make(o);
  nodes.push(node);
  return node;
}

const POD = fakePod({
  hostUsers: false,
  shareProcessNamespace: true,
  initContainers: [
    { name: 's', image: 'i', restartPolicy: 'Always' },
    { name: 'x', image: 'i' },
  ] as never,
  containers: [
    { name: 'a', image: 'i' },
    { name: 'b', image: 'i' },
  ] as never,
});
const PROGRAMS = { userNamespaces: true, programs: { x: { exit: { afterMs: 100, code: 0 } } } };
const ALL = ['a', 'b', 's'];

const names = (node: FakeNode): string[] => node.running.map((r) => r.split('/')[0] ?? r).sort();
const isUp = (node: FakeNode): boolean => ALL.every((n) => names(node).includes(n));

/** Runs until `done` or the agent's death, time passing. */
async function live(node: FakeNode, agent: FakeAgent, done: () => boolean): Promise<void> {
  await node.passUntil(() => agent.isDead || done(), 'its end', 50);
}

/** The whole life of a pod with an agent that dies at its nth call; true when the agent outlived it. */
async function lifeWithDeath(diesAt: number, after: (node: FakeNode, wanted: PodObject) => Promise<void>) {
  const node = await setUp(PROGRAMS);
  const agent = await node.agent({ diesAt });
  agent.want(POD);
  await live(node, agent, () => isUp(node));
  let pod = POD;
  if (!agent.isDead) {
    pod = deleted(POD, node.clock.now());
    agent.want(pod);
    await live(node, agent, () => node.removed.includes('u'));
  }
  const outlived = !agent.isDead;
  await agent.kill();
  if (!outlived) await after(node, pod);
  await node[Symbol.asyncDispose]();
  return outlived;
}

async function expectGone(node: FakeNode): Promise<void> {
  await node.passUntil(() => node.removed.includes('u'), 'removed');
  expect(await node.leftovers()).toEqual([]);
}

describe('an agent killed at any step of a pod', () => {
  test('the next one brings the pod up, each container once, and takes it away', async () => {
    let n = 4;
    while (
      !(await lifeWithDeath(n++, async (node, wanted) => {
        const agent = await node.agent();
        agent.want(wanted);
        await agent.manager.removeUnwanted(node.c);
        if (wanted === POD) {
          await node.passUntil(() => isUp(node), `up after a death at call ${n}`);
          expect(names(node)).toEqual(ALL);
          agent.want(deleted(POD, node.clock.now()));
        }
        await expectGone(node);
      }))
    );
    expect(n).toBeGreaterThan(30);
  });

  test('a pod that nobody wants any more is taken away', async () => {
    let n = 4;
    while (
      !(await lifeWithDeath(n++, async (node) => {
        const agent = await node.agent();
        await agent.manager.removeUnwanted(node.c);
        await node.passUntil(() => agent.manager.count === 0, `gone after a death at call ${n}`);
        expect(await node.leftovers()).toEqual([]);
      }))
    );
    expect(n).toBeGreaterThan(30);
  });
});

/** The pod as the API has it after this agent's reports. */
const reported = (node: FakeNode, pod: PodObject): PodObject => ({ ...pod, status: node.status('u') }) as PodObject;

async function replaceAgent(node: FakeNode, agent: FakeAgent, meanwhile: () => void = () => undefined) {
  await agent[Symbol.asyncDispose]();
  meanwhile();
  return node.agent();
}

describe('the next agent', () => {
  test('takes what runs as it is: same attempts, ready before any probe, sidecars too, no new events', async () => {
    const probe = { readinessProbe: { exec: { command: ['true'] }, periodSeconds: 100 } };
    const pod = fakePod({
      initContainers: [{ name: 's', image: 'i', restartPolicy: 'Always', ...probe }] as never,
      containers: [{ name: 'a', image: 'i', ...probe }] as never,
    });
    const node = await setUp();
    const agent = await node.agent();
    agent.want(pod);
    const isReady = () => node.status('u')?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
    await node.until(isReady, 'ready');
    const [events, ids] = [node.events.length, [...node.host.containers.keys()]];
    const wanted = reported(node, pod);
    const next = await replaceAgent(node, agent);
    const reports = node.reports.length;
    next.want(wanted);
    await node.until(() => node.reports.length > reports, 'a report');
    await node.pass(1000);
    expect(isReady()).toBe(true);
    expect(node.status('u')?.initContainerStatuses?.[0]).toMatchObject({ ready: true, started: true });
    expect([...node.host.containers.keys()]).toEqual(ids);
    expect(node.events.length).toBe(events);
  });

  test.each([
    ['Always', 0, 'Running', 'a/1'],
    ['OnFailure', 3, 'Running', 'a/1'],
    ['OnFailure', 0, 'Succeeded', undefined],
    ['Never', 3, 'Failed', undefined],
  ])('%s: an end with %i that no agent saw', async (restartPolicy, code, phase, running) => {
    for (const moment of ['before', 'after']) {
      const node = await setUp();
      const agent = await node.agent();
      const pod = fakePod({ restartPolicy });
      agent.want(pod);
      await node.until(() => node.status('u')?.phase === 'Running', 'Running');
      const end = (): void => node.host.exit(node.id('a'), code);
      const next = await replaceAgent(node, agent, moment === 'before' ? end : undefined);
      if (moment === 'after') end(); // before its pod has a worker
      const reports = node.reports.length;
      next.want(reported(node, pod));
      await node.until(() => node.reports.length > reports && node.status('u')?.phase === phase, phase);
      if (running !== undefined) await node.until(() => node.running.includes(running), running);
      else await node.until(() => node.addresses.size === 0, 'the address given back');
      expect(node.running).toEqual(running === undefined ? [] : [running]);
    }
  });

  test('waits the rest of a back-off', async () => {
    const node = await setUp({ programs: { a: (n) => (n < 2 ? { exit: { afterMs: 10, code: 1 } } : {}) } });
    const agent = await node.agent();
    agent.want(fakePod());
    await node.passUntil(() => node.status('u')?.containerStatuses?.[0]?.restartCount === 1, 'attempt 1');
    const next = await replaceAgent(node, agent);
    next.want(reported(node, fakePod()));
    await node.pass(8000);
    expect(node.running).toEqual([]);
    await node.pass(2500);
    await node.until(() => node.running.includes('a/2'), 'attempt 2');
  });

  test('goes on with a stop, to the same deadline', async () => {
    const node = await setUp({ programs: { a: { termMs: 'never' } } });
    const agent = await node.agent();
    agent.want(fakePod());
    await node.until(() => node.status('u')?.phase === 'Running', 'Running');
    const pod = deleted(fakePod(), node.clock.now(), 10);
    agent.want(pod);
    await node.pass(6000);
    const next = await replaceAgent(node, agent);
    next.want(reported(node, pod));
    await node.pass(3500);
    expect(node.running).toEqual(['a/0']);
    await node.pass(1500);
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('a pod of the host network is taken without an address', async () => {
    const node = await setUp();
    const agent = await node.agent();
    const pod = fakePod({ hostNetwork: true });
    agent.want(pod);
    await node.until(() => node.status('u')?.phase === 'Running', 'Running');
    const next = await replaceAgent(node, agent);
    const calls = node.kernel.calls.length;
    next.want(reported(node, pod));
    await node.pass(1000);
    /* Nothing is made: its limit of processes is said again. */
    expect(node.kernel.calls.slice(calls).map((x) => x.name)).toEqual(['cgroups.set']);
    expect(node.running).toEqual(['a/0']);
  });
});

describe('a pod that is wished for while it is removed as unwanted', () => {
  /** Up to the moment in which a new agent has found a pod that has no worker, and asks who it was. */
  async function removing(nameless: boolean) {
    const node = await setUp();
    const first = await node.agent();
    first.want(fakePod());
    await node.until(() => node.status('u')?.phase === 'Running', 'Running');
    const agent = await replaceAgent(node, first, undefined);
    if (nameless) await rm(join(node.folder, 'pods/u/pod.json'));
    let found: () => void = () => undefined;
    const { volumes, runtime } = agent.deps;
    volumes.podsOnDisk = () => new Promise((resolve) => (found = () => resolve([])));
    let removed: () => void = () => undefined;
    const remove = runtime.remove.bind(runtime);
    runtime.remove = async (id, c) => {
      await new Promise<void>((resolve) => (removed = resolve));
      await remove(id, c);
    };
    const done = agent.manager.removeUnwanted(node.c);
    await node.pass(100, 50);
    found();
    for (let i = 0; i < 10; i++) await Promise.resolve();
    return { node, agent, done, removed: () => removed() };
  }

  test('it is taken as it is, by one worker', async () => {
    const { node, agent, done } = await removing(false);
    agent.want(reported(node, fakePod()));
    await done;
    await node.pass(5000);
    expect(node.running).toEqual(['a/0']);
    expect(node.removed).toEqual([]);
    expect(agent.manager.worker('u')?.attempt('a')?.state.phase).toBe('running');
  });

  test('it begins anew once a removal that had begun has ended', async () => {
    const { node, agent, done, removed } = await removing(true);
    await node.pass(100, 50);
    agent.want(reported(node, fakePod()));
    await node.pass(100, 50);
    removed();
    await done;
    await node.until(() => node.running.length > 0, 'its container');
    await node.pass(5000);
    expect(node.running).toEqual(['a/1']);
    expect(node.roots.size).toBe(1);
    expect([...node.addresses.keys()]).toEqual(['u']);
    expect(agent.manager.worker('u')?.attempt('a')?.state.phase).toBe('running');
  });

  test('wished for and taken back meanwhile: nothing is left', async () => {
    const { node, agent, done, removed } = await removing(true);
    await node.pass(100, 50);
    agent.want(reported(node, fakePod()));
    agent.gone(fakePod());
    removed();
    await done;
    await node.pass(1000);
    expect(await node.leftovers()).toEqual([]);
    expect(agent.manager.count).toBe(0);
  });
});
