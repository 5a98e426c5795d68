import { expect, test } from 'vitest';
import { expositionText } from '#lib/base';
import { deleted, FakeNode, fakePod } from './fake-node.ts';
import { StartTimes } from './start-times.ts';

const NAME = 'kubelet_pod_start_duration_seconds';

function counted(times: StartTimes): { count: number; sum: number } {
  const text = expositionText([times.family()]);
  const value = (what: string): number => Number(new RegExp(`^${NAME}_${what} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
  return { count: value('count'), sum: value('sum') };
}

test('from arrival to where all containers have begun, pulls included; a restart and an adopted pod are no starts', async () => {
  await using node = await FakeNode.make();
  const startTimes = new StartTimes();
  const agent = await node.agent({ startTimes });
  let pulled = (): void => undefined;
  node.pulls.set('i', new Promise((resolve) => (pulled = resolve)));
  const containers = ['a', 'b'].map((name) => ({ name, image: 'i' })) as never;
  const pod = fakePod({ containers });
  agent.want(pod);
  await node.until(() => node.events.some((e) => e.reason === 'Pulling'));
  await node.pass(3_000);
  expect(counted(startTimes)).toEqual({ count: 0, sum: 0 });
  pulled();
  await node.until(() => node.status('u')?.phase === 'Running', 'Running');
  expect(counted(startTimes)).toEqual({ count: 1, sum: 3 });
  node.host.exit(node.id('a'), 1);
  await node.passUntil(() => node.running.includes('a/1'), 'its restart');
  await agent.kill();
  const again = await node.agent({ startTimes });
  again.want(pod);
  await node.until(() => again.manager.worker('u')?.attempt('a')?.attempt === 1, 'adopted');
  expect(counted(startTimes)).toEqual({ count: 1, sum: 3 });
});

test('one that goes before it has begun is not counted', async () => {
  await using node = await FakeNode.make();
  const startTimes = new StartTimes();
  const agent = await node.agent({ startTimes });
  node.pulls.set('i', new Promise(() => undefined));
  const pod = fakePod();
  agent.want(pod);
  await node.until(() => node.events.some((e) => e.reason === 'Pulling'));
  agent.want(deleted(pod, node.clock.now()));
  await node.until(() => node.removed.includes('u'), 'removed');
  startTimes.began(pod, 'a', node.clock.now());
  startTimes.began(pod, 'b', node.clock.now());
  expect(counted(startTimes)).toEqual({ count: 0, sum: 0 });
});

test('an init container that runs, and one of two containers, do not make the pod run', async () => {
  await using node = await FakeNode.make();
  const startTimes = new StartTimes();
  const agent = await node.agent({ startTimes });
  let pulled = (): void => undefined;
  node.pulls.set('slow', new Promise((resolve) => (pulled = resolve)));
  const initContainers = [{ name: 'x', image: 'i' }] as never;
  const containers = [
    { name: 'a', image: 'i' },
    { name: 'b', image: 'slow' },
  ] as never;
  agent.want(fakePod({ initContainers, containers }));
  await node.until(() => node.running.includes('x/0'), 'init');
  await node.pass(2_000);
  expect(counted(startTimes).count).toBe(0);
  node.host.exit(node.id('x'), 0);
  await node.until(() => node.running.includes('a/0'), 'one of two');
  await node.pass(3_000);
  expect(counted(startTimes).count).toBe(0);
  pulled();
  await node.until(() => node.status('u')?.phase === 'Running', 'Running');
  expect(counted(startTimes)).toEqual({ count: 1, sum: 5 });
});
