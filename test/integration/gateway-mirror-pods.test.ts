/** Images of a node's static pods, from an agent's session to the API, where the node itself is asked for. */
import { describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { parseManifest } from '../../agent/static-pods/manifest.ts';
import { eventually } from '../harness/process.ts';
import { c, client, clock, createPod, nodeName, refOf, TestAgent, useGateway } from './gateway/fixture.ts';

useGateway();

async function connected(): Promise<TestAgent> {
  const agent = await TestAgent.create(nodeName);
  await agent.start();
  await eventually(() => agent.synced.includes('gateway'), 'it is connected');
  return agent;
}

async function staticPod(image = 'busybox'): Promise<DeepReadonly<Pod>> {
  const text = `{apiVersion: v1, kind: Pod, metadata: {name: s}, spec: {containers: [{name: c, image: "${image}"}]}}`;
  return (await parseManifest(text, { path: '/m/s.yaml', nodeName, nowMs: clock.now() })).pod;
}

const stored = (name: string): Promise<DeepReadonly<Pod>> => client.get(Kinds.pods, { namespace: 'default', name }, c);
const make = (agent: TestAgent, pod: DeepReadonly<Pod>): Promise<void> =>
  agent.session.mirrorPod(refOf(pod as Pod), pod, c);

describe('mirror pods', () => {
  test('made as the node, once; replaced when the static pod is another; its status is the agent’s to report', async () => {
    await using agent = await connected();
    const pod = await staticPod();
    await make(agent, pod);
    const mirror = await stored(pod.metadata.name);
    expect(mirror.metadata).toMatchObject({
      annotations: {
        'kubernetes.io/config.mirror': pod.metadata.uid,
        'kubernetes.io/config.hash': pod.metadata.uid,
        'kubernetes.io/config.source': 'file',
      },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, controller: true }],
    });
    expect(mirror.spec).toMatchObject({ nodeName, containers: [{ image: 'busybox' }] });
    expect(mirror.spec).not.toHaveProperty('serviceAccountName');
    await make(agent, pod);
    expect((await stored(pod.metadata.name)).metadata.uid).toBe(mirror.metadata.uid);
    await eventually(() => agent.pod(pod.metadata.name) !== undefined, 'it is handed to the node');
    agent.session.reportPodStatus(refOf(mirror as Pod), { phase: 'Running', podIP: '10.42.0.9' });
    await eventually(async () => (await stored(pod.metadata.name)).status?.phase === 'Running', 'its status');
    const changed = await staticPod('busybox:2');
    await make(agent, changed);
    const next = await stored(pod.metadata.name);
    expect(next.metadata.uid).not.toBe(mirror.metadata.uid);
    expect(next.spec.containers[0]?.image).toBe('busybox:2');
  });

  test('one that a user deletes is made anew; removing takes only the image that is meant, and is repeated in vain', async () => {
    await using agent = await connected();
    const pod = await staticPod();
    await make(agent, pod);
    const first = await stored(pod.metadata.name);
    await client.delete(Kinds.pods, refOf(first as Pod), {}, c);
    expect((await stored(pod.metadata.name)).metadata.deletionTimestamp).toBeDefined();
    await make(agent, pod);
    const second = await stored(pod.metadata.name);
    expect(second.metadata.uid).not.toBe(first.metadata.uid);
    expect(second.metadata.deletionTimestamp).toBeUndefined();
    await agent.session.mirrorPod(refOf(first as Pod), undefined, c);
    expect((await stored(pod.metadata.name)).metadata.uid).toBe(second.metadata.uid);
    for (let i = 0; i < 2; i++) await agent.session.mirrorPod(refOf(second as Pod), undefined, c);
    await expect(stored(pod.metadata.name)).rejects.toMatchObject({ kind: 'NotFound' });
  });

  test('a node makes no image of another node, of what it may not read, over a pod of a user, where no namespace is', async () => {
    await using agent = await connected();
    const pod = await staticPod();
    const send = (change: (p: Pod) => void): Promise<void> => {
      const copy = structuredClone(pod) as Pod;
      change(copy);
      return agent.session.mirrorPod(refOf(copy), copy, c);
    };
    await expect(send((p) => (p.spec.nodeName = 'elsewhere'))).rejects.toMatchObject({ kind: 'Forbidden' });
    const secret = { name: 'v', secret: { secretName: 's' } };
    await expect(send((p) => (p.spec.volumes = [secret]))).rejects.toMatchObject({ kind: 'Forbidden' });
    await expect(send((p) => (p.spec.serviceAccountName = 'robot'))).rejects.toMatchObject({ kind: 'Forbidden' });
    await createPod(pod.metadata.name, nodeName);
    await expect(make(agent, pod)).rejects.toMatchObject({ kind: 'AlreadyExists' });
    const namesake = await stored(pod.metadata.name);
    await agent.session.mirrorPod(refOf(namesake as Pod), undefined, c);
    expect((await stored(pod.metadata.name)).metadata.deletionTimestamp).toBeUndefined();
    const lost = structuredClone(pod) as Pod;
    lost.metadata.namespace = 'nowhere';
    const ref = { ...refOf(lost), namespace: 'nowhere' };
    await expect(agent.session.mirrorPod(ref, lost, c)).rejects.toMatchObject({ kind: 'NotFound' });
    await expect(agent.session.mirrorPod({ ...ref, name: 'other' }, { spec: 3 } as never, c)).rejects.toMatchObject({
      kind: 'Invalid',
    });
  });
});
