/** A pod whose emptyDir holds more than its sizeLimit is evicted. */
import { afterEach, expect, test } from 'vitest';
import { StatusError } from '#lib/base';
import { FakeNode, fakePod } from './fake-node.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

const POD = fakePod({ volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }], terminationGracePeriodSeconds: 3600 });

async function setUp(overLimit: () => Promise<{ name: string; limit: string } | undefined>): Promise<FakeNode> {
  const prepare = async () => ({ hostPath: '/v', readOnly: false });
  const node = await FakeNode.make({ volumes: { prepare, overLimit }, programs: { a: { termMs: 'never' } } });
  nodes.push(node);
  return node;
}

test('it fails as Evicted in the words of the kubelet, with a second of grace, and nothing of it runs on', async () => {
  let over: { name: string; limit: string } | undefined;
  const node = await setUp(async () => over);
  (await node.agent()).want(POD);
  await node.until(() => node.running.length === 1);
  await node.pass(30_000, 5_000);
  expect(node.running).toEqual(['a/0']);
  over = { name: 'v', limit: '1Mi' };
  const beginMs = node.clock.now();
  await node.passUntil(() => node.status('u')?.phase === 'Failed' && node.running.length === 0);
  expect(node.clock.now() - beginMs).toBeLessThan(15_000);
  const message = 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ';
  expect(node.status('u')).toMatchObject({ reason: 'Evicted', message });
  expect(node.events.filter((e) => e.reason === 'Evicted')).toEqual([{ reason: 'Evicted', message }]);
});

test('one that cannot be measured runs on, and is looked at again', async () => {
  let looks = 0;
  const node = await setUp(async () => {
    looks++;
    throw new StatusError('DeadlineExceeded', 'du took longer than 60000 ms');
  });
  (await node.agent()).want(POD);
  await node.until(() => node.running.length === 1);
  await node.pass(31_000, 1_000);
  expect(looks).toBe(3);
  expect(node.running).toEqual(['a/0']);
});
