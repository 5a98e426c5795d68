/** downwardAPI volumes follow the pod's labels and annotations. */
import { afterEach, expect, test } from 'vitest';
import { StatusError } from '#lib/base';
import type { Volumes } from '../volumes/volume.ts';
import { FakeNode, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

const item = { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } };
const DIRECT = { name: 'v', downwardAPI: { items: [item] } };
const PROJECTED = { name: 'v', projected: { sources: [{ downwardAPI: { items: [item] } }] } };

function podOf(volume: object, metadata: Partial<PodObject['metadata']>): PodObject {
  const a = { name: 'a', image: 'i', volumeMounts: [{ name: 'v', mountPath: '/v' }] };
  return fakePod({ containers: [a], volumes: [volume as { name: string }] }, metadata);
}

/** Volumes that remember for which pod they were last written. */
async function setUp() {
  const written: (PodObject['metadata'] | undefined)[] = [];
  const write: Pick<Volumes, 'prepare' | 'update'> = {
    prepare: async ({ pod }) => {
      written.push(pod.metadata as PodObject['metadata']);
      return { hostPath: '/v', readOnly: true };
    },
    update: async (pod) => void written.push(pod.metadata as PodObject['metadata']),
  };
  const node = await FakeNode.make({ volumes: write });
  nodes.push(node);
  return { node, written };
}

test.each([
  ['downwardAPI', DIRECT],
  ['projected', PROJECTED],
])('%s: files are written again when labels or annotations change, and only then', async (_name, volume) => {
  const { node, written } = await setUp();
  const agent = await node.agent();
  agent.want(podOf(volume, { labels: { a: '1' } }));
  await node.until(() => node.running.length === 1);
  const before = written.length;
  agent.want(podOf(volume, { labels: { a: '2' } }));
  await node.until(() => written.length === before + 1);
  expect(written.at(-1)?.labels).toEqual({ a: '2' });
  agent.want(podOf(volume, { labels: { a: '2' }, annotations: { b: '1' } }));
  await node.until(() => written.length === before + 2);
  agent.want({ ...podOf(volume, { labels: { a: '2' }, annotations: { b: '1' }, resourceVersion: '9' }), status: {} });
  await node.pass(2_000);
  expect(written).toHaveLength(before + 2);
});

test('a pod without such files is left alone', async () => {
  const { node, written } = await setUp();
  const agent = await node.agent();
  agent.want(podOf({ name: 'v', configMap: { name: 'c' } }, { labels: { a: '1' } }));
  await node.until(() => node.running.length === 1);
  const before = written.length;
  agent.want(podOf({ name: 'v', configMap: { name: 'c' } }, { labels: { a: '2' } }));
  await node.pass(2_000);
  expect(written).toHaveLength(before);
});

test('a change during a long pull is what the container finds', async () => {
  const { node, written } = await setUp();
  let pulled = (): void => undefined;
  node.pulls.set('i', new Promise((resolve) => (pulled = resolve)));
  const agent = await node.agent();
  agent.want(podOf(DIRECT, { labels: { a: '1' } }));
  await node.until(() => node.events.some((e) => e.reason === 'Pulling'));
  agent.want(podOf(DIRECT, { labels: { a: '2' } }));
  pulled();
  await node.until(() => node.running.length === 1);
  expect(written.at(-1)?.labels).toEqual({ a: '2' });
});

test('a refresh that fails leaves the pod running', async () => {
  const node = await FakeNode.make({
    volumes: {
      prepare: async () => ({ hostPath: '/v', readOnly: true }),
      update: async () => Promise.reject(new StatusError('Internal', 'disk full')),
    },
  });
  nodes.push(node);
  const agent = await node.agent();
  agent.want(podOf(DIRECT, { labels: { a: '1' } }));
  await node.until(() => node.running.length === 1);
  agent.want(podOf(DIRECT, { labels: { a: '2' } }));
  await node.pass(2_000);
  expect(node.running).toEqual(['a/0']);
});

test('a resize that the node takes is written to the files, at once or when its time has come', async () => {
  const { node, written } = await setUp();
  const agent = await node.agent();
  const sized = (cpu: string, generation: number): PodObject => {
    const p = podOf(DIRECT, { labels: { a: '1' }, generation });
    const containers = p.spec.containers.map((c) => ({ ...c, resources: { requests: { cpu } } }));
    return { ...p, spec: { ...p.spec, containers } };
  };
  const other = fakePod(
    { containers: [{ name: 'b', image: 'i', resources: { requests: { cpu: '1' } } }] as never },
    { uid: 'other', name: 'other' },
  );
  agent.want(sized('100m', 1));
  agent.want(other);
  await node.until(() => node.running.length === 2);
  const before = written.length;
  agent.want(sized('200m', 2));
  await node.until(() => written.length === before + 1, 'written');
  agent.want(sized('1500m', 3));
  await node.pass(2_000);
  expect(written).toHaveLength(before + 1);
  agent.gone(other);
  await node.passUntil(() => written.length === before + 2, 'written when it is taken');
});
