import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { columnsModule } from '../../../tools/generate-columns.ts';
import { Kinds } from '../gen/kinds.ts';
import { apiVersionOf, type KindRef, type KubeObject } from '../object.ts';
import { type TableOptions, tableOf } from './table.ts';

const NOW = Date.parse('2026-01-10T00:00:00Z');
const OPTIONS: TableOptions = { nowMs: NOW, includeObject: 'None', withColumns: true };
const CREATED = '2026-01-09T21:00:00Z';

function object(kind: KindRef, rest: object, metadata: object = {}): KubeObject {
  return {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    metadata: { name: 'x', creationTimestamp: CREATED, ...metadata },
    ...rest,
  };
}

function cells(kind: KindRef, rest: object, metadata?: object): unknown[] {
  return tableOf(kind, [object(kind, rest, metadata)], OPTIONS).rows[0]?.cells ?? [];
}

const running = { ready: true, restartCount: 0, state: { running: {} } };
const two = { containers: [{ name: 'a' }, { name: 'b' }] };

describe('tableOf: Pod', () => {
  /** name, spec, status, metadata, [ready, status, restarts] */
  test.each<[string, object, object, object, [string, string, string]]>([
    ['new', two, { phase: 'Pending' }, {}, ['0/2', 'Pending', '0']],
    ['running', two, { phase: 'Running', containerStatuses: [running, running] }, {}, ['2/2', 'Running', '0']],
    [
      'gated',
      two,
      { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] },
      {},
      ['0/2', 'SchedulingGated', '0'],
    ],
    ['reason of the pod', two, { phase: 'Failed', reason: 'Evicted' }, {}, ['0/2', 'Evicted', '0']],
    [
      'first waiting container wins',
      two,
      {
        phase: 'Running',
        containerStatuses: [
          { ...running, ready: false, state: { waiting: { reason: 'CrashLoopBackOff' } } },
          { ...running, state: { terminated: { exitCode: 1, reason: 'Error' } } },
        ],
      },
      {},
      ['0/2', 'CrashLoopBackOff', '0'],
    ],
    [
      'exit code without reason',
      two,
      { phase: 'Running', containerStatuses: [{ ...running, state: { terminated: { exitCode: 3 } } }] },
      {},
      ['0/2', 'ExitCode:3', '0'],
    ],
    [
      'signal without reason',
      two,
      { phase: 'Running', containerStatuses: [{ ...running, state: { terminated: { exitCode: 137, signal: 9 } } }] },
      {},
      ['0/2', 'Signal:9', '0'],
    ],
    [
      'completed beside a running one, ready',
      two,
      {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'True' }],
        containerStatuses: [{ ...running, state: { terminated: { exitCode: 0, reason: 'Completed' } } }, running],
      },
      {},
      ['1/2', 'Running', '0'],
    ],
    [
      'completed beside a running one, not ready',
      two,
      {
        phase: 'Running',
        containerStatuses: [{ ...running, state: { terminated: { exitCode: 0, reason: 'Completed' } } }, running],
      },
      {},
      ['1/2', 'NotReady', '0'],
    ],
    [
      'restarts with age',
      two,
      {
        phase: 'Running',
        containerStatuses: [
          { ...running, restartCount: 3, lastState: { terminated: { finishedAt: '2026-01-09T23:58:00Z' } } },
          running,
        ],
      },
      {},
      ['2/2', 'Running', '3 (2m ago)'],
    ],
    [
      'init 0 of 2',
      { ...two, initContainers: [{ name: 'i' }, { name: 'j' }] },
      {
        phase: 'Pending',
        initContainerStatuses: [
          { name: 'i', state: { running: {} } },
          { name: 'j', state: { waiting: { reason: 'PodInitializing' } } },
        ],
      },
      {},
      ['0/2', 'Init:0/2', '0'],
    ],
    [
      'init 1 of 2',
      { ...two, initContainers: [{ name: 'i' }, { name: 'j' }] },
      {
        phase: 'Pending',
        initContainerStatuses: [
          { name: 'i', state: { terminated: { exitCode: 0 } } },
          { name: 'j', restartCount: 2, state: { waiting: { reason: 'PodInitializing' } } },
        ],
      },
      {},
      ['0/2', 'Init:1/2', '2'],
    ],
    [
      'init crash loop',
      { ...two, initContainers: [{ name: 'i' }] },
      {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'i', restartCount: 4, state: { waiting: { reason: 'CrashLoopBackOff' } } }],
      },
      {},
      ['0/2', 'Init:CrashLoopBackOff', '4'],
    ],
    [
      'init exit code',
      { ...two, initContainers: [{ name: 'i' }] },
      { phase: 'Pending', initContainerStatuses: [{ name: 'i', state: { terminated: { exitCode: 5 } } }] },
      {},
      ['0/2', 'Init:ExitCode:5', '0'],
    ],
    [
      'init error',
      { ...two, initContainers: [{ name: 'i' }] },
      {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'i', state: { terminated: { exitCode: 5, reason: 'Error' } } }],
      },
      {},
      ['0/2', 'Init:Error', '0'],
    ],
    [
      'a sidecar counts',
      { ...two, initContainers: [{ name: 's', restartPolicy: 'Always' }] },
      {
        phase: 'Running',
        initContainerStatuses: [{ name: 's', started: true, ready: true, restartCount: 1, state: { running: {} } }],
        containerStatuses: [running, running],
      },
      {},
      ['3/3', 'Running', '1'],
    ],
    [
      'restarts of a plain init container are forgotten once running',
      { ...two, initContainers: [{ name: 'i' }] },
      {
        phase: 'Running',
        initContainerStatuses: [{ name: 'i', restartCount: 7, state: { terminated: { exitCode: 0 } } }],
        containerStatuses: [running, running],
      },
      {},
      ['2/2', 'Running', '0'],
    ],
    [
      'terminating',
      two,
      { phase: 'Running', containerStatuses: [running, running] },
      { deletionTimestamp: CREATED },
      ['2/2', 'Terminating', '0'],
    ],
    [
      'deleted but done',
      two,
      { phase: 'Succeeded', containerStatuses: [{ state: { terminated: { exitCode: 0, reason: 'Completed' } } }] },
      { deletionTimestamp: CREATED },
      ['0/2', 'Completed', '0'],
    ],
    [
      'node lost',
      two,
      { phase: 'Running', reason: 'NodeLost' },
      { deletionTimestamp: CREATED },
      ['0/2', 'Unknown', '0'],
    ],
  ])('%s', (_name, spec, status, metadata, expected) => {
    expect(cells(Kinds.pods, { spec, status }, metadata).slice(1, 4)).toEqual(expected);
  });

  test('wide cells and conditions', () => {
    const pod = object(Kinds.pods, {
      spec: { ...two, nodeName: 'n1', readinessGates: [{ conditionType: 'g' }] },
      status: { phase: 'Succeeded', podIPs: [{ ip: '10.0.0.1' }], conditions: [{ type: 'g', status: 'True' }] },
    });
    const [row] = tableOf(Kinds.pods, [pod], { ...OPTIONS, includeObject: 'Metadata' }).rows;
    expect(row?.cells.slice(4)).toEqual(['3h', '10.0.0.1', 'n1', '<none>', '1/1']);
    expect(row?.conditions).toMatchObject([{ type: 'Completed', reason: 'Succeeded' }]);
    expect(row?.object).toEqual({
      kind: 'PartialObjectMetadata',
      apiVersion: 'meta.k8s.io/v1',
      metadata: pod.metadata,
    });
  });
});

