/** The controllers together, over a whole API server; nodes and pods are objects only. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type PersistentVolume, type PersistentVolumeClaim } from '#lib/api';
import { realClock, Scope, seededRandom, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import { InformerFactory } from '#lib/controller';
import { testContext as c, startTestServer } from '../../apiserver/testing/server.ts';
import { CustomKinds } from '../custom-kinds.ts';
import { startClaimProtection, startVolumeProtection } from '../storage-protection/reconcile.ts';
import { startVolumeControllers } from './start.ts';

const NS = 'default';
let scope: Scope;
let client: Client;
let told: string[];

beforeEach(async () => {
  scope = new Scope('test');
  const server = scope.own(await startTestServer());
  client = server.client;
  told = [];
  const common = { client, clock: realClock, random: seededRandom(1), log: silentLogger };
  const informers = scope.own(new InformerFactory(common));
  const event = (about: object, _type: string, reason: string, message: string): void => {
    told.push(`${'metadata' in about ? (about as PersistentVolume).metadata.name : ''} ${reason}: ${message}`);
  };
  const customKinds = scope.own(new CustomKinds(informers));
  const deps = { ...common, informers, customKinds, config: {}, recorder: () => ({ event }) };
  scope.own(startVolumeControllers(deps));
  scope.own(startClaimProtection(deps));
  scope.own(startVolumeProtection(deps));
});
afterEach(() => scope[Symbol.asyncDispose]());

async function claim(name: string, spec: Partial<PersistentVolumeClaim['spec']> = {}): Promise<void> {
  const all = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec };
  await client.create(Kinds.persistentvolumeclaims, { metadata: { name, namespace: NS }, spec: all }, c);
}

async function volume(name: string, spec: Partial<PersistentVolume['spec']> = {}): Promise<void> {
  const all = {
    accessModes: ['ReadWriteOnce'],
    capacity: { storage: '2Gi' },
    hostPath: { path: '/x' },
    storageClassName: 'manual',
    ...spec,
  };
  await client.create(Kinds.persistentvolumes, { metadata: { name }, spec: all }, c);
}

const claimNow = (name: string): Promise<DeepReadonly<PersistentVolumeClaim>> =>
  client.get(Kinds.persistentvolumeclaims, { namespace: NS, name }, c);
const volumeNow = (name: string): Promise<DeepReadonly<PersistentVolume>> =>
  client.get(Kinds.persistentvolumes, { namespace: '', name }, c);
const claimPhase = (name: string) => expect.poll(async () => (await claimNow(name)).status?.phase);
const volumePhase = (name: string) => expect.poll(async () => (await volumeNow(name)).status?.phase);

async function node(name: string): Promise<void> {
  const metadata = {
    name,
    labels: { 'kubernetes.io/hostname': name },
    annotations: { 'berth.dev/storage-path': '/s' },
  };
  const made = await client.create(Kinds.nodes, { metadata, spec: {} }, c);
  const status = { conditions: [{ type: 'Ready', status: 'True' }] };
  await client.update(Kinds.nodes, { ...made, status }, c, { subresource: 'status' });
}

/** As the scheduler does. */
async function choose(claimName: string, nodeName: string): Promise<void> {
  const body = { metadata: { annotations: { 'volume.kubernetes.io/selected-node': nodeName } } };
  await client.patch(Kinds.persistentvolumeclaims, { namespace: NS, name: claimName }, { type: 'merge', body }, c);
}

