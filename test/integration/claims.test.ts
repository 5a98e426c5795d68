/** Claims and volumes between the control plane and a node, over real gRPC: a node hears of its own only, and speaks of its own only. */
import { expect, test } from 'vitest';
import { Kinds, type PersistentVolume } from '#lib/api';
import { eventually } from '../harness/process.ts';
import { c, client, createNode, createPod, nodeName, TestAgent, useGateway } from './gateway/fixture.ts';

useGateway();

const FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer';

async function volumeOn(name: string, host: string, claimName: string): Promise<PersistentVolume> {
  const terms = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }] }];
  const made = await client.create(
    Kinds.persistentvolumes,
    {
      metadata: {
        name,
        annotations: { 'pv.kubernetes.io/provisioned-by': 'berth.dev/local' },
        finalizers: [FINALIZER],
      },
      spec: {
        accessModes: ['ReadWriteOnce'],
        capacity: { storage: '1Gi' },
        persistentVolumeReclaimPolicy: 'Delete',
        claimRef: { namespace: 'default', name: claimName, uid: 'u' },
        local: { path: `/s/${name}` },
        nodeAffinity: { required: { nodeSelectorTerms: terms } },
      },
    },
    c,
  );
  return made as PersistentVolume;
}

async function claim(name: string, volumeName?: string): Promise<void> {
  const spec = {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
    storageClassName: '',
    ...(volumeName === undefined ? {} : { volumeName }),
  };
  await client.create(Kinds.persistentvolumeclaims, { metadata: { name, namespace: 'default' }, spec }, c);
}

async function release(name: string): Promise<void> {
  const volume = await client.get(Kinds.persistentvolumes, { namespace: '', name }, c);
  await client.update(Kinds.persistentvolumes, { ...volume, status: { phase: 'Released' } }, c, {
    subresource: 'status',
  });
}

const volumesOf = (claimName: string) => [{ name: 'd', persistentVolumeClaim: { claimName } }];
async function isUntouched(name: string): Promise<boolean> {
  const { metadata } = await client.get(Kinds.persistentvolumes, { namespace: '', name }, c);
  return metadata.deletionTimestamp === undefined && metadata.finalizers?.includes(FINALIZER) === true;
}

test('a node gets the claims and volumes of its own pods, before the pods, and no others', async () => {
  await using agent = await TestAgent.create(nodeName);
  await claim('mine', 'pv-mine');
  await claim('others', 'pv-others');
  await volumeOn('pv-mine', nodeName, 'mine');
  await volumeOn('pv-others', 'elsewhere', 'others');
  await createPod('user', nodeName, { volumes: volumesOf('mine') });
  await createPod('other', 'elsewhere', { volumes: volumesOf('others') });
  await agent.start();
  await eventually(() => agent.synced.includes('gateway'), 'the agent is synced');
  const heard = agent.changes.flatMap((x) => (x.type === 'upsert' ? [x.object.metadata.name] : []));
  expect(heard.indexOf('pv-mine')).toBeGreaterThanOrEqual(0);
  expect(heard.indexOf('mine')).toBeGreaterThanOrEqual(0);
  expect(Math.max(heard.indexOf('pv-mine'), heard.indexOf('mine'))).toBeLessThan(heard.indexOf('user'));
  expect(heard).not.toContain('pv-others');
  expect(heard).not.toContain('others');
  await client.delete(Kinds.pods, { namespace: 'default', name: 'user' }, { gracePeriodSeconds: 0 }, c);
  const isKnown = (): boolean =>
    agent.seen.has('persistentvolumeclaims/default/mine') || agent.seen.has('persistentvolumes//pv-mine');
  await eventually(() => !isKnown(), 'both are taken back');
});

test('a claim that is bound while its pod is on the node brings its volume', async () => {
  await using agent = await TestAgent.create(nodeName);
  await agent.start();
  await claim('late');
  await createPod('early', nodeName, { volumes: volumesOf('late') });
  await eventually(() => agent.seen.has('persistentvolumeclaims/default/late'), 'the claim comes');
  await volumeOn('pv-late', nodeName, 'late');
  const key = { namespace: 'default', name: 'late' };
  const before = await client.get(Kinds.persistentvolumeclaims, key, c);
  await client.update(Kinds.persistentvolumeclaims, { ...before, spec: { ...before.spec, volumeName: 'pv-late' } }, c);
  await eventually(() => agent.seen.has('persistentvolumes//pv-late'), 'its volume comes');
});

test('released volumes are told to their node; its word, and no other node’s, removes them', async () => {
  await using agent = await TestAgent.create(nodeName);
  await createNode('liar', 77);
  await using liar = await TestAgent.create('liar');
  await Promise.all([agent.start(), liar.start()]);
  const volume = await volumeOn('pv-gone', nodeName, 'gone');
  const told = { name: 'pv-gone', uid: volume.metadata.uid ?? '' };
  await eventually(() => agent.synced.includes('gateway'), 'the agent is synced');
  await eventually(() => liar.synced.includes('gateway'), 'the liar is synced');
  // Not released yet: nobody's word counts.
  agent.session.reportVolumeErased(told);
  await c.clock.sleep(200);
  expect(await isUntouched('pv-gone')).toBe(true);
  await release('pv-gone');
  await eventually(() => agent.seen.has('persistentvolumes//pv-gone'), 'the node is told');
  liar.session.reportVolumeErased(told);
  await c.clock.sleep(300);
  expect(await isUntouched('pv-gone')).toBe(true);
  expect(liar.seen.has('persistentvolumes//pv-gone')).toBe(false);
  agent.session.reportVolumeErased({ ...told, uid: 'of-another' });
  await c.clock.sleep(200);
  expect(await isUntouched('pv-gone')).toBe(true);
  agent.session.reportVolumeErased(told);
  /* No controller runs here that takes the other finalizer. */
  await eventually(async () => {
    const left = await client.get(Kinds.persistentvolumes, { namespace: '', name: 'pv-gone' }, c);
    return (
      left.metadata.deletionTimestamp !== undefined &&
      left.metadata.finalizers?.join() === 'kubernetes.io/pv-protection'
    );
  }, 'it is let go');
});

test('a node that says it is another’s host hears nothing of its volumes', async () => {
  await using agent = await TestAgent.create(nodeName);
  await createNode('pretender', 78);
  await using pretender = await TestAgent.create('pretender');
  pretender.host = nodeName;
  await volumeOn('pv-there', nodeName, 'gone');
  await release('pv-there');
  await Promise.all([agent.start(), pretender.start()]);
  await eventually(() => pretender.synced.includes('gateway'), 'the pretender is synced');
  await volumeOn('pv-later', nodeName, 'gone');
  await release('pv-later');
  for (const name of ['pv-there', 'pv-later'])
    await eventually(() => agent.seen.has(`persistentvolumes//${name}`), `the node is told of ${name}`);
  // What it would be told of is queued in the order of events: this comes after both.
  await createPod('after', 'pretender');
  await eventually(() => pretender.pod('after') !== undefined, 'it has heard all until now');
  expect([...pretender.seen.keys()].filter((k) => k.startsWith('persistentvolumes/'))).toEqual([]);
});
