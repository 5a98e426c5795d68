import { describe, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { cpuMs } from '../../base/testing/cpu-time.ts';
import { applyStrategicMergePatch } from './strategic.ts';

const container = (name: string, more: object = {}): object => ({ name, image: `${name}:1`, ...more });
const pod = (spec: object, metadata: object = { name: 'p' }): object => ({ metadata, spec });

/** name, type, original, patch, result */
const CASES: readonly [string, string, unknown, unknown, unknown][] = [
  [
    'maps merge, null deletes',
    'core/v1.ConfigMap',
    { data: { a: '1', b: '2' } },
    { data: { b: null, c: '3' } },
    { data: { a: '1', c: '3' } },
  ],
  [
    'a list with a merge key merges by it and appends what is new',
    'core/v1.Pod',
    pod({ containers: [container('a'), container('b')] }),
    { spec: { containers: [{ name: 'b', image: 'b:2' }, container('c')] } },
    pod({ containers: [container('a'), container('b', { image: 'b:2' }), container('c')] }),
  ],
  [
    'nested lists merge by their own keys: env by name, ports by containerPort, mounts by mountPath',
    'core/v1.Pod',
    pod({
      containers: [
        container('a', {
          env: [
            { name: 'X', value: '1' },
            { name: 'Y', value: '2' },
          ],
          ports: [{ containerPort: 80 }],
          volumeMounts: [{ name: 'v', mountPath: '/v' }],
        }),
      ],
    }),
    {
      spec: {
        containers: [
          {
            name: 'a',
            env: [{ name: 'Y', value: '3' }],
            ports: [{ containerPort: 80, name: 'http' }, { containerPort: 81 }],
            volumeMounts: [{ mountPath: '/v', readOnly: true }],
          },
        ],
      },
    },
    pod({
      containers: [
        container('a', {
          env: [
            { name: 'X', value: '1' },
            { name: 'Y', value: '3' },
          ],
          ports: [{ containerPort: 80, name: 'http' }, { containerPort: 81 }],
          volumeMounts: [{ name: 'v', mountPath: '/v', readOnly: true }],
        }),
      ],
    }),
  ],
  [
    'a list without a strategy is replaced',
    'core/v1.Pod',
    pod({ tolerations: [{ key: 'a' }] }),
    { spec: { tolerations: [{ key: 'b' }] } },
    pod({ tolerations: [{ key: 'b' }] }),
  ],
  [
    'an atomic list of scalars is replaced',
    'core/v1.Pod',
    pod({ containers: [container('a', { args: ['1', '2'] })] }),
    { spec: { containers: [{ name: 'a', args: ['3'] }] } },
    pod({ containers: [container('a', { args: ['3'] })] }),
  ],
  [
    '$patch: delete removes an element',
    'core/v1.Pod',
    pod({ containers: [container('a'), container('b')] }),
    { spec: { containers: [{ name: 'a', $patch: 'delete' }] } },
    pod({ containers: [container('b')] }),
  ],
  [
    '$patch: delete of an unknown element does nothing',
    'core/v1.Pod',
    pod({ containers: [container('a')] }),
    { spec: { containers: [{ name: 'x', $patch: 'delete' }] } },
    pod({ containers: [container('a')] }),
  ],
  [
    '$patch: replace in a list replaces it',
    'core/v1.Pod',
    pod({ containers: [container('a'), container('b')] }),
    { spec: { containers: [container('c'), { $patch: 'replace' }] } },
    pod({ containers: [container('c')] }),
  ],
  [
    '$patch: replace alone empties the list',
    'core/v1.Pod',
    pod({ containers: [container('a')] }),
    { spec: { containers: [{ $patch: 'replace' }] } },
    pod({ containers: [] }),
  ],
  [
    '$patch: replace in a map replaces it',
    'core/v1.Pod',
    pod({ securityContext: { runAsUser: 1, fsGroup: 2 } }),
    { spec: { securityContext: { $patch: 'replace', runAsUser: 3 } } },
    pod({ securityContext: { runAsUser: 3 } }),
  ],
  [
    '$patch: delete in a map empties it',
    'core/v1.Pod',
    pod({ securityContext: { runAsUser: 1 } }),
    { spec: { securityContext: { $patch: 'delete' } } },
    pod({ securityContext: {} }),
  ],
  [
    '$patch: merge is the default',
    'core/v1.Pod',
    pod({ securityContext: { runAsUser: 1 } }),
    { spec: { securityContext: { $patch: 'merge', fsGroup: 2 } } },
    pod({ securityContext: { runAsUser: 1, fsGroup: 2 } }),
  ],
  [
    'finalizers merge as a set',
    'core/v1.Pod',
    { metadata: { finalizers: ['a', 'b'] } },
    { metadata: { finalizers: ['b', 'c'] } },
    { metadata: { finalizers: ['a', 'b', 'c'] } },
  ],
  [
    '$deleteFromPrimitiveList',
    'core/v1.Pod',
    { metadata: { finalizers: ['a', 'b', 'c'] } },
    { metadata: { '$deleteFromPrimitiveList/finalizers': ['b'], finalizers: ['d'] } },
    { metadata: { finalizers: ['a', 'c', 'd'] } },
  ],
  [
    '$deleteFromPrimitiveList without a list',
    'core/v1.Pod',
    { metadata: {} },
    { metadata: { '$deleteFromPrimitiveList/finalizers': ['b'] } },
    { metadata: {} },
  ],
  [
    '$setElementOrder with new and moved elements; the server-only element keeps its place',
    'core/v1.Pod',
    pod({ containers: [container('a'), container('sidecar'), container('b')] }),
    {
      spec: {
        '$setElementOrder/containers': [{ name: 'b' }, { name: 'new' }, { name: 'a' }],
        containers: [container('new')],
      },
    },
    pod({ containers: [container('sidecar'), container('b'), container('new'), container('a')] }),
  ],
  [
    '$setElementOrder: a new element comes before a later server-only element',
    'core/v1.Pod',
    pod({ containers: [container('a'), container('sidecar')] }),
    { spec: { '$setElementOrder/containers': [{ name: 'a' }, { name: 'b' }], containers: [container('b')] } },
    pod({ containers: [container('a'), container('b'), container('sidecar')] }),
  ],
  [
    '$setElementOrder without the list reorders',
    'core/v1.Pod',
    pod({ containers: [container('a'), container('b')] }),
    { spec: { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] } },
    pod({ containers: [container('b'), container('a')] }),
  ],
  [
    '$setElementOrder of scalars',
    'core/v1.Pod',
    { metadata: { finalizers: ['a', 'b', 'c'] } },
    {
      metadata: {
        '$setElementOrder/finalizers': ['c', 'a', 'd'],
        finalizers: ['d'],
        '$deleteFromPrimitiveList/finalizers': ['b'],
      },
    },
    { metadata: { finalizers: ['c', 'a', 'd'] } },
  ],
  [
    'an element is deleted and others are ordered in one patch, as kubectl apply sends it',
    'core/v1.Pod',
    pod({ containers: [container('a'), container('b')] }),
    {
      spec: {
        '$setElementOrder/containers': [{ name: 'b' }],
        containers: [
          { name: 'b', image: 'b:9' },
          { $patch: 'delete', name: 'a' },
        ],
      },
    },
    pod({ containers: [container('b', { image: 'b:9' })] }),
  ],
  [
    '$retainKeys clears the other members of a union',
    'core/v1.Pod',
    pod({ volumes: [{ name: 'v', emptyDir: {} }] }),
    { spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] } },
    pod({ volumes: [{ name: 'v', hostPath: { path: '/x' } }] }),
  ],
  [
    '$retainKeys of a map: deployment strategy',
    'apps/v1.Deployment',
    { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } },
    { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } },
    { spec: { strategy: { type: 'Recreate' } } },
  ],
  [
    'a PDB selector is replaced',
    'policy/v1.PodDisruptionBudget',
    { spec: { selector: { matchLabels: { a: '1' } } } },
    { spec: { selector: { matchLabels: { b: '2' } } } },
    { spec: { selector: { matchLabels: { b: '2' } } } },
  ],
  [
    'conditions merge by type',
    'core/v1.Pod',
    { status: { conditions: [{ type: 'A', status: 'True' }] } },
    {
      status: {
        conditions: [
          { type: 'B', status: 'True' },
          { type: 'A', status: 'False' },
        ],
      },
    },
    {
      status: {
        conditions: [
          { type: 'A', status: 'False' },
          { type: 'B', status: 'True' },
        ],
      },
    },
  ],
  [
    'nulls and directives in new parts are dropped',
    'core/v1.Pod',
    pod({}),
    {
      spec: {
        securityContext: { runAsUser: null, $patch: 'merge', fsGroup: 1 },
        volumes: [{ name: 'v', $retainKeys: ['name', 'emptyDir'], emptyDir: { medium: null } }],
      },
    },
    pod({ securityContext: { fsGroup: 1 }, volumes: [{ name: 'v', emptyDir: {} }] }),
  ],
  [
    'an unknown field is merged as free form',
    'core/v1.Pod',
    pod({ foo: { a: 1, b: [1] } }),
    { spec: { foo: { b: [2] } } },
    pod({ foo: { a: 1, b: [2] } }),
  ],
];