describe('volumes by hand', () => {
  test('claim and volume find each other, whichever was first; the claim is lost when its volume is taken away', async () => {
    await volume('v1');
    await volumePhase('v1').toBe('Available');
    await claim('c1', { storageClassName: 'manual' });
    await claimPhase('c1').toBe('Bound');
    expect(await claimNow('c1')).toMatchObject({
      metadata: {
        annotations: { 'pv.kubernetes.io/bind-completed': 'yes', 'pv.kubernetes.io/bound-by-controller': 'yes' },
        finalizers: ['kubernetes.io/pvc-protection'],
      },
      spec: { volumeName: 'v1' },
      status: { capacity: { storage: '2Gi' }, accessModes: ['ReadWriteOnce'] },
    });
    await volumePhase('v1').toBe('Bound');
    expect((await volumeNow('v1')).status?.lastPhaseTransitionTime).toMatch(/^20/);
    await claim('c2', { storageClassName: 'manual' });
    await claimPhase('c2').toBe('Pending');
    await volume('v2');
    await claimPhase('c2').toBe('Bound');
    const v2 = await volumeNow('v2');
    await client.update(Kinds.persistentvolumes, { ...v2, metadata: { ...v2.metadata, finalizers: [] } }, c);
    await client.delete(Kinds.persistentvolumes, { namespace: '', name: 'v2' }, {}, c).catch(() => undefined);
    const left = await volumeNow('v2').catch(() => undefined);
    if (left !== undefined)
      await client.update(Kinds.persistentvolumes, { ...left, metadata: { ...left.metadata, finalizers: [] } }, c);
    await claimPhase('c2').toBe('Lost');
    expect(told).toContain('c2 ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  });

  test('promised from either side', async () => {
    await volume('v1', { claimRef: { namespace: NS, name: 'c1' }, capacity: { storage: '9Gi' } });
    await volume('v2');
    await volumePhase('v1').toBe('Available');
    await claim('c1', { storageClassName: 'manual' });
    await claimPhase('c1').toBe('Bound');
    expect((await claimNow('c1')).spec.volumeName).toBe('v1');
    await claim('c2', { storageClassName: 'manual', volumeName: 'v2' });
    await claimPhase('c2').toBe('Bound');
    expect((await volumeNow('v2')).spec.claimRef?.uid).toBe((await claimNow('c2')).metadata.uid);
  });

  test('a hundred claims and a hundred volumes: each has one', async () => {
    const names = Array.from({ length: 100 }, (_, i) => String(i));
    await Promise.all(names.flatMap((n) => [volume(`v${n}`), claim(`c${n}`, { storageClassName: 'manual' })]));
    await expect
      .poll(async () => {
        const { items } = await client.list(Kinds.persistentvolumeclaims, { namespace: NS }, c);
        return new Set(items.flatMap((x) => (x.status?.phase === 'Bound' ? [x.spec.volumeName] : []))).size;
      })
      .toBe(100);
  });

  test('Retain is Released when its claim goes; Delete fails, as nobody here can delete it', async () => {
    await volume('keep', { persistentVolumeReclaimPolicy: 'Retain' });
    await volume('drop', { persistentVolumeReclaimPolicy: 'Delete' });
    for (const [name, volumeName] of [
      ['k', 'keep'],
      ['d', 'drop'],
    ] as const) {
      await claim(name, { storageClassName: 'manual', volumeName });
      await claimPhase(name).toBe('Bound');
      await client.delete(Kinds.persistentvolumeclaims, { namespace: NS, name }, {}, c);
    }
    await volumePhase('keep').toBe('Released');
    await volumePhase('drop').toBe('Failed');
    const message = 'error getting deleter volume plugin for volume "drop": no deletable volume plugin matched';
    expect((await volumeNow('drop')).status?.message).toBe(message);
    expect(told).toContain(`drop VolumeFailedDelete: ${message}`);
  });
});

describe('volumes of class local', () => {
  test('made for the chosen node, bound, grown, and released', async () => {
    await node('n1');
    await claim('c');
    await claimPhase('c').toBe('Pending');
    await expect
      .poll(() => told)
      .toContain('c WaitForFirstConsumer: waiting for first consumer to be created before binding');
    await choose('c', 'n1');
    await claimPhase('c').toBe('Bound');
    const { metadata, spec } = await claimNow('c');
    expect(spec.volumeName).toBe(`pvc-${metadata.uid}`);
    expect(await volumeNow(spec.volumeName ?? '')).toMatchObject({
      metadata: { annotations: { 'pv.kubernetes.io/provisioned-by': 'berth.dev/local' } },
      spec: { local: { path: `/s/pvc-${metadata.uid}_default_c` }, storageClassName: 'local' },
      status: { phase: 'Bound' },
    });
    const body = { spec: { resources: { requests: { storage: '3Gi' } } } };
    await client.patch(Kinds.persistentvolumeclaims, { namespace: NS, name: 'c' }, { type: 'merge', body }, c);
    await expect.poll(async () => (await claimNow('c')).status?.capacity).toEqual({ storage: '3Gi' });
    expect((await claimNow('c')).status?.conditions).toBeUndefined();
    expect((await volumeNow(spec.volumeName ?? '')).spec.capacity).toEqual({ storage: '3Gi' });
    await client.delete(Kinds.persistentvolumeclaims, { namespace: NS, name: 'c' }, {}, c);
    await volumePhase(spec.volumeName ?? '').toBe('Released');
    const ready = await client.get(Kinds.nodes, { namespace: '', name: 'n1' }, c);
    const status = { ...ready.status, conditions: [{ type: 'Ready', status: 'Unknown' }] };
    await client.update(Kinds.nodes, { ...ready, status }, c, { subresource: 'status' });
    await expect.poll(async () => (await volumeNow(spec.volumeName ?? '')).status?.reason).toBe('NodeNotReady');
  });

  test('a node that is gone: the claim asks for another; one that cannot be is told why', async () => {
    await node('n1');
    await claim('c');
    await choose('c', 'gone');
    await expect
      .poll(() => told)
      .toContain('c ProvisioningFailed: failed to provision volume with StorageClass "local": node "gone" not found');
    await expect
      .poll(async () => (await claimNow('c')).metadata.annotations?.['volume.kubernetes.io/selected-node'])
      .toBeUndefined();
    await claim('many', { accessModes: ['ReadWriteMany'] });
    await choose('many', 'n1');
    await expect
      .poll(() => told.find((x) => x.startsWith('many ProvisioningFailed')))
      .toMatch(/ReadWriteMany is not supported/);
  });

  test('a claim from before there was a default class gets one; one that wants none does not', async () => {
    const key = { namespace: '', name: 'local' };
    await client.delete(Kinds.storageclasses, key, {}, c);
    await claim('old');
    await claim('none', { storageClassName: '' });
    await claimPhase('old').toBe('Pending');
    const metadata = { name: 'local', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } };
    await client.create(Kinds.storageclasses, { metadata, provisioner: 'berth.dev/local' }, c);
    await expect.poll(async () => (await claimNow('old')).spec.storageClassName).toBe('local');
    expect((await claimNow('none')).spec.storageClassName).toBe('');
  });

  test('a pod’s ephemeral volume gets a claim of the pod’s own', async () => {
    const template = { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } };
    const volumes = [
      {
        name: 'scratch',
        ephemeral: { volumeClaimTemplate: { metadata: { name: '', labels: { a: 'b' } }, ...template } },
      },
    ];
    const spec = { containers: [{ name: 'm', image: 'x' }], volumes };
    await claim('q-scratch');
    const [p] = await Promise.all(
      ['p', 'q'].map((name) => client.create(Kinds.pods, { metadata: { name, namespace: NS }, spec }, c)),
    );
    await claimPhase('p-scratch').toBe('Pending');
    expect((await claimNow('p-scratch')).metadata).toMatchObject({
      labels: { a: 'b' },
      ownerReferences: [{ kind: 'Pod', name: 'p', uid: p?.metadata.uid, controller: true }],
    });
    await expect
      .poll(() => told)
      .toContain('q FailedCreate: PVC default/q-scratch was not created for pod default/q (pod is not owner)');
    await client.delete(Kinds.persistentvolumeclaims, { namespace: NS, name: 'q-scratch' }, {}, c);
    await expect.poll(async () => (await claimNow('q-scratch')).metadata.ownerReferences?.[0]?.name).toBe('q');
  });
});
