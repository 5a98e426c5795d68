/** Tokens for pods, from an agent's session to the API and back. */
import { describe, expect, test } from 'vitest';
import { Kinds, type Pod } from '#lib/api';
import { Scope } from '#lib/base';
import { parseJwt } from '#lib/pki';
import { cpuMs } from '../../lib/base/testing/cpu-time.ts';
import { eventually } from '../harness/process.ts';
import { c, client, clock, createPod, nodeName, refOf, TestAgent, useGateway } from './gateway/fixture.ts';

useGateway();

const ask = (agent: TestAgent, pod: Pod, o: { audience?: string; serviceAccount?: string } = {}, ctx = c) =>
  agent.session.serviceAccountToken(
    { pod: refOf(pod), serviceAccount: o.serviceAccount ?? 'default', audience: o.audience, expirationSeconds: 3_607 },
    ctx,
  );

async function connected(): Promise<TestAgent> {
  const agent = await TestAgent.create(nodeName);
  await agent.start();
  await eventually(() => agent.synced.includes('gateway'), 'it is connected');
  return agent;
}

describe('tokens of service accounts', () => {
  test('one for a pod of the node, bound to it, while the pod is there', async () => {
    await using agent = await connected();
    const pod = await createPod('own', nodeName);
    const { token, expiresAtMs } = await ask(agent, pod);
    expect(Math.abs(expiresAtMs - clock.now() - 3_607_000)).toBeLessThan(5_000);
    expect(parseJwt(token)?.claims['kubernetes.io']).toMatchObject({
      namespace: 'default',
      node: { name: nodeName },
      pod: { name: 'own', uid: pod.metadata.uid },
      serviceaccount: { name: 'default' },
    });
    await client.delete(Kinds.pods, refOf(pod), { gracePeriodSeconds: 0 }, c);
    await expect(ask(agent, pod)).rejects.toMatchObject({ kind: 'Forbidden' });
  });

  test('none for pods of other nodes, other accounts, audiences that the pod does not ask for', async () => {
    await using agent = await connected();
    const own = await createPod('mine', nodeName);
    const foreign = await createPod('foreign', 'elsewhere');
    await expect(ask(agent, foreign)).rejects.toMatchObject({ kind: 'Forbidden' });
    await expect(ask(agent, own, { serviceAccount: 'robot' })).rejects.toMatchObject({ kind: 'Forbidden' });
    await expect(ask(agent, own, { audience: 'vault' })).rejects.toMatchObject({
      kind: 'Forbidden',
      message: expect.stringContaining('audience "vault" not found in pod spec volume'),
    });
  });

  test('while there is no session the answer comes at once', async () => {
    await using agent = await TestAgent.create(nodeName, ['127.0.0.1:1']);
    await agent.start();
    const pod = await createPod('waiting', nodeName);
    await expect(ask(agent, pod)).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  test('a hundred at once', async () => {
    await using scope = new Scope('pods');
    await using agent = await connected();
    const pod = await createPod('many', nodeName);
    const begunMs = cpuMs();
    const tokens = await Promise.all(
      Array.from({ length: 100 }, () => ask(agent, pod, {}, { ...c, signal: scope.signal })),
    );
    const perTokenMs = (cpuMs() - begunMs) / 100;
    expect(new Set(tokens.map((t) => t.token)).size).toBe(100);
    if (process.env['BERTH_TEST_FIGURES']) process.stdout.write(`${perTokenMs.toFixed(2)} ms a token\n`);
    expect(perTokenMs).toBeLessThan(50);
  });
});
