import { expect, test } from 'vitest';
import { fakePod } from '../pods/fake-node.ts';
import type { PodObject } from '../pods/model.ts';
import { exceededMessage, isCriticalPod, type PodUse, rankPods } from './ranking.ts';
import type { StarvedResource } from './thresholds.ts';

const MI = 1 << 20;
const ALL = { rootfs: true, logs: true, volumes: true };

interface Given {
  readonly name: string;
  readonly priority?: number;
  readonly requests?: Record<string, string>;
  readonly use?: Partial<PodUse>;
}

function podOf({ name, priority, requests }: Given): PodObject {
  const container = { name: 'c', image: 'i', ...(requests === undefined ? {} : { resources: { requests } }) };
  return fakePod({ containers: [container], ...(priority === undefined ? {} : { priority }) }, { name, uid: name });
}

function useOf(u: Partial<PodUse>): PodUse {
  return { memoryBytes: undefined, pids: undefined, containers: new Map(), volumes: new Map(), ...u };
}

function ranked(resource: StarvedResource, given: readonly Given[], parts = ALL): string[] {
  const pods = given.map((g) => ({ pod: podOf(g), use: g.use === undefined ? undefined : useOf(g.use) }));
  const find = (pod: PodObject): PodUse | undefined => pods.find((p) => p.pod === pod)?.use;
  const orders = [pods, [...pods].reverse()].map((all) =>
    rankPods(
      all.map((p) => p.pod),
      resource,
      find,
      parts,
    ).map((p) => p.metadata.name),
  );
  expect(orders[0]).toEqual(orders[1]);
  return orders[0] ?? [];
}

const memory = (mi: number): Partial<PodUse> => ({ memoryBytes: mi * MI });
const disk = (o: { rootfs?: number; logs?: number; volume?: number; inodes?: number }): Partial<PodUse> => {
  const of = (mi = 0): { bytes: number; inodes: number } => ({ bytes: mi * MI, inodes: o.inodes ?? 0 });
  return {
    containers: new Map([['c', { memoryBytes: undefined, rootfs: of(o.rootfs), logs: of(o.logs) }]]),
    volumes: new Map([['v', of(o.volume)]]),
  };
};

test('memory: over the request first, then by priority, then by how much over', () => {
  expect(
    ranked('memory', [
      { name: 'within, low', priority: -5, requests: { memory: '500Mi' }, use: memory(400) },
      { name: 'within, more left', priority: 0, requests: { memory: '500Mi' }, use: memory(100) },
      { name: 'exactly', priority: 0, requests: { memory: '500Mi' }, use: memory(500) },
      { name: 'over, high', priority: 10, requests: { memory: '1Mi' }, use: memory(900) },
      { name: 'over by 100', priority: 0, requests: { memory: '500Mi' }, use: memory(600) },
      { name: 'over by 200', priority: 0, use: memory(200) },
      { name: 'unknown', priority: 100 },
    ]),
  ).toEqual(['unknown', 'over by 200', 'over by 100', 'over, high', 'within, low', 'exactly', 'within, more left']);
});

test('processes: by priority, then by their number', () => {
  expect(
    ranked('pids', [
      { name: 'few', use: { pids: 3 } },
      { name: 'many', use: { pids: 300 } },
      { name: 'most, high', priority: 1, use: { pids: 3000 } },
    ]),
  ).toEqual(['many', 'few', 'most, high']);
});

test('disk: what lies on the disk that is short, against the storage asked for', () => {
  const given = [
    { name: 'layer', use: disk({ rootfs: 30, logs: 1 }) },
    { name: 'logs', use: disk({ logs: 20, rootfs: 5 }) },
    { name: 'volume', use: disk({ volume: 50, rootfs: 2 }) },
    { name: 'asked', requests: { 'ephemeral-storage': '1Gi' }, use: disk({ volume: 900, rootfs: 1 }) },
  ];
  expect(ranked('ephemeral-storage', given)).toEqual(['volume', 'layer', 'logs', 'asked']);
  const layers = { rootfs: true, logs: false, volumes: false };
  expect(ranked('ephemeral-storage', given, layers)).toEqual(['layer', 'logs', 'volume', 'asked']);
  const rest = { rootfs: false, logs: true, volumes: true };
  expect(ranked('ephemeral-storage', given, rest).slice(0, 3)).toEqual(['volume', 'logs', 'layer']);
});

test('inodes', () => {
  expect(
    ranked('inodes', [
      { name: 'few', use: disk({ rootfs: 900, inodes: 1 }) },
      { name: 'many', use: disk({ rootfs: 1, inodes: 1000 }) },
    ]),
  ).toEqual(['many', 'few']);
});

test('the message names containers that use more than they asked for, and the pod when it asked itself', () => {
  const pod = fakePod({
    containers: [
      { name: 'over', image: 'i', resources: { requests: { memory: '0.5Gi' } } },
      { name: 'within', image: 'i', resources: { requests: { memory: '1Gi' } } },
      { name: 'none', image: 'i' },
    ],
  });
  const of = (mi: number) => ({
    memoryBytes: mi * MI,
    rootfs: { bytes: mi * MI, inodes: 1 },
    logs: { bytes: MI, inodes: 1 },
  });
  const use = useOf({
    memoryBytes: 2000 * MI,
    containers: new Map([
      ['over', of(600)],
      ['within', of(700)],
      ['none', { ...of(1), memoryBytes: 1000 }],
    ]),
  });
  const over = (name: string, used: string, request: string, resource: string): string =>
    `Container ${name} was using ${used}, request is ${request}, has larger consumption of ${resource}. `;
  expect(exceededMessage(pod, 'memory', use)).toBe(
    over('over', '600Mi', '512Mi', 'memory') + over('none', '1k', '0', 'memory'),
  );
  expect(exceededMessage(pod, 'ephemeral-storage', use)).toBe(
    ['over', 'within', 'none']
      .map((name, i) => over(name, ['601Mi', '701Mi', '2Mi'][i] ?? '', '0', 'ephemeral-storage'))
      .join(''),
  );
  expect(exceededMessage(pod, 'pids', use)).toBe('');
  expect(exceededMessage(pod, 'memory', undefined)).toBe('');
  const own = { ...pod, spec: { ...pod.spec, resources: { requests: { memory: '1Gi' } } } };
  expect(exceededMessage(own, 'memory', use)).toContain(
    'Pod p was using 2000Mi, request is 1Gi, has larger consumption of memory. ',
  );
});

test.each([
  ['of the system', { priority: 2_000_000_000 }, {}, true],
  ['high', { priority: 1_000_000_000 }, {}, false],
  ['static', {}, { 'kubernetes.io/config.source': 'file' }, true],
  ['of the API', {}, { 'kubernetes.io/config.source': 'api' }, false],
  ['a mirror', {}, { 'kubernetes.io/config.mirror': 'x' }, true],
])('critical pods: %s', (_, spec, annotations, isCritical) => {
  expect(isCriticalPod(fakePod(spec, { annotations }))).toBe(isCritical);
});