describe('applyStrategicMergePatch', () => {
  test.each(CASES)('%s', (_name, schema, original, patch, result) => {
    const before = structuredClone(original);
    expect(applyStrategicMergePatch(schema, original, patch)).toEqual(result);
    expect(original).toEqual(before);
  });

  test.each([
    ['missing merge key', { spec: { containers: [{ image: 'x' }] } }, /does not contain declared merge key: name/],
    ['unknown directive', { spec: { $patch: 'explode' } }, /Unknown patch type: explode/],
    ['a directive that is no text', { spec: { $patch: { toString: null } } }, /Unknown patch type: {"toString":null}/],
    [
      'one in a list',
      { spec: { containers: [{ name: 'a', $patch: [{ toString: null }] }] } },
      /Unknown patch type: \[{"toString":null}\]/,
    ],
    [
      'key outside $retainKeys',
      { spec: { volumes: [{ name: 'v', $retainKeys: ['name'], emptyDir: {} }] } },
      /not in its \$retainKeys list/,
    ],
    [
      'element not in $setElementOrder',
      { spec: { '$setElementOrder/containers': [{ name: 'a' }], containers: [{ name: 'b' }] } },
      /doesn't match/,
    ],
  ])('%s is BadRequest', (_name, patch, message) => {
    const object = pod({ containers: [container('a')], volumes: [{ name: 'v', hostPath: {} }] });
    try {
      applyStrategicMergePatch('core/v1.Pod', object, patch);
      expect.unreachable();
    } catch (e) {
      expect(isKind(e, 'BadRequest')).toBe(true);
      expect(String(e)).toMatch(message);
    }
  });
});

test('strategic merge: long lists take a time in proportion to their length', () => {
  const pod = (value: string, length: number): object => {
    const env = Array.from({ length }, (_, i) => ({ name: `A${i}`, value }));
    return { spec: { containers: [{ name: 'a', env }] } };
  };
  const tookMs = (length: number): number => {
    const [old, patch] = [pod('old', length), pod('new', length)];
    const startedMs = cpuMs();
    const merged = applyStrategicMergePatch('core/v1.Pod', old, patch);
    const ms = cpuMs() - startedMs;
    expect(merged).toEqual(pod('new', length));
    return ms;
  };
  /* Ten times the length: 10 in proportion, 100 when every item looks at every other. */
  const few = Math.max(tookMs(2_000), 1);
  expect(tookMs(20_000) / few).toBeLessThan(50);
});
