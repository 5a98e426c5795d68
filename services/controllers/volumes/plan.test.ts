import { describe, expect, test } from 'vitest';
import {
  type DeepReadonly,
  findVolume,
  hostOfVolume,
  mismatchOf,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from '#lib/api';
import { type ClaimWorld, planClaim } from './claim-plan.ts';
import { planExpansion, resized, resizing } from './expansion.ts';
import { isAsked, planProvisioning } from './provision-plan.ts';
import { planVolume, type VolumeWorld } from './volume-plan.ts';

type Claim = PersistentVolumeClaim;
type Meta = Partial<Claim['metadata']>;

const FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer';

function claim(spec: Partial<Claim['spec']> = {}, metadata: Meta = {}, status: Claim['status'] = {}): Claim {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'c', namespace: 'ns', uid: 'uid-c', ...metadata },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '5Gi' } },
      storageClassName: 'slow',
      ...spec,
    },
    status,
  };
}

function volume(
  name: string,
  spec: Partial<PersistentVolume['spec']> = {},
  more: { metadata?: Meta; phase?: string } = {},
): PersistentVolume {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, ...more.metadata },
    spec: {
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '10Gi' },
      storageClassName: 'slow',
      persistentVolumeReclaimPolicy: 'Retain',
      hostPath: { path: '/x' },
      ...spec,
    },
    status: { phase: more.phase ?? 'Available' },
  };
}

const toClaim = (uid?: string) => ({ namespace: 'ns', name: 'c', ...(uid === undefined ? {} : { uid }) });

function storageClass(o: Partial<StorageClass> = {}): StorageClass {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'slow' },
    provisioner: 'example.com/disk',
    volumeBindingMode: 'Immediate',
    ...o,
  };
}

function world(o: Partial<ClaimWorld> & Pick<ClaimWorld, 'claim'>): ClaimWorld {
  return { named: undefined, volumes: [], class: storageClass(), defaultClass: undefined, waitingPods: () => [], ...o };
}

describe('matching volumes', () => {
  const small = volume('small', { capacity: { storage: '5Gi' } });
  const large = volume('large', { capacity: { storage: '50Gi' } });
  const of = (c: Claim, ...list: PersistentVolume[]) => findVolume(c, list, { isDelayed: false })?.metadata.name;

  test('the smallest that is large enough', () => {
    expect(of(claim(), large, small, volume('tiny', { capacity: { storage: '1Gi' } }))).toBe('small');
  });

  test.each([
    ['another class', volume('v', { storageClassName: 'fast' })],
    [
      'the class annotation says another',
      volume('v', {}, { metadata: { annotations: { 'volume.beta.kubernetes.io/storage-class': 'fast' } } }),
    ],
    ['too small', volume('v', { capacity: { storage: '4Gi' } })],
    ['a device', volume('v', { volumeMode: 'Block' })],
    ['claimed by another', volume('v', { claimRef: { namespace: 'ns', name: 'other' } })],
    ['claimed by a namesake of before', volume('v', { claimRef: toClaim('old') })],
    ['not yet available', volume('v', {}, { phase: 'Pending' })],
    ['released', volume('v', {}, { phase: 'Released' })],
    ['being deleted', volume('v', {}, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })],
    ['other access modes', volume('v', { accessModes: ['ReadOnlyMany'] })],
    ['other attributes', volume('v', { volumeAttributesClassName: 'gold' })],
  ])('not one that is %s', (_, v) => expect(of(claim(), v)).toBeUndefined());

  test('labels must be as the selector asks', () => {
    const wish = claim({ selector: { matchLabels: { tier: 'db' } } });
    expect(of(wish, small, volume('db', {}, { metadata: { labels: { tier: 'db' } } }))).toBe('db');
    expect(of(wish, small)).toBeUndefined();
  });

  test('one that names the claim is taken before any other, whatever its size, class and phase', () => {
    const own = volume(
      'own',
      { claimRef: toClaim(), storageClassName: 'fast', capacity: { storage: '90Gi' } },
      { phase: 'Pending' },
    );
    expect(of(claim(), small, own)).toBe('own');
  });

  test('a claim that waits for its pod is given none but its own; on a node, what the node reaches', () => {
    const at = (host: string) => ({
      required: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }] }],
      },
    });
    const here = volume('here', { nodeAffinity: at('a') });
    const list = [small, here];
    expect(findVolume(claim(), list, { isDelayed: true })).toBeUndefined();
    const node = (name: string) => ({ name, labels: { 'kubernetes.io/hostname': name } });
    expect(findVolume(claim(), [here], { isDelayed: true, node: node('a') })?.metadata.name).toBe('here');
    expect(findVolume(claim(), [here], { isDelayed: true, node: node('b') })).toBeUndefined();
    const isTaken = (v: DeepReadonly<PersistentVolume>): boolean => v.metadata.name === 'small';
    expect(findVolume(claim(), list, { isDelayed: true, node: node('a'), isTaken })?.metadata.name).toBe('here');
    expect(hostOfVolume(here)).toBe('a');
  });

  test.each([
    [volume('v', { capacity: { storage: '1Gi' } }), 'requested PV is too small'],
    [volume('v', { storageClassName: '' }), 'storageClassName does not match'],
    [volume('v', { volumeMode: 'Block' }), 'incompatible volumeMode'],
    [volume('v', { accessModes: ['ReadOnlyMany'] }), 'incompatible accessMode'],
    [volume('v'), undefined],
  ])('why one asked for by name will not do: %#', (v, why) => expect(mismatchOf(v, claim())).toBe(why));
});

