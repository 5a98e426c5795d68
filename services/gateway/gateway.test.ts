import { expect, test } from 'vitest';
import type { NodeStatus, Pod, PodStatus } from '#lib/api';
import { Feed } from './desired.ts';
import { mergePodStatus, sameStatus } from './pod-status.ts';
import { referencesOf } from './references.ts';
import { mergeNodeStatus } from './registration.ts';

test('referencesOf: every place of a pod that can name another object', () => {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'd' },
    spec: {
      serviceAccountName: 'sa',
      imagePullSecrets: [{ name: 'pull' }],
      volumes: [
        { name: 'a', configMap: { name: 'cm-volume' } },
        { name: 'b', secret: { secretName: 'secret-volume' } },
        {
          name: 'c',
          projected: { sources: [{ configMap: { name: 'cm-projected' } }, { secret: { name: 'secret-projected' } }] },
        },
        { name: 'd', emptyDir: {} },
      ],
      initContainers: [{ name: 'i', image: 'x', envFrom: [{ configMapRef: { name: 'cm-from' } }] }],
      containers: [
        {
          name: 'm',
          image: 'x',
          env: [
            { name: 'A', value: '1' },
            { name: 'B', valueFrom: { secretKeyRef: { name: 'secret-key', key: 'k' } } },
            { name: 'C', valueFrom: { configMapKeyRef: { name: 'cm-volume', key: 'k' } } },
          ],
        },
      ],
    },
  };
  expect(
    referencesOf(pod, { claim: () => undefined, volume: () => undefined })
      .map((r) => `${r.resource}/${r.name}`)
      .sort(),
  ).toEqual([
    'configmaps/cm-from',
    'configmaps/cm-projected',
    'configmaps/cm-volume',
    'secrets/pull',
    'secrets/secret-key',
    'secrets/secret-projected',
    'secrets/secret-volume',
    'serviceaccounts/sa',
  ]);
});

test("mergePodStatus: others' conditions and the QoS class stay, the node's own are replaced", () => {
  const stored: PodStatus = {
    phase: 'Pending',
    qosClass: 'Burstable',
    nominatedNodeName: 'n',
    conditions: [
      { type: 'PodScheduled', status: 'True' },
      { type: 'DisruptionTarget', status: 'True' },
      { type: 'Initialized', status: 'False' },
      { type: 'PodResizePending', status: 'True', reason: 'Deferred' },
      { type: 'PodResizeInProgress', status: 'True' },
    ],
  };
  expect(mergePodStatus(stored, { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] })).toEqual({
    phase: 'Running',
    qosClass: 'Burstable',
    conditions: [
      { type: 'Ready', status: 'True' },
      { type: 'PodScheduled', status: 'True' },
      { type: 'DisruptionTarget', status: 'True' },
    ],
  });
});

test('mergePodStatus: a pod that has ended never starts again', () => {
  expect(mergePodStatus({ phase: 'Failed' }, { phase: 'Running' })).toBeUndefined();
  expect(mergePodStatus({ phase: 'Failed' }, { phase: 'Succeeded' })).toBeUndefined();
  expect(mergePodStatus({ phase: 'Failed' }, { phase: 'Failed', reason: 'Evicted' })).toMatchObject({
    reason: 'Evicted',
  });
});

test('sameStatus: the order of keys does not matter, the order of lists does', () => {
  expect(sameStatus({ phase: 'Running', podIP: 'x' }, { podIP: 'x', phase: 'Running' })).toBe(true);
  const conditions = [
    { type: 'A', status: 'True' },
    { type: 'B', status: 'True' },
  ];
  expect(sameStatus({ conditions }, { conditions: [...conditions].reverse() })).toBe(false);
  expect(sameStatus(undefined, {})).toBe(true);
});

test("mergeNodeStatus: a condition that did not change keeps its transition time; others' conditions stay", () => {
  const stored: NodeStatus = {
    conditions: [
      { type: 'Ready', status: 'True', lastTransitionTime: 'then' },
      { type: 'NetworkUnavailable', status: 'False' },
      { type: 'DiskPressure', status: 'True', lastTransitionTime: 'then' },
    ],
    phase: 'x',
  };
  const reported: NodeStatus = {
    conditions: [
      { type: 'Ready', status: 'True', lastTransitionTime: 'now' },
      { type: 'DiskPressure', status: 'False', lastTransitionTime: 'now' },
    ],
  };
  expect(mergeNodeStatus(stored, reported)).toEqual({
    phase: 'x',
    conditions: [
      { type: 'Ready', status: 'True', lastTransitionTime: 'then' },
      { type: 'DiskPressure', status: 'False', lastTransitionTime: 'now' },
      { type: 'NetworkUnavailable', status: 'False' },
    ],
  });
});

test('Feed: one entry per object in its newest state, woken once; references are counted over pods', () => {
  let wakes = 0;
  let closed = 0;
  const feed = new Feed(
    'n',
    () => wakes++,
    () => closed++,
  );
  const change = (name: string, text: string): Parameters<Feed['put']>[0] => ({
    type: 'UPSERT',
    resource: 'pods',
    namespace: 'd',
    name,
    uid: name,
    object: Buffer.from(text),
  });
  feed.put(change('a', '1'));
  feed.put(change('b', '1'));
  feed.put(change('a', '2'));
  expect(wakes).toBe(1);
  expect([feed.take(), feed.take(), feed.take()].map((x) => x && `${x.name}${x.object}`)).toEqual([
    'a2',
    'b1',
    undefined,
  ]);
  feed.put(change('a', '3'));
  expect(wakes).toBe(2);

  const secret = 'secrets/d/s';
  const map = 'configmaps/d/m';
  expect(feed.setReferences('d/p', [secret]).added).toEqual(['secrets/d/s']);
  expect(feed.setReferences('d/q', [secret, map])).toEqual({ added: ['configmaps/d/m'], removed: [] });
  expect(feed.setReferences('d/p', [])).toEqual({ added: [], removed: [] });
  expect(feed.setReferences('d/q', [map])).toEqual({ added: [], removed: ['secrets/d/s'] });
  feed[Symbol.dispose]();
  feed[Symbol.dispose]();
  expect(closed).toBe(1);
  feed.put(change('z', '1'));
  expect(feed.take()).toBeUndefined();
});
