import { describe, expect, test } from 'vitest';
import { Kinds } from './gen/kinds.ts';
import type { KindRef, KubeObject } from './object.ts';
import { prepareUpdate } from './strategy.ts';
import { changed, created, texts } from './testing/prepared.ts';
import { validateCreate, validateUpdate } from './validation.ts';

function errorsOf<T extends KubeObject>(kind: KindRef<T>, value: object): string[] {
  return texts(validateCreate(kind, created(kind, value), { nodePortRange: { first: 30_000, last: 32_767 } }));
}

function updateErrors<T extends KubeObject>(
  kind: KindRef<T>,
  old: T,
  change: (copy: T) => void,
  subresource?: string,
): string[] {
  const next = changed(kind, old, change);
  prepareUpdate(kind, next, old, subresource);
  return texts(validateUpdate(kind, next, old, subresource));
}

const OK = { name: 'c', image: 'nginx:1' };
const podErrors = (spec: object, metadata: object = {}): string[] =>
  errorsOf(Kinds.pods, { metadata: { name: 'p', ...metadata }, spec: { containers: [OK], ...spec } });
const containerErrors = (c: object, spec: object = {}): string[] =>
  podErrors({ containers: [{ ...OK, ...c }], ...spec }).map((t) => t.replace('spec.containers[0]', '$'));

describe('metadata', () => {
  test.each([
    [{}, []],
    [{ name: 'a.b-c' }, []],
    [
      { name: 'Bad' },
      [
        "metadata.name: Invalid value: \"Bad\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
      ],
    ],
    [
      { name: 'x'.repeat(254) },
      [`metadata.name: Invalid value: "${'x'.repeat(254)}": must be no more than 253 characters`],
    ],
    [{ labels: { 'a/b': 'c', d: '' } }, []],
    [{ labels: { '/b': 'c' } }, ['metadata.labels: Invalid value: "/b": prefix part must be non-empty']],
    [
      { labels: { a: '-' } },
      [
        "metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
      ],
    ],
    [{ annotations: { A: 'any ☃ text' } }, []],
    [
      { annotations: { a: 'x'.repeat(262_144) } },
      ['metadata.annotations: Too long: may not be more than 262144 bytes'],
    ],
    [{ finalizers: ['a.b/c', 'orphan'] }, []],
    [
      { finalizers: ['mine'] },
      [
        'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
      ],
    ],
    [
      { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'x', uid: '' }] },
      ['metadata.ownerReferences.uid: Invalid value: "": must not be empty'],
    ],
  ])('%j', (metadata, expected) => {
    expect(podErrors({}, metadata)).toEqual(expected);
  });

  test('scope, and names by kind', () => {
    expect(errorsOf(Kinds.namespaces, { metadata: { name: 'a.b' } })).toEqual([
      'metadata.name: Invalid value: "a.b": must not contain dots',
    ]);
    expect(errorsOf(Kinds.nodes, { metadata: { name: 'n', namespace: 'x' } })).toEqual([
      'metadata.namespace: Forbidden: not allowed on this type',
    ]);
    expect(errorsOf(Kinds.clusterroles, { metadata: { name: 'system:node' } })).toEqual([]);
    expect(errorsOf(Kinds.services, { metadata: { name: 'a.b' }, spec: { ports: [{ port: 1 }] } })[0]).toContain(
      'must not contain dots',
    );
  });
});