describe('claims', () => {
  const pending = { do: 'phase', phase: 'Pending' };
  const event = (type: string, reason: string, message: unknown) => ({ do: 'event', event: { type, reason, message } });

  test('found, it is bound', () => {
    const v = volume('v');
    expect(planClaim(world({ claim: claim(), volumes: [v] }))).toEqual([{ do: 'bind', volume: v }]);
  });

  test('nothing found and no class: said so', () => {
    expect(planClaim(world({ claim: claim({ storageClassName: '' }), class: undefined }))).toEqual([
      event('Normal', 'FailedBinding', 'no persistent volumes available for this claim and no storage class is set'),
      pending,
    ]);
  });

  test('a claim of before there was a default class gets it', () => {
    const { storageClassName: _, ...spec } = claim().spec;
    const old = { ...claim(), spec };
    expect(planClaim(world({ claim: old, class: undefined, defaultClass: 'slow' }))).toEqual([
      { do: 'setClass', name: 'slow' },
    ]);
  });

  test('waits for its first pod, then for the pod to get a node, then goes to the provisioner', () => {
    const delayed = storageClass({ volumeBindingMode: 'WaitForFirstConsumer' });
    const say = (o: Partial<ClaimWorld> = {}) => planClaim(world({ claim: claim(), class: delayed, ...o }))[0];
    expect(say()).toEqual(
      event('Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding'),
    );
    expect(say({ waitingPods: () => ['p'] })).toEqual(
      event('Normal', 'WaitForPodScheduled', 'waiting for pod p to be scheduled'),
    );
    expect(say({ waitingPods: () => ['p', 'q'] })).toEqual(
      event('Normal', 'WaitForPodScheduled', 'waiting for pods p,q to be scheduled'),
    );
    const placed = claim({}, { annotations: { 'volume.kubernetes.io/selected-node': 'n' } });
    expect(say({ claim: placed })).toEqual({ do: 'setProvisioner', name: 'example.com/disk' });
  });

  test('a class that is not there, or that makes none', () => {
    expect(planClaim(world({ claim: claim(), class: undefined }))[0]).toEqual(
      event('Warning', 'ProvisioningFailed', 'storageclass.storage.k8s.io "slow" not found'),
    );
    const none = storageClass({ provisioner: 'kubernetes.io/no-provisioner' });
    expect(planClaim(world({ claim: claim(), class: none }))[0]).toMatchObject({ event: { reason: 'FailedBinding' } });
  });

  test('one volume asked for by name: bound, waited for, or refused with the reason', () => {
    const wish = claim({ volumeName: 'v' });
    const v = volume('v');
    expect(planClaim(world({ claim: wish, named: v }))).toEqual([{ do: 'bind', volume: v }]);
    expect(planClaim(world({ claim: wish }))).toEqual([pending]);
    expect(planClaim(world({ claim: wish, named: volume('v', { capacity: { storage: '1Gi' } }) }))).toEqual([
      event('Warning', 'VolumeMismatch', 'Cannot bind to requested volume "v": requested PV is too small'),
      pending,
    ]);
    expect(planClaim(world({ claim: wish, named: volume('v', { claimRef: toClaim('another') }) }))).toEqual([
      event('Warning', 'FailedBinding', 'volume "v" already bound to a different claim.'),
      pending,
    ]);
    const bound = volume('v', { claimRef: toClaim('uid-c') });
    expect(planClaim(world({ claim: wish, named: bound }))).toEqual([{ do: 'bind', volume: bound }]);
  });

  test('a bound one whose volume is gone, or another’s, is lost', () => {
    const annotations = { 'pv.kubernetes.io/bind-completed': 'yes' };
    const bound = claim({ volumeName: 'v' }, { annotations }, { phase: 'Bound' });
    const lost = (reason: string, message: string) => [
      { do: 'phase', phase: 'Lost', event: { type: 'Warning', reason, message } },
    ];
    expect(planClaim(world({ claim: bound }))).toEqual(
      lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!'),
    );
    expect(planClaim(world({ claim: bound, named: volume('v', { claimRef: toClaim('old') }) }))).toEqual(
      lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly'),
    );
    const v = volume('v', { claimRef: toClaim('uid-c') }, { phase: 'Bound' });
    expect(planClaim(world({ claim: bound, named: v }))).toEqual([{ do: 'bind', volume: v }]);
  });
});

