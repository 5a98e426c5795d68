/** An agent that dies at any call of a resize: the next one brings it to its end, and no container is started for it. */
import { expect, test } from 'vitest';
import { FakeNode, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const MI = 1 << 20;

function pod(cpu: string, memory: string, generation: number): PodObject {
  const amounts = { cpu, memory };
  const resources = { requests: amounts, limits: amounts };
  const containers = ['a', 'b'].map((name) => ({ name, image: 'i', resources })) as never;
  return fakePod({ containers }, { generation });
}

test.each([
  ['grows', pod('100m', '64Mi', 1), pod('200m', '128Mi', 2), { cpuQuotaUs: 20_000, memoryBytes: 128 * MI }],
  ['shrinks', pod('200m', '128Mi', 1), pod('100m', '64Mi', 2), { cpuQuotaUs: 10_000, memoryBytes: 64 * MI }],
])('a pod that %s (KEP-1287)', async (_, before, after, limits) => {
  let deaths = 0;
  for (let calls = 1; ; calls++) {
    await using node = await FakeNode.make();
    const first = await node.agent();
    first.want(before);
    await node.until(() => node.running.length === 2, 'running');
    await first[Symbol.asyncDispose]();
    const dying = await node.agent({ diesAt: 4 + calls });
    dying.want(after);
    const isDone = (): boolean => node.events.some((e) => e.reason === 'ResizeCompleted');
    await node.passUntil(() => dying.isDead || isDone(), `the resize or a death at call ${calls}`, 50);
    if (dying.isDead) deaths++;
    const outlived = !dying.isDead;
    await dying.kill();
    const last = await node.agent();
    last.want(after);
    const inForce = (): unknown =>
      node
        .status('u')
        ?.containerStatuses?.map((s) => s.resources?.limits?.['cpu'])
        .join();
    const cpu = after.spec.containers[0]?.resources?.limits?.['cpu'];
    await node.passUntil(() => inForce() === `${cpu},${cpu}`, `resized after a death at call ${calls}`);
    await node.pass(3_000, 500);
    const groups = [...node.kernel.groups].filter(([path]) => path.includes('podu'));
    const [whole] = groups.filter(([path]) => path.endsWith('podu')).map(([, g]) => g);
    expect(whole).toMatchObject({ cpuQuotaUs: limits.cpuQuotaUs * 2, memoryBytes: limits.memoryBytes * 2 });
    for (const name of ['a', 'b'])
      expect(groups.find(([path]) => path.endsWith(node.id(name)))?.[1]).toMatchObject(limits);
    expect(node.running.sort()).toEqual(['a/0', 'b/0']);
    expect((node.status('u')?.conditions ?? []).filter((c) => c.type.startsWith('PodResize'))).toEqual([]);
    if (outlived) break;
  }
  expect(deaths).toBeGreaterThan(5);
});
