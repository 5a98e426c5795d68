import { describe, expect, test } from 'vitest';
import type { KubeObject } from '#lib/api';
import type { FakeAgent } from './fake-agent.ts';
import { FakeNode, fakePod } from './fake-node.ts';

const runtimeClass = { metadata: { name: 'fast', uid: 'c' }, handler: 'quick' } as unknown as KubeObject;

function give(agent: FakeAgent): void {
  const change = { type: 'upsert', resource: 'runtimeclasses', object: runtimeClass } as const;
  agent.deps.objects.apply(change);
  agent.manager.apply([change]);
}

async function nodeWith(handlers: readonly string[]): Promise<{ node: FakeNode; agent: FakeAgent }> {
  const node = await FakeNode.make({
    programs: { a: (attempt) => (attempt === 0 ? { exit: { afterMs: 1000, code: 1 } } : {}) },
  });
  return { node, agent: await agentWith(node, handlers) };
}

async function agentWith(node: FakeNode, handlers: readonly string[]): Promise<FakeAgent> {
  const agent = await node.agent();
  const known = { path: 'fake', arguments: [], isCrun: false, takesFilter: false, recursiveReadOnlyMounts: false };
  Object.assign(agent.deps.settings, { runtimeHandlers: ['', ...handlers].map((name) => ({ ...known, name })) });
  return agent;
}

const handlersUsed = (node: FakeNode): (string | undefined)[] =>
  [...node.host.containers.values()].map((x) => x.o.handler);

describe('RuntimeClass of a pod', () => {
  test('its handler runs the containers; without a class the default does', async () => {
    const { node, agent } = await nodeWith(['quick']);
    await using _node = node;
    give(agent);
    agent.want(fakePod({ runtimeClassName: 'fast' }));
    agent.want(fakePod({}, { uid: 'v', name: 'q' }));
    await node.until(() => node.running.length === 2, 'both run');
    expect(handlersUsed(node).sort()).toEqual(['', 'quick']);
  });

  test('a class that is not here: the pod waits with the kubelet’s words, and starts when it comes', async () => {
    const { node, agent } = await nodeWith(['quick']);
    await using _node = node;
    agent.want(fakePod({ runtimeClassName: 'fast' }));
    const message = 'Failed to create pod sandbox: runtimeclass.node.k8s.io "fast" not found';
    await node.until(() => node.events.some((e) => e.message === message), 'the event');
    expect(node.running).toEqual([]);
    give(agent);
    await node.until(() => node.running.length === 1, 'it runs without waiting for the back-off');
  });

  test('a handler that this node does not have', async () => {
    const { node, agent } = await nodeWith([]);
    await using _node = node;
    give(agent);
    agent.want(fakePod({ runtimeClassName: 'fast' }));
    const event = {
      reason: 'FailedCreatePodSandBox',
      message: 'Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "quick" is configured',
    };
    await node.until(() => node.events.some((e) => e.reason === event.reason), 'the event');
    expect(node.events).toContainEqual(event);
    expect(node.kernel.pinned.size).toBe(0);
  });

  test('a class that goes while the pod runs, and a new agent, change nothing: the next attempt has the same runtime', async () => {
    const { node, agent } = await nodeWith(['quick']);
    await using _node = node;
    give(agent);
    const pod = fakePod({ runtimeClassName: 'fast' });
    agent.want(pod);
    await node.until(() => node.running.length === 1, 'it runs');
    await agent.kill();
    const next = await agentWith(node, ['quick']);
    next.want(pod);
    await node.passUntil(() => node.running.includes('a/1'), 'the second attempt');
    expect(handlersUsed(node)).toEqual(['quick', 'quick']);
  });
});