describe('volumes', () => {
  const local = {
    local: { path: '/s/pvc-1' },
    persistentVolumeReclaimPolicy: 'Delete',
    claimRef: toClaim('uid-c'),
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['n1'] }] }],
      },
    },
  };
  const ours = { annotations: { 'pv.kubernetes.io/provisioned-by': 'berth.dev/local' }, finalizers: [FINALIZER] };
  const localVolume = (phase: string, more: Partial<PersistentVolume['spec']> = {}, metadata: Meta = {}) => {
    const { hostPath: _, ...spec } = volume('v').spec;
    return { ...volume('v', {}, { metadata: { ...ours, ...metadata }, phase }), spec: { ...spec, ...local, ...more } };
  };
  const plan = (v: PersistentVolume, o: Partial<VolumeWorld> = {}) =>
    planVolume({ volume: v, claim: undefined, node: 'ready', ...o });
  const to = (phase: string) => [{ do: 'status', status: { phase } }];

  test('free or promised by name: Available; with its claim: Bound; without: Released', () => {
    expect(plan(volume('v', {}, { phase: 'Pending' }))).toEqual(to('Available'));
    expect(plan(volume('v', { claimRef: toClaim() }, { phase: 'Pending' }))).toEqual(to('Available'));
    const named = volume('v', { claimRef: toClaim('uid-c') });
    expect(plan(named, { claim: claim({ volumeName: 'v' }) })).toEqual(to('Bound'));
    expect(plan(named)).toEqual(to('Released'));
    expect(plan(named, { claim: claim() })).toEqual([]);
    expect(plan(named, { claim: claim({ volumeName: 'w' }) })).toEqual([{ do: 'unbind' }]);
  });

  test('Delete and Recycle of what nobody here can delete fail with the reason', () => {
    const failed = (policy: string) =>
      plan(volume('v', { claimRef: toClaim('u'), persistentVolumeReclaimPolicy: policy }, { phase: 'Bound' }));
    expect(failed('Delete')[0]).toMatchObject({ status: { phase: 'Failed' }, event: { reason: 'VolumeFailedDelete' } });
    expect(failed('Recycle')[0]).toMatchObject({
      status: { phase: 'Failed' },
      event: { reason: 'VolumeFailedRecycle' },
    });
  });

  test('a local one waits for its node, says so, and stops saying so when the node is back', () => {
    const away = plan(localVolume('Bound'), { node: 'notReady' });
    const message = 'waiting for node "n1", which is not ready, to delete the data of the volume';
    expect(away).toEqual([
      {
        do: 'status',
        status: { phase: 'Released', reason: 'NodeNotReady', message },
        event: { reason: 'VolumeFailedDelete', message },
      },
    ]);
    const waiting = { ...localVolume('Released'), status: { phase: 'Released', reason: 'NodeNotReady', message } };
    expect(plan(waiting, { node: 'notReady' })).toEqual([]);
    expect(plan(waiting)).toEqual(to('Released'));
    expect(plan(localVolume('Bound'), { node: 'absent' })[0]).toMatchObject({ status: { reason: 'NodeNotFound' } });
  });

  test('the finalizer is there while the policy is Delete, and goes with a node that will never come back', () => {
    const bound = { claim: claim({ volumeName: 'v' }) };
    const finalizers = (list: string[]) => [{ do: 'finalizers', finalizers: list }];
    expect(plan(localVolume('Bound', {}, { finalizers: ['x'] }), bound)).toEqual(finalizers(['x', FINALIZER]));
    expect(plan(localVolume('Bound', { persistentVolumeReclaimPolicy: 'Retain' }), bound)).toEqual(finalizers([]));
    const going = { deletionTimestamp: '2026-01-01T00:00:00Z' };
    expect(plan(localVolume('Released', {}, going), { node: 'absent' })[0]).toEqual(finalizers([])[0]);
    expect(plan(localVolume('Bound', {}, going), { ...bound, node: 'absent' })).toEqual([]);
    expect(plan(localVolume('Released', {}, going))).toEqual([]);
  });
});

