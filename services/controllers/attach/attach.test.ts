/** The attach-detach controller over a whole API server; nodes, pods and the external attacher are objects only. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attachmentName, type CSIDriver, Kinds, type Node, type Pod, type VolumeAttachment } from '#lib/api';
import { realClock, Scope, seededRandom, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import { InformerFactory } from '#lib/controller';
import { testContext as c, startTestServer } from '../../apiserver/testing/server.ts';
import { CustomKinds } from '../custom-kinds.ts';
import { startVolumeControllers } from '../volumes/start.ts';
import { startAttachController } from './reconcile.ts';

const NS = 'default';
const DRIVER = 'd.example';
const SOURCE = { driver: DRIVER, volumeHandle: 'h' };
const UNIQUE = `kubernetes.io/csi/${DRIVER}^h`;
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
    told.push(`${(about as Pod).metadata.name} ${reason}: ${message}`);
  };
  const customKinds = scope.own(new CustomKinds(informers));
  const deps = { ...common, informers, customKinds, config: {}, recorder: () => ({ event }) };
  scope.own(startVolumeControllers(deps));
  scope.own(startAttachController(deps));
  for (const name of ['n1', 'n2']) {
    await client.create<Node>(Kinds.nodes, { metadata: { name }, spec: {} }, c);
    await nodeSays(name, { conditions: [{ type: 'Ready', status: 'True' }] });
  }
  await client.create(
    Kinds.persistentvolumes,
    {
      metadata: { name: 'pv' },
      spec: {
        accessModes: ['ReadWriteOnce'],
        capacity: { storage: '1Gi' },
        storageClassName: 'manual',
        csi: SOURCE,
      },
    },
    c,
  );
  await client.create(
    Kinds.persistentvolumeclaims,
    {
      metadata: { name: 'claim', namespace: NS },
      spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'manual', resources: { requests: { storage: '1Gi' } } },
    },
    c,
  );
});
afterEach(() => scope[Symbol.asyncDispose]());

const nodeSays = (name: string, status: object) =>
  client.patch(Kinds.nodes, { namespace: '', name }, { type: 'merge', body: { status } }, c, { subresource: 'status' });
const pod = (name: string, nodeName: string) =>
  client.create<Pod>(
    Kinds.pods,
    {
      metadata: { name, namespace: NS },
      spec: {
        nodeName,
        containers: [{ name: 'a', image: 'i' }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'claim' } }],
      },
    } as Omit<Pod, 'apiVersion' | 'kind'>,
    c,
  );
const attachments = async () => (await client.list(Kinds.volumeattachments, {}, c)).items;
const attachedTo = async (): Promise<string[]> => (await attachments()).map((a) => a.spec.nodeName);
const volumesAttached = async (name: string) =>
  (await client.get(Kinds.nodes, { namespace: '', name }, c)).status?.volumesAttached ?? [];
/** What the external attacher says. */
const say = (nodeName: string, status: VolumeAttachment['status']) =>
  client.patch(
    Kinds.volumeattachments,
    { namespace: '', name: attachmentName(SOURCE, nodeName) },
    { type: 'merge', body: { status } },
    c,
    { subresource: 'status' },
  );
const remove = (name: string) => client.delete(Kinds.pods, { namespace: NS, name }, { gracePeriodSeconds: 0 }, c);

test('a volume follows its pods from node to node, and leaves only when the node has let go', async () => {
  await pod('p1', 'n1');
  await expect.poll(attachedTo).toEqual(['n1']);
  const [made] = await attachments();
  expect(made).toMatchObject({
    metadata: { name: attachmentName(SOURCE, 'n1') },
    spec: { attacher: DRIVER, source: { persistentVolumeName: 'pv' } },
  });
  await say('n1', { attached: false, attachError: { time: '2026-01-01T00:00:00Z', message: 'no room' } });
  await expect
    .poll(() => told)
    .toContain('p1 FailedAttachVolume: AttachVolume.Attach failed for volume "pv" : no room');
  await say('n1', { attached: true });
  await expect.poll(() => volumesAttached('n1')).toEqual([{ name: UNIQUE, devicePath: '' }]);
  expect(told).toContain('p1 SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "pv" ');
  await nodeSays('n1', { volumesInUse: [UNIQUE] });
  await pod('p2', 'n2');
  await expect
    .poll(() => told.filter((x) => x.startsWith('p2')))
    .toEqual([
      'p2 FailedAttachVolume: Multi-Attach error for volume "pv" Volume is already exclusively attached to one node and can\'t be attached to another',
    ]);
  await remove('p1');
  await expect.poll(() => client.list(Kinds.pods, {}, c).then((x) => x.items.length)).toBe(1);
  expect(await attachedTo()).toEqual(['n1']);
  await nodeSays('n1', { volumesInUse: null });
  await expect.poll(attachedTo).toEqual(['n2']);
  await expect.poll(() => volumesAttached('n1')).toEqual([]);
  await remove('p2');
  await expect.poll(attachedTo).toEqual([]);
});

test('a driver that needs no attachment gets none', async () => {
  const driver = { metadata: { name: DRIVER }, spec: { attachRequired: false } };
  await client.create<CSIDriver>(Kinds.csidrivers, driver as Omit<CSIDriver, 'apiVersion' | 'kind'>, c);
  await pod('p1', 'n1');
  await expect
    .poll(
      async () => (await client.get(Kinds.persistentvolumeclaims, { namespace: NS, name: 'claim' }, c)).status?.phase,
    )
    .toBe('Bound');
  await realClock.sleep(200);
  expect(await attachedTo()).toEqual([]);
});

test('two nodes that want a volume of one node at the same moment: one gets it, the other is told', async () => {
  for (let round = 0; round < 5; round++) {
    await Promise.all([pod(`a${round}`, 'n1'), pod(`b${round}`, 'n2')]);
    await expect.poll(() => told.filter((x) => /Multi-Attach/.test(x))).toHaveLength(round + 1);
    expect(await attachedTo()).toHaveLength(1);
    await Promise.all([remove(`a${round}`), remove(`b${round}`)]);
    await expect.poll(attachedTo).toEqual([]);
  }
});
