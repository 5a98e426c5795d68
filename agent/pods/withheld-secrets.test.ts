/** After the machine has restarted without a control plane: pods without Secrets run, the others wait and say why (ADR 22). */
import { expect, test } from 'vitest';
import type { DesiredChange } from '../session/session.ts';
import { FakeNode, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const withheld: DesiredChange = { type: 'withheld', resource: 'secrets', namespace: 'n', name: 'db', uid: '1' };

function reading(uid: string, optional: boolean): PodObject {
  const secretKeyRef = { name: 'db', key: 'password', optional };
  const env = [{ name: 'PASSWORD', valueFrom: { secretKeyRef } }];
  return fakePod({ containers: [{ name: uid, image: 'i', env }] }, { uid, name: uid });
}

test('withheld secrets: who needs one waits, optional or not, and starts when it comes', async () => {
  await using node = await FakeNode.make();
  const agent = await node.agent();
  const apply = (change: DesiredChange): void => {
    agent.deps.objects.apply(change);
    agent.manager.apply([change]);
  };
  const pods = [
    reading('needs', false),
    reading('may', true),
    fakePod({ containers: [{ name: 'plain', image: 'i' }] }),
  ];
  apply(withheld);
  for (const pod of pods) agent.want(pod);
  await node.until(() => node.running.includes('plain/0'), 'the one without secrets runs');
  const waitingOf = (uid: string) => node.status(uid)?.containerStatuses?.[0]?.state?.waiting;
  for (const uid of ['needs', 'may']) {
    await node.until(() => waitingOf(uid)?.reason === 'CreateContainerConfigError', `${uid} waits`);
    expect(waitingOf(uid)?.message).toBe(
      'secret "db" was only in memory when this node restarted: waiting for the control plane to send it again',
    );
  }
  const object = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'db', namespace: 'n', uid: '1' },
    data: { password: 'eA==' },
  };
  apply({ type: 'upsert', resource: 'secrets', object });
  await node.until(() => node.running.length === 3, 'both start at once');
});

test('withheld secrets: one that the control plane names no more is absent', async () => {
  await using node = await FakeNode.make();
  const agent = await node.agent();
  const apply = (change: DesiredChange): void => {
    agent.deps.objects.apply(change);
    agent.manager.apply([change]);
  };
  apply(withheld);
  agent.want(reading('may', true));
  await node.until(
    () => node.status('may')?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError',
  );
  apply({ type: 'remove', resource: 'secrets', namespace: 'n', name: 'db', uid: '1' });
  await node.until(() => node.running.includes('may/0'), 'it starts without it');
});