describe('the local provisioner', () => {
  const node: Node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: 'n1',
      labels: { 'kubernetes.io/hostname': 'host-1' },
      annotations: { 'berth.dev/storage-path': '/var/lib/berth/storage' },
    },
    spec: {},
  };
  const local = storageClass({ provisioner: 'berth.dev/local' });
  const plan = (spec: Partial<Claim['spec']> = {}, o: object = {}) =>
    planProvisioning({ claim: claim(spec), class: local, nodeName: 'n1', node, ...o });

  test('a folder of the chosen node, named by the claim’s uid, kept until its data is gone', () => {
    expect(plan()).toMatchObject({
      do: 'create',
      volume: {
        metadata: { name: 'pvc-uid-c', finalizers: [FINALIZER] },
        spec: {
          capacity: { storage: '5Gi' },
          claimRef: { namespace: 'ns', name: 'c', uid: 'uid-c' },
          persistentVolumeReclaimPolicy: 'Delete',
          local: { path: '/var/lib/berth/storage/pvc-uid-c_ns_c' },
          nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ values: ['host-1'] }] }] } },
        },
      },
    });
  });

  test('the folder’s name is one that a file system takes, however long those of namespace and claim are', () => {
    const long = claim({}, { name: 'c'.repeat(253), namespace: 'n'.repeat(63), uid: crypto.randomUUID() });
    const made = plan({}, { claim: long });
    if (made.do !== 'create') throw new Error(made.message);
    const name = (made.volume.spec.local?.path ?? '').replace('/var/lib/berth/storage/', '');
    expect(name.startsWith(`pvc-${long.metadata.uid}_${'n'.repeat(63)}_c`)).toBe(true);
    expect(name.length).toBeLessThanOrEqual(250);
  });

  test.each([
    [{ accessModes: ['ReadWriteMany'] }, {}, 'refuse', /access mode ReadWriteMany is not supported/],
    [{ volumeMode: 'Block' }, {}, 'refuse', /volumeMode Block/],
    [{ selector: {} }, {}, 'refuse', /Selector/],
    [{ dataSource: { kind: 'PersistentVolumeClaim', name: 'x' } }, {}, 'refuse', /data sources/],
    [{}, { class: { ...local, mountOptions: ['ro'] } }, 'refuse', /Mount options are not supported/],
    [{}, { class: { ...local, parameters: { path: '/etc' } } }, 'refuse', /unknown parameter "path"/],
    [{}, { nodeName: undefined }, 'refuse', /WaitForFirstConsumer/],
    [{}, { node: undefined }, 'reschedule', /node "n1" not found/],
    [{}, { node: { ...node, metadata: { name: 'n1' } } }, 'reschedule', /no local storage/],
  ])('what it cannot do: %#', (spec, o, what, why) =>
    expect(plan(spec, o)).toEqual({ do: what, message: expect.stringMatching(why) }),
  );

  test('it does what it was asked, once', () => {
    const annotations = { 'volume.kubernetes.io/storage-provisioner': 'berth.dev/local' };
    expect(isAsked(claim({}, { annotations }))).toBe(true);
    expect(isAsked(claim({ volumeName: 'v' }, { annotations }))).toBe(false);
    expect(isAsked(claim({}, { annotations: { 'volume.kubernetes.io/storage-provisioner': 'x' } }))).toBe(false);
  });
});

describe('expansion', () => {
  const status = { phase: 'Bound', capacity: { storage: '1Gi' } };
  const own = volume(
    'v',
    { local: { path: '/s/pvc-1' }, claimRef: toClaim('uid-c') },
    {
      metadata: { annotations: { 'pv.kubernetes.io/provisioned-by': 'berth.dev/local' } },
    },
  );

  test('a bound claim that asks for more than it has', () => {
    expect(planExpansion(claim({}, {}, status), own)).toEqual({ do: 'grow', storage: '5Gi' });
    expect(planExpansion(claim({}, {}, { ...status, capacity: { storage: '5120Mi' } }), own)).toEqual({
      do: 'nothing',
    });
    expect(planExpansion(claim({}, {}, { phase: 'Pending' }), own)).toEqual({ do: 'nothing' });
    expect(planExpansion(claim({}, {}, status), volume('v', { claimRef: toClaim('uid-c') }))).toEqual({ do: 'ignore' });
    expect(planExpansion(claim({}, {}, status), volume('v', { claimRef: toClaim('old') }))).toEqual({ do: 'nothing' });
  });

  test('the claim says that it grows, and then what it has; others’ conditions stay', () => {
    const other = { type: 'ModifyingVolume', status: 'True' };
    const during = resizing({ ...status, conditions: [other] }, '5Gi', 'now');
    expect(during.conditions?.map((x) => x.type)).toEqual(['ModifyingVolume', 'Resizing']);
    expect(during.allocatedResourceStatuses).toEqual({ storage: 'ControllerResizeInProgress' });
    expect(resized(during, '5Gi')).toEqual({
      phase: 'Bound',
      capacity: { storage: '5Gi' },
      conditions: [other],
      allocatedResources: { storage: '5Gi' },
    });
  });
});
