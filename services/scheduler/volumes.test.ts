import { describe, expect, test } from 'vitest';
import type {
  CSINode,
  DeepReadonly,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Service,
  StorageClass,
} from '#lib/api';
import { type Ctx, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import type { Client } from '#lib/client';
import type { Informer } from '#lib/controller';
import { podInfoOf } from './pod-info.ts';
import type { PodVolumes } from './pod-volumes.ts';
import { DEFAULT_PROFILE } from './profile.ts';
import { schedule, unschedulableText } from './schedule.ts';
import { Snapshot } from './snapshot.ts';
import { podVolumes, type TestStorage, testStorage } from './testing/storage.ts';

const DONE = { 'pv.kubernetes.io/bind-completed': 'yes' };
const SELECTED = 'volume.kubernetes.io/selected-node';

function node(name: string, annotations: Record<string, string> = { 'berth.dev/storage-path': '/s' }): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name }, annotations },
    spec: {},
    status: { allocatable: { cpu: '4', memory: '8Gi', pods: '110' } },
  };
}

function pod(name: string, ...claims: string[]): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'ns', uid: `uid-${name}` },
    spec: {
      containers: [{ name: 'c', image: 'x' }],
      volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
    },
  };
}

let revision = 1;
function claim(
  name: string,
  spec: Partial<PersistentVolumeClaim['spec']> = {},
  metadata: Partial<PersistentVolumeClaim['metadata']> = {},
): PersistentVolumeClaim {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'ns', uid: `uid-${name}`, resourceVersion: String(++revision), ...metadata },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Gi' } },
      storageClassName: 'local',
      ...spec,
    },
  };
}

function boundClaim(name: string, volumeName: string, more: Partial<PersistentVolumeClaim['spec']> = {}) {
  return { ...claim(name, { volumeName, ...more }, { annotations: DONE }), status: { phase: 'Bound' } };
}

function volume(name: string, host: string, spec: Partial<PersistentVolume['spec']> = {}): PersistentVolume {
  const terms = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }] }];
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '2Gi' },
      storageClassName: 'local',
      local: { path: '/x' },
      nodeAffinity: { required: { nodeSelectorTerms: terms } },
      ...spec,
    },
    status: { phase: 'Available' },
  };
}

const local: StorageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'local' },
  provisioner: 'berth.dev/local',
  volumeBindingMode: 'WaitForFirstConsumer',
};

interface World extends TestStorage {
  readonly snapshot: Snapshot;
  readonly own: PodVolumes;
}

function world(nodes: readonly Node[], client: Partial<Client> = {}): World {
  const storage = testStorage();
  storage.classes.put(local);
  const own = podVolumes(storage, client);
  const snapshot = new Snapshot(
    { list: () => [] } as unknown as Informer<Service>,
    { get: () => undefined } as unknown as Informer<Namespace>,
    own,
  );
  for (const n of nodes) snapshot.setNode(n);
  return { ...storage, snapshot, own };
}

const random = seededRandom(3);
function place(w: World, p: DeepReadonly<Pod>): string {
  const d = schedule(podInfoOf(p), w.snapshot, DEFAULT_PROFILE, (bound) => random.below(bound));
  return d.type === 'bind' ? d.node : unschedulableText(d);
}

