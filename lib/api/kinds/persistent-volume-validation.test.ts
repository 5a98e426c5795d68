import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import type { PersistentVolumeClaim } from '../gen/types/core-v1.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const metadata = { name: 'x' };
const capacity = { storage: '1Gi' };
const accessModes = ['ReadWriteOnce'];
const hostPath = { path: '/data' };
const pv = (spec: object): object => ({ metadata, spec: { capacity, accessModes, hostPath, ...spec } });
const pvErrors = (spec: object): string[] => createErrors(Kinds.persistentvolumes, pv(spec));

describe('persistent volumes', () => {
  test('modes, capacity, one source', () => {
    expect(pvErrors({})).toEqual([]);
    expect(pvErrors({ accessModes: ['ReadWriteOnce', 'ReadWriteOncePod', 'X'], capacity: {} })).toEqual([
      'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
      'spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
      'spec.capacity: Required value',
      'spec.capacity: Unsupported value: {}: supported values: "storage"',
    ]);
    expect(pvErrors({ capacity: { storage: '0' }, hostPath: undefined })).toEqual([
      'spec.capacity[storage]: Invalid value: "0": must be greater than zero',
      'spec: Required value: must specify a volume type',
    ]);
    expect(pvErrors({ nfs: { server: 's', path: '/' }, hostPath: { path: '/../a' } })).toEqual([
      'spec.hostPath.path: Invalid value: "/../a": must not contain \'..\'',
      'spec.nfs: Forbidden: may not specify more than 1 volume type',
    ]);
    expect(pvErrors({ hostPath: { path: '/./' }, persistentVolumeReclaimPolicy: 'Recycle' })).toEqual([
      "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
    ]);
    expect(pvErrors({ hostPath: undefined, gcePersistentDisk: {} })).toEqual([
      'spec.gcePersistentDisk.pdName: Required value',
    ]);
  });

  test('local, csi, affinity, classes', () => {
    expect(pvErrors({ hostPath: undefined, local: { path: 'a/../b' } })).toEqual([
      'spec.local.path: Invalid value: "a/../b": must not contain \'..\'',
      'spec.nodeAffinity: Required value: Local volume requires node affinity',
    ]);
    const csi = { driver: `${'a'.repeat(64)}`, volumeHandle: '', nodePublishSecretRef: { name: 's' } };
    expect(pvErrors({ hostPath: undefined, csi, nodeAffinity: {} })).toEqual([
      'spec.nodeAffinity.required: Required value: must specify required node constraints',
      'spec.csi.driver: Too long: may not be more than 63 bytes',
      'spec.csi.volumeHandle: Required value',
      'spec.csi.nodePublishSecretRef.namespace: Required value',
    ]);
    expect(pvErrors({ volumeMode: 'X', volumeAttributesClassName: '' })).toEqual([
      'spec.volumeMode: Unsupported value: "X": supported values: "Block", "Filesystem"',
      'spec.volumeAttributesClassName: Required value: an empty string is disallowed',
      'spec.csi: Required value: has to be specified when using volumeAttributesClassName',
    ]);
  });

  test('the source is immutable', () => {
    const old = created(Kinds.persistentvolumes, pv({}));
    expect(
      updateErrors(Kinds.persistentvolumes, old, (v) =>
        Object.assign(v.spec, { hostPath: { path: '/b' }, volumeMode: 'Block' }),
      ),
    ).toEqual([
      'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation',
      'volumeMode: Invalid value: "Block": field is immutable',
    ]);
    expect(
      updateErrors(Kinds.persistentvolumes, old, (v) =>
        Object.assign(v.spec, { persistentVolumeReclaimPolicy: 'Delete' }),
      ),
    ).toEqual([]);
    const csi = { driver: 'd', volumeHandle: 'h' };
    const driven = created(Kinds.persistentvolumes, pv({ hostPath: undefined, csi }));
    const secret = { controllerExpandSecretRef: { name: 'a', namespace: 'b' } };
    expect(updateErrors(Kinds.persistentvolumes, driven, (v) => Object.assign(v.spec.csi ?? {}, secret))).toEqual([]);
  });
});

