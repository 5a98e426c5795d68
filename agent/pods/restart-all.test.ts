/** RestartAllContainers (KEP-5532): the end of one container begins all of its pod again, in the same sandbox. */
import { afterEach, expect, test } from 'vitest';
import { FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

type Programs = NonNullable<FakeNodeOptions['programs']>;
const nodes: FakeNode[] = [];
afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

const rule = { action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [42] } };
const POD = fakePod({
  restartPolicy: 'Never',
  initContainers: [
    { name: 'init', image: 'i' },
    { name: 'side', image: 'i', restartPolicy: 'Always' },
  ],
  containers: [
    { name: 'watcher', image: 'i', restartPolicy: 'Never', restartPolicyRules: [rule] },
    { name: 'worker', image: 'i' },
  ],
});
const ends =
  (code: number, ...attempts: number[]) =>
  (attempt: number) =>
    attempts.includes(attempt) ? { exit: { afterMs: 1_000, code } } : {};
const PROGRAMS: Programs = { init: { exit: { afterMs: 10, code: 0 } }, watcher: ends(42, 0) };

async function begin(programs: Programs = PROGRAMS, pod: PodObject = POD) {
  const node = await FakeNode.make({ programs });
  nodes.push(node);
  const agent = await node.agent();
  agent.want(pod);
  return { node, agent };
}

const attempts = (node: FakeNode): string[] => [...node.running].sort();
const restarting = (node: FakeNode) =>
  node.status('u')?.conditions?.find((c) => c.type === 'AllContainersRestarting')?.status;

test('all containers begin again, init containers first, with the address they had', async () => {
  const { node } = await begin();
  await node.passUntil(() => node.running.length === 3, 'all run');
  expect(restarting(node)).toBe('False');
  const ip = node.status('u')?.podIP;
  await node.passUntil(() => attempts(node).join() === 'side/1,watcher/1,worker/1', 'all run again');
  const inits = [...node.host.containers.values()].filter((x) => x.o.labels['berth.container'] === 'init');
  expect(inits.map((x) => x.o.labels['berth.attempt'])).toEqual(['0', '1']);
  const status = node.status('u');
  expect([status?.phase, status?.podIP]).toEqual(['Running', ip]);
  expect(status?.containerStatuses?.map((s) => [s.name, s.restartCount])).toEqual([
    ['watcher', 1],
    ['worker', 1],
  ]);
  expect(node.reports.every((r) => ['Pending', 'Running'].includes(r.status.phase ?? ''))).toBe(true);
  await node.pass(30_000, 5_000);
  expect(attempts(node)).toEqual(['side/1', 'watcher/1', 'worker/1']);
});

test('while others still run the condition says so; another exit code ends it for good', async () => {
  const slow: Programs = {
    ...PROGRAMS,
    worker: { termMs: 1_500 },
    watcher: (attempt) => ({ exit: { afterMs: 1_000, code: attempt === 0 ? 42 : 7 } }),
  };
  const { node } = await begin(slow);
  await node.passUntil(() => restarting(node) === 'True', 'restarting', 100);
  await node.passUntil(() => restarting(node) === 'False', 'restarted', 100);
  await node.passUntil(() => node.status('u')?.containerStatuses?.[0]?.state?.terminated?.exitCode === 7, 'ended');
  await node.pass(30_000, 5_000);
  expect(attempts(node)).toEqual(['side/1', 'worker/1']);
});

test('one that ends so again and again waits as it would alone, and all the others with it', async () => {
  const { node } = await begin({ ...PROGRAMS, watcher: () => ({ exit: { afterMs: 1_000, code: 42 } }) });
  const begun = (): number =>
    [...node.host.containers.values()].filter((x) => x.o.labels['berth.container'] === 'worker').length;
  const latest = (): number =>
    Math.max(...[...node.host.containers.values()].map((x) => Number(x.o.labels['berth.attempt'])));
  await node.passUntil(() => latest() === 2, 'the second time');
  expect(begun()).toBeLessThanOrEqual(2);
  const at = node.clock.monotonic();
  await node.passUntil(() => latest() === 3, 'the third time');
  expect(node.clock.monotonic() - at).toBeGreaterThan(10_000);
});

test('whenever the agent dies meanwhile, each container runs once more and no more', async () => {
  /* The first four calls are its opening. */
  for (let diesAt = 5; ; diesAt += 4) {
    const { node, agent } = await begin({ ...PROGRAMS, watcher: { exit: { afterMs: 1_000_000, code: 42 } } });
    await node.passUntil(() => node.running.length === 3, 'all run');
    await agent.kill();
    const dying = await node.agent({ diesAt });
    dying.want(POD);
    await node.pass(100, 50);
    node.host.exit(node.id('watcher'), 42);
    for (let i = 0; i < 40 && !dying.isDead && attempts(node).join() !== 'side/1,watcher/1,worker/1'; i++)
      await node.pass(500);
    const isWhole = !dying.isDead;
    await dying.kill();
    const next = await node.agent();
    next.want(POD);
    await node.passUntil(
      () => attempts(node).length === 3 && !attempts(node).some((a) => a.endsWith('/0')),
      'all again',
    );
    await node.pass(5_000);
    expect(attempts(node).filter((a) => !a.startsWith('side'))).toEqual(['watcher/1', 'worker/1']);
    await node[Symbol.asyncDispose]();
    nodes.pop();
    if (isWhole) break; // It died of nothing: there are no further steps.
  }
}, 120_000);
