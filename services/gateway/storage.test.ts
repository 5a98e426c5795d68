/** What a node says of drivers and claims, over a whole API server, as the node itself. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Node, type PersistentVolumeClaim } from '#lib/api';
import { Scope } from '#lib/base';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer } from '../apiserver/testing/server.ts';
import { claimResized, putCsiDriver } from './storage.ts';

let scope: Scope;
let admin: Client;
let node: Client;

beforeEach(async () => {
  scope = new Scope('test');
  const server = scope.own(await startTestServer());
  admin = server.client;
  node = server.as({ name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] });
  await admin.create<Node>(Kinds.nodes, { metadata: { name: 'n1' }, spec: {} }, c);
});
afterEach(() => scope[Symbol.asyncDispose]());

const say = (name: string, driver: object | undefined, topology: Record<string, string> = {}) =>
  putCsiDriver(
    node,
    'n1',
    { name, driver: driver === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(driver)), topology },
    c,
  );
const csiNode = () => admin.get(Kinds.csinodes, { namespace: '', name: 'n1' }, c);
const readNode = (): Promise<DeepReadonly<Node>> => admin.get(Kinds.nodes, { namespace: '', name: 'n1' }, c);
const A = { name: 'a', nodeID: 'i', topologyKeys: ['a/zone'], allocatable: { count: 7 } };

test('drivers come, change and go; the node has their topology and its id with them', async () => {
  await say('', undefined);
  expect((await csiNode()).spec.drivers ?? []).toEqual([]);
  expect((await csiNode()).metadata.ownerReferences).toMatchObject([{ kind: 'Node', name: 'n1' }]);
  await say('a', A, { 'a/zone': 'z1' });
  await say('b', { name: 'b', nodeID: 'j', topologyKeys: [] });
  await say('b', { name: 'b', nodeID: 'j', topologyKeys: [] });
  expect((await csiNode()).spec.drivers?.map((d) => [d.name, d.nodeID, d.allocatable?.count])).toEqual([
    ['a', 'i', 7],
    ['b', 'j', undefined],
  ]);
  expect((await readNode()).metadata.labels).toMatchObject({ 'a/zone': 'z1' });
  const ids = (n: DeepReadonly<Node>): unknown =>
    JSON.parse(n.metadata.annotations?.['csi.volume.kubernetes.io/nodeid'] ?? '{}');
  expect(ids(await readNode())).toEqual({ a: 'i', b: 'j' });
  await say('a', undefined);
  expect((await csiNode()).spec.drivers?.map((d) => d.name)).toEqual(['b']);
  expect(ids(await readNode())).toEqual({ b: 'j' });
});

test('a CSINode of a former node of that name is made anew', async () => {
  await say('a', A);
  await admin.delete(Kinds.nodes, { namespace: '', name: 'n1' }, {}, c);
  await admin.create<Node>(Kinds.nodes, { metadata: { name: 'n1' }, spec: {} }, c);
  await say('b', { name: 'b', nodeID: 'j', topologyKeys: [] });
  expect((await csiNode()).spec.drivers?.map((d) => d.name)).toEqual(['b']);
});

test('what two drivers say of one place, labels that no node may have, what is no driver: refused', async () => {
  await say('a', A, { 'a/zone': 'z1' });
  await expect(say('b', A, {})).rejects.toThrow('a CSI driver that is none');
  await expect(say('a', A, { 'a/zone': 'z2' })).rejects.toThrow(
    'detected topology value collision: driver reported "a/zone":"z2" but existing label is "a/zone":"z1"',
  );
  await expect(say('a', A, { 'node-restriction.kubernetes.io/x': 'y' })).rejects.toThrow('is not allowed to modify');
  await expect(putCsiDriver(node, 'n2', { name: '', driver: Buffer.alloc(0), topology: {} }, c)).rejects.toThrow(
    /not found|cannot|can only/,
  );
});

test('a claim that was grown on its node says so, once; another claim of the name does not', async () => {
  const claim = await admin.create(
    Kinds.persistentvolumeclaims,
    {
      metadata: { name: 'c', namespace: 'default' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } } },
    } as Omit<PersistentVolumeClaim, 'apiVersion' | 'kind'>,
    c,
  );
  const conditions = [
    { type: 'FileSystemResizePending', status: 'True' },
    { type: 'Other', status: 'True' },
  ];
  const status = {
    capacity: { storage: '1Gi' },
    conditions,
    allocatedResourceStatuses: { storage: 'NodeResizePending' },
  };
  await admin.update(Kinds.persistentvolumeclaims, { ...claim, status }, c, { subresource: 'status' });
  const uid = claim.metadata.uid ?? '';
  const o = { namespace: 'default', name: 'c', uid, storage: '2Gi' };
  await expect(claimResized(admin, { ...o, uid: 'other' }, c)).rejects.toThrow('another one by now');
  await expect(claimResized(admin, { ...o, storage: 'much' }, c)).rejects.toThrow('is not a quantity');
  await claimResized(admin, o, c);
  const read = await admin.get(Kinds.persistentvolumeclaims, { namespace: 'default', name: 'c' }, c);
  expect(read.status).toMatchObject({ capacity: { storage: '2Gi' }, conditions: [{ type: 'Other' }] });
  expect(read.status?.allocatedResourceStatuses).toBeUndefined();
  await claimResized(admin, o, c);
  const again = await admin.get(Kinds.persistentvolumeclaims, { namespace: 'default', name: 'c' }, c);
  expect(again.metadata.resourceVersion).toBe(read.metadata.resourceVersion);
});