describe('tableOf: other kinds', () => {
  const template = {
    spec: {
      containers: [
        { name: 'a', image: 'i:1' },
        { name: 'b', image: 'j' },
      ],
    },
  };
  const selector = { matchLabels: { b: '2', a: '1' } };
  test.each<[string, KindRef, object, unknown[]]>([
    [
      'Deployment',
      Kinds.deployments,
      {
        spec: { replicas: 3, template, selector },
        status: { readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1 },
      },
      ['x', '1/3', 2, 1, '3h', 'a,b', 'i:1,j', 'a=1,b=2'],
    ],
    [
      'ReplicaSet',
      Kinds.replicasets,
      { spec: { replicas: 3, template, selector }, status: { replicas: 2 } },
      ['x', 3, 2, 0, '3h', 'a,b', 'i:1,j', 'a=1,b=2'],
    ],
    [
      'Service',
      Kinds.services,
      {
        spec: {
          type: 'NodePort',
          clusterIPs: ['10.43.0.9'],
          ports: [
            { port: 80, nodePort: 30080, protocol: 'TCP' },
            { port: 53, protocol: 'UDP' },
          ],
          selector: { a: '1' },
        },
      },
      ['x', 'NodePort', '10.43.0.9', '<none>', '80:30080/TCP,53/UDP', '3h', 'a=1'],
    ],
    [
      'LoadBalancer without address',
      Kinds.services,
      { spec: { type: 'LoadBalancer', clusterIP: '10.43.0.9' } },
      ['x', 'LoadBalancer', '10.43.0.9', '<pending>', '<none>', '3h', '<none>'],
    ],
    [
      'Node',
      Kinds.nodes,
      {
        spec: { unschedulable: true },
        status: {
          conditions: [{ type: 'Ready', status: 'True' }],
          nodeInfo: { kubeletVersion: 'v1', osImage: 'os', kernelVersion: 'k', containerRuntimeVersion: 'c' },
          addresses: [{ type: 'InternalIP', address: '1.2.3.4' }],
        },
      },
      ['x', 'Ready,SchedulingDisabled', '<none>', '3h', 'v1', '1.2.3.4', '<none>', 'os', 'k', 'c'],
    ],
    ['Namespace', Kinds.namespaces, { status: { phase: 'Active' } }, ['x', 'Active', '3h']],
    ['ConfigMap', Kinds.configmaps, { data: { a: '1' }, binaryData: { b: '' } }, ['x', 2, '3h']],
    ['Secret', Kinds.secrets, { type: 'Opaque', data: { a: '' } }, ['x', 'Opaque', 1, '3h']],
    ['ServiceAccount', Kinds.serviceaccounts, {}, ['x', '3h']],
    [
      'Event',
      Kinds.events,
      {
        involvedObject: { kind: 'Pod', name: 'p' },
        type: 'Warning',
        reason: 'Bad',
        message: ' m \n',
        source: { component: 'kubelet', host: 'n' },
        firstTimestamp: CREATED,
        lastTimestamp: '2026-01-09T23:59:00Z',
        count: 4,
      },
      ['60s', 'Warning', 'Bad', 'pod/p', '', 'kubelet, n', 'm', '3h', 4, 'x'],
    ],
    [
      'Endpoints',
      Kinds.endpoints,
      { subsets: [{ addresses: ['1', '2', '3', '4'].map((n) => ({ ip: `10.0.0.${n}` })), ports: [{ port: 80 }] }] },
      ['x', '10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...', '3h'],
    ],
    [
      'EndpointSlice',
      Kinds.endpointslices,
      { addressType: 'IPv4', ports: [{ port: 80 }], endpoints: [{ addresses: ['10.0.0.1'] }] },
      ['x', 'IPv4', '80', '10.0.0.1', '3h'],
    ],
    ['Lease', Kinds.leases, { spec: { holderIdentity: 'n' } }, ['x', 'n', '3h']],
    [
      'Job',
      Kinds.jobs,
      {
        spec: { completions: 3, template, selector },
        status: {
          succeeded: 1,
          startTime: '2026-01-09T23:00:00Z',
          completionTime: '2026-01-09T23:01:00Z',
          conditions: [{ type: 'Complete', status: 'True' }],
        },
      },
      ['x', 'Complete', '1/3', '60s', '3h', 'a,b', 'i:1,j', 'a=1,b=2'],
    ],
    ['NetworkPolicy', Kinds.networkpolicies, { spec: { podSelector: {} } }, ['x', '<none>', '3h']],
    ['a kind without printer', Kinds.roles, { rules: [] }, ['x', CREATED]],
  ])('%s', (_name, kind, rest, expected) => {
    expect(cells(kind, rest)).toEqual(expected);
  });

  test('every kind gives as many cells as columns, even of the emptiest object a decoder lets through', () => {
    const specs = {
      spec: {
        source: {},
        drivers: [],
        pool: {},
        template: {},
        jobTemplate: {},
        scaleTargetRef: {},
        priorityLevelConfiguration: {},
      },
      roleRef: {},
      involvedObject: {},
    };
    for (const kind of Object.values<KindRef>(Kinds)) {
      const table = tableOf(kind, [object(kind, specs)], OPTIONS);
      expect([kind.kind, table.rows[0]?.cells.length]).toEqual([kind.kind, table.columnDefinitions.length]);
    }
  });

  test('columns only when asked for, list metadata only when given', () => {
    const table = tableOf(Kinds.pods, [], { ...OPTIONS, withColumns: false, resourceVersion: '7' });
    expect(table).toEqual({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { resourceVersion: '7' },
      columnDefinitions: [],
      rows: [],
    });
  });
});

test('lib/api/gen/columns.ts is what the generator makes of the fact table', () => {
  const root = new URL('../../../', import.meta.url);
  let facts: string;
  try {
    facts = readFileSync(new URL('../shared/data/kubernetes-columns.json', root), 'utf8');
  } catch {
    return; // A checkout without ../shared: there is nothing to compare with.
  }
  expect(readFileSync(new URL('lib/api/gen/columns.ts', root), 'utf8')).toBe(columnsModule(facts));
});