describe('where a pod with claims may run', () => {
  test('not before its claims are there and bound, when they do not wait for it', () => {
    const w = world([node('a'), node('b')]);
    expect(place(w, pod('p', 'c'))).toBe('0/2 nodes are available: persistentvolumeclaim "c" not found.');
    w.claims.put(claim('c', { storageClassName: 'other' }));
    expect(place(w, pod('p', 'c'))).toBe('0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.');
    w.claims.put(claim('c', { volumeName: 'v' }));
    expect(place(w, pod('p', 'c'))).toBe('0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.');
    w.claims.put(claim('c', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' }));
    expect(place(w, pod('p', 'c'))).toBe('0/2 nodes are available: persistentvolumeclaim "c" is being deleted.');
    w.claims.put({ ...claim('c', { volumeName: 'v' }), status: { phase: 'Lost' } });
    expect(place(w, pod('p', 'c'))).toBe(
      '0/2 nodes are available: persistentvolumeclaim "c" bound to non-existent persistentvolume "v".',
    );
  });

  test('an ephemeral volume waits for its own claim, and takes no other', () => {
    const w = world([node('a')]);
    const p = pod('p');
    const own = { ...p, spec: { ...p.spec, volumes: [{ name: 'v', ephemeral: {} }] } };
    expect(place(w, own)).toMatch(/waiting for ephemeral volume controller to create the persistentvolumeclaim "p-v"/);
    w.claims.put(claim('p-v'));
    expect(place(w, own)).toMatch(/PVC ns\/p-v was not created for pod ns\/p \(pod is not owner\)/);
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'uid-p', controller: true };
    w.claims.put(claim('p-v', {}, { ownerReferences: [owner] }));
    expect(place(w, own)).toBe('a');
  });

  test('bound: where its volume is', () => {
    const w = world([node('a'), node('b')]);
    w.claims.put(boundClaim('c', 'v'));
    expect(place(w, pod('p', 'c'))).toMatch(
      /2 node\(s\) unavailable due to one or more pvc\(s\) bound to non-existent pv\(s\)/,
    );
    w.volumes.put(volume('v', 'b'));
    expect(place(w, pod('p', 'c'))).toBe('b');
    w.volumes.put(volume('v', 'c'));
    expect(place(w, pod('p', 'c'))).toBe(
      "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.",
    );
  });

  test('not bound: where a volume is free, or can be made; where one was chosen before, only there', () => {
    const w = world([node('a'), node('b', {})]);
    w.claims.put(claim('c'));
    expect(place(w, pod('p', 'c'))).toBe('a');
    w.classes.put({ ...local, provisioner: 'kubernetes.io/no-provisioner' });
    expect(place(w, pod('p', 'c'))).toBe(
      "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
    );
    w.volumes.put(volume('v', 'b'));
    expect(place(w, pod('p', 'c'))).toBe('b');
    w.classes.put({
      ...local,
      provisioner: 'x',
      allowedTopologies: [{ matchLabelExpressions: [{ key: 'kubernetes.io/hostname', values: ['a'] }] }],
    });
    w.claims.put(claim('c', {}, { annotations: { [SELECTED]: 'a' } }));
    expect(place(w, pod('p', 'c'))).toBe('a');
    w.claims.put(claim('c', {}, { annotations: { [SELECTED]: 'b' } }));
    expect(place(w, pod('p', 'c'))).toMatch(/2 node\(s\) didn't find available persistent volumes to bind/);
  });

  test('ReadWriteOncePod: nowhere while another pod has it', () => {
    const w = world([node('a'), node('b')]);
    w.claims.put(boundClaim('c', 'v', { accessModes: ['ReadWriteOncePod'] }));
    w.volumes.put(volume('v', 'a'));
    const first = pod('p', 'c');
    w.snapshot.setPod({ ...first, spec: { ...first.spec, nodeName: 'a' } });
    expect(place(w, pod('q', 'c'))).toBe(
      '0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.',
    );
    w.snapshot.removePod('uid-p');
    expect(place(w, pod('q', 'c'))).toBe('a');
  });
});

describe('volumes of a driver', () => {
  const driver = 'd.example';
  const csiNode = (name: string, count: number | undefined): CSINode => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSINode',
    metadata: { name },
    spec: { drivers: [{ name: driver, nodeID: name, topologyKeys: [], allocatable: { count } }] },
  });
  const disk = (name: string): PersistentVolume => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: { csi: { driver, volumeHandle: name } },
  });

  test('no more than the driver takes on a node; one that is shared counts once', () => {
    const w = world([node('a')]);
    w.csiNodes.put(csiNode('a', 2));
    for (const name of ['one', 'two', 'three']) {
      w.claims.put(boundClaim(name, name));
      w.volumes.put(disk(name));
    }
    w.classes.put({ ...local, metadata: { name: 'disks' }, provisioner: driver });
    w.claims.put(claim('new', { storageClassName: 'disks' }));
    const first = pod('p', 'one', 'two');
    w.snapshot.setPod({ ...first, spec: { ...first.spec, nodeName: 'a' } });
    expect(place(w, pod('q', 'two', 'one'))).toBe('a');
    const why = '0/1 nodes are available: 1 node(s) exceed max volume count.';
    expect(place(w, pod('q', 'three'))).toBe(why);
    expect(place(w, pod('q', 'new'))).toBe(why);
    w.csiNodes.put(csiNode('a', 3));
    expect(place(w, pod('q', 'three'))).toBe('a');
    expect(place(w, pod('q', 'three', 'new'))).toBe(why);
    w.csiNodes.put(csiNode('a', undefined));
    expect(place(w, pod('q', 'three', 'new'))).toBe('a');
  });
});