describe('pods', () => {
  test.each([
    [{}, []],
    [{ name: undefined }, ['$.name: Required value']],
    [{ name: 'a.b' }, ['$.name: Invalid value: "a.b": must not contain dots']],
    [{ image: '' }, ['$.image: Required value']],
    [{ image: ' x' }, ['$.image: Invalid value: " x": must not have leading or trailing whitespace']],
    [
      { imagePullPolicy: 'Maybe' },
      ['$.imagePullPolicy: Unsupported value: "Maybe": supported values: "Always", "IfNotPresent", "Never"'],
    ],
    [{ ports: [{ containerPort: 0 }] }, ['$.ports[0].containerPort: Required value']],
    [
      { ports: [{ containerPort: 70000 }] },
      ['$.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
    ],
    [
      {
        ports: [
          { containerPort: 1, name: 'a' },
          { containerPort: 2, name: 'a' },
        ],
      },
      ['$.ports[1].name: Duplicate value: "a"'],
    ],
    [
      {
        ports: [
          { containerPort: 1, hostPort: 8 },
          { containerPort: 2, hostPort: 8 },
        ],
      },
      ['$.ports[1].hostPort: Duplicate value: "/8/TCP"'],
    ],
    [
      { ports: [{ containerPort: 1, protocol: 'X' }] },
      ['$.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'],
    ],
    [{ env: [{ name: '' }] }, ['$.env[0].name: Required value']],
    [
      { env: [{ name: 'a=b' }] },
      [
        '$.env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than \'=\'',
      ],
    ],
    [
      { env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] },
      ['$.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ],
    [{ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: "metadata.labels['x']" } } }] }, []],
    [
      { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: '' } } }] },
      ['$.env[0].valueFrom.secretKeyRef.key: Required value'],
    ],
    [{ volumeMounts: [{ name: 'v', mountPath: '/x' }] }, ['$.volumeMounts[0].name: Not found: "v"']],
    [
      { resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } },
      ['$.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ],
    [
      { resources: { limits: { cpu: '-1' } } },
      [
        '$.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        '$.resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
      ],
    ],
    [{ livenessProbe: {} }, ['$.livenessProbe: Required value: must specify a handler type']],
    [
      { livenessProbe: { exec: { command: ['x'] }, successThreshold: 2 } },
      ['$.livenessProbe.successThreshold: Invalid value: 2: must be 1'],
    ],
    [
      { readinessProbe: { tcpSocket: { port: 'UP' } } },
      [
        '$.readinessProbe.tcpSocket.port: Invalid value: "UP": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
        '$.readinessProbe.tcpSocket.port: Invalid value: "UP": must contain at least one letter (a-z)',
      ],
    ],
    [{ lifecycle: { preStop: { exec: { command: [] } } } }, ['$.lifecycle.preStop.exec.command: Required value']],
    [
      { securityContext: { privileged: true, allowPrivilegeEscalation: false } },
      [
        '$.securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
      ],
    ],
  ])('container %j', (c, expected) => {
    expect(containerErrors(c)).toEqual(expected);
  });

  test.each([
    [{ containers: [] }, ['spec.containers: Required value']],
    [{ containers: [OK, OK] }, ['spec.containers[1].name: Duplicate value: "c"']],
    [
      { initContainers: [{ ...OK, readinessProbe: { exec: { command: ['x'] } } }], containers: [{ ...OK, name: 'd' }] },
      [
        'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
      ],
    ],
    [
      { restartPolicy: 'X' },
      ['spec.restartPolicy: Unsupported value: "X": supported values: "Always", "OnFailure", "Never"'],
    ],
    [
      { volumes: [{ name: 'v', emptyDir: {}, secret: { secretName: 's' } }] },
      ['spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type'],
    ],
    [{ volumes: [{ name: 'v' }, { name: 'v' }] }, ['spec.volumes[1].name: Duplicate value: "v"']],
    [
      { volumes: [{ name: 'v', configMap: { name: 'c', items: [{ key: 'k', path: '../x' }] } }] },
      ['spec.volumes[0].configMap.items[0].path: Invalid value: "../x": must not contain \'..\''],
    ],
    [
      {
        volumes: [
          { name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 1 } }] } },
        ],
      },
      [
        'spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes',
      ],
    ],
    [
      { tolerations: [{ effect: 'NoSchedule' }] },
      [
        'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ],
    ],
    [
      { activeDeadlineSeconds: 0 },
      ['spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    ],
    [{ dnsPolicy: 'None' }, ['spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None']],
    [
      { hostNetwork: true, containers: [{ ...OK, ports: [{ containerPort: 1, hostPort: 2 }] }] },
      ['spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true'],
    ],
    [
      { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: {} }] } } },
      [
        'spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty',
      ],
    ],
    [
      { topologySpreadConstraints: [{ maxSkew: 0, topologyKey: 'x', whenUnsatisfiable: 'DoNotSchedule' }] },
      ['spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero'],
    ],
    [
      { schedulingGates: [{ name: 'g' }], nodeName: 'n' },
      ['spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared'],
    ],
  ])('spec %j', (spec, expected) => {
    expect(podErrors(spec)).toEqual(expected);
  });

  const pod = () =>
    created(Kinds.pods, {
      metadata: { name: 'p' },
      spec: { containers: [OK], tolerations: [{ key: 'a', operator: 'Exists' }] },
    });
  const FORBIDDEN = expect.stringMatching(
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`/,
  );

  test('updates: image, deadline, added tolerations and nothing else', () => {
    const update = (change: (p: ReturnType<typeof pod>) => void): string[] => updateErrors(Kinds.pods, pod(), change);
    expect(
      update(({ spec }) => {
        spec.containers = [{ ...OK, ...spec.containers[0], image: 'nginx:2' }];
      }),
    ).toEqual([]);
    expect(
      update(({ spec }) => {
        spec.activeDeadlineSeconds = 5;
      }),
    ).toEqual([]);
    expect(
      update(({ spec }) => {
        spec.tolerations = [...(spec.tolerations ?? []), { operator: 'Exists' }];
      }),
    ).toEqual([]);
    expect(
      update(({ metadata }) => {
        metadata.labels = { new: 'label' };
      }),
    ).toEqual([]);
    expect(
      update(({ spec }) => {
        spec.nodeName = 'n';
      }),
    ).toEqual([FORBIDDEN]);
    expect(
      update(({ spec }) => {
        spec.containers = [{ ...OK, command: ['x'] }];
      }),
    ).toEqual([FORBIDDEN]);
    expect(
      update(({ spec }) => {
        spec.containers = [OK, { ...OK, name: 'd' }];
      }),
    ).toEqual(['spec.containers: Forbidden: pod updates may not add or remove containers']);
    expect(
      update(({ spec }) => {
        spec.tolerations = [];
      }),
    ).toEqual(['spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds']);
    expect(
      update(({ metadata }) => {
        metadata.name = 'q';
      }),
    ).toEqual(['metadata.name: Invalid value: "q": field is immutable']);
    expect(
      update(({ metadata }) => {
        metadata.uid = 'q';
      }),
    ).toEqual(['metadata.uid: Invalid value: "q": field is immutable']);
  });

  test('a gated pod may be steered, not re-made', () => {
    const gated = created(Kinds.pods, {
      metadata: { name: 'p' },
      spec: { containers: [OK], schedulingGates: [{ name: 'g' }, { name: 'h' }], nodeSelector: { a: 'b' } },
    });
    const update = (change: (p: typeof gated) => void): string[] => updateErrors(Kinds.pods, gated, change);
    const terms = [{ matchExpressions: [{ key: 'k', operator: 'Exists' }] }];
    const nodeAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } };
    expect(
      update(({ spec }) => {
        spec.schedulingGates = [{ name: 'h' }];
      }),
    ).toEqual([]);
    expect(
      update(({ spec }) => {
        spec.nodeSelector = { a: 'b', c: 'd' };
      }),
    ).toEqual([]);
    expect(
      update(({ spec }) => {
        spec.affinity = { nodeAffinity };
      }),
    ).toEqual([]);
    expect(
      update(({ spec }) => {
        spec.schedulingGates = [{ name: 'g' }, { name: 'new' }];
      }),
    ).toEqual(["spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling gates 'new'"]);
    expect(
      update(({ spec }) => {
        spec.nodeSelector = { a: 'c' };
      }),
    ).toEqual([
      'spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)',
    ]);
    expect(
      update(({ spec }) => {
        spec.affinity = { nodeAffinity, podAffinity: {} };
      }),
    ).toEqual([FORBIDDEN]);
    expect(
      updateErrors(Kinds.pods, pod(), ({ spec }) => {
        spec.nodeSelector = { a: 'b' };
      }),
    ).toEqual([FORBIDDEN]);
  });

  test('no new finalizer once deletion has begun', () => {
    const old = pod();
    old.metadata.deletionTimestamp = '2024-01-02T03:04:05Z';
    expect(
      updateErrors(Kinds.pods, old, ({ metadata }) => {
        metadata.finalizers = ['a.b/c'];
      }),
    ).toEqual([
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a.b/c"}',
    ]);
  });

  test('status: a pod has addresses, not just any text', () => {
    const old = pod();
    const report = (podIP: string, ips: readonly string[]): string[] => {
      const change = (p: typeof old): void => {
        p.status = { ...p.status, podIP, podIPs: ips.map((ip) => ({ ip })) };
      };
      return updateErrors(Kinds.pods, old, change, 'status');
    };
    expect(report('10.42.0.7', ['10.42.0.7', 'fd00::7'])).toEqual([]);
    const why = 'must be a valid IP address,';
    expect(report('10.42.0.300', ['10.42.0.300'])).toEqual([
      `status.podIP: Invalid value: "10.42.0.300": ${why}`,
      `status.podIPs[0]: Invalid value: "10.42.0.300": ${why}`,
    ]);
  });

  test('status: a finished container stays finished unless it restarts', () => {
    const old = pod();
    old.spec.restartPolicy = 'Never';
    const status = { name: 'c', ready: false, restartCount: 0, image: '', imageID: '' };
    old.status = { ...old.status, containerStatuses: [{ ...status, state: { terminated: { exitCode: 0 } } }] };
    const revive = (p: typeof old): void => {
      p.status = { ...p.status, containerStatuses: [{ ...status, state: { running: {} } }] };
    };
    expect(updateErrors(Kinds.pods, old, revive, 'status')).toEqual([
      'status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state',
    ]);
    old.spec.restartPolicy = 'Always';
    expect(updateErrors(Kinds.pods, old, revive, 'status')).toEqual([]);
  });
});

describe('deployments and replica sets', () => {
  const value = (spec: object = {}): object => ({
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [OK] } },
      ...spec,
    },
  });
  test.each([
    [{}, []],
    [{ replicas: -1 }, ['spec.replicas: Invalid value: -1: must be greater than or equal to 0']],
    [
      { selector: null },
      [
        'spec.selector: Required value',
        'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
      ],
    ],
    [{ selector: {} }, ['spec.selector: Invalid value: {}: empty selector is invalid for deployment']],
    [
      { selector: { matchLabels: { a: 'c' } } },
      ['spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'],
    ],
    [
      { selector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
      [
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
      ],
    ],
    [
      { template: { metadata: { labels: { a: 'b' } }, spec: { containers: [OK], restartPolicy: 'Never' } } },
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
    [
      { strategy: { type: 'Recreate', rollingUpdate: {} } },
      ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ],
    [
      { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } } },
      ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
    ],
    [
      { strategy: { rollingUpdate: { maxSurge: 'x' } } },
      [
        'spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by an ending \'%\'',
      ],
    ],
    [
      { strategy: { type: 'X' } },
      ['spec.strategy.type: Unsupported value: "X": supported values: "Recreate", "RollingUpdate"'],
    ],
    [
      { progressDeadlineSeconds: 5, minReadySeconds: 5 },
      ['spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds'],
    ],
  ])('%j', (spec, expected) => {
    expect(errorsOf(Kinds.deployments, value(spec))).toEqual(expected);
  });

  test('the selector is immutable', () => {
    for (const kind of [Kinds.deployments, Kinds.replicasets] as KindRef<never>[])
      expect(
        updateErrors(kind as typeof Kinds.deployments, created(kind, value()), ({ spec }) => {
          spec.selector = { matchLabels: { z: '1' } };
          spec.template.metadata = { ...spec.template.metadata, labels: { z: '1' } } as typeof spec.template.metadata;
        }),
      ).toEqual(['spec.selector: Invalid value: {"matchLabels":{"z":"1"}}: field is immutable']);
  });
});

describe('services', () => {
  const errors = (spec: object): string[] => errorsOf(Kinds.services, { metadata: { name: 's' }, spec });
  const port = { port: 80 };
  test.each([
    [{ ports: [port] }, []],
    [{}, ['spec.ports: Required value']],
    [{ clusterIP: 'None' }, []],
    [{ ports: [port, { port: 81 }] }, ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value']],
    [
      { ports: [{ port: 0 }] },
      [
        'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
        'spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive',
      ],
    ],
    [
      { ports: [port], type: 'Nope' },
      [
        'spec.type: Unsupported value: "Nope": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
    [
      { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] },
      [
        'spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
      ],
    ],
    [
      { ports: [{ port: 80, nodePort: 30001 }] },
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [{ type: 'ExternalName' }, ['spec.externalName: Required value']],
    [
      { ports: [port], externalIPs: ['127.0.0.1', 'x'] },
      [
        'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        'spec.externalIPs[1]: Invalid value: "x": must be a valid IP address,',
      ],
    ],
    [{ ports: [port], clusterIP: 'x' }, ['spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address,']],
    [
      { ports: [port], sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
      [
        'spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400',
      ],
    ],
  ])('%j', (spec, expected) => {
    expect(errors(spec)).toEqual(expected);
  });

  test('clusterIP is immutable', () => {
    const old = created(Kinds.services, {
      metadata: { name: 's' },
      spec: { ports: [port], clusterIP: '10.43.0.5', clusterIPs: ['10.43.0.5'] },
    });
    expect(
      updateErrors(Kinds.services, old, ({ spec }) => {
        spec.clusterIP = '10.43.0.6';
        spec.clusterIPs = ['10.43.0.6'];
      }),
    ).toEqual(['spec.clusterIPs[0]: Invalid value: ["10.43.0.6"]: may not change once set']);
  });
});
