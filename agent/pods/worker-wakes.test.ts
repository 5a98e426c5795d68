/** What makes a pod's worker look again, and what does not: on a full node each needless look is made two hundred times. */
import { afterEach, expect, test, vi } from 'vitest';
import { StatusError } from '#lib/base';
import { FakeNode, fakePod } from './fake-node.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

test('the end of one container wakes its own pod, not all of them', async () => {
  const node = await FakeNode.make();
  nodes.push(node);
  const agent = await node.agent();
  const others = Array.from({ length: 60 }, (_, i) => fakePod({}, { name: `p${i}`, uid: `u${i}` }));
  for (const pod of others) agent.want(pod);
  agent.want(fakePod({ restartPolicy: 'Never', containers: [{ name: 'one', image: 'i' }] as never }));
  await node.passUntil(() => node.running.length === 61, 'all run');
  let looks = 0;
  const now = node.clock.now.bind(node.clock);
  node.clock.now = () => {
    looks++;
    return now();
  };
  node.host.exit(node.id('one'), 0);
  await node.until(() => node.status('u')?.phase === 'Succeeded', 'its end');
  expect(looks).toBeLessThan(others.length);
});

test.each([
  ['keeps the back-off', 1, 3],
  ['with another spec is tried at once', 2, 4],
])('a new version of a pod %s', async (_name, generation, tries) => {
  const node = await FakeNode.make();
  nodes.push(node);
  const agent = await node.agent();
  let count = 0;
  agent.deps.network.attach = async () => {
    count++;
    throw new StatusError('Unavailable', 'no address');
  };
  agent.want(fakePod({}, { generation: 1 }));
  await node.passUntil(() => count === 3, 'three tries');
  await node.pass(50);
  for (let i = 0; i < 5; i++) {
    agent.want(fakePod({}, { generation, labels: { a: String(i) } }));
    await node.pass(10);
  }
  expect(count).toBe(tries);
});

test('a container that waits for its configuration is tried at once when labels change, which it may be made of', async () => {
  const node = await FakeNode.make();
  nodes.push(node);
  const agent = await node.agent();
  const begun = vi.spyOn(agent.deps.kernel.cgroups, 'expectMove');
  const valueFrom = { configMapKeyRef: { name: 'missing', key: 'k' } };
  const spec = { containers: [{ name: 'one', image: 'i', env: [{ name: 'K', valueFrom }] }] as never };
  const reason = () => node.status('u')?.containerStatuses?.[0]?.state?.waiting?.reason;
  agent.want(fakePod(spec, { generation: 1 }));
  await node.passUntil(() => reason() === 'CreateContainerConfigError', 'it waits');
  await node.pass(20_000);
  const tries = async (labels: Record<string, string>): Promise<number> => {
    const before = begun.mock.calls.length;
    agent.want(fakePod(spec, { generation: 1, labels }));
    for (let i = 0; i < 20; i++) await node.pass(0.01);
    return begun.mock.calls.length - before;
  };
  expect(await tries({})).toBe(0);
  expect(await tries({ a: 'b' })).toBe(1);
  expect(await tries({ a: 'b' })).toBe(0);
});
