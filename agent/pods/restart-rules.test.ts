/** A container's own restart policy and rules, which come before its pod's (KEP-5307). */
import { afterEach, describe, expect, test } from 'vitest';
import { FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import type { ContainerSpec } from './model.ts';
import { type RestartPolicy, restarts } from './restart.ts';

const nodes: FakeNode[] = [];
afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

const rule = (operator: 'In' | 'NotIn', ...values: number[]) => ({
  action: 'Restart',
  exitCodes: { operator, values },
});
const container = (more: object): ContainerSpec => ({ name: 'c', image: 'i', ...more }) as ContainerSpec;

describe('restarts', () => {
  test.each<[RestartPolicy, object, number, boolean]>([
    ['Never', { restartPolicy: 'Never', restartPolicyRules: [rule('In', 42)] }, 42, true],
    ['Never', { restartPolicy: 'Never', restartPolicyRules: [rule('In', 42)] }, 1, false],
    ['Always', { restartPolicy: 'Never', restartPolicyRules: [rule('NotIn', 1, 2)] }, 3, true],
    ['Always', { restartPolicy: 'Never', restartPolicyRules: [rule('NotIn', 1, 2)] }, 2, false],
    ['Always', { restartPolicy: 'OnFailure' }, 0, false],
    ['Never', { restartPolicy: 'OnFailure' }, 5, true],
    ['OnFailure', { restartPolicy: 'Always' }, 0, true],
    ['OnFailure', {}, 0, false],
  ])('pod %s, container %j, exit %i: %s', (policy, spec, code, again) => {
    expect(restarts(policy, { role: 'app', spec: container(spec) }, code)).toBe(again);
  });

  test('an init container that succeeded never runs again, one that failed does by its own policy', () => {
    const init = (more: object, code: number) => restarts('Never', { role: 'init', spec: container(more) }, code);
    expect([init({}, 1), init({ restartPolicy: 'OnFailure' }, 1), init({ restartPolicy: 'OnFailure' }, 0)]).toEqual([
      false,
      true,
      false,
    ]);
    expect(restarts('Always', { role: 'init', spec: container({ restartPolicy: 'Never' }) }, 1)).toBe(false);
  });
});

describe('in a pod', () => {
  async function run(spec: object, o: FakeNodeOptions) {
    const node = await FakeNode.make(o);
    nodes.push(node);
    const agent = await node.agent();
    agent.want(fakePod(spec));
    return node;
  }
  const codes =
    (...list: number[]) =>
    (attempt: number) => ({ exit: { afterMs: 50, code: list[attempt] ?? 0 } });

  test('one that its rule lets run again keeps the pod running; another end fails it', async () => {
    const own = { name: 'a', image: 'i', restartPolicy: 'Never', restartPolicyRules: [rule('In', 42)] };
    const node = await run({ restartPolicy: 'Never', containers: [own] }, { programs: { a: codes(42, 42, 7) } });
    await node.passUntil(() => node.status('u')?.phase === 'Failed', 'failed', 1_000);
    const [status] = node.status('u')?.containerStatuses ?? [];
    expect(status).toMatchObject({ restartCount: 2, state: { terminated: { exitCode: 7 } } });
    expect(node.reports.every((r) => ['Pending', 'Running', 'Failed'].includes(r.status.phase ?? ''))).toBe(true);
  });

  test('an init container that is not to run again fails a pod that would try for ever', async () => {
    const init = { name: 'x', image: 'i', restartPolicy: 'Never' };
    const node = await run({ restartPolicy: 'Always', initContainers: [init] }, { programs: { x: codes(3) } });
    await node.passUntil(() => node.status('u')?.phase === 'Failed', 'failed', 1_000);
    expect(node.running).toEqual([]);
  });
});
