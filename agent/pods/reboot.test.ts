/** The host was rebooted: no process, mount or namespace of a pod is left, its containers' records and its folder are. */
import { afterEach, describe, expect, test } from 'vitest';
import type { FakeAgent } from './fake-agent.ts';
import { FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';
import { LABELS } from './steps/container.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

async function setUp(o: FakeNodeOptions): Promise<FakeNode> {
  const node = await FakeNode.make(o);
  nodes.push(node);
  return node;
}

const INIT = { programs: { x: { exit: { afterMs: 100, code: 0 } } } };
const pod = (restartPolicy: string): PodObject =>
  fakePod({
    restartPolicy,
    initContainers: [
      { name: 's', image: 'i', restartPolicy: 'Always' },
      { name: 'x', image: 'i' },
    ] as never,
  });
/** As the API has it after the reports so far. */
const reported = (node: FakeNode, p: PodObject): PodObject => ({ ...p, status: node.status('u') }) as PodObject;
const isUp = (node: FakeNode): boolean => ['a', 's'].every((n) => node.running.some((r) => r.startsWith(`${n}/`)));

/** Brings the pod up, then the host goes down and up again. */
async function rebooted(node: FakeNode, p: PodObject): Promise<void> {
  const agent = await node.agent();
  agent.want(p);
  await node.passUntil(() => isUp(node), 'up');
  await node.until(() => node.status('u')?.phase === 'Running', 'Running');
  await agent[Symbol.asyncDispose]();
  node.host.reboot();
  node.kernel.pinned.clear();
  node.kernel.mounted.clear();
  node.kernel.groups.clear();
}

async function nextAgent(node: FakeNode, p: PodObject, o: { diesAt?: number } = {}): Promise<FakeAgent> {
  const agent = await node.agent(o);
  agent.want(reported(node, p));
  return agent;
}

/** Container and attempt in the order of their starts, with the exit code of those that ended by themselves. */
function startsOf(node: FakeNode): string[] {
  return [...node.host.containers.values()].map(({ o, state }) => {
    const end = state.phase === 'exited' && !state.lost ? `=${state.exitCode}` : '';
    return `${o.labels[LABELS.container]}/${o.labels[LABELS.attempt]}${end}`;
  });
}

describe('after a reboot of the host', () => {
  test('the pod begins from its initial state: init containers run again before the others', async () => {
    const node = await setUp(INIT);
    await rebooted(node, pod('Always'));
    await nextAgent(node, pod('Always'));
    await node.until(() => node.running.includes('x/1'), 'the init container');
    expect(node.running).toEqual(['s/1', 'x/1']);
    expect(node.events.filter((e) => e.reason === 'SandboxChanged')).toHaveLength(1);
    expect(node.status('u')?.conditions?.find((c) => c.type === 'Initialized')?.status).toBe('False');
    await node.passUntil(() => isUp(node), 'up');
    await node.until(() => node.status('u')?.phase === 'Running', 'Running');
    expect(startsOf(node)).toEqual(['s/0', 'x/0=0', 'a/0', 's/1', 'x/1=0', 'a/1']);
    const { containerStatuses = [], initContainerStatuses = [] } = node.status('u') ?? {};
    expect([...initContainerStatuses, ...containerStatuses].map((s) => s.restartCount)).toEqual([1, 1, 1]);
    expect(containerStatuses[0]?.lastState?.terminated?.reason).toBe('ContainerStatusUnknown');
  });

  test('whenever the agent dies meanwhile, the init container has run in the sandbox before the others do', async () => {
    let isOver = false;
    for (let n = 4; !isOver; n++) {
      const node = await setUp(INIT);
      await rebooted(node, pod('Always'));
      const agent = await nextAgent(node, pod('Always'), { diesAt: n });
      await node.passUntil(() => agent.isDead || isUp(node), 'up, or the death', 50);
      isOver = !agent.isDead;
      await agent.kill();
      await nextAgent(node, pod('Always'));
      await node.passUntil(() => isUp(node), `up after a death at call ${n}`);
      const starts = startsOf(node);
      const init = starts.findIndex((s) => /^x.[1-9]\d*=0$/.test(s));
      expect(init, starts.join(' ')).toBeGreaterThan(0);
      expect(starts.findIndex((s) => /^a.[1-9]/.test(s))).toBeGreaterThan(init);
      await node[Symbol.asyncDispose]();
    }
  }, 30_000);

  test('Never: what was lost is not run again, nor is its init container', async () => {
    const node = await setUp(INIT);
    await rebooted(node, pod('Never'));
    await nextAgent(node, pod('Never'));
    await node.until(() => node.status('u')?.phase === 'Failed', 'Failed');
    expect(startsOf(node)).toEqual(['s/0', 'x/0=0', 'a/0']);
  });

  test('OnFailure: the init container runs again, and its status never leaves the state that the API holds for its last', async () => {
    const node = await setUp(INIT);
    await rebooted(node, pod('OnFailure'));
    const before = node.reports.length;
    await nextAgent(node, pod('OnFailure'));
    await node.passUntil(() => isUp(node), 'up');
    expect(startsOf(node)).toEqual(['s/0', 'x/0=0', 'a/0', 's/1', 'x/1=0', 'a/1']);
    const states = node.reports.slice(before).map((r) => r.status.initContainerStatuses?.[1]?.state ?? {});
    expect([...new Set(states.flatMap((s) => Object.keys(s)))]).toEqual(['terminated']);
  });
});

test('an agent that begins while a pod waits in its back-off does not run its init containers again', async () => {
  const node = await setUp({ programs: { ...INIT.programs, a: { exit: { afterMs: 10, code: 1 } } } });
  const p = fakePod({ initContainers: [{ name: 'x', image: 'i' }] as never });
  const agent = await node.agent();
  agent.want(p);
  const waits = () => node.status('u')?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff';
  await node.passUntil(waits, 'the back-off');
  await agent[Symbol.asyncDispose]();
  await nextAgent(node, p);
  await node.pass(12_000);
  await node.until(() => startsOf(node).some((s) => s.startsWith('a/2')), 'attempt 2');
  expect(startsOf(node).map((s) => s.split('=')[0])).toEqual(['x/0', 'a/1', 'a/2']);
});