describe('volumes of a pod that got a node', () => {
  const clock = new VirtualClock();
  const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };

  /** A client whose writes the informers show at once. */
  function live(nodes: readonly Node[]) {
    const w: World = world(nodes, {
      update: (async (kind: { resource: string }, next: PersistentVolumeClaim & PersistentVolume) => {
        const stored = { ...next, metadata: { ...next.metadata, resourceVersion: String(++revision) } };
        if (kind.resource === 'persistentvolumes') w.volumes.put(stored);
        else w.claims.put(stored);
        return stored;
      }) as unknown as Client['update'],
    });
    w.own.start(() => undefined);
    return w;
  }
  const on = (w: World, name: string) => {
    const found = w.snapshot.node(name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  };

  test('one that is free is promised to one claim only, and written with the claim’s uid', async () => {
    const w = live([node('a')]);
    w.volumes.put(volume('v', 'a'));
    for (const name of ['c', 'd']) w.claims.put(claim(name));
    const first = w.own.reserve(podInfoOf(pod('p', 'c')), on(w, 'a'));
    expect(first?.choice.bindings.map((b) => b.volume.metadata.name)).toEqual(['v']);
    const second = w.own.reserve(podInfoOf(pod('q', 'd')), on(w, 'a'));
    expect(second?.choice.bindings).toEqual([]);
    expect(second?.choice.provisioned.map((x) => x.metadata.name)).toEqual(['d']);
    if (first === undefined) throw new Error('nothing reserved');
    const bound = w.own.bind(first, c);
    await expect.poll(() => w.volumes.get({ namespace: '', name: 'v' })?.spec.claimRef?.uid).toBe('uid-c');
    w.claims.put(boundClaim('c', 'v'));
    await bound;
    w.own.release(first);
  });

  test('two pods of one claim go to one node, even before that is written', async () => {
    const w = live([node('a'), node('b')]);
    w.claims.put(claim('c'));
    const r = w.own.reserve(podInfoOf(pod('p', 'c')), on(w, 'b'));
    if (r === undefined) throw new Error('nothing reserved');
    for (let i = 0; i < 5; i++) expect(place(w, pod('q', 'c'))).toBe('b');
    const bound = w.own.bind(r, c);
    await expect
      .poll(() => w.claims.get({ namespace: 'ns', name: 'c' })?.metadata.annotations)
      .toEqual({ [SELECTED]: 'b' });
    w.volumes.put(volume('v', 'b'));
    w.claims.put(boundClaim('c', 'v'));
    await bound;
    w.own.release(r);
  });

  test.each([
    [
      'the provisioner asks for another node',
      (w: World) => w.claims.put(claim('c')),
      /selectedNode annotation reset for PVC "c"/,
    ],
    ['the claim goes', (w: World) => w.claims.remove(claim('c')), /"c" is gone or being deleted/],
    ['the pod goes', (w: World) => w.own.podGone('uid-p'), /the pod is gone/],
    [
      'it is made elsewhere',
      (w: World) => {
        w.volumes.put(volume('v', 'b'));
        w.claims.put(boundClaim('c', 'v'));
      },
      /pv "v" node affinity doesn't match node "a"/,
    ],
    ['nothing happens', () => clock.advance(600_000), /timed out/],
  ])('waiting ends when %s', async (_, happen, why) => {
    const w = live([node('a'), node('b')]);
    w.claims.put(claim('c'));
    const r = w.own.reserve(podInfoOf(pod('p', 'c')), on(w, 'a'));
    if (r === undefined) throw new Error('nothing reserved');
    const bound = w.own.bind(r, c);
    const ended = expect(bound).rejects.toThrow(why);
    await expect.poll(() => w.own.selectedNode(w.claims.list()[0] ?? claim('c'))).toBe('a');
    await expect
      .poll(() => w.claims.get({ namespace: 'ns', name: 'c' })?.metadata.annotations)
      .toEqual({ [SELECTED]: 'a' });
    await happen(w);
    await ended;
    w.own.release(r);
    if (w.claims.list().length > 0) expect(w.own.reserve(podInfoOf(pod('x', 'c')), on(w, 'a'))).not.toBe(r);
  });
});
