/** Ephemeral containers: added to a running pod, in the PID namespace of their target, never started twice. */
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { FakeAgent } from './fake-agent.ts';
import { deleted, FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';
import { LABELS } from './steps/container.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

async function setUp(o: FakeNodeOptions = {}): Promise<{ node: FakeNode; agent: FakeAgent }> {
  const node = await FakeNode.make(o);
  nodes.push(node);
  return { node, agent: await node.agent() };
}

const withDebugger = (pod: PodObject, targetContainerName?: string): PodObject =>
  ({
    ...pod,
    spec: { ...pod.spec, ephemeralContainers: [{ name: 'dbg', image: 'i', targetContainerName }] },
  }) as PodObject;
const entry = (node: FakeNode) => node.status('u')?.ephemeralContainerStatuses?.[0];
/** As the API has it after the reports so far. */
const reported = (node: FakeNode, p: PodObject): PodObject => ({ ...p, status: node.status('u') }) as PodObject;
const pidNamespace = (node: FakeNode, container: string): string | undefined =>
  node.host.containers.get(node.id(container))?.o.spec.linux.namespaces.find((n) => n.type === 'pid')?.path;
const starts = (node: FakeNode, container: string): number =>
  [...node.host.containers.values()].filter((x) => x.o.labels[LABELS.container] === container).length;

async function runs(node: FakeNode, agent: FakeAgent, pod: PodObject): Promise<void> {
  agent.want(pod);
  await node.until(() => node.status('u')?.phase === 'Running', 'Running');
}

describe('an ephemeral container', () => {
  test('starts in a pod that runs, in the PID namespace of its target, and is never ready', async () => {
    const { node, agent } = await setUp();
    await runs(node, agent, fakePod());
    agent.want(withDebugger(fakePod(), 'a'));
    await node.until(() => entry(node)?.state?.running !== undefined, 'the debugger');
    expect(node.running).toEqual(['a/0', 'dbg/0']);
    const target = node.host.containers.get(node.id('a'))?.state;
    expect(target?.phase === 'running' && `/proc/${target.pid}/ns/pid`).toBe(pidNamespace(node, 'dbg'));
    expect(entry(node)).toMatchObject({ name: 'dbg', ready: false, restartCount: 0 });
    expect(entry(node)).not.toHaveProperty('started');
    expect(node.status('u')?.conditions?.find((c) => c.type === 'Ready')?.status).toBe('True');
  });

  test('without a target it has a PID namespace of its own; with hostPID it needs none', async () => {
    const own = await setUp();
    await runs(own.node, own.agent, withDebugger(fakePod()));
    await own.node.until(() => own.node.running.includes('dbg/0'));
    expect(own.node.host.containers.get(own.node.id('dbg'))?.o.spec.linux.namespaces).toContainEqual({ type: 'pid' });
    const host = await setUp();
    await runs(host.node, host.agent, fakePod({ hostPID: true }));
    host.agent.want(withDebugger(fakePod({ hostPID: true }), 'a'));
    await host.node.until(() => host.node.running.includes('dbg/0'));
    const { namespaces = [] } = host.node.host.containers.get(host.node.id('dbg'))?.o.spec.linux ?? {};
    expect(namespaces.map((n) => n.type)).not.toContain('pid');
  });

  test('in a pod that shares its process namespace it is in that one, target or not, as all containers are', async () => {
    const { node, agent } = await setUp();
    const shared = fakePod({
      shareProcessNamespace: true,
      initContainers: [{ name: 'x', image: 'i', restartPolicy: 'Always' }] as never,
    });
    await runs(node, agent, shared);
    agent.want(withDebugger(shared, 'a'));
    await node.until(() => node.running.includes('dbg/0'));
    const paths = ['x', 'a', 'dbg'].map((name) => pidNamespace(node, name));
    expect(paths).toEqual(Array(3).fill(join(node.folder, 'pods/u/ns/pid')));
    const pins = node.kernel.calls.filter((call) => call.name === 'namespaces.pinProcesses');
    expect(pins).toHaveLength(3);
    const { cgroup } = (pins[0]?.args[1] ?? {}) as { cgroup: string };
    expect(cgroup).toMatch(/\/podu\/pause$/);
    expect(node.kernel.groups.has(cgroup)).toBe(true);
    agent.want(deleted(shared, node.clock.now()));
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test.each([0, 3])('that has ended with %i is not started again, whatever the policy', async (code) => {
    const { node, agent } = await setUp({ programs: { dbg: { exit: { afterMs: 100, code } } } });
    await runs(node, agent, withDebugger(fakePod()));
    await node.passUntil(() => entry(node)?.state?.terminated !== undefined, 'the end');
    await node.pass(30_000);
    expect(entry(node)?.state?.terminated?.exitCode).toBe(code);
    expect(starts(node, 'dbg')).toBe(1);
    expect(node.running).toEqual(['a/0']);
  });

  test('whose target is not there waits, and says why', async () => {
    const { node, agent } = await setUp();
    await runs(node, agent, withDebugger(fakePod(), 'nope'));
    await node.until(() => entry(node)?.state?.waiting?.reason === 'CreateContainerConfigError');
    expect(entry(node)?.state?.waiting?.message).toBe('unable to find target container nope');
    expect(node.running).toEqual(['a/0']);
  });

  test('whose target ends before it has begun is tried again later', async () => {
    const { node, agent } = await setUp({ programs: { dbg: (n) => (n === 0 ? { startMs: 1000 } : {}) } });
    await runs(node, agent, fakePod());
    agent.want(withDebugger(fakePod(), 'a'));
    await node.until(() => node.events.filter((e) => e.message === 'Created container: dbg').length === 1);
    node.host.exit(node.id('a'), 1);
    await node.passUntil(() => node.events.some((e) => /target container a is not running/.test(e.message)), 'refusal');
    expect(node.running.filter((r) => r.startsWith('dbg'))).toEqual([]);
    await node.passUntil(() => node.running.includes('dbg/0'), 'the next try');
    expect(starts(node, 'dbg')).toBe(1);
  });
});

describe('an agent that begins anew', () => {
  test('adopts an ephemeral container that runs, and leaves one alone that has ended', async () => {
    const { node, agent } = await setUp();
    const pod = withDebugger(fakePod(), 'a');
    await runs(node, agent, pod);
    await node.until(() => entry(node)?.state?.running !== undefined, 'the debugger');
    await agent[Symbol.asyncDispose]();
    const second = await node.agent();
    second.want(reported(node, pod));
    node.host.exit(node.id('dbg'), 4);
    await node.until(() => entry(node)?.state?.terminated?.exitCode === 4, 'the end');
    await second[Symbol.asyncDispose]();
    const third = await node.agent();
    third.want(reported(node, pod));
    await node.pass(30_000);
    expect(entry(node)?.state?.terminated?.exitCode).toBe(4);
    expect(starts(node, 'dbg')).toBe(1);
  });

  test('ends the one of a pod that was deleted meanwhile: nothing is left', async () => {
    const { node, agent } = await setUp();
    node.onKernel = ({ name }) => {
      if (name === 'cgroups.remove' && node.running.length > 0) throw new Error('device or resource busy');
    };
    await runs(node, agent, fakePod());
    agent.want(withDebugger(fakePod(), 'a'));
    await node.until(() => entry(node)?.state?.running !== undefined, 'the debugger');
    await agent[Symbol.asyncDispose]();
    const next = await node.agent();
    await Promise.all([next.manager.removeUnwanted(node.c), node.passUntil(() => node.running.length === 0, 'ended')]);
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test.each([
    [
      'terminated',
      { exitCode: 4, reason: 'Error', startedAt: '2026-01-01T00:00:00Z' },
      { exitCode: 4, reason: 'Error' },
    ],
    ['running', { startedAt: '2026-01-01T00:00:00Z' }, { exitCode: 137, reason: 'ContainerStatusUnknown' }],
  ])('without a record of one that the API has as %s: it is not started again', async (was, state, terminated) => {
    const { node, agent } = await setUp();
    const known = { name: 'dbg', containerID: 'berth://abc', image: 'i', imageID: 'x', ready: false, restartCount: 0 };
    const ephemeralContainerStatuses = [{ ...known, state: { [was]: state } }];
    const pod = { ...withDebugger(fakePod()), status: { ephemeralContainerStatuses } } as PodObject;
    await runs(node, agent, pod);
    await node.pass(30_000);
    expect(node.running).toEqual(['a/0']);
    expect(entry(node)?.containerID).toBe('berth://abc');
    expect(entry(node)?.state?.terminated).toMatchObject({ ...terminated, startedAt: '2026-01-01T00:00:00Z' });
    agent.want(deleted(pod, node.clock.now()));
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });
});
