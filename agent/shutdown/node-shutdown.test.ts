import { afterEach, expect, test } from 'vitest';
import { StatusError } from '#lib/base';
import { evictablePods } from '../eviction/open.ts';
import type { Programs } from '../kernel/kernel.ts';
import { FakeNode, fakePod } from '../pods/fake-node.ts';
import type { PodObject } from '../pods/model.ts';
import type { ShutdownPeriod } from '../resources/shutdown-settings.ts';
import { shutdownGroups } from './groups.ts';
import { isHostStopping, NodeShutdown } from './node-shutdown.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

const period = (priority: number, graceSeconds: number): ShutdownPeriod => ({ priority, graceSeconds });

test('groups: each pod with the period of its priority, the highest last; what is below the lowest ends with it', () => {
  const periods = [period(0, 30), period(1000, 20), period(2000, 10)];
  const priorities = [5000, -7, 1999, 0, 2000, 1000, 999];
  expect(shutdownGroups(periods, priorities, (x) => x)).toEqual([
    { graceSeconds: 30, members: [-7, 0, 999] },
    { graceSeconds: 20, members: [1999, 1000] },
    { graceSeconds: 10, members: [5000, 2000] },
  ]);
  expect(shutdownGroups(periods, [3000], (x) => x)).toEqual([{ graceSeconds: 10, members: [3000] }]);
});

const pod = (name: string, priority: number, graceSeconds: number): PodObject =>
  fakePod(
    { containers: [{ name, image: 'i' }], priority, terminationGracePeriodSeconds: graceSeconds },
    { name, uid: name },
  );

test('pods end in the order of their priority, each within the shorter grace; new ones are refused', async () => {
  const node = await FakeNode.make({
    programs: { slow: { termMs: 4_000 }, stuck: { termMs: 'never' }, brief: { termMs: 'never' }, critical: {} },
  });
  nodes.push(node);
  const shutdown = new NodeShutdown();
  const agent = await node.agent({ admit: () => shutdown.admit() });
  for (const p of [pod('slow', 0, 30), pod('stuck', 0, 600), pod('brief', 0, 2), pod('critical', 2_000_000_001, 30)])
    agent.want(p);
  await node.until(() => node.running.length === 4);
  const atS: Record<string, number> = {};
  const beginMs = node.clock.now();
  let notReady = 0;
  let seen = 0;
  let unstored = 1;
  let isDone = false;
  const end = shutdown.run(
    {
      periods: [period(0, 10), period(2_000_000_000, 5)],
      pods: () => evictablePods(agent.deps, '/images', agent.manager),
      reportNode: async () => {
        notReady++;
      },
      onSeen: () => void seen++,
      unstoredReports: () => unstored,
    },
    node.c,
  );
  void end.then(() => {
    isDone = true;
  });
  agent.want(pod('late', 0, 1));
  const names = ['slow', 'stuck', 'brief', 'critical'];
  for (let i = 0; i < 60 && !names.every((n) => n in atS); i++) {
    await node.pass(500);
    for (const n of names)
      if (node.status(n)?.phase === 'Failed') atS[n] ??= Math.round((node.clock.now() - beginMs) / 1000);
  }
  expect([notReady, seen]).toEqual([1, 1]);
  expect(atS['brief']).toBeLessThan(atS['slow'] ?? 0);
  expect(atS['slow']).toBeLessThan(6);
  expect(atS['stuck']).toBeGreaterThanOrEqual(9);
  expect(atS['critical']).toBeGreaterThanOrEqual(atS['stuck'] ?? 0);
  expect(node.running).toEqual([]);
  const message = 'Pod was terminated in response to imminent node shutdown.';
  expect(node.status('slow')).toMatchObject({ reason: 'Terminated', message });
  expect(node.status('slow')?.conditions).toContainEqual(
    expect.objectContaining({ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet', message }),
  );
  expect(node.status('late')).toMatchObject({
    phase: 'Failed',
    reason: 'NodeShutdown',
    message: 'Pod was rejected: Pod was rejected as the node is shutting down.',
  });
  /* It waits for the last reports, and not for ever. */
  await node.pass(1_000, 200);
  expect(isDone).toBe(false);
  unstored = 0;
  await node.pass(500, 100);
  expect(isDone).toBe(true);
});

test('a pod that outlives its period does not hold up the others, nor the end', async () => {
  const node = await FakeNode.make({ programs: { stuck: { termMs: 'never' } } });
  nodes.push(node);
  node.host.kill = () => undefined;
  const agent = await node.agent();
  agent.want(pod('stuck', 0, 600));
  await node.until(() => node.running.length === 1);
  let isDone = false;
  const options = {
    periods: [period(0, 3)],
    pods: () => evictablePods(agent.deps, '/images', agent.manager),
    reportNode: () => Promise.reject(new StatusError('Unavailable', 'no session')),
    onSeen: () => undefined,
    unstoredReports: () => 7,
  };
  void new NodeShutdown().run(options, node.c).then(() => {
    isDone = true;
  });
  await node.pass(5_000, 200);
  expect(isDone).toBe(false);
  await node.pass(2_000, 200);
  expect(isDone).toBe(true);
});

test.each<[string, Programs['run'], boolean]>([
  ['stopping', async () => answer('stopping\n', 1), true],
  ['running', async () => answer('running\n', 0), false],
  ['degraded', async () => answer('degraded\n', 1), false],
  ['no systemd', () => Promise.reject(new StatusError('NotFound', 'systemctl: not found')), false],
])('the host stops: %s', async (_, run, isStopping) => {
  const node = await FakeNode.make();
  nodes.push(node);
  expect(await isHostStopping({ run }, node.c)).toBe(isStopping);
});

function answer(text: string, code: number): Awaited<ReturnType<Programs['run']>> {
  return { code, stdout: Buffer.from(text), stderr: Buffer.alloc(0) };
}