describe('claims', () => {
  const claim = (spec: object): object => ({
    metadata,
    spec: { accessModes, resources: { requests: { storage: '1Gi' } }, ...spec },
  });
  const errors = (spec: object): string[] => createErrors(Kinds.persistentvolumeclaims, claim(spec));
  const update = (
    spec: object,
    status: object,
    change: (c: PersistentVolumeClaim) => void,
    subresource?: string,
  ): string[] => {
    const old = created(Kinds.persistentvolumeclaims, claim(spec));
    old.status = status;
    return updateErrors(Kinds.persistentvolumeclaims, old, change, subresource);
  };

  test('requests, modes, classes', () => {
    expect(errors({})).toEqual([]);
    expect(errors({ accessModes: [], resources: {} })).toEqual([
      'spec.accessModes: Required value: at least 1 access mode is required',
      'spec.resources[storage]: Required value',
    ]);
    expect(errors({ storageClassName: 'A b', volumeMode: 'X' }).map((e) => e.split(':')[0])).toEqual([
      'spec.storageClassName',
      'spec.volumeMode',
    ]);
  });

  test('sources: both fields are kept equal, unknown ones of old clients are dropped', () => {
    const source = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 's' };
    expect(created(Kinds.persistentvolumeclaims, claim({ dataSource: source })).spec.dataSourceRef).toEqual(source);
    expect(created(Kinds.persistentvolumeclaims, claim({ dataSourceRef: source })).spec.dataSource).toEqual(source);
    const other = { apiGroup: 'a.io', kind: 'Other', name: 's' };
    expect(created(Kinds.persistentvolumeclaims, claim({ dataSource: other })).spec.dataSource).toBeUndefined();
    expect(errors({ dataSourceRef: { kind: 'Other', name: '' } })).toContain(
      'spec.dataSourceRef: Invalid value: "Other": must be \'PersistentVolumeClaim\' when referencing the default apiGroup',
    );
    expect(errors({ dataSource: source, dataSourceRef: other })).toEqual([
      'spec: Invalid value: {}: must match dataSourceRef',
    ]);
  });

  test('a bound claim grows; an unbound one keeps all but its volume and class', () => {
    const grow = (size: string) => (c: PersistentVolumeClaim) => {
      c.spec.resources = { requests: { storage: size } };
    };
    const immutable =
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
    const bound = { phase: 'Bound', capacity: { storage: '1Gi' } };
    expect(update({}, bound, grow('2Gi'))).toEqual([]);
    expect(update({}, { phase: 'Pending' }, grow('2Gi'))).toEqual([immutable]);
    expect(update({}, bound, grow('1Mi'))).toEqual([
      'spec.resources.requests.storage: Forbidden: field can not be less than status.capacity',
    ]);
    expect(update({}, {}, (c) => Object.assign(c.spec, { volumeName: 'v', storageClassName: 's' }))).toEqual([]);
    expect(update({ storageClassName: 'a' }, bound, (c) => Object.assign(c.spec, { storageClassName: 'b' }))).toEqual([
      immutable,
    ]);
    const attributed = { ...bound, currentVolumeAttributesClassName: 'a' };
    expect(
      update({ volumeAttributesClassName: 'a' }, attributed, (c) => {
        delete c.spec.volumeAttributesClassName;
      }),
    ).toEqual([
      'spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil',
    ]);
  });

  test('a claim stored with one source field can still be updated', () => {
    const source = { kind: 'PersistentVolumeClaim', name: 's' };
    const old = created(Kinds.persistentvolumeclaims, claim({ dataSource: source }));
    delete old.spec.dataSourceRef;
    expect(
      updateErrors(Kinds.persistentvolumeclaims, old, (c) => Object.assign(c.metadata, { labels: { a: 'b' } })),
    ).toEqual([]);
  });

  test('status', () => {
    const status = {
      allocatedResourceStatuses: { storage: 'X' },
      allocatedResources: { cpu: '1' },
      capacity: { storage: '-1' },
    };
    expect(update({}, {}, (c) => Object.assign(c, { status }), 'status')).toEqual([
      'status.capacity[storage]: Invalid value: -1: must be a valid resource quantity',
      'status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
      'status.allocatedResources: Unsupported value: "cpu": supported values: "storage"',
    ]);
  });
});
