import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const metadata = { name: 'x' };
const selector = { matchLabels: { a: 'b' } };
const container = { name: 'c', image: 'i' };
const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [container] } };
const mismatch = 'Invalid value: {"a":"b"}: `selector` does not match template `labels`';

describe('daemon sets', () => {
  const errors = (spec: object): string[] =>
    createErrors(Kinds.daemonsets, { metadata, spec: { selector, template, ...spec } });

  test('selector and strategy', () => {
    expect(errors({})).toEqual([]);
    expect(errors({ selector: undefined })).toEqual([`spec.template.metadata.labels: ${mismatch}`]);
    expect(errors({ selector: {} })).toEqual([
      'spec.selector: Invalid value: {}: empty selector is invalid for daemonset',
    ]);
    const rolling = (rollingUpdate: object): string[] =>
      errors({ updateStrategy: { type: 'RollingUpdate', rollingUpdate } });
    expect(rolling({ maxUnavailable: 1, maxSurge: '101%' })).toEqual([
      'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "101%": must not be greater than 100%',
      'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "101%": may not be set when maxUnavailable is non-zero',
    ]);
    expect(rolling({ maxUnavailable: 0 })).toEqual([
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0',
    ]);
    expect(errors({ updateStrategy: { type: 'X' } })).toEqual([
      'spec.updateStrategy: Unsupported value: {"type":"X"}: supported values: "RollingUpdate", "OnDelete"',
    ]);
    const limited = { ...template, spec: { ...template.spec, activeDeadlineSeconds: 1 } };
    expect(errors({ template: limited })).toEqual([
      'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported',
    ]);
  });

  test('status', () => {
    const old = created(Kinds.daemonsets, { metadata, spec: { selector, template } });
    old.status = { ...old.status, collisionCount: 2 } as typeof old.status;
    const status = { ...old.status, numberReady: -1, collisionCount: 1 };
    expect(updateErrors(Kinds.daemonsets, old, (d) => Object.assign(d, { status }), 'status')).toEqual([
      'status.numberReady: Invalid value: -1: must be greater than or equal to 0',
      'status.collisionCount: Invalid value: 1: cannot be decremented',
    ]);
  });
});

describe('stateful sets', () => {
  const set = (spec: object, name = 'x'): object => ({ metadata: { name }, spec: { selector, template, ...spec } });
  const errors = (spec: object, name?: string): string[] => createErrors(Kinds.statefulsets, set(spec, name));

  test('names are labels; policies and strategies', () => {
    expect(errors({})).toEqual([]);
    expect(errors({}, 'a.b')).toEqual(['metadata.name: Invalid value: "a.b": must not contain dots']);
    expect(errors({ podManagementPolicy: 'X', serviceName: 'A', ordinals: { start: -1 } })).toEqual([
      `spec.podManagementPolicy: Invalid value: "X": must be 'OrderedReady' or 'Parallel'`,
      'spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0',
      expect.stringMatching(/^spec\.serviceName: Invalid value: "A": a lowercase RFC 1123 label/),
    ]);
    expect(errors({ updateStrategy: { type: 'OnDelete', rollingUpdate: { partition: 1 } } })).toEqual([
      `spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy 'RollingUpdate'`,
    ]);
    expect(
      errors({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: -1, maxUnavailable: 0 } } }),
    ).toEqual([
      'spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0',
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0',
    ]);
    expect(errors({ persistentVolumeClaimRetentionPolicy: { whenDeleted: 'X' } })).toEqual([
      'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "X": supported values: "Retain", "Delete"',
    ]);
  });

  test('claims are volumes of the template and are claims themselves', () => {
    const mounted = { ...container, volumeMounts: [{ name: 'data', mountPath: '/d' }] };
    const withMount = { ...template, spec: { containers: [mounted] } };
    expect(errors({ template: withMount })).toEqual([
      'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"',
    ]);
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1' } } };
    expect(errors({ template: withMount, volumeClaimTemplates: [{ metadata: { name: 'data' }, spec }] })).toEqual([]);
    expect(errors({ volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: {} }] })).toEqual([
      'spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required',
      'spec.volumeClaimTemplates[0].spec.resources[storage]: Required value',
    ]);
  });

  test('status', () => {
    const old = created(Kinds.statefulsets, set({}));
    const status = { replicas: 1, readyReplicas: 1, currentReplicas: 2, availableReplicas: 2 };
    expect(updateErrors(Kinds.statefulsets, old, (s) => Object.assign(s, { status }), 'status')).toEqual([
      'status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas',
      'status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas',
      'status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas',
    ]);
  });
});

test('status of deployments, replica sets and replication controllers', () => {
  const status = { replicas: 1, readyReplicas: 1, availableReplicas: 2 };
  const expected = [
    'status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas',
    'status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas',
  ];
  const deployment = created(Kinds.deployments, { metadata, spec: { selector, template } });
  expect(updateErrors(Kinds.deployments, deployment, (d) => Object.assign(d, { status }), 'status')).toEqual(expected);
  const set = created(Kinds.replicasets, { metadata, spec: { selector, template } });
  expect(updateErrors(Kinds.replicasets, set, (r) => Object.assign(r, { status }), 'status')).toEqual(expected);
  const controller = created(Kinds.replicationcontrollers, { metadata, spec: { template } });
  expect(updateErrors(Kinds.replicationcontrollers, controller, (r) => Object.assign(r, { status }), 'status')).toEqual(
    expected,
  );
});

test('controller revisions', () => {
  const errors = (r: object): string[] => createErrors(Kinds.controllerrevisions, { metadata, ...r });
  expect(errors({ revision: 1, data: { a: 1 } })).toEqual([]);
  expect(errors({ revision: -1 })).toEqual([
    'revision: Invalid value: -1: must be greater than or equal to 0',
    'data: Required value: data is mandatory',
  ]);
  const old = created(Kinds.controllerrevisions, { metadata, revision: 1, data: { a: 1 } });
  expect(updateErrors(Kinds.controllerrevisions, old, (r) => Object.assign(r, { revision: 2 }))).toEqual([]);
  expect(updateErrors(Kinds.controllerrevisions, old, (r) => Object.assign(r, { data: { a: 2 } }))).toEqual([
    'data: Invalid value: {"a":2}: field is immutable',
  ]);
});
