import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { Kinds } from './gen/kinds.ts';
import { allKinds } from './registry.ts';
import { canonicalObject, decodeAny, decodeObject, decodeType } from './schema.ts';
import { arbitraryObject } from './testing/arbitrary.ts';

const decodePod = (value: unknown): unknown => decodeObject(Kinds.pods, value).object;

function messageOf(fn: () => unknown): string {
  try {
    fn();
  } catch (e) {
    if (isKind(e, 'BadRequest')) return e.message;
    throw e;
  }
  throw new Error('nothing was thrown');
}

describe('decodeObject: what Go would read and write', () => {
  test('zero values are dropped where omitempty says so, kept behind pointers, written where Go writes them', () => {
    expect(
      decodePod({
        metadata: { name: 'p', namespace: '', creationTimestamp: null, labels: {}, finalizers: [] },
        spec: {
          containers: [{ name: 'c', image: '', stdin: false, command: [], env: [{ name: 'E', value: '' }] }],
          terminationGracePeriodSeconds: 0,
          hostNetwork: false,
          automountServiceAccountToken: false,
          nodeSelector: {},
          securityContext: {},
        },
      }),
    ).toEqual({
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: { name: 'p' },
      spec: {
        containers: [{ name: 'c', env: [{ name: 'E' }], resources: {} }],
        terminationGracePeriodSeconds: 0,
        automountServiceAccountToken: false,
        securityContext: {},
      },
      status: {},
    });
  });

  test('null is absent, in lists and maps the zero value', () => {
    const { object } = decodeObject(Kinds.configmaps, { metadata: { name: 'c' }, data: { a: null, b: 'x' } });
    expect(object).toEqual({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'c' }, data: { a: '', b: 'x' } });
    expect(decodePod({ metadata: null, spec: { containers: null, volumes: null } })).toEqual({
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: {},
      spec: { containers: null },
      status: {},
    });
  });

  test('quantities and times are canonical', () => {
    const decoded = decodeObject(Kinds.nodes, {
      metadata: { name: 'n', creationTimestamp: '2024-01-02T03:04:05.9+02:00' },
      status: { capacity: { cpu: 0.5, memory: '1024Mi', pods: '110' } },
    }).object;
    expect(decoded).toMatchObject({
      metadata: { creationTimestamp: '2024-01-02T01:04:05Z' },
      status: { capacity: { cpu: '500m', memory: '1Gi', pods: '110' } },
    });
  });

  test('lease times keep exactly six digits', () => {
    const { object } = decodeObject(Kinds.leases, {
      metadata: { name: 'l' },
      spec: { renewTime: '2024-01-02T03:04:05.123456Z' },
    });
    expect(object).toMatchObject({ spec: { renewTime: '2024-01-02T03:04:05.123456Z' } });
    expect(messageOf(() => decodeObject(Kinds.leases, { spec: { renewTime: '2024-01-02T03:04:05Z' } }))).toContain(
      'parsing time',
    );
  });

  test('fields come in declaration order and maps sorted, so that equal objects have equal texts', () => {
    const a = decodePod({
      spec: { restartPolicy: 'Never', containers: [] },
      metadata: { labels: { b: '1', a: '2' }, name: 'x' },
    });
    const b = decodePod({
      metadata: { name: 'x', labels: { a: '2', b: '1' } },
      spec: { containers: [], restartPolicy: 'Never' },
    });
    expect(JSON.stringify(a)).toBe(JSON.stringify(b));
  });

  test('a map key __proto__ stays data', () => {
    const { object } = decodeObject(Kinds.configmaps, JSON.parse('{"metadata":{"name":"c"},"data":{"__proto__":"x"}}'));
    expect(JSON.stringify(object)).toContain('"data":{"__proto__":"x"}');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  test('unknown fields are dropped and listed with their path', () => {
    const { object, unknown } = decodeObject(Kinds.pods, {
      metadata: { name: 'p', nope: 1 },
      spec: { containers: [{ name: 'c' }, { name: 'd', imagee: 'x', securityContext: { foo: {} } }], Spec: 1 },
    });
    expect(unknown).toEqual([
      'unknown field "metadata.nope"',
      'unknown field "spec.containers[1].securityContext.foo"',
      'unknown field "spec.containers[1].imagee"',
      'unknown field "spec.Spec"',
    ]);
    expect(JSON.stringify(object)).not.toMatch(/nope|imagee|foo|Spec"/);
  });
});

describe("decodeObject: refusals in Go's words", () => {
  const bad = 'cannot be handled as a Pod: ';
  test.each([
    [
      { spec: { containers: [{ env: [{ name: 'x', value: 5 }] }] } },
      'json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string',
    ],
    [{ spec: 'x' }, 'json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec'],
    [
      { spec: { containers: {} } },
      'json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container',
    ],
    [[], 'json: cannot unmarshal array into Go value of type v1.Pod'],
    [
      { metadata: { labels: { a: true } } },
      'json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string',
    ],
    [
      { spec: { priority: 1.5 } },
      'json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32',
    ],
    [
      { spec: { restartPolicy: 1 } },
      'json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy',
    ],
    [
      { spec: { containers: [{ resources: { limits: { cpu: 'lots' } } }] } },
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    [{ spec: { overhead: { memory: '1ki' } } }, "unable to parse quantity's suffix"],
  ])('%j', (body, text) => {
    expect(messageOf(() => decodePod(body))).toBe(`Pod in version "v1" ${bad}${text}`);
  });

  test('another apiVersion', () => {
    expect(messageOf(() => decodePod({ apiVersion: 'apps/v1', kind: 'Pod' }))).toBe(
      'the API version in the data (apps/v1) does not match the expected API version (v1)',
    );
  });

  test('a kind nobody knows', () => {
    expect(messageOf(() => decodeAny({ apiVersion: 'v1', kind: 'Nope' }))).toBe(
      'no kind "Nope" is registered for version "v1"',
    );
  });

  test('base64', () => {
    expect(messageOf(() => decodeObject(Kinds.secrets, { data: { a: '*' } }))).toContain('illegal base64 data');
  });
});

describe('decodeType', () => {
  test('options and other bodies', () => {
    expect(
      decodeType('meta/v1.DeleteOptions', {
        gracePeriodSeconds: 0,
        propagationPolicy: 'Orphan',
        dryRun: ['All'],
        x: 1,
      }),
    ).toEqual({
      object: { gracePeriodSeconds: 0, propagationPolicy: 'Orphan', dryRun: ['All'] },
      unknown: ['unknown field "x"'],
    });
    expect(decodeType('autoscaling/v1.Scale', { spec: { replicas: 3 } }).object).toMatchObject({
      spec: { replicas: 3 },
    });
  });
});

describe('every kind', () => {
  test('decoding is idempotent on arbitrary objects', () => {
    for (const kind of allKinds())
      fc.assert(
        fc.property(arbitraryObject(kind.schema), (value) => {
          const once = decodeObject(kind, { ...value, apiVersion: undefined, kind: undefined });
          expect(once.unknown).toEqual([]);
          expect(JSON.stringify(canonicalObject(kind, once.object))).toBe(JSON.stringify(once.object));
        }),
        { numRuns: 5 },
      );
  });
});
