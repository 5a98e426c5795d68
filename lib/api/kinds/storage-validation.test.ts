import { expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const metadata = { name: 'x' };

test('storage classes', () => {
  const errors = (c: object): string[] => createErrors(Kinds.storageclasses, { metadata, provisioner: 'a.io/b', ...c });
  expect(errors({})).toEqual([]);
  expect(errors({ provisioner: '', reclaimPolicy: 'Recycle', volumeBindingMode: 'X' })).toEqual([
    'provisioner: Required value',
    'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
    'volumeBindingMode: Unsupported value: "X": supported values: "Immediate", "WaitForFirstConsumer"',
  ]);
  expect(errors({ parameters: { '': 'a' } })).toEqual(['parameters: Invalid value: "": field can not be empty.']);
  const term = { matchLabelExpressions: [{ key: 'zone', values: ['a', 'a'] }] };
  expect(errors({ allowedTopologies: [term, term, {}] })).toEqual([
    'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"',
    'allowedTopologies[1].matchLabelExpressions[0].values[1]: Duplicate value: "a"',
    'allowedTopologies[1].matchLabelExpressions: Duplicate value: ""',
    'allowedTopologies[2].matchLabelExpressions: Duplicate value: ""',
  ]);
  const old = created(Kinds.storageclasses, { metadata, provisioner: 'a.io/b' });
  expect(
    updateErrors(Kinds.storageclasses, old, (c) =>
      Object.assign(c, { parameters: { a: 'b' }, reclaimPolicy: 'Retain' }),
    ),
  ).toEqual([
    'parameters: Invalid value: {"a":"b"}: field is immutable',
    'reclaimPolicy: Invalid value: "Retain": field is immutable',
  ]);
  expect(updateErrors(Kinds.storageclasses, old, (c) => Object.assign(c, { allowVolumeExpansion: true }))).toEqual([]);
});

test('volume attributes classes', () => {
  const c = { metadata, driverName: 'd', parameters: { a: 'b' } };
  expect(createErrors(Kinds.volumeattributesclasses, c)).toEqual([]);
  expect(createErrors(Kinds.volumeattributesclasses, { metadata })).toEqual([
    'driverName: Required value',
    'parameters: Required value: must contain at least one key/value pair',
  ]);
  const old = created(Kinds.volumeattributesclasses, c);
  expect(
    updateErrors(Kinds.volumeattributesclasses, old, (v) =>
      Object.assign(v, { driverName: 'e', parameters: { a: 'c' } }),
    ),
  ).toEqual([
    'driverName: Forbidden: updates to driverName are forbidden.',
    'parameters: Forbidden: updates to parameters are forbidden.',
  ]);
});

test('CSI drivers and nodes', () => {
  const errors = (spec: object): string[] => createErrors(Kinds.csidrivers, { metadata, spec });
  expect(errors({})).toEqual([]);
  const tokenRequests = [{ audience: 'a', expirationSeconds: 5 }, { audience: 'a' }];
  expect(errors({ tokenRequests, volumeLifecycleModes: ['X'], nodeAllocatableUpdatePeriodSeconds: 9 })).toEqual([
    'spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes',
    'spec.tokenRequests[1].audience: Duplicate value: "a"',
    'spec.volumeLifecycleModes: Unsupported value: "X": supported values: "Persistent", "Ephemeral"',
    'spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds',
  ]);
  expect(errors({ serviceAccountTokenInSecrets: true })).toEqual([
    'spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified',
  ]);
  const old = created(Kinds.csidrivers, { metadata, spec: {} });
  expect(updateErrors(Kinds.csidrivers, old, (d) => Object.assign(d.spec, { attachRequired: false }))).toEqual([
    'spec.attachedRequired: Invalid value: false: field is immutable',
  ]);
  const driver = { name: 'd', nodeID: 'n', topologyKeys: [] };
  const nodeErrors = (...drivers: object[]): string[] => createErrors(Kinds.csinodes, { metadata, spec: { drivers } });
  expect(nodeErrors(driver)).toEqual([]);
  expect(nodeErrors(driver, { ...driver, nodeID: '', topologyKeys: ['a', 'a'], allocatable: { count: -1 } })).toEqual([
    'spec.drivers[1].nodeID: Required value',
    'spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0',
    'spec.drivers[1]: Duplicate value: "a"',
    'spec.drivers[1].name: Duplicate value: "d"',
  ]);
  const node = created(Kinds.csinodes, { metadata, spec: { drivers: [driver] } });
  const change = (to: object): string[] =>
    updateErrors(Kinds.csinodes, node, (n) => Object.assign(n.spec.drivers[0] ?? {}, to));
  expect(change({ allocatable: { count: 3 } })).toEqual([]);
  expect(change({ nodeID: 'm' })[0]).toMatch(/^spec\.drivers: Invalid value: .*: field is immutable$/);
});

test('capacities', () => {
  const c = { metadata, storageClassName: 's', capacity: '1Gi' };
  expect(createErrors(Kinds.csistoragecapacities, c)).toEqual([]);
  expect(createErrors(Kinds.csistoragecapacities, { ...c, capacity: '-1' })).toEqual([
    'capacity: Invalid value: "-1": must be greater than or equal to 0',
  ]);
  const old = created(Kinds.csistoragecapacities, c);
  expect(updateErrors(Kinds.csistoragecapacities, old, (o) => Object.assign(o, { storageClassName: 't' }))).toEqual([
    'storageClassName: Invalid value: "t": field is immutable',
  ]);
});

test('volume attachments', () => {
  const spec = { attacher: 'd', nodeName: 'n', source: { persistentVolumeName: 'v' } };
  const errors = (s: object): string[] => createErrors(Kinds.volumeattachments, { metadata, spec: { ...spec, ...s } });
  expect(errors({})).toEqual([]);
  expect(errors({ source: {} })).toEqual([
    'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName',
  ]);
  const inlineVolumeSpec = { accessModes: ['ReadWriteOnce'], hostPath: { path: '/a' }, capacity: { storage: '1' } };
  expect(errors({ source: { inlineVolumeSpec } })).toEqual([
    'spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes',
    'spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes',
  ]);
  const old = created(Kinds.volumeattachments, { metadata, spec });
  expect(updateErrors(Kinds.volumeattachments, old, (a) => Object.assign(a.spec, { nodeName: 'm' }))[0]).toMatch(
    /^spec: Invalid value: .*: field is immutable$/,
  );
});
