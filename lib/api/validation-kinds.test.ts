import { describe, expect, test } from 'vitest';
import { Kinds } from './gen/kinds.ts';
import type { KindRef, KubeObject } from './object.ts';
import { prepareUpdate } from './strategy.ts';
import { changed, created, texts } from './testing/prepared.ts';
import { validateCreate, validateUpdate } from './validation.ts';

const errorsOf = <T extends KubeObject>(kind: KindRef<T>, value: object): string[] =>
  texts(validateCreate(kind, created(kind, value)));
const meta = { metadata: { name: 'x' } };

function updateErrors<T extends KubeObject>(kind: KindRef<T>, old: T, change: (copy: T) => void): string[] {
  const next = changed(kind, old, change);
  prepareUpdate(kind, next, old);
  return texts(validateUpdate(kind, next, old));
}

describe('config maps and secrets', () => {
  test('keys and sizes', () => {
    expect(errorsOf(Kinds.configmaps, { ...meta, data: { 'a.b_c-D': 'x' } })).toEqual([]);
    expect(errorsOf(Kinds.configmaps, { ...meta, data: { 'a/b': 'x' } })).toEqual([
      "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ]);
    expect(errorsOf(Kinds.configmaps, { ...meta, data: { a: 'x' }, binaryData: { a: 'eA==' } })).toEqual([
      'data[a]: Invalid value: "a": duplicate of key present in binaryData',
    ]);
    expect(errorsOf(Kinds.configmaps, { ...meta, data: { a: 'x'.repeat(1_048_577) } })).toEqual([
      '[]: Too long: may not be more than 1048576 bytes',
    ]);
    expect(errorsOf(Kinds.secrets, { ...meta, stringData: { '..x': 'x' } })).toEqual([
      'data[..x]: Invalid value: "..x": must not start with \'..\'',
    ]);
  });

  test('typed secrets need their keys', () => {
    expect(errorsOf(Kinds.secrets, { ...meta, type: 'kubernetes.io/tls' })).toEqual([
      'data[tls.crt]: Required value',
      'data[tls.key]: Required value',
    ]);
    expect(errorsOf(Kinds.secrets, { ...meta, type: 'my/type' })).toEqual([]);
  });

  test('immutability', () => {
    const secret = created(Kinds.secrets, { ...meta, type: 'a/b', data: { k: 'eA==' } });
    expect(
      updateErrors(Kinds.secrets, secret, (s) => {
        s.type = 'c/d';
      }),
    ).toEqual(['type: Invalid value: "c/d": field is immutable']);
    const map = created(Kinds.configmaps, { ...meta, immutable: true, data: { a: 'b' } });
    expect(
      updateErrors(Kinds.configmaps, map, (m) => {
        m.data = { a: 'c' };
      }),
    ).toEqual(['data: Forbidden: field is immutable when `immutable` is set']);
    expect(
      updateErrors(Kinds.configmaps, map, (m) => {
        m.immutable = false;
      }),
    ).toEqual(['immutable: Forbidden: field is immutable when `immutable` is set']);
    expect(
      updateErrors(Kinds.configmaps, map, (m) => {
        m.metadata.labels = { a: 'b' };
      }),
    ).toEqual([]);
  });
});

describe('the other core kinds', () => {
  test('nodes', () => {
    const taint = { key: 'a', effect: 'NoSchedule' };
    expect(errorsOf(Kinds.nodes, { ...meta, spec: { taints: [taint] } })).toEqual([]);
    expect(errorsOf(Kinds.nodes, { ...meta, spec: { taints: [{ key: 'a', effect: 'X' }] } })).toEqual([
      'metadata.taints[0].effect: Unsupported value: "X": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ]);
    expect(errorsOf(Kinds.nodes, { ...meta, spec: { taints: [taint, taint] } })).toEqual([
      'metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
    ]);
    const node = created(Kinds.nodes, { ...meta, spec: { podCIDR: '10.42.0.0/24', podCIDRs: ['10.42.0.0/24'] } });
    expect(
      updateErrors(Kinds.nodes, node, (n) => {
        n.spec = { podCIDRs: ['10.42.1.0/24'] };
      }),
    ).toEqual(['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid']);
  });

  test('events', () => {
    expect(errorsOf(Kinds.events, { ...meta, involvedObject: { namespace: 'default' } })).toEqual([]);
    expect(errorsOf(Kinds.events, { ...meta, involvedObject: { namespace: 'other' } })).toEqual([
      'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
    ]);
  });

  test('leases', () => {
    expect(errorsOf(Kinds.leases, { ...meta, spec: { leaseDurationSeconds: 0 } })).toEqual([
      'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0',
    ]);
  });

  test('endpoints and endpoint slices', () => {
    expect(
      errorsOf(Kinds.endpoints, { ...meta, subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ port: 80 }] }] }),
    ).toEqual([
      'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ]);
    expect(
      errorsOf(Kinds.endpointslices, {
        ...meta,
        addressType: 'IPv4',
        endpoints: [{ addresses: ['x'] }, { addresses: [] }],
      }),
    ).toEqual([
      'endpoints[0].addresses[0]: Invalid value: "x": must be a valid IP address,',
      'endpoints[1].addresses: Required value: must contain at least 1 address',
    ]);
    const slice = created(Kinds.endpointslices, { ...meta, addressType: 'IPv4' });
    expect(
      updateErrors(Kinds.endpointslices, slice, (s) => {
        s.addressType = 'IPv6';
      }),
    ).toEqual(['addressType: Invalid value: "IPv6": field is immutable']);
  });

  test('claims', () => {
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
    expect(errorsOf(Kinds.persistentvolumeclaims, { ...meta, spec })).toEqual([]);
    expect(errorsOf(Kinds.persistentvolumeclaims, { ...meta, spec: {} })).toEqual([
      'spec.accessModes: Required value: at least 1 access mode is required',
      'spec.resources[storage]: Required value',
    ]);
    const claim = created(Kinds.persistentvolumeclaims, { ...meta, spec });
    expect(
      updateErrors(Kinds.persistentvolumeclaims, claim, (c) => {
        c.spec.volumeName = 'v';
      }),
    ).toEqual([]);
    expect(
      updateErrors(Kinds.persistentvolumeclaims, claim, (c) => {
        c.spec.accessModes = ['ReadWriteMany'];
      }),
    ).toEqual([
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    ]);
  });
});

describe('kinds validated by the field table', () => {
  test('required fields, enumerations and nested selectors', () => {
    expect(errorsOf(Kinds.storageclasses, meta)).toEqual(['provisioner: Required value']);
    expect(
      errorsOf(Kinds.networkpolicies, { ...meta, spec: { podSelector: { matchLabels: { 'a b': '' } } } })[0],
    ).toContain('spec.podSelector.matchLabels: Invalid value: "a b"');
    expect(
      errorsOf(Kinds.horizontalpodautoscalers, { ...meta, spec: { maxReplicas: 1, scaleTargetRef: { kind: 'X' } } }),
    ).toEqual([
      'spec.scaleTargetRef.name: Required value',
      'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group',
    ]);
  });

  test('role bindings: roleRef is immutable', () => {
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' };
    const binding = created(Kinds.rolebindings, { ...meta, roleRef });
    expect(texts(validateCreate(Kinds.rolebindings, binding))).toEqual([]);
    expect(
      updateErrors(Kinds.rolebindings, binding, (b) => {
        b.roleRef = { ...roleRef, name: 's' };
      }),
    ).toEqual([
      'roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"s"}: cannot change roleRef',
    ]);
  });
});
