/** Eviction on a server whose cached objects are frozen: what writes into one of them fails. */
import { expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { testContext as c, startTestServer } from '../testing/server.ts';

const key = { namespace: 'default', name: 'p' };

test('an eviction spends the budget, marks the pod and deletes it; the next one is refused', async () => {
  await using server = await startTestServer();
  const { client } = server;
  const labels = { app: 'a' };
  for (const name of ['p', 'q']) {
    const pod = { metadata: { name, namespace: 'default', labels }, spec: { containers: [{ name: 'm', image: 'i' }] } };
    await client.create(Kinds.pods, pod as never, c);
    const target = { kind: 'Node', name: 'n1' };
    await client.createSub(Kinds.pods, { namespace: 'default', name }, 'binding', { metadata: { name }, target }, c);
    const bound = await client.get(Kinds.pods, { namespace: 'default', name }, c);
    const conditions = [{ type: 'Ready', status: 'True' }];
    await client.update(Kinds.pods, { ...bound, status: { phase: 'Running', conditions } } as never, c, {
      subresource: 'status',
    });
  }
  const budget = { metadata: key, spec: { maxUnavailable: 1, selector: { matchLabels: labels } } };
  const made = await client.create(Kinds.poddisruptionbudgets, budget as never, c);
  const status = {
    disruptionsAllowed: 1,
    currentHealthy: 2,
    desiredHealthy: 1,
    expectedPods: 2,
    observedGeneration: 1,
  };
  await client.update(Kinds.poddisruptionbudgets, { ...made, status } as never, c, { subresource: 'status' });
  const evict = (name: string): Promise<unknown> =>
    client.createSub(Kinds.pods, { namespace: 'default', name }, 'eviction', { metadata: { name } }, c);
  await evict('p');
  const evicted = await client.get(Kinds.pods, key, c);
  expect(evicted.metadata.deletionTimestamp).toBeDefined();
  expect(evicted.status?.conditions?.find((x) => x.type === 'DisruptionTarget')?.reason).toBe('EvictionByEvictionAPI');
  const spent = await client.get(Kinds.poddisruptionbudgets, key, c);
  expect(spent.status).toMatchObject({ disruptionsAllowed: 0, disruptedPods: { p: expect.any(String) } });
  await expect(evict('q')).rejects.toMatchObject({ kind: 'TooManyRequests' });
});
